"""What a user has done to data at an import: a k-core, and item ids for the rows of a feature file.

Both work on numbered data, so that the same data gives the same result in every format. `read_item_order` reads
the file that it is given; everything else is pure.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError, UsageError, listed
from bench.core.files import check_plain, resolved
from bench.core.hashing import hash_array
from bench.core.types import BoolArray, Interactions, Modality
from bench.data.columns import as_texts, column_ids
from bench.data.features import ItemKeys
from bench.data.ids import item_id_names, one_of_item_ids, refuse_other_spellings
from bench.data.pins import describe_non_file
from bench.data.raw import RawData
from bench.data.roles import Columns
from bench.data.tables import parquet_names, read_header, read_parquet, read_text

MOST_BYTES = 1 << 30  # of a file of item ids
DELIMITERS = {".csv": ",;\t", ".tsv": "\t"}


@dataclass(frozen=True)
class Adjustments:
    """The user's options for data in any format; None leaves the data as it is.

    Attributes:
        k_core: users and items with fewer interactions are left out, repeatedly.
        item_order: file with the item ids in the order of the rows of feature files without ids.
    """

    k_core: int | None = None
    item_order: Path | None = None

    def __post_init__(self) -> None:
        if self.k_core is not None and self.k_core < 1:
            raise UsageError(f"--k-core {self.k_core}: expected a whole number from 1, such as 5.")

    @property
    def given(self) -> list[tuple[str, str]]:
        """Return the command-line options that were given, each with its value."""
        options = {"--k-core": self.k_core, "--item-order": self.item_order}
        return [(option, str(value)) for option, value in options.items() if value is not None]

    def absolute(self) -> Adjustments:
        """Return the same options, for a command that is typed in any folder."""
        return replace(self, item_order=self.item_order and resolved(self.item_order))


def k_core(raw: RawData, k: int) -> RawData:
    """Leave out users and items with fewer than k interactions, until none is left that has fewer.

    Args:
        raw: the data; interactions of all its parts are counted.
        k: least number of interactions.

    Returns:
        The rest in the same order, with a note on the counts before and after. Modalities that no remaining item
        has are left out.

    Raises:
        DataError: nothing is left.
    """
    whole = raw.whole
    users, items = _with_enough(whole, k)
    before = f"{whole.n_users:,} users, {whole.n_items:,} items and {len(whole):,} interactions"
    if not users.any():
        raise DataError(f"--k-core {k} leaves nothing of {before}. Give a smaller number.")
    parts = tuple(_among(part, users, items) for part in raw.parts)
    modalities = tuple(_of_items(each, items) for each in raw.modalities if each.present[items].any())
    n_kept = int((users[whole.users] & items[whole.items]).sum())
    after = f"{users.sum():,} users, {items.sum():,} items and {n_kept:,} interactions"
    note = (
        f"--k-core {k}: users and items with fewer than {k} interactions were left out, repeatedly. Before: "
        f"{before}; after: {after}."
    )
    gone = [each.name for each in raw.modalities if not each.present[items].any()]
    more = [f"No remaining item has the modalities {listed(gone)}; they were left out."] if gone else []
    return replace(
        raw,
        parts=parts,
        modalities=modalities,
        notes=(*raw.notes, note, *more),
        user_ids=_ids(raw.user_ids, users),
        item_ids=_ids(raw.item_ids, items),
        n_dropped=raw.n_dropped + sum(map(len, raw.parts)) - sum(map(len, parts)),
    )


def _with_enough(whole: Interactions, k: int) -> tuple[BoolArray, BoolArray]:
    """Return which users and items are in the k-core, `[n_users]` and `[n_items]`."""
    kept: BoolArray = np.ones(len(whole), dtype=bool)
    while True:
        users, items = (
            np.bincount(ids[kept], minlength=count) >= k
            for ids, count in ((whole.users, whole.n_users), (whole.items, whole.n_items))
        )
        rest = kept & users[whole.users] & items[whole.items]
        if np.array_equal(rest, kept):
            return users, items
        kept = rest


def _among(part: Interactions, users: BoolArray, items: BoolArray) -> Interactions:
    """Return the interactions of the given users and items, which are numbered anew in their order."""
    kept = users[part.users] & items[part.items]
    times = None if part.timestamps is None else part.timestamps[kept]
    new = [np.cumsum(each, dtype=np.int64) - 1 for each in (users, items)]
    return Interactions.from_pairs(
        new[0][part.users[kept]], new[1][part.items[kept]], int(users.sum()), int(items.sum()), times
    )


def _of_items(modality: Modality, items: BoolArray) -> Modality:
    matrix = np.ascontiguousarray(modality.matrix[items])
    return replace(modality, matrix=matrix, present=modality.present[items], fingerprint=hash_array(matrix))


def _ids(ids: NDArray[Any] | None, kept: BoolArray) -> NDArray[Any]:
    """Return the original ids of what is kept; the old indices if there are no others."""
    return np.flatnonzero(kept) if ids is None else ids[kept]


def read_item_order(path: Path, columns: Columns) -> NDArray[np.object_]:
    """Read the item ids of a file in their order, `[n]`: a table with a column of items, or one id per line.

    Args:
        path: of a .csv, .tsv or .parquet table, or of a text file.
        columns: the user's options, of which that for items holds here too.

    Raises:
        UsageError: there is no such file.
        DataError: it cannot be read, has no column of items, or lists an id twice.
    """
    if not path.is_file():
        problem = f"it is {describe_non_file(path)}" if os.path.lexists(path) else "there is no such file"
        raise UsageError(f"--item-order {path}: {problem}. Give the item ids in the order of the rows.")
    check_plain(path, MOST_BYTES)
    ids = list(_ids_of_table(path, columns) if path.suffix.lower() in (*DELIMITERS, ".parquet") else _lines(path))
    if len(set(ids)) < len(ids):
        repeated = next(each for each, n in Counter(ids).items() if n > 1)
        raise DataError(f"--item-order {path} lists the item '{repeated}' twice. Remove one of them.")
    return np.array(ids, dtype=object)


def _lines(path: Path) -> Iterator[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as problem:
        raise DataError(
            f"--item-order {path} is not text in UTF-8 ({problem}). Write one id per line."
        ) from problem
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise DataError(f"--item-order {path}, line {number} is empty. Write one id per line.")
        yield line.strip()


def _ids_of_table(path: Path, columns: Columns) -> list[str]:
    """Read the column of items: the one that the user named, or that has a usual name."""
    import pyarrow as pa

    if path.suffix.lower() == ".parquet":
        names, delimiter = parquet_names(path), ""
    else:
        headers = {each: read_header(path, each) for each in DELIMITERS[path.suffix.lower()]}
        delimiter = max(headers, key=lambda each: len(headers[each]))
        names = headers[delimiter]
    found = item_id_names(names, columns.item)
    if not found:
        raise DataError(
            f"--item-order {path} has the columns {listed(names)}, of which none is named as one of items. "
            f"Name it '{columns.item or 'item_id'}', or give a .txt file with one id per line."
        )
    table = read_text(path, delimiter, found).columns if delimiter else read_parquet(path, found)
    column_ids(path, found[0], table.column(found[0]))
    texts = {name: table.column(name).cast(pa.large_string()).to_numpy() for name in found}
    ids: list[str] = one_of_item_ids(path, texts).tolist()
    return ids


def ordered_keys(path: Path, ids: NDArray[np.object_], raw: RawData, keys: ItemKeys) -> ItemKeys:
    """Return the item keys whose rows follow the ids of a file.

    Args:
        path: of the file.
        ids: item ids in the order of the rows, `[n]`.
        raw: the data.
        keys: the keys without the file.

    Raises:
        DataError: no id is that of an item with an interaction, or one is such an item's in another spelling.
    """
    import pandas as pd

    known = as_texts(raw.item_ids, raw.parts[0].n_items)
    of_rows = pd.Index(known).get_indexer(pd.Index(ids)).astype(np.int64)
    refuse_other_spellings(path, ids[of_rows < 0], known)
    if not (of_rows >= 0).any():
        raise DataError(
            f"--item-order {path} has ids such as '{ids[0] if len(ids) else ''}', none of which has an "
            f"interaction; those with interactions are such as '{known[0]}'. Write both in the same form."
        )
    return replace(keys, of_rows=of_rows, order=path)
