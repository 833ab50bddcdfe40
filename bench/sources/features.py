"""Layer 3. Feature matrices: rows of files and derived rows -> Modality. Reads, never writes or unpickles."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.cards import FeatureFile
from bench.digest import hash_array
from bench.errors import DataError
from bench.fetch.checksums import git_blob
from bench.sources.blocks import Block, only_block
from bench.sources.extracted import extraction_of
from bench.sources.locate import checked_path
from bench.sources.parsing import CELLS_PER_NUMBER, FREE_CELLS
from bench.types import FloatArray, IntArray, Modality


def read_features(
    directory: Path, files: Mapping[str, FeatureFile], n_items: int, keys: ItemKeys | None = None
) -> tuple[tuple[Modality, ...], dict[str, str]]:
    """Every feature matrix of a source.

    Args:
        directory: where the files lie.
        files: the card's feature files by modality.
        n_items: number of items, hence of rows.
        keys: how rows find their items; None: row i is item i.

    Returns:
        The modalities in the card's order, and the reasons why optional ones are missing.

    Raises:
        DataError: a file is missing that is not optional, or is malformed.
    """
    modalities, missing = [], {}
    for name, file in files.items():
        if file.optional and not os.path.lexists(directory / file.path):
            missing[name] = f"there is no {file.path} in {directory}; put it there to use this modality"
        else:
            modalities.append(read_modality(directory, file, name, n_items, keys))
    return tuple(modalities), missing


def unpinned(files: Mapping[str, FeatureFile]) -> dict[str, FeatureFile]:
    """The same files, whatever they hold; what they must hold is compared elsewhere, all at once."""
    return {name: file.model_copy(update={"git_blob": None, "dim": None}) for name, file in files.items()}


def read_modality(
    directory: Path, file: FeatureFile, name: str, n_items: int, keys: ItemKeys | None = None
) -> Modality:
    """One file as float32: .npy with row = item index, or .json keyed by it; a row of zeros: the item has none.

    With `keys` the rows, and the keys of a .json, are of the items that these say.

    Raises:
        DataError: the file is missing, not the card's, no numeric matrix, of a wrong shape, or not finite.
    """
    path = checked_path(directory, file)
    block = only_block(path)
    every = np.arange(n_items)
    modality, _ = modality_of(path, block, name, keys or ItemKeys(every.astype(str).astype(object), every))
    if file.dim is not None and modality.dim != file.dim:
        raise DataError(f"{path} has {modality.dim} columns, but the data card expects {file.dim}.")
    if extraction_of(path) is not None:  # which the origin tells already
        return modality
    return replace(modality, origin=f"read from {path}, {_made_by(path, file)}")


def _made_by(path: Path, file: FeatureFile) -> str:
    """Say what made a file without a description of its own: what the card knows of the very file, or nothing."""
    if file.encoder is None or git_blob(path) != file.encoder.git_blob:
        return "encoder not stated"
    return f"made by {' '.join(file.encoder.words.split())}"


@dataclass(frozen=True, eq=False)
class ItemKeys:
    """How feature rows find their items.

    Attributes:
        ids: id of each item as text, `[n_items]`, for files keyed by id.
        of_rows: item index of each row of a file without ids, -1 for a row that no item has; None where such a
            file says nothing about items.
    """

    ids: NDArray[np.object_]
    of_rows: IntArray | None


def modality_of(path: Path, block: Block, name: str, keys: ItemKeys) -> tuple[Modality, int]:
    """Feature rows as a modality, and the number of rows that are of no item.

    Raises:
        DataError: the rows do not fit the items, or hold what is no float32.
    """
    given = block.rows
    if given.ndim != 2 or given.shape[1] == 0:
        raise DataError(f"{path} has the shape {given.shape}, expected a matrix of items x features. Save it so.")
    n_items = len(keys.ids)
    owners = _owners_by_row(path, len(given), keys) if block.ids is None else _owners_by_id(path, block.ids, keys)
    if n_items * given.shape[1] > FREE_CELLS + CELLS_PER_NUMBER * given.size:
        raise DataError(
            f"{path} has {len(given):,} rows of {given.shape[1]:,} numbers for {n_items:,} items, which is too "
            "little to be a modality of theirs. Leave the file out, or complete it."
        )
    kept = np.flatnonzero(owners >= 0)
    rows = np.zeros((n_items, given.shape[1]), dtype=np.float32)
    with np.errstate(over="ignore"):  # what overflows becomes infinite and is refused below
        rows[owners[kept]] = given if len(kept) == len(given) else given[kept]
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1)[owners[kept]])
    if len(bad):
        row = int(kept[bad[0]])
        place = f"row {row}" if block.ids is None else f"the item '{block.ids[row]}'"
        raise DataError(
            f"{path}: {place} holds NaN, infinity or a number beyond float32 ({len(bad):,} such rows). "
            "Replace them; a row of zeros marks an item without this modality."
        )
    present = rows.any(axis=1)
    if not present.any():
        raise DataError(f"{path} holds nothing but zeros. Replace the file.")
    made = extraction_of(path)
    origin = f"read from {path}" if made is None else f"read from {path}, {made.in_words()}"
    return Modality(name, rows, present, hash_array(rows), origin), len(given) - len(kept)


def _owners_by_row(path: Path, n_rows: int, keys: ItemKeys) -> IntArray:
    """Item index of each row by its position."""
    if keys.of_rows is None:
        raise DataError(
            f"{path} has rows without ids, and the ids of these items are no row numbers. Give the features with "
            "ids: an .npz or .safetensors file with the arrays 'item_id' and 'features', or a Parquet table with "
            "the column 'item_id'."
        )
    if n_rows != len(keys.of_rows):
        raise DataError(
            f"{path} has {n_rows:,} rows, but there are {len(keys.of_rows):,} items; row i must hold the features "
            "of item i. Write one row for every item, of zeros where an item has none."
        )
    return keys.of_rows


def _owners_by_id(path: Path, ids: NDArray[np.object_], keys: ItemKeys) -> IntArray:
    """Item index of each row by its id; -1 for ids that are of no item."""
    import pandas as pd

    given = pd.Index(ids)
    if not given.is_unique:
        raise DataError(f"{path} has two rows for the item '{given[given.duplicated()][0]}'. Keep one.")
    owners: IntArray = pd.Index(keys.ids).get_indexer(given).astype(np.int64)
    if not (owners >= 0).any():
        raise DataError(
            f"{path} has rows for items such as '{ids[0] if len(ids) else ''}', none of which has an interaction; "
            f"the items there are such as '{keys.ids[0]}'. Key the features by the ids of the interactions."
        )
    return owners


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
