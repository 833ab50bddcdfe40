"""Layer 4. The layout of MMRec: one .inter table without types, original ids in mapping files. Reads."""

from __future__ import annotations

from bench.layouts.place import Content, Place
from bench.sources.mmrec import ITEM, LABEL, USER, read_table
from bench.sources.tables import header

NAME = "mmrec"
NEEDS = f"one NAME.inter, tab-separated, with the columns {USER}, {ITEM} and perhaps x_label and timestamp"
TAKES_COLUMNS = True


def recognise(place: Place) -> str | None:
    """Why this is the layout, or None."""
    tables = place.ending(".inter")
    if len(tables) != 1:
        return None
    names = header(tables[0], "\t")
    if any(":" in name for name in names) or not {USER, ITEM, LABEL}.intersection(names):
        return None  # untyped columns such as user_id and item_id are a plain table
    return f"{tables[0].name} names its columns without types"


def read(place: Place) -> Content:
    """The interactions.

    Raises:
        DataError: the table is missing or malformed.
    """
    directory = place.path if place.path.is_dir() else place.path.parent
    raw, keys = read_table(directory, "interactions", place.columns)
    mappings = [path for path in place.files if path.name in ("u_id_mapping.csv", "i_id_mapping.csv")]
    return Content(raw, keys, (*place.ending(".inter"), *mappings))
