"""Format of MMSSL and DiffMM: one pickled sparse matrix per part and one .npy file per modality.

Unpickles nothing: `safe_pickle` interprets the matrices. Reads files; writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.core.errors import DataError
from bench.core.types import Interactions
from bench.data.cards import PickledCooSource
from bench.data.features import ItemKeys, read_features
from bench.data.formats.place import (
    Content,
    Place,
    SourceOptions,
    describe_missing_parts,
    part_files,
    required_parts,
)
from bench.data.formats.safe_pickle import Cells, read_cells
from bench.data.pins import CardComparison, existing_path
from bench.data.raw import RawData, refuse_implausible_counts

NAME = "pickled-coo"
NEEDS = "trnMat.pkl, valMat.pkl and tstMat.pkl (or train_mat, val_mat, test_mat): pickled scipy matrices"
TAKES_COLUMNS = False
# such as trnMat.pkl, train_matrix.pickle or train_mat
PATTERN = r"PART[a-z]*[_-]?(mat|matrix)?(\.pkl|\.pickle)|PART[a-z]*[_-]?mat"


def read_source(source: PickledCooSource, directory: Path, options: SourceOptions) -> RawData:
    """Read the data set in `directory`, in the publisher's parts.

    Raises:
        DataError: a file is missing, malformed, unsafe or fails its checksum; the message names it.
    """
    files = (source.files.train, source.files.valid, source.files.test)
    comparison = CardComparison(source, directory, files)
    with comparison.reading():
        raw = read_parts([existing_path(directory, file) for file in files], source.title)
        n_items = raw.parts[0].n_items
        modalities, missing = read_features(directory, source.features, n_items, checksums=comparison.checksums)
    return comparison.finish(replace(raw, modalities=modalities, missing=missing))


def read_parts(paths: Sequence[Path], title: str) -> RawData:
    """Read the interactions of the training, validation and test file, without features.

    Args:
        paths: the three files, in this order.
        title: description of the data set.

    Raises:
        DataError: a file is malformed or unsafe, or the three matrices differ in shape.
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
    refuse_implausible_counts(paths[0], n_users, n_items, n_cells)
    parts = tuple(Interactions.from_pairs(users, items, n_users, n_items) for users, items, _ in triplets)
    n_repeated = n_cells - sum(map(len, parts))
    origin, n_zero = f"{title}, read from {directory}", sum(each.n_zero for each in cells)
    return RawData(origin, parts, (), notes=_notes(cells, n_zero), n_repeated=n_repeated, n_dropped=n_zero)


def _notes(cells: Sequence[Cells], n_zero: int) -> tuple[str, ...]:
    """Return notes on the values of the matrices if these are not all 1."""
    low, high = min(each.value_range[0] for each in cells), max(each.value_range[1] for each in cells)
    notes = []
    if (low, high) not in ((1.0, 1.0), (0.0, 1.0)):
        notes.append(f"Every cell above 0 is a positive, whatever its value ({low:g} to {high:g}).")
    if n_zero:
        notes.append(f"{n_zero:,} cells of the matrices hold 0 and were left out.")
    return tuple(notes)


def recognise(place: Place) -> str | None:
    """Return why the files are in this format, or None if they are not."""
    files = part_files(place.files, PATTERN)
    if files is None:
        return None
    return f"{files[0].name}, {files[1].name} and {files[2].name} are pickled matrices, one per part"


def explain(place: Place) -> list[str]:
    """Return which parts are missing if files of others exist."""
    return describe_missing_parts(place.files, PATTERN)


def read(place: Place) -> Content:
    """Read the interactions.

    Raises:
        DataError: a file is missing, malformed or unsafe.
    """
    files = required_parts(place, PATTERN, NAME, NEEDS)
    raw = read_parts(files, "interactions")
    return Content(raw, ItemKeys.by_index(raw.parts[0].n_items), files)
