"""Layer 3. Feature matrices: .npy files and derived rows -> Modality. Reads, never writes or unpickles."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.cards import FeatureFile
from bench.digest import hash_array
from bench.errors import DataError
from bench.sources.locate import checked_path
from bench.types import FloatArray, Modality


def read_features(
    directory: Path, files: Mapping[str, FeatureFile], n_items: int
) -> tuple[tuple[Modality, ...], dict[str, str]]:
    """Every feature matrix of a source.

    Args:
        directory: where the files lie.
        files: the card's feature files by modality.
        n_items: number of items, hence of rows.

    Returns:
        The modalities in the card's order, and the reasons why optional ones are missing.

    Raises:
        DataError: a file is missing that is not optional, or is malformed.
    """
    modalities, missing = [], {}
    for name, file in files.items():
        if file.optional and not (directory / file.path).exists():
            missing[name] = f"there is no {file.path} in {directory}; put it there to use this modality"
        else:
            modalities.append(read_modality(directory, file, name, n_items))
    return tuple(modalities), missing


def read_modality(directory: Path, file: FeatureFile, name: str, n_items: int) -> Modality:
    """One .npy file as float32; a row of zeros is an item without this modality.

    Raises:
        DataError: the file is missing, not the card's, no numeric matrix, of a wrong shape, or not finite.
    """
    path = checked_path(directory, file)
    matrix = _mapped(path)
    if matrix.ndim != 2 or matrix.shape[1] == 0:
        raise DataError(f"{path} has the shape {matrix.shape}, expected a matrix of {n_items:,} items x features.")
    if matrix.shape[0] != n_items:
        raise DataError(
            f"{path} has {matrix.shape[0]:,} rows, but there are {n_items:,} items; row i must hold the features "
            "of item i. Write one row for every item, of zeros where an item has none."
        )
    if file.dim is not None and matrix.shape[1] != file.dim:
        raise DataError(f"{path} has {matrix.shape[1]} columns, but the data card expects {file.dim}.")
    with np.errstate(over="ignore"):  # what overflows becomes infinite and is refused below
        rows = np.array(matrix, dtype=np.float32, order="C")  # a copy: the map must not stay open
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise DataError(
            f"{path}: row {bad[0]} holds NaN, infinity or a number beyond float32 ({len(bad):,} such rows). "
            "Replace them; a row of zeros marks an item without this modality."
        )
    present = rows.any(axis=1)
    if not present.any():
        raise DataError(f"{path} holds nothing but zeros. Replace the file.")
    return Modality(name, rows, present, hash_array(rows), f"read from {path}")


def _mapped(path: Path) -> NDArray[Any]:
    """An .npy file of floats, mapped but not yet read, with pickled objects refused."""
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy documents no closed list of what malformed files raise
        raise DataError(
            f"{path} is no plain .npy file ({error}); pickled objects are refused. Save the matrix anew with "
            "numpy.save as float32."
        ) from error
    if not isinstance(loaded, np.ndarray) or loaded.dtype.kind != "f":
        kind = f"of type {loaded.dtype}" if isinstance(loaded, np.ndarray) else "an .npz archive"
        raise DataError(f"{path} is {kind}, expected one matrix of floats. Save it with numpy.save as float32.")
    return loaded


def from_rows(name: str, rows: FloatArray, present: NDArray[np.bool_], fingerprint: str, origin: str) -> Modality:
    """A derived modality; rows of items that lack it are zeroed.

    Args:
        name: of the modality.
        rows: `[n_items, d]`.
        present: which items have it, `[n_items]`.
        fingerprint: hash of inputs and recipe, since derived floats differ in their last bits between machines.
        origin: what it was made from, in words.
    """
    matrix = np.where(present[:, None], rows, 0).astype(np.float32)
    return Modality(name, matrix, present, fingerprint, origin)
