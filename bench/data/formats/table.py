"""Plain tables: one CSV, TSV or Parquet file with users, items and optionally times and ratings.

Ids are kept as they are. Reads files; writes nothing.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core.errors import DataError, listed
from bench.data.columns import Rows, as_texts, holds_zero, items_by_row, number_tables, rated_columns, table_rows
from bench.data.features import ItemKeys
from bench.data.formats.place import UNPACK, Content, Place
from bench.data.roles import find_column, find_roles, propose_column, rating_like_columns
from bench.data.tables import parquet_names, read_header, read_parquet, read_text

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "table"
NEEDS = "one .csv, .tsv or .parquet with a column of users and one of items (--user-column, --item-column)"
TAKES_COLUMNS = True
DELIMITERS = {".csv": ",;\t", ".tsv": "\t", ".inter": "\t"}
ENDINGS = (*DELIMITERS, ".parquet")
OTHER_ENDINGS = (".txt", ".dat", ".data", ".tab", ".gz", ".zip", ".bz2", ".xz", ".xlsx", ".xls")
OTHER_DELIMITERS = ("|", "::", " ")
NUMBER = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?")


def recognise(place: Place) -> str | None:
    """Return why the files are in this format, or None if they are not."""
    tables = _interaction_tables(place)
    if not tables:
        return None
    names = _column_names(tables[0], place)
    user, item = (find_column(names, role, getattr(place.columns, role)) for role in ("user", "item"))
    return f"{tables[0].name} has the columns '{user}' of users and '{item}' of items"


def read(place: Place) -> Content:
    """Read the interactions.

    Raises:
        DataError: there is no such table, or more than one, or it is malformed.
    """
    tables = _interaction_tables(place)
    candidates = place.ending(*ENDINGS)
    if not tables and len(candidates) == 1:
        tables = candidates
    if not tables:
        raise DataError(f"{place.path} holds no table of users and items. {listed(explain(place))}")
    if len(tables) > 1:
        raise DataError(
            f"{place.path} holds {len(tables)} tables of users and items "
            f"({listed(path.name for path in tables)}), expected one. Give the path of the table itself, or name "
            "its columns with --user-column and --item-column."
        )
    rows = _rows(tables[0], place)
    raw = number_tables(f"interactions, read from {tables[0]}", [rows]).raw
    assert raw.item_ids is not None  # a table always has ids
    ids, of_rows = as_texts(raw.item_ids, raw.parts[0].n_items), items_by_row(raw.item_ids)
    keys = ItemKeys(ids, of_rows, from_zero=holds_zero(rows.items))
    return Content(raw, keys, (tables[0],))


def explain(place: Place) -> list[str]:
    """Explain for each file that may be meant as a table why it is not read as one, and what to do."""
    tables = place.ending(*ENDINGS)
    proposed = list(filter(None, (_proposal(path, place) for path in tables)))
    messages = proposed or [_explain_columns(path, place) for path in tables]
    for path in place.files:
        ending = path.suffix.lower()
        if ending in UNPACK:
            messages.append(f"{path.name} is compressed: unpack it first ('{UNPACK[ending]} {path.name}').")
        elif ending in OTHER_ENDINGS:
            messages.append(
                f"{path.name} ends with {ending}: save it as .csv or .tsv, with the names of the columns in row 1"
                f"{_describe_delimiter(path)}."
            )
    return messages


def _missing_roles(names: Sequence[str], place: Place) -> dict[str, str | None]:
    """Return which of the roles user and item no column has, with the column that the user named for it."""
    given = {role: getattr(place.columns, role) for role in ("user", "item")}
    return {role: name for role, name in given.items() if find_column(names, role, name) is None}


def _proposal(path: Path, place: Place) -> str | None:
    """Return the columns of a table and the options that name those of users and items; None if it has no such."""
    names = _column_names(path, place)
    missing = _missing_roles(names, place)
    words = {role: propose_column(names, role) for role in missing}
    if any(missing.values()) or not all(words.values()) or len(set(words.values())) < len(words):
        return None
    others = [name for name in names if name not in words.values()]
    if place.columns.time is None and find_column(names, "time", None) is None:
        words |= {"time": time} if (time := propose_column(others, "time")) else {}
    options = " ".join(f"--{role}-column {shlex.quote(str(name))}" for role, name in words.items())
    return f"{path.name} has the columns {listed(names)}; say {options}."


def _explain_columns(path: Path, place: Place) -> str:
    """Explain which column a table lacks and the likely cause."""
    names = _column_names(path, place)
    missing = _missing_roles(names, place)
    wanted = " and ".join(f"'{name}'" if name else f"one of {role}s" for role, name in missing.items())
    if path.suffix.lower() == ".inter" and any(":" in name for name in names):
        return f"{path.name} has the typed columns {listed(names)}: read it with --format recbole."
    message = f"{path.name} has the columns {listed(names)} and lacks {wanted}"
    if len(names) == 1 and path.suffix.lower() != ".parquet":
        message += f": its fields are not separated by {' '.join(map(repr, DELIMITERS[path.suffix.lower()]))}"
        return f"{message}{_describe_delimiter(path)}. Save it as CSV with commas."
    if _looks_like_data(names):
        return f"{message}; row 1 looks like data. Write the names of the columns above it, as in user_id,item_id."
    words = {role: shlex.quote(propose_column(names, role) or "NAME") for role in missing}
    options = " ".join(f"--{role}-column {word}" for role, word in words.items())
    return f"{message}; say {options}."


def _describe_delimiter(path: Path) -> str:
    """Return a remark on the unsupported delimiter in the first line, or "" if it has none of the usual ones."""
    try:
        with path.open("rb") as stream:
            line = stream.readline(4096).decode("utf-8", "replace")
    except OSError:
        return ""
    delimiter = next((each for each in OTHER_DELIMITERS if each in line.strip()), None)
    return "" if delimiter is None else f"; row 1 seems to be separated by '{delimiter}', not by commas or tabs"


def _looks_like_data(names: Sequence[str]) -> bool:
    """Return whether a column name is a number, which suggests a table without a header."""
    return any(NUMBER.fullmatch(name) for name in names)


def _interaction_tables(place: Place) -> list[Path]:
    """Return the tables that have a column of users and one of items."""
    wanted = (("user", place.columns.user), ("item", place.columns.item))
    return [
        path
        for path in place.ending(*ENDINGS)
        if all(find_column(_column_names(path, place), role, given) is not None for role, given in wanted)
    ]


def _column_names(path: Path, place: Place) -> list[str]:
    """Read the column names of a table."""
    return parquet_names(path) if path.suffix.lower() == ".parquet" else read_header(path, _delimiter(path, place))


def _delimiter(path: Path, place: Place) -> str:
    """Return the delimiter under which a text file has an item column, else the one that gives most columns."""
    choices = DELIMITERS[path.suffix.lower()]
    headers = {delimiter: read_header(path, delimiter) for delimiter in choices}
    fitting = (sep for sep, names in headers.items() if find_column(names, "item", place.columns.item) is not None)
    return next(fitting, max(choices, key=lambda sep: len(headers[sep])))


def _rows(path: Path, place: Place) -> Rows:
    """Read the columns that are used.

    Raises:
        DataError: a column is missing or has two roles, or the table is malformed.
    """
    names, columns = _column_names(path, place), place.columns
    usual = all(find_column(names, role, None) is not None for role in ("user", "item"))
    if not usual and path.suffix.lower() != ".parquet" and _looks_like_data(names):
        raise DataError(
            f"{path}, row 1 looks like data, since it holds a number: {listed(names)}. Write the names of the "
            "columns above it, as in user_id,item_id, or the first interaction would be lost."
        )
    by_role = find_roles(path, names, columns)
    rated = rated_columns(names, by_role)
    unused = [name for name in names if name not in (*by_role.values(), *rated)]
    notes = [f"Columns of {path.name} that are not used: {listed(unused)}."] if unused else []
    if by_role.get("time") in rating_like_columns(names):
        notes.append(f"The times are read from '{by_role['time']}', which is named like a rating or label.")
    likely = None if "time" in by_role else propose_column(unused, "time")
    if likely is not None:
        notes.append(f"Times were not read. If '{likely}' holds them, add --time-column {shlex.quote(likely)}.")
    wanted = list(dict.fromkeys([*by_role.values(), *rated]))
    if path.suffix.lower() == ".parquet":
        table = read_parquet(path, wanted)
        rows = table_rows(path, by_role, {name: table.column(name) for name in wanted}, columns, rated)
        return replace(rows, notes=(*notes, *rows.notes))
    text = read_text(path, _delimiter(path, place), wanted, quoted=path.suffix.lower() != ".inter")
    by_name = {name: text.columns.column(name) for name in wanted}
    notes += text.notes
    for role in ("user", "item"):
        name = by_role[role]
        by_name[name], note = _strip_leading_blanks(name, by_name[name])
        notes += note
    rows = table_rows(path, by_role, by_name, columns, rated)
    return replace(rows, n_joined=text.n_joined, notes=(*notes, *rows.notes))


def _strip_leading_blanks(name: str, column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, list[str]]:
    """Remove the space after each delimiter if all ids begin with one; return the ids and notes on that."""
    import pyarrow.compute as pc

    if not pc.all(pc.starts_with(column, " ")).as_py():
        return column, []
    return pc.utf8_ltrim(column, " "), [f"The blank before every '{name}' was left out."]
