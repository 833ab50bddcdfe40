"""RecBole's atomic files: NAME.inter or NAME.PART.inter, NAME.item and NAME.user.

Every float_seq column of NAME.item is a modality. Reads files; writes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError, listed
from bench.core.types import Modality
from bench.data.columns import (
    Rows,
    as_texts,
    column_ids,
    items_by_row,
    number_tables,
    ragged_matrix,
    rated_columns,
    table_rows,
)
from bench.data.features import FeatureMatrix, ItemKeys, modality_of
from bench.data.formats.place import Content, Place, describe_missing_parts, modality_name, part_files
from bench.data.numerals import to_numbers
from bench.data.roles import find_roles, require_column
from bench.data.tables import read_header, read_text, row_number

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "recbole"
NEEDS = "NAME.inter, tab-separated with a header such as 'user_id:token', or NAME.train.inter and the other parts"
TAKES_COLUMNS = True
PATTERN = r".+\.PART[a-z]*\.inter"  # such as ml.train.inter
TYPES = ("token", "token_seq", "float", "float_seq")


def recognise(place: Place) -> str | None:
    """Return why the files are in this format, or None if they are not."""
    tables = place.ending(".inter")
    names = read_header(tables[0], "\t") if tables else []
    if not any(":" in name for name in names):
        return None
    return f"the columns of {listed(path.name for path in tables)} have types, as in {names[0]}"


def explain(place: Place) -> list[str]:
    """Return which parts are missing if files of others exist."""
    return describe_missing_parts(place.files, PATTERN)


def read(place: Place) -> Content:
    """Read interactions, further users and items of .user and .item, and modalities of float_seq columns.

    Raises:
        DataError: a table is missing or malformed.
    """
    paths = _interaction_files(place)
    found = {kind: _table_beside(place, paths, f".{kind}") for kind in ("user", "item")}
    others = {kind: _Table(path) for kind, path in found.items() if path is not None}
    further = {kind: [others[kind].ids(kind, place)] if kind in others else [] for kind in ("user", "item")}
    rows = [_Table(path).rows(place) for path in paths]
    table = number_tables(f"interactions, read from {place.path}", rows, further["user"], further["item"])
    item_ids = table.raw.item_ids
    ids = as_texts(item_ids, table.raw.parts[0].n_items)
    of_rows = table.further_items if "item" in others else items_by_row(np.asarray(item_ids))
    if "item" in others and len(np.unique(table.further_items)) < len(table.further_items):
        raise DataError(f"{others['item'].path} lists an item twice. Keep one row for each item.")
    keys = ItemKeys(ids, of_rows)
    modalities = others["item"].modalities(keys) if "item" in others else ()
    used = (*paths, *(other.path for other in others.values()))
    return Content(replace(table.raw, modalities=modalities), keys, used)


def _interaction_files(place: Place) -> tuple[Path, ...]:
    """Return NAME.inter, or the files of the three parts."""
    tables = place.ending(".inter")
    parts = part_files(tables, PATTERN)
    if len(tables) == 1 or (parts is not None and len(tables) == len(parts)):
        return tuple(tables) if parts is None else parts
    raise DataError(
        f"{place.path} holds the tables {listed(path.name for path in tables)}; expected either one NAME.inter, "
        "or NAME.train.inter, NAME.valid.inter and NAME.test.inter. Move the others away."
    )


def _table_beside(place: Place, paths: tuple[Path, ...], ending: str) -> Path | None:
    """Return the .user or .item file with the name of the interactions, else the only one; None if there is none.

    Raises:
        DataError: there are several, and none of that name alone.
    """
    tables = place.ending(ending)
    stem = paths[0].stem if len(paths) == 1 else Path(paths[0].stem).stem  # ml of ml.inter and of ml.train.inter
    own = [path for path in tables if path.stem == stem] or tables
    if len(own) <= 1:
        return own[0] if own else None
    raise DataError(
        f"{place.path} holds the tables {listed(path.name for path in own)}; expected one, named {stem}{ending} "
        f"like {paths[0].name}. Rename the one that belongs to it, or move the others away."
    )


class _Table:
    """One atomic file, whose columns are read on demand."""

    def __init__(self, path: Path) -> None:
        self.path, self.names = path, read_header(path, "\t")
        if len(self._full_names()) < len(self.names):
            raise DataError(f"{path}, row 1: two columns differ only in their types. Name every column once.")
        untyped = [name for name in self.names if name.partition(":")[2] not in TYPES]
        if untyped:
            raise DataError(
                f"{path}, row 1: the column '{untyped[0]}' has no RecBole type. Write NAME:TYPE with one of "
                f"{listed(TYPES)}."
            )

    def column(self, name: str) -> pa.ChunkedArray:
        """Read a column as texts, by its name with type."""
        return read_text(self.path, "\t", [name], quoted=False).columns.column(name)

    def ids(self, kind: str, place: Place) -> pa.ChunkedArray:
        """Read the ids of a .user or .item table."""
        full = self._full_names()
        name = full[require_column(self.path, list(full), kind, getattr(place.columns, kind))]
        return column_ids(self.path, name, self.column(name))

    def rows(self, place: Place) -> Rows:
        """Read the interactions.

        Raises:
            DataError: a column is missing or has two roles, or an id, time or rating is malformed.
        """
        full = self._full_names()
        short = find_roles(self.path, list(full), place.columns)
        rated = rated_columns(list(full), short)
        wanted = list(dict.fromkeys([*short.values(), *rated]))
        table = read_text(self.path, "\t", [full[name] for name in wanted], quoted=False).columns
        by_name = {name: table.column(full[name]) for name in wanted}
        return table_rows(self.path, short, by_name, place.columns, rated)

    def _full_names(self) -> dict[str, str]:
        """Return the column names with their types, keyed by the names without."""
        return {name.partition(":")[0]: name for name in self.names}

    def modalities(self, keys: ItemKeys) -> tuple[Modality, ...]:
        """Read one modality per float_seq column of an .item table, whose rows belong to `keys.of_rows`."""
        modalities = []
        for name in self.names:
            short, _, kind = name.partition(":")
            if kind == "float_seq":
                rows = _sequences(self.path, name, self.column(name))
                block = FeatureMatrix(short, None, rows)
                modalities.append(modality_of(self.path, block, modality_name(short), keys)[0])
        return tuple(modalities)


def _sequences(path: Path, name: str, column: pa.ChunkedArray) -> NDArray[Any]:
    """Parse numbers separated by spaces into a matrix; an empty field becomes a row of zeros."""
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(column.combine_chunks())
    fields = pc.utf8_split_whitespace(trimmed)
    lengths = np.where(pc.equal(trimmed, "").to_numpy(zero_copy_only=False), 0, pc.list_value_length(fields))
    texts = pc.list_flatten(fields.filter(pc.not_equal(trimmed, "")))
    try:  # Arrow does not say which value it cannot parse; the handler looks for it
        values = texts.cast(pa.float32()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        odd = int(np.argmax(np.isnan(to_numbers(texts.to_pandas()))))
        row = int(np.searchsorted(np.cumsum(lengths), odd, side="right"))
        raise DataError(
            f"{path}, {row_number(path, row)}: '{name}' holds '{texts[odd]}', expected numbers separated by "
            "spaces. Correct it."
        ) from None
    return ragged_matrix(path, name, lengths, values)
