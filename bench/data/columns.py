"""Columns of a user's tables as arrays: numbered ids, times in seconds, interactions, feature matrices.

Users and items are numbered in the order of their ids: by value where every id is a whole number, else by the code
points of the text. The numbers depend on the set of ids alone, so the same data has the same indices in every
format. `load_json` reads the file it is given; everything else is pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError, one_line
from bench.core.files import check_plain
from bench.core.json_objects import without_repeats
from bench.core.types import BoolArray, IntArray, Interactions
from bench.data.ids import notes_on_missing, refuse_ambiguous_ids
from bench.data.numerals import to_numbers
from bench.data.raw import CLAIM_PER_INTERACTION, FREE_CLAIM, RawData
from bench.data.roles import Columns, describe_values, n_unrated, positives, rating_like_columns, rating_notes
from bench.data.tables import row_number

if TYPE_CHECKING:
    import pyarrow as pa

# Fits int64. 007 and +7 count as texts, so that exported ids are those of the files.
WHOLE_NUMBER = r"^(0|-?[1-9][0-9]{0,17})$"
DENSE = 8  # integers are ranked by a lookup table if it has at most this many cells per integer
MAX_JSON = 2 << 30
# A matrix that is padded with zeros may have FREE_CELLS, and CELLS_PER_NUMBER more for each number in the file.
FREE_CELLS, CELLS_PER_NUMBER = 1 << 26, 1000


def column_ids(path: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of ids as int64 or text.

    Raises:
        DataError: an id is missing or empty, or is neither a whole number nor a text.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_null(kind):
        raise DataError(f"{path}: the column '{name}' is empty. Write an id in every row.")
    if not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise DataError(
            f"{path}: the column '{name}' is of type {kind}, expected whole numbers or text as ids. Save it "
            "as text."
        )
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
        raise DataError(
            f"{path}: the column '{name}' holds an id beyond 64 bits ({problem}). Save the ids as text."
        ) from problem


def number_ids(columns: Sequence[pa.ChunkedArray]) -> tuple[list[IntArray], NDArray[Any]]:
    """Assign an index to each id of all columns together, in the order of the ids.

    Args:
        columns: from `column_ids`; those of interactions, and of tables that list further users or items.

    Returns:
        The indices of each column's ids, and the distinct ids in order, int64 or object of str.
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
    """Assign indices to ids that are texts; `numbers` are their values if all of them are whole numbers."""
    import pyarrow.compute as pc

    order = pc.sort_indices(distinct).to_numpy() if numbers is None else np.argsort(numbers)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    indices = [rank[pc.index_in(column, value_set=distinct).to_numpy()] for column in columns]
    return indices, (distinct.take(order).to_numpy(zero_copy_only=False) if numbers is None else numbers[order])


def _rank(arrays: Sequence[IntArray]) -> tuple[list[IntArray], IntArray]:
    """Assign indices to ids that are integers."""
    not_empty = [array for array in arrays if len(array)]
    low, high = (
        (min(int(a.min()) for a in not_empty), max(int(a.max()) for a in not_empty)) if not_empty else (0, -1)
    )
    # A lookup table takes linear time; sorting is for ids that are far apart.
    if high - low < DENSE * sum(map(len, arrays)) + 1:
        seen = np.zeros(high - low + 1, dtype=bool)
        for array in arrays:
            seen[array - low] = True
        rank = np.cumsum(seen, dtype=np.int64) - 1
        return [rank[array - low] for array in arrays], np.flatnonzero(seen) + low
    distinct = np.unique(np.concatenate([np.unique(array) for array in arrays]))
    return [np.searchsorted(distinct, array) for array in arrays], distinct


def to_seconds(
    path: Path, name: str, column: pa.ChunkedArray, named: bool
) -> tuple[NDArray[np.float64] | None, tuple[str, ...]]:
    """Return a column of times in seconds since 1970, `[n]`, and notes; dates and ISO 8601 texts are converted.

    Args:
        path: of the table.
        name: of the column.
        column: its values.
        named: whether the user named it; if not, and no value is a time, return None and a note on that.

    Raises:
        DataError: a time is missing, not finite, or cannot be understood.
    """
    times = _parsed_times(path, name, column)
    if not named and len(column) and (times is None or not np.isfinite(times).any()):
        return None, (
            f"Times were not read: no value of '{name}' in {path.name} is seconds since 1970 or a date such as "
            f"2024-05-31T12:00:00Z; the first is '{str(column[0].as_py())[:40]}'. Write them so, or name another "
            "column with --time-column.",
        )
    if times is None:
        raise DataError(f"{path}: '{name}' is of type {column.type}, expected times. Name another column of them.")
    odd = np.flatnonzero(~np.isfinite(times))
    if len(odd):
        given = column[int(odd[0])].as_py()
        raise DataError(
            f"{path}, {row_number(path, int(odd[0]))}: '{name}' is '{given}', expected seconds since 1970 or a "
            "date such as 2024-05-31T12:00:00Z. Correct it, or name another column of times."
        )
    return times, ()


def _parsed_times(path: Path, name: str, column: pa.ChunkedArray) -> NDArray[np.float64] | None:
    """Return seconds since 1970, `[n]`, not finite where a value is not a time; None if no value is.

    Raises:
        DataError: a date is out of range.
    """
    import pandas as pd
    import pyarrow as pa

    kind = column.type
    times: NDArray[np.float64]
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        # parts of a microsecond are cut off; only coarser units can be out of range
        in_range = pa.types.is_timestamp(kind) and kind.unit == "ns"
        try:
            times = column.cast(pa.timestamp("us"), safe=not in_range).cast(pa.int64()).to_numpy() / 1e6
        except pa.ArrowInvalid as problem:
            raise DataError(
                f"{path}: '{name}' holds dates that are out of range ({problem}). Correct them."
            ) from problem
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        times = column.to_numpy().astype(np.float64)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        texts = column.to_pandas()
        times = to_numbers(texts)
        if not np.isfinite(times).any():
            dates = pd.to_datetime(texts, errors="coerce", utc=True, format="ISO8601")
            times = ((dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)).to_numpy(dtype=np.float64)
    else:
        return None
    return times


def id_text(value: Any) -> str | None:
    """Return an id from JSON as text; None if it is neither a whole number nor a text, such as 2.9."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return str(value)


def as_texts(ids: NDArray[Any] | None, count: int) -> NDArray[np.object_]:
    """Return ids as texts, `[count]`; indices where the ids are None."""
    values: NDArray[Any] = np.arange(count) if ids is None else ids
    return values if values.dtype == object else values.astype(str).astype(object)


@dataclass(frozen=True, eq=False)
class Rows:
    """One table of interactions.

    Attributes:
        path: of the file, for error messages.
        users: id of the user of each row, `[n]`.
        items: likewise of the item.
        times: of the rows, `[n]`; None without any.
        ratings: columns that look like ratings or labels, by name.
        kept: which rows are positives, `[n]`; None: all.
        n_joined: lines of the file that only continue a quoted field.
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
class NumberedTables:
    """The interactions of one or three tables, with numbered ids.

    Attributes:
        raw: with the original ids, and without features.
        further_items: item index of each row of a further table of items, `[m]`; empty without one.
    """

    raw: RawData
    further_items: IntArray


def table_rows(
    path: Path,
    names: dict[str, str],
    by_name: Mapping[str, pa.ChunkedArray],
    columns: Columns,
    rated: Sequence[str],
) -> Rows:
    """Assign the columns of a table to their roles, and check them.

    Args:
        path: of the table.
        names: names of its columns by role.
        by_name: the columns by name.
        columns: the user's options for them.
        rated: names of columns that look like ratings.

    Raises:
        DataError: an id or time is missing or malformed, or no row is a positive.
    """
    users, items = (column_ids(path, names[role], by_name[names[role]]) for role in ("user", "item"))
    times: NDArray[np.float64] | None = None
    notes: tuple[str, ...] = ()
    if "time" in names:
        times, notes = to_seconds(path, names["time"], by_name[names["time"]], columns.time is not None)
    kept = positives(path, names["rating"], by_name[names["rating"]], columns) if "rating" in names else None
    return Rows(path, users, items, times, {name: by_name[name] for name in rated}, kept, notes=notes)


def rated_columns(names: Sequence[str], by_role: dict[str, str]) -> list[str]:
    """Return the columns that look like ratings or labels and have no other role, the chosen one first."""
    others = {name for role, name in by_role.items() if role != "rating"}
    chosen = [by_role["rating"]] if "rating" in by_role else []
    return list(dict.fromkeys([*chosen, *rating_like_columns([name for name in names if name not in others])]))


def number_tables(
    origin: str,
    tables: Sequence[Rows],
    further_users: Sequence[pa.ChunkedArray] = (),
    further_items: Sequence[pa.ChunkedArray] = (),
) -> NumberedTables:
    """Assign indices to the users and items of all tables, in the order of their ids.

    Args:
        origin: what this data is, in words.
        tables: one, or those of the three parts.
        further_users: ids of a table of users, if there is one.
        further_items: likewise of items.

    Raises:
        DataError: a table has no row, or two ids are one number written in two ways.
    """
    for table in tables:
        if not len(table.users):
            raise DataError(f"{table.path} has no rows. Replace it.")
    user_columns, item_columns = (
        [_positive_rows(getattr(each, kind), each.kept) for each in tables] for kind in ("users", "items")
    )
    user_indices, user_ids = number_ids([*user_columns, *further_users])
    item_indices, item_ids = number_ids([*item_columns, *further_items])
    path = tables[0].path
    id_notes = [*refuse_ambiguous_ids(path, "user", user_ids), *refuse_ambiguous_ids(path, "item", item_ids)]
    id_notes += [*notes_on_missing("user", user_columns), *notes_on_missing("item", item_columns)]
    sizes = len(user_ids), len(item_ids)
    times = [each.times if each.kept is None or each.times is None else each.times[each.kept] for each in tables]
    timed = all(each is not None for each in times)
    parts = tuple(
        Interactions.from_pairs(user_indices[k], item_indices[k], *sizes, times[k] if timed else None)
        for k in range(len(tables))
    )
    n_kept = sum(map(len, user_indices[: len(tables)]))
    n_dropped = sum(len(each.users) for each in tables) - n_kept
    notes = [*(note for each in tables for note in each.notes), *_rating_notes(tables, n_dropped), *id_notes]
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
    return NumberedTables(raw, item_indices[-1] if further_items else np.zeros(0, dtype=np.int64))


def _positive_rows(column: pa.ChunkedArray, kept: BoolArray | None) -> pa.ChunkedArray:
    import pyarrow as pa

    return column if kept is None else column.filter(pa.array(kept))


def _rating_notes(tables: Sequence[Rows], n_dropped: int) -> list[str]:
    """Describe the columns that look like ratings, over all tables together."""
    import pyarrow as pa

    chunks: dict[str, list[pa.Array]] = {}
    for table in tables:
        for name, column in table.ratings.items():
            chunks.setdefault(name, []).extend(column.chunks)
    kinds = {name: each.type for table in tables for name, each in table.ratings.items()}
    columns = {name: pa.chunked_array(arrays, kinds[name]) for name, arrays in chunks.items()}
    values = {name: describe_values(column) for name, column in columns.items()}
    chosen = next(iter(values), None) if tables[0].kept is not None else None
    n_missing = 0 if chosen is None else n_unrated(columns[chosen])
    return rating_notes(values, chosen, sum(len(each.users) for each in tables), n_dropped, n_missing)


def items_by_row(item_ids: NDArray[Any]) -> IntArray | None:
    """Return the item index of each row of a matrix whose row r is the item with the id r, -1 for no item.

    None if the ids cannot be row numbers.
    """
    if item_ids.dtype.kind != "i" or not len(item_ids) or item_ids[0] < 0:
        return None
    n_rows = int(item_ids[-1]) + 1  # the ids are sorted
    # A huge id would make a huge table: then it is an id like any other, not a row number.
    if n_rows > FREE_CLAIM + CLAIM_PER_INTERACTION * len(item_ids):
        return None
    rows = np.full(n_rows, -1, dtype=np.int64)
    rows[item_ids] = np.arange(len(item_ids))
    return rows


def holds_zero(ids: pa.ChunkedArray) -> bool:
    """Return whether an id is 0; `ids` are those of `column_ids`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return bool(pc.any(pc.equal(ids, pa.scalar("0").cast(ids.type))).as_py())


def ragged_matrix(path: Path, name: str, lengths: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
    """Return rows of one length, or of length 0, as a matrix; empty rows become zeros.

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
        raise DataError(f"{path}: '{name}' holds {values.dtype}, expected numbers. Correct it.")
    if len(lengths) * dim > FREE_CELLS + CELLS_PER_NUMBER * len(values):
        raise DataError(
            f"{path}: '{name}' has {dim:,} numbers in few of its {len(lengths):,} rows. Leave empty rows out."
        )
    matrix = np.zeros((len(lengths), dim), dtype=values.dtype)
    matrix[filled] = values.reshape(-1, dim) if dim else values.reshape(int(filled.sum()), 0)
    return matrix


def load_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: it is not JSON in UTF-8, has a key twice, or is too large to be read at once.
    """
    check_plain(path)
    if path.stat().st_size > MAX_JSON:
        raise DataError(f"{path} is larger than {MAX_JSON:,} bytes. Give .npy and Parquet files instead.")

    try:
        return json.loads(path.read_bytes().decode("utf-8"), object_pairs_hook=without_repeats)
    except Exception as problem:  # deep nesting ends in a RecursionError
        raise DataError(
            f"{path} is not valid JSON ({one_line(problem)}). Correct or replace the file."
        ) from problem
