"""Layer 4. The copy that an import made, as something to inspect or import once more. Reads."""

from __future__ import annotations

import numpy as np

from bench.layouts.place import Content, Place
from bench.sources import normalised
from bench.sources.features import ItemKeys
from bench.sources.ids import as_texts

NAME = "normalised"
NEEDS = f"{normalised.INTERACTIONS}, {normalised.USERS} and {normalised.ITEMS}, as 'ludp-bench import' writes them"
TAKES_COLUMNS = False
FILES = (normalised.INTERACTIONS, normalised.USERS, normalised.ITEMS)


def recognise(place: Place) -> str | None:
    """Why this is the layout, or None."""
    here = {path.name for path in place.files}
    return "the tables of an earlier import are here" if here.issuperset(FILES) else None


def read(place: Place) -> Content:
    """The interactions.

    Raises:
        DataError: a table is missing or damaged.
    """
    raw = normalised.read_tables(place.path, "interactions")
    n_items = raw.parts[0].n_items
    keys = ItemKeys(as_texts(raw.item_ids, n_items), np.arange(n_items))
    return Content(raw, keys, tuple(path for path in place.files if path.name in FILES))
