"""Layer 3. The ids in a user's files -> indices from 0, and times -> seconds. Pure.

The order is that of the sorted ids: by value where every id is a whole number, else by the code points of the
text. It depends on the set of ids and on nothing else, so that the same data has the same indices in every layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError
from bench.sources.tables import row_number
from bench.types import IntArray

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
