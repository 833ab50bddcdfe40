"""Layer 4. Plain tables: one CSV, TSV or Parquet of user, item and perhaps time, ids as they are. Reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import DataError, listed
from bench.layouts.columns import interactions, positions
from bench.layouts.place import Content, Place, needed_column, usual_column
from bench.sources.features import ItemKeys
from bench.sources.ids import as_texts, column_ids, seconds
from bench.sources.raw import RawData
from bench.sources.tables import header, parquet_names, read_parquet, read_text

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "table"
NEEDS = "one .csv, .tsv or .parquet with a column of users and one of items (--user-column, --item-column)"
DELIMITERS = {".csv": ",;\t", ".tsv": "\t"}


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
    candidates = place.ending(".csv", ".tsv", ".parquet")
    if not found and len(candidates) == 1:
        found = candidates
    if len(found) != 1:
        raise DataError(
            f"{place.path} holds {len(found)} tables of users and items ({listed(path.name for path in found)}), "
            "expected one. Give the path of the table itself, or name its columns with --user-column and "
            "--item-column."
        )
    path, columns = found[0], place.columns
    names = _names(path, place)
    user, item = (needed_column(path, names, role, getattr(columns, role)) for role in ("user", "item"))
    time = usual_column(names, "time", columns.time)
    if time is None and columns.time is not None:
        time = needed_column(path, names, "time", columns.time)
    table = _columns(path, place, [name for name in (user, item, time) if name is not None])
    times = None if time is None else seconds(path, time, table.column(time))
    ids = [[column_ids(path, name, table.column(name))] for name in (user, item)]
    pairs = interactions(path, ids[0], ids[1], [times], 1)
    notes = ("Every row is a positive, whatever its rating.",) if "rating" in names else ()
    raw = RawData(
        origin=f"interactions, read from {path}",
        parts=pairs.parts,
        modalities=(),
        notes=notes,
        user_ids=pairs.user_ids,
        item_ids=pairs.item_ids,
        n_repeated=pairs.n_repeated,
    )
    keys = ItemKeys(as_texts(pairs.item_ids, len(pairs.item_ids)), positions(pairs.item_ids))
    return Content(raw, keys, (path,))


def _interaction_tables(place: Place) -> list[Path]:
    """Tables that have both columns."""
    wanted = (("user", place.columns.user), ("item", place.columns.item))
    return [
        path
        for path in place.ending(".csv", ".tsv", ".parquet")
        if all(usual_column(_names(path, place), role, given) is not None for role, given in wanted)
    ]


def _names(path: Path, place: Place) -> list[str]:
    return parquet_names(path) if path.suffix.lower() == ".parquet" else header(path, _delimiter(path, place))


def _delimiter(path: Path, place: Place) -> str:
    """The delimiter under which a text file has the column of items, else its usual one."""
    choices = DELIMITERS[path.suffix.lower()]
    fitting = (one for one in choices if usual_column(header(path, one), "item", place.columns.item) is not None)
    return next(fitting, choices[0])


def _columns(path: Path, place: Place, names: list[str]) -> pa.Table:
    if path.suffix.lower() == ".parquet":
        return read_parquet(path, names)
    return read_text(path, _delimiter(path, place), names)
