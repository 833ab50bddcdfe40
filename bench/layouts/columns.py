"""Layer 4. Columns of ids -> interactions with their original ids. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError
from bench.sources.ids import number
from bench.sources.raw import CLAIM_PER_INTERACTION, FREE_CLAIM
from bench.types import IntArray, Interactions

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class Found:
    """Interactions of one or three tables.

    Attributes:
        parts: one for each table.
        user_ids: original id of each user, in order.
        item_ids: likewise of each item.
        further_items: item index of each row of a further listing of items, `[m]`, empty without one.
        n_repeated: rows that repeat an interaction of their table.
    """

    parts: tuple[Interactions, ...]
    user_ids: NDArray[Any]
    item_ids: NDArray[Any]
    further_items: IntArray
    n_repeated: int


def interactions(
    path: Path,
    users: Sequence[pa.ChunkedArray],
    items: Sequence[pa.ChunkedArray],
    times: Sequence[NDArray[np.float64] | None],
    n_tables: int,
) -> Found:
    """Number users and items by their sorted ids.

    Args:
        path: of the first table, for errors.
        users: ids of each table's rows, then perhaps of a listing of users.
        items: likewise.
        times: of each table's rows.
        n_tables: how many of them are tables of interactions.

    Raises:
        DataError: a table has no row.
    """
    of_users, user_ids = number(users)
    of_items, item_ids = number(items)
    if not all(len(column) for column in of_users[:n_tables]):
        raise DataError(f"{path} or the table of another part has no row below its first. Replace it.")
    timed = all(each is not None for each in times)
    parts = tuple(
        Interactions.from_pairs(
            of_users[k], of_items[k], len(user_ids), len(item_ids), times[k] if timed else None
        )
        for k in range(n_tables)
    )
    n_repeated = sum(map(len, of_users[:n_tables])) - sum(map(len, parts))
    further = of_items[n_tables] if len(of_items) > n_tables else np.zeros(0, dtype=np.int64)
    return Found(parts, user_ids, item_ids, further, n_repeated)


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
