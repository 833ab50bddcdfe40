"""The ids in a user's files -> indices from 0, and times -> seconds. Pure.

The order is that of the sorted ids: by value where every id is a whole number, else by the code points of the
text. It depends on the set of ids and on nothing else, so that the same data has the same indices in every layout.

Columns of ids -> interactions with their original ids. Pure.

JSON that is checked, and rows of numbers that form a matrix. Reads the file it is given.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError
from bench.core.files import check_plain
from bench.core.types import BoolArray, IntArray, Interactions
from bench.data.raw import CLAIM_PER_INTERACTION, FREE_CLAIM, RawData
from bench.data.roles import Columns, extent, like_ratings, positives, rating_notes
from bench.data.tables import row_number

if TYPE_CHECKING:
    import pyarrow as pa

WHOLE_NUMBER = (
    r"^(0|-?[1-9][0-9]{0,17})$"  # fits int64; 007 and +7 are texts, so that ids are given back unchanged
)
WITH_POINT = r"^-?[0-9]+\.0+$"
DENSE = 8  # numbers are ranked by a table where it has at most this many cells for each of them


def column_ids(path: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of ids as int64 or text, none of them missing.

    Raises:
        DataError: an id is missing or empty, or is neither a whole number nor a text.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_null(kind):
        raise DataError(f"{path}: the column '{name}' is empty. Write an id in every row.")
    if not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise DataError(f"{path}: the column '{name}' is of type {kind}, expected whole numbers or text as ids.")
    text = not pa.types.is_integer(kind)
    odd = pc.is_null(column)
    if text:
        odd = pc.or_kleene(odd, pc.equal(pc.utf8_trim_whitespace(column), ""))
    first = pc.index(odd, True).as_py()
    if first >= 0:
        raise DataError(
            f"{path}, {row_number(path, first)}: '{name}' is empty. Write an id there, or remove the row."
        )
    try:
        return column.cast(pa.large_string() if text else pa.int64())
    except pa.ArrowInvalid as problem:
        raise DataError(f"{path}: the column '{name}' holds an id beyond 64 bits ({problem}).") from problem


def number(columns: Sequence[pa.ChunkedArray]) -> tuple[list[IntArray], NDArray[Any]]:
    """Indices of the ids in each column, and the distinct ids of all in order, int64 or object of str.

    Args:
        columns: from `column_ids`; interactions, and tables that list more users or items.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not all(pa.types.is_integer(column.type) for column in columns):
        columns = [column.cast(pa.large_string()) for column in columns]
        chunks = [chunk for column in columns for chunk in column.chunks]
        distinct = pc.unique(pa.chunked_array(chunks, pa.large_string()))
        if pc.all(pc.match_substring_regex(distinct, WHOLE_NUMBER)).as_py():
            numbers = distinct.cast(pa.int64())
            return _by_dictionary(columns, distinct, numbers.to_numpy())
        return _by_dictionary(columns, distinct, None)
    arrays = [column.to_numpy() for column in columns]
    return _rank(arrays)


def _by_dictionary(
    columns: Sequence[pa.ChunkedArray], distinct: pa.Array, numbers: IntArray | None
) -> tuple[list[IntArray], NDArray[Any]]:
    """The same for texts, which stand for `numbers` or for themselves."""
    import pyarrow.compute as pc

    order = pc.sort_indices(distinct).to_numpy() if numbers is None else np.argsort(numbers)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    indices = [rank[pc.index_in(column, value_set=distinct).to_numpy()] for column in columns]
    return indices, (distinct.take(order).to_numpy(zero_copy_only=False) if numbers is None else numbers[order])


def _rank(arrays: Sequence[IntArray]) -> tuple[list[IntArray], IntArray]:
    """The same for whole numbers."""
    filled = [array for array in arrays if len(array)]
    low, high = (min(int(a.min()) for a in filled), max(int(a.max()) for a in filled)) if filled else (0, -1)
    if high - low < DENSE * sum(map(len, arrays)) + 1:
        seen = np.zeros(high - low + 1, dtype=bool)
        for array in arrays:
            seen[array - low] = True
        rank = np.cumsum(seen, dtype=np.int64) - 1
        return [rank[array - low] for array in arrays], np.flatnonzero(seen) + low
    distinct = np.unique(np.concatenate([np.unique(array) for array in arrays]))
    return [np.searchsorted(distinct, array) for array in arrays], distinct


def seconds(path: Path, name: str, column: pa.ChunkedArray) -> NDArray[np.float64]:
    """A column of times in seconds since 1970, `[n]`: numbers as they are, dates and ISO 8601 texts converted.

    Raises:
        DataError: a time is missing, not finite, or cannot be understood.
    """
    import pandas as pd
    import pyarrow as pa

    kind = column.type
    times: NDArray[np.float64]
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        try:
            times = column.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy() / 1e6
        except pa.ArrowInvalid as problem:
            raise DataError(f"{path}: '{name}' holds dates beyond all use ({problem}). Correct them.") from problem
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        times = column.to_numpy().astype(np.float64)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        texts = column.to_pandas()
        times = pd.to_numeric(texts, errors="coerce").to_numpy(dtype=np.float64)
        if not np.isfinite(times).any():
            dates = pd.to_datetime(texts, errors="coerce", utc=True, format="ISO8601")
            times = ((dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)).to_numpy(dtype=np.float64)
    else:
        raise DataError(f"{path}: '{name}' is of type {kind}, expected times. Name another column of times.")
    odd = np.flatnonzero(~np.isfinite(times))
    if len(odd):
        given = column[int(odd[0])].as_py()
        raise DataError(
            f"{path}, {row_number(path, int(odd[0]))}: '{name}' is '{given}', expected seconds since 1970 or a "
            "date such as 2024-05-31T12:00:00Z. Correct it, or name another column of times."
        )
    return times


def refuse_twins(path: Path, kind: str, ids: NDArray[Any]) -> tuple[str, ...]:
    """Refuse ids that are one number written in two ways, and tell of others that look alike.

    Args:
        path: of the table.
        kind: "user" or "item".
        ids: distinct, `[n]`.

    Returns:
        Remarks: ids with ".0", as pandas writes whole numbers of a column with gaps, or with blanks around them.

    Raises:
        DataError: '5' and '5.0' are both there, which files of other tools mean for the same.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if ids.dtype != object:
        return ()
    texts = pa.array(ids, pa.large_string())
    notes = []
    pointed = texts.filter(pc.match_substring_regex(texts, WITH_POINT))
    whole = pc.replace_substring_regex(pointed, r"\.0+$", "")
    both = pointed.filter(pc.is_in(whole, value_set=texts))
    if len(both):
        text = both[0].as_py()
        raise DataError(
            f"{path}: '{text}' and '{text.partition('.')[0]}' are both {kind} ids ({len(both):,} such pairs), "
            f"which would be two {kind}s. Write whole numbers without '.0' in every file."
        )
    if len(pointed):
        notes.append(
            f"{len(pointed):,} {kind} ids are whole numbers with '.0', such as '{pointed[0]}', as pandas writes a "
            "column with gaps; they are taken as they are."
        )
    trimmed = pc.utf8_trim_whitespace(texts)
    blank = texts.filter(pc.not_equal(trimmed, texts))
    if len(blank):
        notes.append(f"{len(blank):,} {kind} ids have blanks around them, such as '{blank[0]}'; they are kept.")
    return tuple(notes)


def id_text(value: Any) -> str | None:
    """An id in JSON as text: a whole number or a text as they are; None for anything else, such as 2.9."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return str(value)


def as_texts(ids: NDArray[Any] | None, count: int) -> NDArray[np.object_]:
    """Ids as they are written; the index itself where there are none, `[count]`."""
    numbers: NDArray[Any] = np.arange(count) if ids is None else ids
    return numbers if numbers.dtype == object else numbers.astype(str).astype(object)


@dataclass(frozen=True, eq=False)
class Rows:
    """One table of interactions.

    Attributes:
        path: for errors.
        users: id of the user of each row, `[n]`.
        items: likewise of the item.
        times: of the rows, `[n]`; None without any.
        ratings: columns that look like ratings or labels, by name.
        kept: which rows are positives, `[n]`; None: all.
        n_joined: lines of the file that only continue a field in quotes.
        notes: on how the table was read.
    """

    path: Path
    users: pa.ChunkedArray
    items: pa.ChunkedArray
    times: NDArray[np.float64] | None
    ratings: Mapping[str, pa.ChunkedArray]
    kept: BoolArray | None
    n_joined: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Found:
    """Interactions of one or three tables.

    Attributes:
        raw: with the original ids, and without features.
        further_items: item index of each row of a further listing of items, `[m]`, empty without one.
    """

    raw: RawData
    further_items: IntArray


def rows_of(
    path: Path, names: dict[str, str], held: Mapping[str, pa.ChunkedArray], columns: Columns, rated: Sequence[str]
) -> Rows:
    """The rows of a table.

    Args:
        path: of the table.
        names: its columns by role.
        held: the columns by name.
        columns: what the user says of them.
        rated: names of columns that look like ratings.

    Raises:
        DataError: an id or time is missing or malformed, or no row is a positive.
    """
    users, items = (column_ids(path, names[role], held[names[role]]) for role in ("user", "item"))
    times = seconds(path, names["time"], held[names["time"]]) if "time" in names else None
    kept = positives(path, names["rating"], held[names["rating"]], columns) if "rating" in names else None
    return Rows(path, users, items, times, {name: held[name] for name in rated}, kept)


def rated_columns(names: Sequence[str], found: dict[str, str]) -> list[str]:
    """The columns that look like ratings or labels and have no other role, the chosen one first."""
    others = {name for role, name in found.items() if role != "rating"}
    chosen = [found["rating"]] if "rating" in found else []
    return list(dict.fromkeys([*chosen, *like_ratings([name for name in names if name not in others])]))


def interactions(
    origin: str,
    tables: Sequence[Rows],
    further_users: Sequence[pa.ChunkedArray] = (),
    further_items: Sequence[pa.ChunkedArray] = (),
) -> Found:
    """Number users and items by their sorted ids.

    Args:
        origin: what this is, in words.
        tables: one, or those of the three parts.
        further_users: ids of a listing of users, if there is one.
        further_items: likewise of items.

    Raises:
        DataError: a table has no row, or one number stands for two ids.
    """
    for table in tables:
        if not len(table.users):
            raise DataError(f"{table.path} holds no row. Replace it.")
    users, items = ([_kept(getattr(each, kind), each.kept) for each in tables] for kind in ("users", "items"))
    of_users, user_ids = number([*users, *further_users])
    of_items, item_ids = number([*items, *further_items])
    path = tables[0].path
    doubts = [*refuse_twins(path, "user", user_ids), *refuse_twins(path, "item", item_ids)]
    timed = all(each.times is not None for each in tables)
    parts = tuple(
        Interactions.from_pairs(
            of_users[k], of_items[k], len(user_ids), len(item_ids), _kept_times(each) if timed else None
        )
        for k, each in enumerate(tables)
    )
    n_kept = sum(map(len, of_users[: len(tables)]))
    n_dropped = sum(len(each.users) for each in tables) - n_kept
    notes = [*(note for each in tables for note in each.notes), *_rating_notes(tables, n_dropped), *doubts]
    raw = RawData(
        origin,
        parts,
        (),
        notes=tuple(notes),
        user_ids=user_ids,
        item_ids=item_ids,
        n_repeated=n_kept - sum(map(len, parts)),
        n_dropped=n_dropped,
        n_joined=sum(each.n_joined for each in tables),
    )
    return Found(raw, of_items[-1] if further_items else np.zeros(0, dtype=np.int64))


def _kept(column: pa.ChunkedArray, kept: BoolArray | None) -> pa.ChunkedArray:
    import pyarrow as pa

    return column if kept is None else column.filter(pa.array(kept))


def _kept_times(table: Rows) -> NDArray[np.float64] | None:
    return table.times if table.kept is None or table.times is None else table.times[table.kept]


def _rating_notes(tables: Sequence[Rows], n_dropped: int) -> list[str]:
    """What the columns that look like ratings hold in all tables together."""
    import pyarrow as pa

    found: dict[str, list[pa.Array]] = {}
    for name, column in ((name, column) for each in tables for name, column in each.ratings.items()):
        found.setdefault(name, []).extend(column.chunks)
    kinds = {name: each.type for table in tables for name, each in table.ratings.items()}
    held = {name: extent(pa.chunked_array(chunks, kinds[name])) for name, chunks in found.items()}
    chosen = next(iter(held), None) if tables[0].kept is not None else None
    return rating_notes(held, chosen, sum(len(each.users) for each in tables), n_dropped)


def positions(item_ids: NDArray[Any]) -> IntArray | None:
    """Item index of each row of a matrix whose row r is the item with the id r, -1 where there is none.

    None where the ids are no row numbers.
    """
    if item_ids.dtype.kind != "i" or not len(item_ids) or item_ids[0] < 0:
        return None
    n_rows = int(item_ids[-1]) + 1
    if n_rows > FREE_CLAIM + CLAIM_PER_INTERACTION * len(item_ids):
        return None
    rows = np.full(n_rows, -1, dtype=np.int64)
    rows[item_ids] = np.arange(len(item_ids))
    return rows


MAX_JSON = 2 << 30
FREE_CELLS, CELLS_PER_NUMBER = 1 << 26, 1000  # of a matrix that was filled up with zeros


def ragged(path: Path, name: str, lengths: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
    """Rows of one length, or of length 0, as a matrix; the latter are zeros.

    Raises:
        DataError: the rows differ in length.
    """
    filled = lengths > 0
    dim = int(lengths.max(initial=0))
    odd = np.flatnonzero(filled & (lengths != dim))
    if len(odd):
        row = row_number(path, int(odd[0]))
        raise DataError(
            f"{path}, {row}: '{name}' has {lengths[odd[0]]} numbers, other rows have {dim}. Correct it."
        )
    if values.dtype.kind not in "fiu":
        raise DataError(f"{path}: '{name}' holds {values.dtype}, expected numbers.")
    if len(lengths) * dim > FREE_CELLS + CELLS_PER_NUMBER * len(values):
        raise DataError(
            f"{path}: '{name}' has {dim:,} numbers in few of {len(lengths):,} rows. Leave empty rows out."
        )
    matrix = np.zeros((len(lengths), dim), dtype=values.dtype)
    matrix[filled] = values.reshape(-1, dim) if dim else values.reshape(int(filled.sum()), 0)
    return matrix


def load_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        DataError: it is no JSON in UTF-8, or names a key twice, or is too large to be read at once.
    """
    check_plain(path)
    if path.stat().st_size > MAX_JSON:
        raise DataError(f"{path} is larger than {MAX_JSON:,} bytes. Give .npy and Parquet files instead.")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError(
                f"the key '{Counter(key for key, _ in pairs).most_common(1)[0][0][:60]}' is given twice"
            )
        return found

    try:
        return json.loads(path.read_bytes().decode("utf-8"), object_pairs_hook=once)
    except Exception as problem:  # deep nesting ends in a RecursionError
        raise DataError(
            f"{path} is no JSON ({' '.join(str(problem).split())[:300]}). Correct that place, or write it anew."
        ) from problem
