"""Layer 3. Reader of the MMRec layout: one tab-separated NAME.inter, one .npy or .json a modality, by itemID."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.cards import MmrecSource
from bench.errors import DataError, listed, nearest_hint
from bench.files import check_plain
from bench.sources.features import read_features, unpinned
from bench.sources.ids import column_ids, number
from bench.sources.raw import RawData
from bench.sources.tables import header, read_text
from bench.sources.versions import of_one_version
from bench.types import IntArray, Interactions

if TYPE_CHECKING:
    import pandas as pd

USER, ITEM, TIME, LABEL = "userID", "itemID", "timestamp", "x_label"
KNOWN = (USER, ITEM, "rating", TIME, LABEL)
LABELS = ("training", "validation", "test")  # x_label 0, 1, 2


def read(source: MmrecSource, directory: Path) -> RawData:
    """The content of `directory`; in the publisher's parts where the table has the column x_label.

    Raises:
        DataError: the table or a feature file is missing or malformed; the message names file, row and fix.
    """

    def content() -> RawData:
        raw = read_table(directory, source.title)
        modalities, missing = read_features(directory, unpinned(source.features), raw.parts[0].n_items)
        if not modalities:
            raise DataError(
                f"{directory} holds no item features. Put at least one of "
                f"{listed(file.path for file in source.features.values())} there, one row for each itemID."
            )
        return replace(raw, modalities=modalities, missing=missing)

    return of_one_version(directory, (), source.features, source.expected, content)


def read_table(directory: Path, title: str) -> RawData:
    """The interactions, without features; with the original ids where MMRec's mapping files give them.

    Raises:
        DataError: the table is missing or malformed; the message names file, row and fix.
    """
    path = _table_path(directory)
    table = _read_table(path)
    user_ids, item_ids = (_mapping(directory / f"{letter}_id_mapping.csv", column)
                          for letter, column in (("u", USER), ("i", ITEM)))  # fmt: skip
    users, n_users = _ids(path, table, USER, user_ids)
    items, n_items = _ids(path, table, ITEM, item_ids)
    times = _times(path, table)
    chosen = [np.ones(len(table), dtype=bool)]
    if LABEL in table:
        labels = _labels(path, table)
        chosen = [labels == part for part in range(len(LABELS))]
    parts = tuple(
        Interactions.from_pairs(users[rows], items[rows], n_users, n_items, None if times is None else times[rows])
        for rows in chosen
    )
    n_repeated = len(table) - sum(len(part) for part in parts)
    notes = _notes(path, table, n_repeated)
    return RawData(f"{title}, read from {path}", parts, (), {}, notes, user_ids, item_ids, n_repeated)


def _mapping(path: Path, column: str) -> NDArray[Any] | None:
    """The original id of each index, from MMRec's file of two columns, original id and index; None without a file.

    Raises:
        DataError: it does not give every index from 0 one id.
    """
    if not path.is_file():
        return None
    names = header(path, "\t")
    if len(names) != 2 or names[1] != column:
        raise DataError(
            f"{path}, row 1: the columns are {listed(names)}; expected two, separated by a tab: the original id "
            f"and '{column}'. Correct it, or remove the file."
        )
    table = read_text(path, "\t", names, quoted=False)
    original, index = (column_ids(path, name, table.column(name)) for name in names)
    (order,), ids = number([index])
    (_,), distinct = number([original])
    whole = ids.dtype.kind == "i" and np.array_equal(ids, np.arange(table.num_rows))
    if not whole or len(distinct) < table.num_rows:
        raise DataError(
            f"{path} must give every {column} from 0 without gaps one id of its own. Correct it, or "
            "remove the file."
        )
    given = np.empty(table.num_rows, dtype=object)
    given[order] = original.to_numpy()
    return given.astype(np.int64) if distinct.dtype.kind == "i" else given


def _table_path(directory: Path) -> Path:
    """The one .inter file."""
    found = sorted(directory.glob("*.inter"))
    if len(found) != 1:
        raise DataError(
            f"{directory} holds {len(found)} files named *.inter ({listed(path.name for path in found)}), "
            "expected exactly one. Put the interactions there as NAME.inter, and no second table."
        )
    return found[0]


def _read_table(path: Path) -> pd.DataFrame:
    """The table, with the columns that are needed."""
    import pandas as pd

    check_plain(path)
    try:
        table = pd.read_csv(path, sep="\t", quoting=csv.QUOTE_NONE)
    except (ValueError, OSError) as error:  # pandas' parser errors are ValueErrors
        raise DataError(
            f"{path} is no tab-separated table: {' '.join(str(error).split())}. Correct it."
        ) from error
    columns = [str(column) for column in table.columns]
    for needed in (USER, ITEM):
        if needed not in columns:
            hint = nearest_hint(needed, columns)
            raise DataError(
                f"{path}, row 1: the column '{needed}' is missing; the columns are {listed(columns)}.{hint} The "
                f"first row must name the columns, separated by tabs: {listed(KNOWN)}."
            )
    if not isinstance(table.index, pd.RangeIndex):
        raise DataError(f"{path}: the rows have more fields than row 1 has column names. Name every column.")
    if table.empty:
        raise DataError(f"{path} holds no interaction below its first row. Replace it.")
    return table


def _whole_numbers(path: Path, table: pd.DataFrame, column: str, meaning: str) -> IntArray:
    """A column of whole numbers, `[n]`."""
    values = table[column]
    if values.dtype.kind != "i":
        row, value = _first_odd_one(path, column)
        raise DataError(f"{path}, row {row + 2}: {column} is '{value}', expected {meaning}. Write whole numbers.")
    return values.to_numpy(dtype=np.int64)


def _first_odd_one(path: Path, column: str) -> tuple[int, str]:
    """Index and text of the first value that is no whole number; read again, as pandas has rewritten it."""
    import pandas as pd

    texts = pd.read_csv(
        path, sep="\t", quoting=csv.QUOTE_NONE, usecols=[column], dtype=str, keep_default_na=False
    )[column]
    odd = (pair for pair in enumerate(texts) if not re.fullmatch(r"-?[0-9]{1,18}", pair[1].strip()))
    return next(odd)


def _ids(path: Path, table: pd.DataFrame, column: str, mapped: NDArray[Any] | None) -> tuple[IntArray, int]:
    """A column of ids that run from 0 without a gap, or to the end of the mapping, `[n]`; and their count."""
    ids = _whole_numbers(path, table, column, "a whole number from 0")
    if ids.min() < 0:
        row = int(np.argmax(ids < 0))
        raise DataError(f"{path}, row {row + 2}: {column} is {ids[row]}. Number from 0.")
    if mapped is not None:
        if ids.max() >= len(mapped):
            row = int(np.argmax(ids >= len(mapped)))
            raise DataError(
                f"{path}, row {row + 2}: {column} is {ids[row]}, which is not in the mapping file beside it. "
                "Correct the row, or remove that file."
            )
        return ids, len(mapped)
    distinct = np.unique(ids)
    gaps = np.flatnonzero(distinct != np.arange(len(distinct)))
    if len(gaps):
        row = int(np.argmax(ids == distinct[gaps[0]]))
        raise DataError(
            f"{path}, row {row + 2}: {column} is {ids[row]}, but no row has {column} {gaps[0]}. Number from 0 "
            "without gaps, and reorder the rows of the feature files in the same way."
        )
    return ids, len(distinct)


def _labels(path: Path, table: pd.DataFrame) -> IntArray:
    """The part of each row: 0 training, 1 validation, 2 test, `[n]`."""
    labels = _whole_numbers(path, table, LABEL, "0 (training), 1 (validation) or 2 (test)")
    wrong = ~np.isin(labels, range(len(LABELS)))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"{path}, row {row + 2}: {LABEL} is {labels[row]}, expected 0 (training), 1 (validation) or 2 (test)."
        )
    for value, part in enumerate(LABELS):
        if not (labels == value).any():
            raise DataError(
                f"{path}: no row from 2 to {len(table) + 1} has {LABEL} {value}, so the {part} part is empty. "
                f"Label some rows so, or remove the column {LABEL} to have the data split here."
            )
    return labels


def _times(path: Path, table: pd.DataFrame) -> NDArray[np.float64] | None:
    """The times of the rows in seconds, `[n]`, where the table has them."""
    import pandas as pd

    if TIME not in table:
        return None
    times: NDArray[np.float64] = pd.to_numeric(table[TIME], errors="coerce").to_numpy(dtype=np.float64)
    finite = np.isfinite(times)
    if not finite.all():
        row = int(np.argmin(finite))
        raise DataError(
            f"{path}, row {row + 2}: {TIME} is '{table[TIME].iloc[row]}', expected seconds since "
            "1970. Correct it, or remove the column."
        )
    return times


def _notes(path: Path, table: pd.DataFrame, n_repeated: int) -> tuple[str, ...]:
    """What was done with the table that a reader of the numbers should know."""
    notes = []
    if "rating" in table:
        notes.append("Every row is a positive, whatever its rating.")
    ignored = [str(column) for column in table.columns if column not in KNOWN]
    if ignored:
        notes.append(f"Columns of {path.name} that are not used: {listed(ignored)}.")
    if n_repeated:
        notes.append(f"{n_repeated:,} repeated rows of {path.name} were merged.")
    return tuple(notes)
