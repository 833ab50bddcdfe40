"""Recommendations that another program made, as a table of users, items and places. Reads the file it is given.

Tables are CSV, TSV or Parquet with one row per recommendation: a user, an item, and a rank (from the smallest) or
a score (from the largest). A line of a JSON file is such a row, or a user with `items`, best first. Ids are texts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.core.errors import DataError, UsageError, listed
from bench.core.files import check_plain, os_errors
from bench.core.json_objects import RepeatedKeyError, without_repeats
from bench.data.numerals import to_numbers
from bench.data.roles import find_column, plain_name
from bench.data.tables import parquet_names, read_header, read_parquet, read_text, row_number

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
JSON_LINES = (".jsonl", ".ndjson")
FORMATS = (*DELIMITERS, ".parquet", *JSON_LINES)
RANKS = ("rank", "position", "place")
SCORES = ("score", "scores", "prediction", "rating", "relevance")
MOST_BYTES = 8 << 30
FORM = "the columns user, item, and rank (1 is the best) or score (the highest is the best)"
FROM_PYTHON = Path("the given lists")  # in messages, in the place of a file


def read_recommendations(path: Path) -> pd.DataFrame:
    """Read the recommendations of a file.

    Returns:
        Columns `user` and `item` of texts, and `place`, numbers of which the smallest is the best.

    Raises:
        UsageError: the ending of the file's name is unknown.
        DataError: the file is missing or damaged, lacks a column, or holds a rank or score that is no number.
    """
    ending = path.suffix.lower()
    if ending not in FORMATS:
        raise UsageError(
            f"{path} ends with '{path.suffix}'; lists are read from files that end with {listed(FORMATS)}. "
            f"Each has {FORM}."
        )
    with os_errors(f"{path} cannot be read", "Correct the path or its permissions.", DataError):
        check_plain(path, MOST_BYTES)
    if ending in JSON_LINES:
        return _of_rows(path, _json_rows(path))
    names = parquet_names(path) if ending == ".parquet" else read_header(path, DELIMITERS[ending])
    columns = _columns(str(path), names)
    wanted = list(columns.values())
    if ending == ".parquet":
        return _of_table(path, read_parquet(path, wanted), columns)
    return _of_table(path, read_text(path, DELIMITERS[ending], wanted).columns, columns)


def _columns(where: str, names: Sequence[str]) -> dict[str, str]:
    """Return the columns of user, item, and rank or score, by role; a rank counts where both are there.

    Args:
        where: the file, and the line if its lines have names of their own.
        names: of the columns.

    Raises:
        DataError: one is missing.
    """
    user, item = find_column(names, "user", None), find_column(names, "item", None)
    by_plain = {plain_name(name): name for name in reversed(names)}
    for role, usual in (("rank", RANKS), ("score", SCORES)):
        order = next((by_plain[name] for name in usual if name in by_plain), None)
        if order is not None and user and item:
            return {"user": user, "item": item, role: order}
    raise DataError(f"{where} has the columns {listed(names)}; expected {FORM}. Rename or add what is missing.")


def _of_table(path: Path, table: pa.Table, columns: Mapping[str, str]) -> pd.DataFrame:
    import pyarrow as pa

    rows = {role: table.column(name) for role, name in columns.items()}
    for role in ("user", "item"):
        if rows[role].null_count:
            where = row_number(path, int(np.flatnonzero(rows[role].is_null().to_numpy())[0]))
            raise DataError(f"{path}, {where}: the {role} is missing. Write an id there, or remove the row.")
        try:
            rows[role] = rows[role].cast(pa.large_string())
        except pa.ArrowException as problem:  # lists, records, or bytes that are no text
            raise DataError(
                f"{path}: the column '{columns[role]}' is of type {rows[role].type}; ids are texts or whole "
                f"numbers ({problem}). Each row holds one user and one item."
            ) from problem
    return frame_of({role: column.to_pandas() for role, column in rows.items()}, path)


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the lines of a JSON file with their numbers.

    Raises:
        DataError: a line is not a JSON object, or has a name twice.
    """
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                value = json.loads(line, object_pairs_hook=without_repeats)
            except RepeatedKeyError as problem:
                raise DataError(
                    f"{path}, line {number} holds '{problem.key}' twice in one object. Keep one of them."
                ) from problem
            except (ValueError, RecursionError) as problem:
                raise DataError(
                    f"{path}, line {number} is not JSON ({problem}). Write one object per line."
                ) from problem
            if not isinstance(value, dict):
                raise DataError(
                    f"{path}, line {number} holds no object with names. Write {FORM}, or user and items."
                )
            yield number, value


def _of_rows(path: Path, rows: Iterator[tuple[int, dict[str, Any]]]) -> pd.DataFrame:
    """Return the recommendations of lines that hold one row each, or a user with the items."""
    users: list[str] = []
    items: list[str] = []
    order: list[Any] = []
    role = ""
    for number, value in rows:
        if isinstance(value.get("items"), list) and "user" in value:
            own, names, role_here = value["user"], value["items"], "rank"
            places: Sequence[Any] = range(len(names))
        else:
            columns = _columns(f"{path}, line {number}", list(value))
            role_here = next(name for name in ("rank", "score") if name in columns)
            own, names, places = value[columns["user"]], [value[columns["item"]]], [value[columns[role_here]]]
        if role and role != role_here:
            raise DataError(
                f"{path}, line {number} has a {role_here}, and the lines above a {role}. Use one of them."
            )
        role = role_here
        for each in (own, *names):
            if isinstance(each, bool) or not isinstance(each, str | int):
                raise DataError(
                    f"{path}, line {number}: the id {repr(each)[:80]} is neither a text nor a whole number. "
                    "Correct that line."
                )
        users += [str(own)] * len(names)
        items += map(str, names)
        order += places
    return frame_of({"user": users, "item": items, role or "rank": order}, path)


def frame_of(columns: Mapping[str, Any], path: Path = FROM_PYTHON) -> pd.DataFrame:
    """Return recommendations in the form of `read_recommendations`.

    Args:
        columns: `user`, `item`, and `rank` or `score`, of equal lengths.
        path: for messages.

    Raises:
        DataError: a rank or score is no number.
    """
    import pandas as pd

    role = "rank" if "rank" in columns else "score"
    try:
        given = pd.Series(columns[role], dtype=object if not len(columns[role]) else None)
        numbers = to_numbers(given)
    except OverflowError as problem:  # a whole number of JSON has any number of digits
        raise DataError(f"{path}: a {role} is too large ({problem}). Correct or remove it.") from problem
    odd = np.flatnonzero(np.isnan(numbers))
    users, items = (pd.Series(columns[name]).astype(str).to_numpy() for name in ("user", "item"))
    if len(odd):
        first = odd[0]
        raise DataError(
            f"{path}: {len(odd):,} of {len(numbers):,} rows have a {role} that is no number, for example "
            f"'{given.iloc[first]}' of item '{items[first]}' for user '{users[first]}'. Correct or remove them."
        )
    if role == "rank" and (numbers < 0).any():
        raise DataError(
            f"{path}: the smallest rank is {numbers.min():g}, and ranks count from 0 or 1. If they are scores, of "
            "which the highest is the best, name the column 'score'."
        )
    return pd.DataFrame({"user": users, "item": items, "place": numbers if role == "rank" else -numbers})


def frame_of_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Return recommendations given as a data frame of any column order; see `frame_of`.

    Raises:
        DataError: a column is missing or there twice, or a rank or score is no number.
    """
    names = [str(name) for name in frame.columns]
    columns = _columns(str(FROM_PYTHON), names)
    for name in columns.values():
        if names.count(name) > 1:
            raise DataError(f"{FROM_PYTHON}: {names.count(name)} columns are named '{name}'. Keep one of them.")
    return frame_of({role: frame[name].to_numpy() for role, name in columns.items()})


def frame_of_lists(lists: Mapping[Any, Sequence[Any]]) -> pd.DataFrame:
    """Return recommendations given as items by user, best first; see `frame_of`."""
    lengths = [len(items) for items in lists.values()]
    return frame_of(
        {
            "user": np.repeat([str(user) for user in lists], lengths),
            "item": [str(item) for items in lists.values() for item in items],
            "rank": [place for length in lengths for place in range(length)],
        }
    )
