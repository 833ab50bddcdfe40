"""MMRec's format: one tab-separated NAME.inter, one .npy or .json file per modality, rows ordered by itemID.

The column names of the table have no types; optional mapping files hold the original ids. Reads files; writes
nothing.
"""

from __future__ import annotations

import csv
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError, listed, nearest_hint
from bench.core.files import check_plain, os_errors
from bench.core.types import IntArray, Interactions
from bench.data.cards import MmrecSource
from bench.data.columns import as_texts, column_ids, number_ids
from bench.data.features import ItemKeys, read_features
from bench.data.formats.place import Content, Place, SourceOptions
from bench.data.numerals import holds_huge_exponents, numbers_where_all_are, to_numbers
from bench.data.pins import CardComparison
from bench.data.raw import RawData
from bench.data.roles import (
    Columns,
    describe_values,
    n_unrated,
    positives,
    rating_column,
    rating_like_columns,
    rating_notes,
    refuse_two_roles,
    require_column,
)
from bench.data.tables import count_lines, read_header, read_text

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

USER, ITEM, TIME, LABEL = "userID", "itemID", "timestamp", "x_label"
KNOWN = (USER, ITEM, "rating", TIME, LABEL)
LABELS = ("training", "validation", "test")  # x_label 0, 1, 2
NAME = "mmrec"
NEEDS = f"one NAME.inter, tab-separated, with the columns {USER}, {ITEM} and perhaps x_label and timestamp"
TAKES_COLUMNS = True


def read_source(source: MmrecSource, directory: Path, options: SourceOptions) -> RawData:
    """Read the data set in `directory`, in the publisher's parts if the table has the column x_label.

    Raises:
        DataError: the table or a feature file is missing or malformed; the message names file, row and fix.
    """
    comparison = CardComparison(source, directory)
    with comparison.reading():
        raw, keys = read_table(directory, source.title)
        n_items = raw.parts[0].n_items
        modalities, missing = read_features(directory, source.features, n_items, keys, comparison.checksums)
        if not modalities:
            raise DataError(
                f"{directory} holds no item features. Put at least one of "
                f"{listed(file.path for file in source.features.values())} there, one row for each itemID."
            )
    return comparison.finish(replace(raw, modalities=modalities, missing=missing))


@dataclass(frozen=True, eq=False)
class _Numbering:
    """Users or items of a mapping file, sorted by their original ids.

    Attributes:
        ids: sorted original ids, `[n]`.
        rank: the index of each number in the table, `[n]`.
    """

    ids: NDArray[Any]
    rank: IntArray


def read_table(directory: Path, title: str, columns: Columns | None = None) -> tuple[RawData, ItemKeys]:
    """Read the interactions without features, and the keys that match feature rows (by itemID) to items.

    If MMRec's mapping files give the original ids, users and items are indexed by these, as in every format.

    Args:
        directory: directory with exactly one .inter file.
        title: description of the data set.
        columns: column options of the user.

    Raises:
        DataError: the table is missing or malformed; the message names file, row and fix.
    """
    path, columns = _table_path(directory), columns or Columns()
    table = _read_table(path, columns)
    names = _roles(path, table, columns)
    mapped = [_mapping(directory / f"{letter}_id_mapping.csv", column)
              for letter, column in (("u", USER), ("i", ITEM))]  # fmt: skip
    users, n_users = _ids(path, table, names["user"], mapped[0])
    items, n_items = _ids(path, table, names["item"], mapped[1])
    times = _times(path, table, names.get("time"))
    kept = np.ones(len(table), dtype=bool)
    if "rating" in names:
        kept = positives(path, names["rating"], _arrow(table[names["rating"]]), columns)
    row_masks = [kept]
    if LABEL in table:
        labels = _labels(path, table)
        row_masks = [kept & (labels == part) for part in range(len(LABELS))]
    parts = tuple(
        Interactions.from_pairs(users[rows], items[rows], n_users, n_items, None if times is None else times[rows])
        for rows in row_masks
    )
    n_dropped = len(table) - int(kept.sum())
    n_repeated = len(table) - n_dropped - sum(len(part) for part in parts)
    notes = _notes(path, table, names, n_repeated, n_dropped)
    ids = [None if numbering is None else numbering.ids for numbering in mapped]
    origin = f"{title}, read from {path}"
    raw = RawData(origin, parts, (), {}, notes, ids[0], ids[1], n_repeated, n_dropped)
    rank = np.arange(n_items) if mapped[1] is None else mapped[1].rank
    keys = np.empty(n_items, dtype=object)
    keys[rank] = as_texts(None, n_items)
    return raw, ItemKeys(keys, rank)


def _mapping(path: Path, column: str) -> _Numbering | None:
    """Read MMRec's mapping file of two columns, original id and index; return None if there is no file.

    Raises:
        DataError: the file does not give every index from 0 exactly one id.
    """
    if not os.path.lexists(path):
        return None
    names = read_header(path, "\t")
    if len(names) != 2 or names[1] != column:
        raise DataError(
            f"{path}, row 1: the columns are {listed(names)}; expected two, separated by a tab: the original id "
            f"and '{column}'. Correct it, or remove the file."
        )
    table = read_text(path, "\t", names, quoted=False).columns
    original, index = (column_ids(path, name, table.column(name)) for name in names)
    (order,), numbers = number_ids([index])
    (rank_of_row,), ids = number_ids([original])
    whole = numbers.dtype.kind == "i" and np.array_equal(numbers, np.arange(table.num_rows))
    if not whole or len(ids) < table.num_rows:
        raise DataError(
            f"{path} must give one distinct id to every {column} from 0 without gaps. Correct it, or "
            "remove the file."
        )
    rank = np.empty(table.num_rows, dtype=np.int64)
    rank[order] = rank_of_row
    return _Numbering(ids, rank)


def _arrow(values: pd.Series[Any]) -> pa.ChunkedArray:
    """Convert a pandas column to the Arrow form that the shared column functions expect."""
    import pyarrow as pa

    plain = values if values.dtype.kind in "iufb" else values.fillna("").astype(str)
    return pa.chunked_array([pa.array(plain, from_pandas=True)])


def _roles(path: Path, table: pd.DataFrame, columns: Columns) -> dict[str, str]:
    """Return column names by role: MMRec's names, or those that the user gave instead."""
    names = [str(column) for column in table.columns]
    by_role = {"user": columns.user or USER, "item": columns.item or ITEM}
    if columns.time is not None or TIME in names:
        by_role["time"] = columns.time or TIME
    if columns.time is not None:
        require_column(path, names, "time", columns.time)
    if columns.chooses:
        by_role["rating"] = rating_column(path, names, columns)
    refuse_two_roles(path, by_role | ({"part": LABEL} if LABEL in names else {}))
    return by_role


def _table_path(directory: Path) -> Path:
    """Return the only .inter file of a directory."""
    tables = sorted(path for path in directory.iterdir() if path.suffix.lower() == ".inter" and path.is_file())
    if len(tables) != 1:
        raise DataError(
            f"{directory} holds {len(tables)} files named *.inter ({listed(path.name for path in tables)}), "
            "expected exactly one. Put the interactions there as NAME.inter, and no second table."
        )
    return tables[0]


def _read_table(path: Path, columns: Columns) -> pd.DataFrame:
    """Read the table and check that it has the needed columns and no broken row."""
    import pandas as pd

    check_plain(path)
    # pandas' parser errors are ValueErrors
    with os_errors(f"{path} is not a tab-separated table", "Correct it.", DataError, ValueError):
        if holds_huge_exponents(path):
            table = pd.read_csv(path, sep="\t", quoting=csv.QUOTE_NONE, dtype=str).apply(numbers_where_all_are)
        else:
            table = pd.read_csv(path, sep="\t", quoting=csv.QUOTE_NONE)
    names = [str(column) for column in table.columns]
    for needed in (columns.user or USER, columns.item or ITEM):
        if needed not in names:
            hint = nearest_hint(needed, names)
            raise DataError(
                f"{path}, row 1: the column '{needed}' is missing; the columns are {listed(names)}.{hint} The "
                f"first row must name the columns, separated by tabs: {listed(KNOWN)}."
            )
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes surplus leading fields for row labels
        raise DataError(f"{path}: the rows have more fields than row 1 has column names. Name every column.")
    if table.empty:
        raise DataError(f"{path} holds no interaction below its first row. Replace it.")
    n_lines = count_lines(path) - 1  # pandas skips blank lines in silence
    if n_lines != len(table):
        raise DataError(
            f"{path} has {n_lines:,} lines below its header, and {len(table):,} rows were read. Save the table "
            "again, one row per line."
        )
    return table


def _whole_numbers(path: Path, table: pd.DataFrame, column: str, meaning: str) -> IntArray:
    """Return a column of whole numbers, `[n]`; `meaning` says in errors what was expected."""
    values = table[column]
    if values.dtype.kind != "i":
        row, value = _first_non_integer(path, column)
        raise DataError(f"{path}, row {row + 2}: {column} is '{value}', expected {meaning}. Write whole numbers.")
    return values.to_numpy(dtype=np.int64)


def _first_non_integer(path: Path, column: str) -> tuple[int, str]:
    """Return index and text of the first value that is not a whole number."""
    import pandas as pd

    # read again as text: pandas has turned the whole column into floats or objects
    texts = pd.read_csv(
        path, sep="\t", quoting=csv.QUOTE_NONE, usecols=[column], dtype=str, keep_default_na=False
    )[column]
    return next(pair for pair in enumerate(texts) if not re.fullmatch(r"-?[0-9]{1,18}", pair[1].strip()))


def _ids(path: Path, table: pd.DataFrame, column: str, mapped: _Numbering | None) -> tuple[IntArray, int]:
    """Return the index of each row's user or item, `[n]`, and their number.

    Raises:
        DataError: the ids are not in the mapping file or, without one, do not run from 0 without gaps.
    """
    ids = _whole_numbers(path, table, column, "a whole number from 0")
    if ids.min() < 0:
        row = int(np.argmax(ids < 0))
        raise DataError(f"{path}, row {row + 2}: {column} is {ids[row]}. Number from 0.")
    if mapped is not None:
        if ids.max() >= len(mapped.ids):
            row = int(np.argmax(ids >= len(mapped.ids)))
            raise DataError(
                f"{path}, row {row + 2}: {column} is {ids[row]}, which is not in the mapping file. "
                "Correct the row, or remove that file."
            )
        return mapped.rank[ids], len(mapped.ids)
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
    """Return the part of each row: 0 training, 1 validation, 2 test, `[n]`."""
    labels = _whole_numbers(path, table, LABEL, "0 (training), 1 (validation) or 2 (test)")
    wrong = ~np.isin(labels, range(len(LABELS)))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"{path}, row {row + 2}: {LABEL} is {labels[row]}, expected 0 (training), 1 (validation) or 2 (test). "
            "Correct that row."
        )
    for value, part in enumerate(LABELS):
        if not (labels == value).any():
            raise DataError(
                f"{path}: no row from 2 to {len(table) + 1} has {LABEL} {value}, so the {part} part is empty. "
                f"Label some rows {value}, or remove the column {LABEL} to have the data split here."
            )
    return labels


def _times(path: Path, table: pd.DataFrame, name: str | None) -> NDArray[np.float64] | None:
    """Return the times of the rows in seconds, `[n]`, or None if the table has no such column."""
    if name is None:
        return None
    times = to_numbers(table[name])
    finite = np.isfinite(times)
    if not finite.all():
        row = int(np.argmin(finite))
        raise DataError(
            f"{path}, row {row + 2}: {name} is '{table[name].iloc[row]}', expected seconds since "
            "1970. Correct it, or remove the column."
        )
    return times


def _notes(
    path: Path, table: pd.DataFrame, names: dict[str, str], n_repeated: int, n_dropped: int
) -> tuple[str, ...]:
    """Return notes on ratings, unused columns and merged rows, for readers of the results."""
    unused = [str(column) for column in table.columns if str(column) not in {*names.values(), LABEL}]
    rated = [*filter(None, [names.get("rating")]), *rating_like_columns(unused)]
    extents = {name: describe_values(_arrow(table[name])) for name in rated}
    chosen = names.get("rating")
    n_missing = 0 if chosen is None else n_unrated(_arrow(table[chosen]))
    notes = rating_notes(extents, chosen, len(table), n_dropped, n_missing)
    ignored = [name for name in unused if name not in rated]
    if ignored:
        notes.append(f"Columns of {path.name} that are not used: {listed(ignored)}.")
    if n_repeated:
        notes.append(f"{n_repeated:,} repeated rows of {path.name} were merged.")
    return tuple(notes)


def recognise(place: Place) -> str | None:
    """Return why the files are in this format, or None if they are not."""
    tables = place.ending(".inter")
    if len(tables) != 1:
        return None
    names = read_header(tables[0], "\t")
    if any(":" in name for name in names) or not {USER, ITEM, LABEL}.intersection(names):
        return None  # other untyped columns, such as user_id and item_id, make a plain table
    return f"{tables[0].name} names its columns without types"


def explain(place: Place) -> list[str]:
    """Return nothing: a table without the usual names is explained as a plain table."""
    return []


def read(place: Place) -> Content:
    """Read the interactions.

    Raises:
        DataError: the table is missing or malformed.
    """
    directory = place.path if place.path.is_dir() else place.path.parent
    raw, keys = read_table(directory, "interactions", place.columns)
    mappings = [path for path in place.files if path.name in ("u_id_mapping.csv", "i_id_mapping.csv")]
    return Content(raw, keys, (*place.ending(".inter"), *mappings))
