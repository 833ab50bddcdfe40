"""The normalised copy that `ludp-bench import` makes: its files, its writer and its reader.

| file | content |
|---|---|
| `interactions.parquet` | `user`, `item` (int32 indices, sorted, distinct within a part); `time` (float64 seconds) and `part` (int8: 0 training, 1 validation, 2 test) where the data has them |
| `users.parquet`, `items.parquet` | `id`: the original id of each index (int64 or text); the index itself where the files had none |
| `MODALITY.npy` | one row an item, in the narrowest float type that holds the values exactly; zeros: the item lacks it |

The copy that an import made, as something to inspect or import once more. Reads.
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
from bench.data.features import ItemKeys, read_features, unpinned
from bench.data.formats.place import Content, Place
from bench.data.pins import of_one_version
from bench.data.raw import RawData
from bench.data.tables import parquet_names, read_parquet

INTERACTIONS, USERS, ITEMS = "interactions.parquet", "users.parquet", "items.parquet"


def write(raw: RawData, directory: Path) -> None:
    """Write the copy into an empty directory.

    Raises:
        OSError: it cannot be written.
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
    for name, ids, count in ((USERS, raw.user_ids, parts[0].n_users), (ITEMS, raw.item_ids, parts[0].n_items)):
        _write_table(pa.table({"id": pa.array(np.arange(count) if ids is None else ids)}), directory / name)
    for modality in raw.modalities:
        np.save(directory / f"{modality.name}.npy", narrowest(modality.matrix))


def _write_table(table: Any, path: Path) -> None:
    from pyarrow import parquet

    with path.open("wb") as file:  # the library takes no path that is no UTF-8, and some for addresses
        parquet.write_table(table, file, compression="zstd", write_page_checksum=True)


def narrowest(matrix: NDArray[np.float32]) -> NDArray[Any]:
    """The matrix as float16 where that changes no value, else as it is."""
    with np.errstate(over="ignore"):
        half = matrix.astype(np.float16)
    return half if np.array_equal(half.astype(np.float32), matrix) else matrix


def read_source(source: NormalisedSource, directory: Path) -> RawData:
    """The content of `directory`.

    Raises:
        DataError: a file is missing, damaged or not the card's.
    """

    def content() -> RawData:
        raw = read_tables(directory, source.title)
        modalities, missing = read_features(directory, unpinned(source.features), raw.parts[0].n_items)
        return RawData(raw.origin, raw.parts, modalities, missing, source.notes, raw.user_ids, raw.item_ids)

    return of_one_version(directory, source.files, source.features, source.expected, content)


def read_tables(directory: Path, title: str) -> RawData:
    """Interactions and ids, without features.

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
    chosen = [np.ones(len(users), dtype=bool)]
    if "part" in columns:
        if not np.isin(columns["part"], (0, 1, 2)).all():
            raise DataError(f"{path}: 'part' must be 0, 1 or 2 in every row. Import the data again.")
        chosen = [columns["part"] == part for part in range(3)]
    parts = tuple(
        Interactions.from_pairs(
            users[rows], items[rows], len(user_ids), len(item_ids), None if times is None else times[rows]
        )
        for rows in chosen
    )
    n_repeated = len(users) - sum(map(len, parts))
    ids = [None if _is_index(each) else each for each in (user_ids, item_ids)]
    return RawData(f"{title}, read from {directory}", parts, (), {}, (), ids[0], ids[1], n_repeated)


def _is_index(ids: NDArray[Any]) -> bool:
    return bool(ids.dtype.kind == "i" and np.array_equal(ids, np.arange(len(ids))))


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"{path} is missing, although its directory is there. Import the data again.")
    return path


def _ids(path: Path) -> NDArray[Any]:
    """The original ids, distinct, `[n]`."""
    import pandas as pd
    import pyarrow as pa

    column = read_parquet(_existing(path), ["id"]).column("id")
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if column.null_count or not (text or pa.types.is_integer(column.type)):
        raise DataError(f"{path} must hold whole numbers or texts, one a row. Import the data again.")
    ids: NDArray[Any] = column.to_numpy()
    if not pd.Index(ids).is_unique:
        raise DataError(f"{path} holds an id twice. Import the data again.")
    return ids


def _numbers(path: Path, name: str, column: Any) -> NDArray[Any]:
    """A column of finite numbers without gaps, `[n]`."""
    import pyarrow as pa

    fits = pa.types.is_floating(column.type) if name == "time" else pa.types.is_integer(column.type)
    numbers: NDArray[Any] = column.to_numpy() if fits and not column.null_count else np.full(1, np.nan)
    if not fits or not np.isfinite(numbers).all():
        raise DataError(f"{path}: '{name}' must hold a finite number in every row. Import the data again.")
    return numbers


NAME = "normalised"
NEEDS = f"{INTERACTIONS}, {USERS} and {ITEMS}, as 'ludp-bench import' writes them"
TAKES_COLUMNS = False
FILES = (INTERACTIONS, USERS, ITEMS)


def recognise(place: Place) -> str | None:
    """Why this is the layout, or None."""
    here = {path.name for path in place.files}
    return "the tables of an earlier import are here" if here.issuperset(FILES) else None


def read(place: Place) -> Content:
    """The interactions.

    Raises:
        DataError: a table is missing or damaged.
    """
    raw = read_tables(place.path, "interactions")
    n_items = raw.parts[0].n_items
    keys = ItemKeys(as_texts(raw.item_ids, n_items), np.arange(n_items))
    return Content(raw, keys, tuple(path for path in place.files if path.name in FILES))
