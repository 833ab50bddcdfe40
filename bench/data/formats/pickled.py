"""Reader of the MMSSL / DiffMM layout: pickled sparse matrices, one a part, and one .npy a modality.

The layout of MMSSL and DiffMM: a pickled matrix for each part, under whatever names. Reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.core.errors import DataError
from bench.core.types import Interactions
from bench.data.cards import PickledCooSource
from bench.data.columns import as_texts
from bench.data.features import ItemKeys, read_features, unpinned
from bench.data.formats.place import Content, Place, part_files
from bench.data.formats.safe_pickle import Cells, read_cells
from bench.data.pins import existing_path, of_one_version
from bench.data.raw import RawData, refuse_claims


def read_source(source: PickledCooSource, directory: Path) -> RawData:
    """The content of `directory`, in the publisher's parts.

    Raises:
        DataError: a file is missing, malformed, unsafe or not the card's; the message says which.
    """
    files = (source.files.train, source.files.valid, source.files.test)

    def content() -> RawData:
        raw = read_parts([existing_path(directory, file) for file in files], source.title)
        modalities, missing = read_features(directory, unpinned(source.features), raw.parts[0].n_items)
        return replace(raw, modalities=modalities, missing=missing)

    return of_one_version(directory, files, source.features, source.expected, content)


def read_parts(paths: Sequence[Path], title: str) -> RawData:
    """The interactions of the training, validation and test file, without features.

    Args:
        paths: the three files, in this order.
        title: what this is, in words.

    Raises:
        DataError: a file is malformed or unsafe, or the three do not go together.
    """
    directory = paths[0].parent
    cells = [read_cells(path) for path in paths]
    triplets = [each.triplet for each in cells]
    shapes = {path.name: triplet[2] for path, triplet in zip(paths, triplets, strict=True)}
    if len(set(shapes.values())) > 1:
        listing = ", ".join(f"{path} {rows:,} x {columns:,}" for path, (rows, columns) in shapes.items())
        raise DataError(f"The matrices in {directory} differ in shape ({listing}). Take all from one version.")
    n_users, n_items = triplets[0][2]
    n_cells = sum(len(users) for users, _, _ in triplets)
    refuse_claims(paths[0], n_users, n_items, n_cells)
    parts = tuple(Interactions.from_pairs(users, items, n_users, n_items) for users, items, _ in triplets)
    n_repeated = n_cells - sum(map(len, parts))
    origin, n_zero = f"{title}, read from {directory}", sum(each.n_zero for each in cells)
    return RawData(origin, parts, (), notes=_notes(cells, n_zero), n_repeated=n_repeated, n_dropped=n_zero)


def _notes(cells: Sequence[Cells], n_zero: int) -> tuple[str, ...]:
    """What the values of the matrices are, where they are not all 1."""
    low, high = min(each.held[0] for each in cells), max(each.held[1] for each in cells)
    notes = []
    if (low, high) not in ((1.0, 1.0), (0.0, 1.0)):
        notes.append(f"Every cell above 0 is a positive, whatever its value ({low:g} to {high:g}).")
    if n_zero:
        notes.append(f"{n_zero:,} cells of the matrices hold 0 and were left out.")
    return tuple(notes)


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
