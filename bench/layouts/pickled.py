"""Layer 4. The layout of MMSSL and DiffMM: a pickled matrix for each part, under whatever names. Reads."""

from __future__ import annotations

import numpy as np

from bench.errors import DataError
from bench.layouts.place import Content, Place, part_files
from bench.sources.features import ItemKeys
from bench.sources.ids import as_texts
from bench.sources.pickled_coo import read_parts

NAME = "pickled-coo"
NEEDS = "trnMat.pkl, valMat.pkl and tstMat.pkl (or train_mat, val_mat, test_mat): pickled scipy matrices"
TAKES_COLUMNS = False
PATTERN = r"PART[a-z]*[_-]?(mat|matrix)?(\.pkl|\.pickle)|PART[a-z]*[_-]?mat"


def recognise(place: Place) -> str | None:
    """Why this is the layout, or None."""
    files = part_files(place.files, PATTERN)
    if files is None:
        return None
    return f"{files[0].name}, {files[1].name} and {files[2].name} are pickled matrices, one a part"


def read(place: Place) -> Content:
    """The interactions.

    Raises:
        DataError: a file is missing, malformed or unsafe.
    """
    files = part_files(place.files, PATTERN)
    if files is None:
        raise DataError(f"{place.path} is not in the layout {NAME}, which needs {NEEDS}.")
    raw = read_parts(files, "interactions")
    n_items = raw.parts[0].n_items
    return Content(raw, ItemKeys(as_texts(None, n_items), np.arange(n_items)), files)
