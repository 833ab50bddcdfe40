"""Plain tables: one CSV, TSV or Parquet of user, item and perhaps time, ids as they are. Reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core.errors import DataError, listed
from bench.data.columns import Rows, as_texts, interactions, positions, rated_columns, rows_of
from bench.data.features import ItemKeys
from bench.data.formats.place import Content, Place
from bench.data.roles import roles, usual_column
from bench.data.tables import header, parquet_names, read_parquet, read_text

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
    """Why this is the layout, or None."""
    found = _interaction_tables(place)
    if not found:
        return None
    names = _names(found[0], place)
    user, item = (usual_column(names, role, getattr(place.columns, role)) for role in ("user", "item"))
    return f"{found[0].name} has the columns '{user}' of users and '{item}' of items"


def read(place: Place) -> Content:
    """The interactions.

    Raises:
        DataError: there is no such table, or more than one, or it is malformed.
    """
    found = _interaction_tables(place)
    candidates = _candidates(place)
    if not found and len(candidates) == 1:
        found = candidates
    if not found:
        raise DataError(f"{place.path} holds no table of users and items. {listed(lacks(place))}")
    if len(found) > 1:
        raise DataError(
            f"{place.path} holds {len(found)} tables of users and items ({listed(path.name for path in found)}), "
            "expected one. Give the path of the table itself, or name its columns with --user-column and "
            "--item-column."
        )
    rows = _rows(found[0], place)
    raw = interactions(f"interactions, read from {found[0]}", [rows]).raw
    assert raw.item_ids is not None  # a table always has ids
    keys = ItemKeys(as_texts(raw.item_ids, raw.parts[0].n_items), positions(raw.item_ids))
    return Content(raw, keys, (found[0],))


def lacks(place: Place) -> list[str]:
    """What keeps each file that may be meant as a table from being one, and what to do."""
    said = [_lack_of_columns(path, place) for path in _candidates(place)]
    for path in place.files:
        ending = path.suffix.lower()
        if ending in (".gz", ".zip", ".bz2", ".xz"):
            said.append(f"{path.name} is packed: unpack it first ('gunzip -k {path.name}' for a .gz).")
        elif ending in OTHER_ENDINGS:
            said.append(
                f"{path.name} ends with {ending}: save it as .csv or .tsv, with the names of the columns in row 1"
                f"{_other_delimiter(path)}."
            )
    return said


def _lack_of_columns(path: Path, place: Place) -> str:
    """Which column a table lacks, and why that may be."""
    names = _names(path, place)
    given = {role: getattr(place.columns, role) for role in ("user", "item")}
    missing = [role for role, name in given.items() if usual_column(names, role, name) is None]
    wanted = " and ".join(f"'{given[role]}'" if given[role] else f"one of {role}s" for role in missing)
    if path.suffix.lower() == ".inter" and any(":" in name for name in names):
        return f"{path.name} has the typed columns {listed(names)}: read it with --layout recbole."
    said = f"{path.name} has the columns {listed(names)} and lacks {wanted}"
    if len(names) == 1 and path.suffix.lower() != ".parquet":
        said += f": its fields are not divided by {' '.join(map(repr, DELIMITERS[path.suffix.lower()]))}"
        return f"{said}{_other_delimiter(path)}. Save it as CSV with commas."
    if _looks_like_data(names):
        return f"{said}; row 1 looks like data. Write the names of the columns above it, as in user_id,item_id."
    options = listed(f"--{role}-column" for role in missing)
    return f"{said}. Name them with {options}."


def _other_delimiter(path: Path) -> str:
    """The divider that the first line seems to have, in words; "" where it has none of the usual ones."""
    try:
        with path.open("rb") as stream:
            line = stream.readline(4096).decode("utf-8", "replace")
    except OSError:
        return ""
    found = next((each for each in OTHER_DELIMITERS if each in line.strip()), None)
    return "" if found is None else f"; row 1 seems to be divided by '{found}', which only commas or tabs may do"


def _looks_like_data(names: Sequence[str]) -> bool:
    """Whether names of columns are numbers, as where a table has no header."""
    return any(NUMBER.fullmatch(name) for name in names)


def _candidates(place: Place) -> list[Path]:
    """Files that may be tables of interactions by their ending."""
    return place.ending(*ENDINGS)


def _interaction_tables(place: Place) -> list[Path]:
    """Tables that have both columns."""
    wanted = (("user", place.columns.user), ("item", place.columns.item))
    return [
        path
        for path in _candidates(place)
        if all(usual_column(_names(path, place), role, given) is not None for role, given in wanted)
    ]


def _names(path: Path, place: Place) -> list[str]:
    return parquet_names(path) if path.suffix.lower() == ".parquet" else header(path, _delimiter(path, place))


def _delimiter(path: Path, place: Place) -> str:
    """The delimiter under which a text file has the column of items, else the one that divides its first line."""
    choices = DELIMITERS[path.suffix.lower()]
    fitting = (one for one in choices if usual_column(header(path, one), "item", place.columns.item) is not None)
    return next(fitting, max(choices, key=lambda one: len(header(path, one))))


def _rows(path: Path, place: Place) -> Rows:
    """The columns that are used.

    Raises:
        DataError: one is missing or has two roles, or the table is malformed.
    """
    names, columns = _names(path, place), place.columns
    usual = all(usual_column(names, role, None) is not None for role in ("user", "item"))
    if not usual and path.suffix.lower() != ".parquet" and _looks_like_data(names):
        raise DataError(
            f"{path}, row 1 looks like data, since it holds a number: {listed(names)}. Write the names of the "
            "columns above it, as in user_id,item_id, or the first interaction would be lost."
        )
    found = roles(path, names, columns)
    rated = rated_columns(names, found)
    wanted = list(dict.fromkeys([*found.values(), *rated]))
    if path.suffix.lower() == ".parquet":
        table = read_parquet(path, wanted)
        return rows_of(path, found, {name: table.column(name) for name in wanted}, columns, rated)
    text = read_text(path, _delimiter(path, place), wanted, quoted=path.suffix.lower() != ".inter")
    held = {name: text.columns.column(name) for name in wanted}
    notes = list(text.notes)
    for role in ("user", "item"):
        held[found[role]], note = _without_leading_blanks(found[role], held[found[role]])
        notes += note
    rows = rows_of(path, found, held, columns, rated)
    return replace(rows, n_joined=text.n_joined, notes=tuple(notes))


def _without_leading_blanks(name: str, column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, list[str]]:
    """The ids without the blank after each delimiter, where every one has it; and what is said of that."""
    import pyarrow.compute as pc

    if not pc.all(pc.starts_with(column, " ")).as_py():
        return column, []
    return pc.utf8_ltrim(column, " "), [f"The blank before every '{name}' was left out."]
