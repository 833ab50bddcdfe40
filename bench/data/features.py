"""Feature matrices of items: read from .npy, .npz, .safetensors, .parquet and .json files, or derived. Reads only.

Nothing is unpickled. Before memory is allocated, the size that a header claims is compared with that of the file.
"""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError, listed, one_line
from bench.core.files import check_plain
from bench.core.hashing import hash_array
from bench.core.names import is_readable
from bench.core.types import FloatArray, IntArray, Modality
from bench.data import tables
from bench.data.cards import FeatureFile
from bench.data.columns import CELLS_PER_NUMBER, FREE_CELLS, as_texts, load_json, ragged_matrix
from bench.data.extraction import description_path, read_extraction
from bench.data.ids import item_id_names, one_of_item_ids, refuse_other_spellings
from bench.data.pins import Checksums, checked_path, existing_path
from bench.data.roles import plain_name

if TYPE_CHECKING:
    import pyarrow as pa

ENDINGS = (".npy", ".npz", ".safetensors", ".parquet", ".json")
UNNAMED = ("feature", "features", "feat", "feats", "embedding", "embeddings", "vector", "vectors", "arr0", "x")
UNPACKED, FREE_UNPACKED = 100, 64 << 20  # an archive may unpack to 64 MiB plus this many times its size


@dataclass(frozen=True, eq=False)
class FeatureMatrix:
    """One matrix of a file.

    Attributes:
        name: its name in the file, "" if only the file's own name describes it.
        ids: item id of each row as text, `[n]`; None if rows are known by their position only.
        rows: `[n, d]`, as in the file; those of an .npy file are mapped into memory and not yet read.
    """

    name: str
    ids: NDArray[np.object_] | None
    rows: NDArray[Any]


def read_single_matrix(path: Path) -> FeatureMatrix:
    """Return the one matrix of an .npy or .json file.

    Raises:
        DataError: the file is malformed.
    """
    return read_matrices(path)[0] if path.suffix.lower() == ".json" else FeatureMatrix("", None, _map_npy(path))


def read_matrices(path: Path, named: str | None = None) -> list[FeatureMatrix]:
    """Read every matrix of a feature file.

    Args:
        path: of the file.
        named: the user's column of items.

    Raises:
        DataError: the file is damaged, unsafe, or holds no matrix of numbers, or two columns of ids that differ.
    """
    if path.suffix.lower() == ".npy":
        return [read_single_matrix(path)]
    reader = {
        ".npz": _read_npz,
        ".safetensors": _read_safetensors,
        ".parquet": _read_parquet,
        ".json": _read_json,
    }[path.suffix.lower()]
    check_plain(path)
    try:
        blocks = reader(path, named)
    except DataError:
        raise
    except Exception as problem:  # none of the libraries documents a closed list of what malformed files raise
        raise DataError(
            f"{path} cannot be read as features ({one_line(problem)}). Save it again; "
            "datasets/README.md describes the formats."
        ) from problem
    if not blocks:
        raise DataError(f"{path} holds no matrix of floats. Write one row of numbers for each item.")
    return blocks


def _map_npy(path: Path) -> NDArray[Any]:
    """Map an .npy file of floats into memory without reading it; pickled objects are refused."""
    check_plain(path)
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy documents no closed list of what malformed files raise
        raise DataError(
            f"{path} is not a plain .npy file ({one_line(error)}); pickled objects are "
            "refused. Save the matrix with numpy.save as float32."
        ) from error
    if not isinstance(loaded, np.ndarray) or loaded.dtype.kind != "f":
        kind = f"of type {loaded.dtype}" if isinstance(loaded, np.ndarray) else "an .npz archive"
        raise DataError(f"{path} is {kind}, expected one matrix of floats. Save it with numpy.save as float32.")
    return loaded


def _read_npz(path: Path, named: str | None) -> list[FeatureMatrix]:
    """Read the arrays of an archive, after its claimed sizes were compared with the real ones."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        repeated = [name for name, count in Counter(one.filename for one in members).items() if count > 1]
        if repeated:
            raise DataError(
                f"{path} holds '{repeated[0][:60]}' twice, of which only one would be read. Save it again."
            )
        claimed, limit = sum(one.file_size for one in members), FREE_UNPACKED + UNPACKED * path.stat().st_size
        if claimed > limit:
            raise DataError(
                f"{path} claims to unpack to {claimed:,} bytes, but at most {limit:,} are plausible. Save it "
                "again."
            )
        for member in members:
            with archive.open(member) as stream:
                version = np.lib.format.read_magic(stream)  # type: ignore[no-untyped-call]
                read_header = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }
                shape, _, dtype = read_header[version](stream)  # type: ignore[no-untyped-call]
                if dtype.hasobject:
                    raise DataError(
                        f"{path}: '{member.filename}' holds pickled objects, which are refused. Save "
                        "plain numbers."
                    )
                if dtype.itemsize == 0:
                    raise DataError(
                        f"{path}: '{member.filename}' holds values without any content. Save it again."
                    )
                if stream.tell() + int(np.prod(shape, dtype=object)) * dtype.itemsize != member.file_size:
                    raise DataError(
                        f"{path}: '{member.filename}' claims the shape {shape}, which does not fit its size. "
                        "Save it again."
                    )
    with np.load(path, allow_pickle=False) as loaded:
        return _from_arrays(path, {name: loaded[name] for name in loaded.files}, named)


def _read_safetensors(path: Path, named: str | None) -> list[FeatureMatrix]:
    from safetensors.numpy import load, load_file

    if not is_readable(path):
        return _from_arrays(path, load(path.read_bytes()), named)
    return _from_arrays(path, load_file(path), named)


def _from_arrays(path: Path, arrays: dict[str, NDArray[Any]], named: str | None) -> list[FeatureMatrix]:
    """Return every array of floats, with the ids of the array that is named like ids."""
    names = item_id_names(list(arrays), named)
    # a matrix may be named 'item', where that of users is 'user'
    names = [name for name in names if arrays[name].ndim == 1] or names
    texts = one_of_item_ids(path, {name: _id_texts(path, arrays[name]) for name in names}) if names else None
    blocks = []
    for name, array in arrays.items():
        if array.dtype.kind == "f":
            if texts is not None and len(array) != len(texts):
                raise DataError(
                    f"{path}: '{name}' has {len(array):,} rows for {len(texts):,} ids. Write one id per row."
                )
            blocks.append(FeatureMatrix(_own_name(name), texts, array))
    return blocks


def _id_texts(path: Path, ids: NDArray[Any]) -> NDArray[np.object_]:
    """Return an array of ids as texts."""
    if ids.ndim != 1 or ids.dtype.kind not in "iuUS":
        raise DataError(
            f"{path}: the ids are of type {ids.dtype} and shape {ids.shape}, expected one id per row. Save "
            "them as texts or whole numbers."
        )
    return (np.char.decode(ids, "utf-8") if ids.dtype.kind == "S" else ids.astype(str)).astype(object)


@dataclass(frozen=True)
class ParquetColumns:
    """The columns of a Parquet file by what they can hold.

    Attributes:
        ids: those that may hold the ids of items, the most telling name first.
        lists: lists of floats, each a matrix.
        floats: single floats.
        others: all others.
    """

    ids: list[str]
    lists: list[str]
    floats: list[str]
    others: list[str]

    @property
    def matrix(self) -> list[str]:
        """Return the columns that are a matrix together: single floats where there are no lists."""
        return [] if self.lists else self.floats


def parquet_columns(path: Path, named: str | None = None) -> ParquetColumns:
    """Sort the columns of a Parquet file; `named` is the user's column of items.

    Raises:
        DataError: it is not a Parquet file.
    """
    import pyarrow as pa

    schema = tables.parquet_schema(path)
    kinds = dict(zip(schema.names, schema.types, strict=True))
    ids = item_id_names(schema.names, named)
    ids = [name for name in ids if not _is_list(kinds[name])] or ids
    free = {name: kind for name, kind in kinds.items() if name not in ids}
    lists = [name for name, kind in free.items() if _is_list(kind) and pa.types.is_floating(kind.value_type)]
    floats = [name for name, kind in free.items() if pa.types.is_floating(kind)]
    return ParquetColumns(ids, lists, floats, [name for name in free if name not in (*lists, *floats)])


def _read_parquet(path: Path, named: str | None) -> list[FeatureMatrix]:
    """Read a table with a column of ids.

    Each column of lists is a matrix; without any, all columns of single floats together are one.
    """
    import pyarrow as pa

    columns = parquet_columns(path, named)
    if not columns.ids:
        names = listed(tables.parquet_names(path))
        raise DataError(f"{path} has the columns {names}; the ids are missing. Name a column 'item_id'.")
    table = tables.read_parquet(path, [*columns.ids, *columns.lists, *columns.matrix])
    texts = {name: table.column(name).cast(pa.string()) for name in columns.ids}
    if texts[columns.ids[0]].null_count:
        raise DataError(f"{path}: '{columns.ids[0]}' is empty in some row. Write an id in every row.")
    keys = one_of_item_ids(path, {name: each.to_numpy(zero_copy_only=False) for name, each in texts.items()})
    if columns.matrix:
        rows = np.column_stack([table.column(name).to_numpy() for name in columns.matrix])
        return [FeatureMatrix("", keys, rows)]
    matrices = [(_own_name(name), _list_matrix(path, name, table.column(name))) for name in columns.lists]
    return [FeatureMatrix(name, keys, rows) for name, rows in matrices]


def holds_features(path: Path, named: str | None = None) -> bool:
    """Return whether a Parquet file has a column of ids and one of floats; `named` is the user's column of items.

    True for a damaged file too, so that it is reported and not skipped.
    """
    try:
        columns = parquet_columns(path, named)
    except DataError:
        return True
    return bool(columns.ids and (columns.lists or columns.floats))


def _is_list(kind: pa.DataType) -> bool:
    """Return whether a column type is a list of any kind."""
    from pyarrow import types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _list_matrix(path: Path, name: str, column: pa.ChunkedArray) -> NDArray[Any]:
    """Return a column of lists of equal length as a matrix; an empty or missing list is a row of zeros."""
    import pyarrow.compute as pc

    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
    values = pc.list_flatten(column).to_numpy(zero_copy_only=False)
    return ragged_matrix(path, name, lengths, values)


def _read_json(path: Path, named: str | None) -> list[FeatureMatrix]:
    """Read an object from item id to a list of numbers."""
    content = load_json(path)
    if not isinstance(content, dict) or not all(isinstance(row, list) for row in content.values()):
        raise DataError(f"{path} must hold one object that maps item ids to lists of numbers. Correct the file.")
    lengths = np.array([len(row) for row in content.values()], dtype=np.int64)
    values = np.array([value for row in content.values() for value in row], dtype=np.float64)
    return [
        FeatureMatrix("", np.array(list(content), dtype=object), ragged_matrix(path, path.stem, lengths, values))
    ]


def _own_name(name: str) -> str:
    return "" if plain_name(name) in UNNAMED else name


def read_features(
    directory: Path,
    files: Mapping[str, FeatureFile],
    n_items: int,
    keys: ItemKeys | None = None,
    checksums: Checksums | None = None,
) -> tuple[tuple[Modality, ...], dict[str, str]]:
    """Read every feature matrix of a source. Checksums and dims of the card are not compared here.

    Args:
        directory: where the files lie.
        files: the card's feature files by modality.
        n_items: number of items, hence of rows.
        keys: how rows find their items; None: row i is item i.
        checksums: those that are known already.

    Returns:
        The modalities in the card's order, and by name the reasons why optional ones are missing.

    Raises:
        DataError: a file is malformed, or is missing and not optional.
    """
    modalities, missing = [], {}
    keys, checksums = keys or ItemKeys.by_index(n_items), checksums or Checksums()
    for name, file in files.items():
        if file.optional and not os.path.lexists(directory / file.path):
            missing[name] = f"{file.path} is not in {directory}; put it there to use this modality"
        else:
            modalities.append(_read_file(existing_path(directory, file), file, name, keys, checksums))
    return tuple(modalities), missing


def read_modality(directory: Path, file: FeatureFile, name: str, n_items: int) -> Modality:
    """Read one feature file whose row i is item i, and compare it with its checksum and dim on the card.

    Raises:
        DataError: the file is missing, is not the one of the card, or is not a finite matrix of the right shape.
    """
    checksums = Checksums()
    path = checked_path(directory, file, checksums)
    modality = _read_file(path, file, name, ItemKeys.by_index(n_items), checksums)
    if file.dim is not None and modality.dim != file.dim:
        raise DataError(
            f"{path} has {modality.dim} columns, but the data card expects {file.dim}. Fetch the file again, or "
            "correct 'dim' in the data card."
        )
    return modality


def _read_file(path: Path, file: FeatureFile, name: str, keys: ItemKeys, checksums: Checksums) -> Modality:
    """Read a file of the card as float32, .npy or a .json keyed by id. Rows of zeros mean no content."""
    modality, _ = modality_of(path, read_single_matrix(path), name, keys, checksums)
    if description_path(path).exists():  # `modality_of` has put it into the origin
        return modality
    return replace(modality, origin=f"read from {path}, {_made_by(path, file, checksums)}")


def _made_by(path: Path, file: FeatureFile, checksums: Checksums) -> str:
    """Say how a file without a description of its own was made, if the card knows it for this very file."""
    if file.encoder is None or checksums.of(path) != file.encoder.git_blob:
        return "encoder not stated"
    return f"made by {' '.join(file.encoder.words.split())}"


@dataclass(frozen=True, eq=False)
class ItemKeys:
    """How feature rows find their items.

    Attributes:
        ids: id of each item as text, `[n_items]`, for files keyed by id.
        of_rows: item index of each row of a file without ids, -1 for rows that belong to no item; None if such
            files cannot be matched to items.
        order: the file of `--item-order` that gives the rows' items; None without one.
        from_zero: whether the files hold the id 0, be it of an item or of rows that were left out.
    """

    ids: NDArray[np.object_]
    of_rows: IntArray | None
    order: Path | None = None
    from_zero: bool = False

    @classmethod
    def by_index(cls, n_items: int) -> ItemKeys:
        """Return the keys of items that are known by their index only: row i is item i."""
        return cls(as_texts(None, n_items), np.arange(n_items))


def modality_of(
    path: Path, block: FeatureMatrix, name: str, keys: ItemKeys, checksums: Checksums | None = None
) -> tuple[Modality, int]:
    """Return a feature matrix as a modality, and the number of its rows that belong to no item.

    Raises:
        DataError: the rows do not fit the items, or a value is not a finite float32.
    """
    given = block.rows
    if given.ndim != 2 or given.shape[1] == 0:
        raise DataError(f"{path} has the shape {given.shape}, expected a matrix of items x features. Correct it.")
    n_items = len(keys.ids)
    owners = _owners_by_row(path, given, keys) if block.ids is None else _owners_by_id(path, block.ids, keys)
    if n_items * given.shape[1] > FREE_CELLS + CELLS_PER_NUMBER * given.size:
        raise DataError(
            f"{path} has {len(given):,} rows of {given.shape[1]:,} numbers for {n_items:,} items, too few "
            "for a modality. Complete the file, or leave it out."
        )
    kept = np.flatnonzero(owners >= 0)
    rows = np.zeros((n_items, given.shape[1]), dtype=np.float32)
    with np.errstate(over="ignore"):  # overflows become infinite and are refused below
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
    extraction = read_extraction(path, checksums)
    origin = f"read from {path}" if extraction is None else f"read from {path}, {extraction.in_words()}"
    return Modality(name, rows, present, hash_array(rows), origin), len(given) - len(kept)


def _owners_by_row(path: Path, given: NDArray[Any], keys: ItemKeys) -> IntArray:
    """Return the item index of each row by its position.

    Without an item 0, rows may be numbered from 0 or from 1 as MovieLens numbers its items: only a row 0 of zeros
    says which.
    """
    n_rows = len(given)
    if keys.of_rows is None:
        raise DataError(
            f"{path} has rows without ids, but the ids of these items are not row numbers. Give the ids in row "
            "order: --item-order FILE, a table with a column of items or one id per line. Or write them into the "
            "feature file: .npz or .safetensors with 'item_id' and 'features', or Parquet with 'item_id'."
        )
    if n_rows != len(keys.of_rows) and keys.order is not None:
        ids = f"--item-order {keys.order} has {len(keys.of_rows):,} ids"
        raise DataError(f"{path} has {n_rows:,} rows, but {ids}. Give one id for every row.")
    may_start_at_one = keys.order is None and not keys.from_zero and keys.of_rows[0] < 0
    if may_start_at_one and n_rows in (len(keys.of_rows), len(keys.of_rows) - 1) and given[0].any():
        raise DataError(
            f"{path} has {n_rows:,} rows, and no interaction is with an item 0: its row 0 may be the item 0 or 1. "
            f"Say which with --item-order order.txt: 'seq 1 {n_rows} > order.txt' if rows are numbered from 1, "
            f"'seq 0 {n_rows - 1} > order.txt' if from 0. Or write zeros into row 0 if it stands for no item."
        )
    if n_rows != len(keys.of_rows):
        raise DataError(
            f"{path} has {n_rows:,} rows, but there are {len(keys.of_rows):,} items; row i must hold the features "
            "of item i. Write one row for every item, of zeros where an item has none."
        )
    return keys.of_rows


def _owners_by_id(path: Path, ids: NDArray[np.object_], keys: ItemKeys) -> IntArray:
    """Return the item index of each row by its id; -1 for ids that belong to no item."""
    import pandas as pd

    given = pd.Index(ids)
    if not given.is_unique:
        raise DataError(f"{path} has two rows for the item '{given[given.duplicated()][0]}'. Keep one.")
    owners: IntArray = pd.Index(keys.ids).get_indexer(given).astype(np.int64)
    refuse_other_spellings(path, ids[owners < 0], keys.ids)
    if not (owners >= 0).any():
        raise DataError(
            f"{path} has rows for items such as '{ids[0] if len(ids) else ''}', none of which has an interaction; "
            f"those with interactions are such as '{keys.ids[0]}'. Key the features by the ids of "
            "the interactions."
        )
    return owners


def derived_modality(
    name: str, rows: FloatArray, present: NDArray[np.bool_], fingerprint: str, origin: str
) -> Modality:
    """Return a derived modality; rows of items without it are set to zero.

    Args:
        name: of the modality.
        rows: `[n_items, d]`.
        present: which items have it, `[n_items]`.
        fingerprint: hash of inputs and recipe; the last bits of derived floats differ between machines.
        origin: what it was made from, in words.
    """
    matrix = np.where(present[:, None], rows, 0).astype(np.float32)
    return Modality(name, matrix, present, fingerprint, origin)
