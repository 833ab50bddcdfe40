"""Writer and reader of the normalised copy that `ludp-bench import` makes.

| file | content |
|---|---|
| `interactions.parquet` | `user`, `item` (int32 indices, sorted, distinct within a part); `time` (float64 seconds) and `part` (int8: 0 training, 1 validation, 2 test) where the data has them |
| `users.parquet`, `items.parquet` | `id`: the original id of each index (int64 or text); the index itself where the files had none |
| `MODALITY.npy` | one row per item, in the narrowest float type that holds the values exactly; zeros: the item lacks it |

A copy is also a format of its own, so that it can be inspected and imported again.
"""  # noqa: E501

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError
from bench.core.types import Interactions
from bench.data.cards import NormalisedSource
from bench.data.columns import as_texts
from bench.data.features import ItemKeys, read_features
from bench.data.formats.place import Content, Place, SourceOptions
from bench.data.pins import CardComparison
from bench.data.raw import RawData
from bench.data.tables import parquet_names, read_parquet

INTERACTIONS, USERS, ITEMS = "interactions.parquet", "users.parquet", "items.parquet"
NAME = "normalised"
NEEDS = f"{INTERACTIONS}, {USERS} and {ITEMS}, as 'ludp-bench import' writes them"
TAKES_COLUMNS = False
FILES = (INTERACTIONS, USERS, ITEMS)


def write(raw: RawData, directory: Path) -> None:
    """Write the copy into an empty directory.

    Raises:
        OSError: a file cannot be written.
    """
    import pyarrow as pa

    parts = raw.parts
    columns: dict[str, NDArray[Any]] = {
        "user": np.concatenate([part.users for part in parts]).astype(np.int32),
        "item": np.concatenate([part.items for part in parts]).astype(np.int32),
    }
    times = [part.timestamps for part in parts if part.timestamps is not None]
    if len(times) == len(parts):
        columns["time"] = np.concatenate(times)
    if raw.has_parts:
        columns["part"] = np.repeat(np.arange(3, dtype=np.int8), [len(part) for part in parts])
    _write_table(pa.table(columns), directory / INTERACTIONS)
    # data without original ids stores the index as the id
    for name, ids, count in ((USERS, raw.user_ids, parts[0].n_users), (ITEMS, raw.item_ids, parts[0].n_items)):
        _write_table(pa.table({"id": pa.array(np.arange(count) if ids is None else ids)}), directory / name)
    for modality in raw.modalities:
        np.save(directory / f"{modality.name}.npy", narrowest(modality.matrix))


def _write_table(table: Any, path: Path) -> None:
    """Write a table as Parquet with checksums."""
    from pyarrow import parquet

    # an open file, since the library refuses paths that are not UTF-8 and takes some paths for URLs
    with path.open("wb") as file:
        parquet.write_table(table, file, compression="zstd", write_page_checksum=True)


def narrowest(matrix: NDArray[np.float32]) -> NDArray[Any]:
    """Return the matrix as float16 if that changes no value, else unchanged."""
    with np.errstate(over="ignore"):
        half = matrix.astype(np.float16)
    return half if np.array_equal(half.astype(np.float32), matrix) else matrix


def read_source(source: NormalisedSource, directory: Path, options: SourceOptions) -> RawData:
    """Read the data set in `directory`.

    Raises:
        DataError: a file is missing, damaged or fails its checksum.
    """
    comparison = CardComparison(source, directory, source.files)
    with comparison.reading():
        raw = read_tables(directory, source.title)
        n_items = raw.parts[0].n_items
        modalities, missing = read_features(directory, source.features, n_items, checksums=comparison.checksums)
    return comparison.finish(
        RawData(raw.origin, raw.parts, modalities, missing, source.notes, raw.user_ids, raw.item_ids)
    )


def read_tables(directory: Path, title: str) -> RawData:
    """Read interactions and ids, without features.

    Raises:
        DataError: a file is missing or damaged.
    """
    user_ids, item_ids = (_ids(directory / name) for name in (USERS, ITEMS))
    path = _existing(directory / INTERACTIONS)
    names = parquet_names(path)
    table = read_parquet(path, ["user", "item", *(name for name in ("time", "part") if name in names)])
    columns = {name: _numbers(path, name, table.column(name)) for name in table.column_names}
    users, items = columns["user"].astype(np.int64), columns["item"].astype(np.int64)
    times = columns.get("time")
    row_masks = [np.ones(len(users), dtype=bool)]
    if "part" in columns:
        if not np.isin(columns["part"], (0, 1, 2)).all():
            raise DataError(f"{path}: 'part' must be 0, 1 or 2 in every row. Import the data again.")
        row_masks = [columns["part"] == part for part in range(3)]
    parts = tuple(
        Interactions.from_pairs(
            users[rows], items[rows], len(user_ids), len(item_ids), None if times is None else times[rows]
        )
        for rows in row_masks
    )
    n_repeated = len(users) - sum(map(len, parts))
    original = [None if _is_index(ids) else ids for ids in (user_ids, item_ids)]
    return RawData(f"{title}, read from {directory}", parts, (), {}, (), original[0], original[1], n_repeated)


def _is_index(ids: NDArray[Any]) -> bool:
    """Return whether the ids are just the indices, which the copy stores if the data had no ids."""
    return bool(ids.dtype.kind == "i" and np.array_equal(ids, np.arange(len(ids))))


def _existing(path: Path) -> Path:
    """Return the path, or raise a DataError if there is no file."""
    if not path.is_file():
        raise DataError(f"{path} is missing from its directory. Import the data again.")
    return path


def _ids(path: Path) -> NDArray[Any]:
    """Read the original ids, `[n]`, and check that they are distinct."""
    import pandas as pd
    import pyarrow as pa

    column = read_parquet(_existing(path), ["id"]).column("id")
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if column.null_count or not (text or pa.types.is_integer(column.type)):
        raise DataError(f"{path} must hold one whole number or text per row. Import the data again.")
    ids: NDArray[Any] = column.to_numpy()
    if not pd.Index(ids).is_unique:
        raise DataError(f"{path} holds an id twice. Import the data again.")
    return ids


def _numbers(path: Path, name: str, column: Any) -> NDArray[Any]:
    """Return a column of finite numbers, `[n]`, and check that no value is missing."""
    import pyarrow as pa

    fits = pa.types.is_floating(column.type) if name == "time" else pa.types.is_integer(column.type)
    numbers: NDArray[Any] = column.to_numpy() if fits and not column.null_count else np.full(1, np.nan)
    if not fits or not np.isfinite(numbers).all():
        raise DataError(f"{path}: '{name}' must hold a finite number in every row. Import the data again.")
    return numbers


def recognise(place: Place) -> str | None:
    """Return why the files are in this format, or None if they are not."""
    names = {path.name for path in place.files}
    return "the directory holds the tables of an earlier import" if names.issuperset(FILES) else None


def explain(place: Place) -> list[str]:
    """Return nothing: users do not write these tables themselves."""
    return []


def read(place: Place) -> Content:
    """Read the interactions.

    Raises:
        DataError: a table is missing or damaged.
    """
    raw = read_tables(place.path, "interactions")
    n_items = raw.parts[0].n_items
    keys = ItemKeys(as_texts(raw.item_ids, n_items), np.arange(n_items))
    return Content(raw, keys, tuple(path for path in place.files if path.name in FILES))
