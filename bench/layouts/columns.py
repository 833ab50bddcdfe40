"""Layer 4. Columns of ids -> interactions with their original ids. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError
from bench.sources.ids import column_ids, number, refuse_twins, seconds
from bench.sources.raw import CLAIM_PER_INTERACTION, FREE_CLAIM, RawData
from bench.sources.roles import Columns, extent, like_ratings, positives, rating_notes
from bench.types import BoolArray, IntArray, Interactions

if TYPE_CHECKING:
    import pyarrow as pa


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
