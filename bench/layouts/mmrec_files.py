"""Layer 4. The layout of MMRec: one .inter table without types, original ids in mapping files. Reads."""

from __future__ import annotations

import numpy as np

from bench.layouts.place import Content, Place
from bench.sources.features import ItemKeys
from bench.sources.ids import as_texts
from bench.sources.mmrec import ITEM, USER, read_table
from bench.sources.tables import header

NAME = "mmrec"
NEEDS = f"one NAME.inter, tab-separated, with the columns {USER}, {ITEM} and perhaps x_label and timestamp"


def recognise(place: Place) -> str | None:
    """Why this is the layout, or None."""
    tables = place.ending(".inter")
    if len(tables) != 1 or any(":" in name for name in header(tables[0], "\t")):
        return None
    return f"{tables[0].name} names its columns without types"


def read(place: Place) -> Content:
    """The interactions.

    Raises:
        DataError: the table is missing or malformed.
    """
    directory = place.path if place.path.is_dir() else place.path.parent
    raw = read_table(directory, "interactions")
    n_items = raw.parts[0].n_items
    mappings = [path for path in place.files if path.name in ("u_id_mapping.csv", "i_id_mapping.csv")]
    keys = ItemKeys(as_texts(None, n_items), np.arange(n_items))
    return Content(raw, keys, (*place.ending(".inter"), *mappings))
