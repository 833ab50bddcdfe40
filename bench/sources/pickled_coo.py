"""Layer 3. Reader of the MMSSL / DiffMM layout: pickled sparse matrices, one a part, and one .npy a modality."""

from __future__ import annotations

from pathlib import Path

from bench.cards import PickledCooSource
from bench.errors import DataError
from bench.sources.features import read_features
from bench.sources.locate import checked_path
from bench.sources.raw import RawData, check_counts
from bench.sources.safe_pickle import read_matrix
from bench.types import Interactions


def read(source: PickledCooSource, directory: Path) -> RawData:
    """The content of `directory`, in the publisher's parts.

    Raises:
        DataError: a file is missing, malformed, unsafe or not the card's; the message says which.
    """
    files = (source.files.train, source.files.valid, source.files.test)
    triplets = [read_matrix(checked_path(directory, file)) for file in files]
    shapes = {file.path: triplet[2] for file, triplet in zip(files, triplets, strict=True)}
    if len(set(shapes.values())) > 1:
        listing = ", ".join(f"{path} {rows:,} x {columns:,}" for path, (rows, columns) in shapes.items())
        raise DataError(f"The matrices in {directory} differ in shape ({listing}). Take all from one version.")
    n_users, n_items = triplets[0][2]
    parts = tuple(Interactions.from_pairs(users, items, n_users, n_items) for users, items, _ in triplets)
    modalities, missing = read_features(directory, source.features, n_items)
    raw = RawData(f"{source.title}, read from {directory}", parts, modalities, missing)
    check_counts(source.expected, raw, str(directory))
    return raw
