"""RecBole's atomic files: NAME.inter or NAME.PART.inter, NAME.item (float_seq), NAME.user. Reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError, listed
from bench.core.types import Modality
from bench.data.columns import Rows, as_texts, column_ids, interactions, positions, ragged, rated_columns, rows_of
from bench.data.features import Block, ItemKeys, modality_of
from bench.data.formats.place import Content, Place, modality_name, part_files
from bench.data.roles import needed_column, roles
from bench.data.tables import header, read_text, row_number

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "recbole"
NEEDS = "NAME.inter, tab-separated with a header such as 'user_id:token', or NAME.train.inter and the other parts"
TAKES_COLUMNS = True
PATTERN = r".+\.PART[a-z]*\.inter"


def recognise(place: Place) -> str | None:
    """Why this is the layout, or None."""
    tables = place.ending(".inter")
    if not tables or not any(":" in name for name in header(tables[0], "\t")):
        return None
    return (
        f"the columns of {listed(path.name for path in tables)} have types, as in {header(tables[0], chr(9))[0]}"
    )


def read(place: Place) -> Content:
    """The interactions, further users and items of .user and .item, and the modalities of float_seq columns.

    Raises:
        DataError: a table is missing or malformed.
    """
    paths = _interaction_files(place)
    others = {kind: _Table(path) for kind in ("user", "item") for path in place.ending(f".{kind}")[:1]}
    further = {kind: [others[kind].ids(kind, place)] if kind in others else [] for kind in ("user", "item")}
    rows = [_Table(path).rows(place) for path in paths]
    found = interactions(f"interactions, read from {place.path}", rows, further["user"], further["item"])
    item_ids = found.raw.item_ids
    ids = as_texts(item_ids, found.raw.parts[0].n_items)
    of_rows = found.further_items if "item" in others else positions(np.asarray(item_ids))
    if "item" in others and len(np.unique(found.further_items)) < len(found.further_items):
        raise DataError(f"{others['item'].path} lists an item twice. Keep one row for each item.")
    keys = ItemKeys(ids, of_rows)
    modalities = others["item"].modalities(keys) if "item" in others else ()
    used = (*paths, *(table.path for table in others.values()))
    return Content(replace(found.raw, modalities=modalities), keys, used)


def _interaction_files(place: Place) -> tuple[Path, ...]:
    """NAME.inter, or the three parts."""
    tables = place.ending(".inter")
    parts = part_files(tables, PATTERN)
    if len(tables) == 1 or (parts is not None and len(tables) == len(parts)):
        return tuple(tables) if parts is None else parts
    raise DataError(
        f"{place.path} holds the tables {listed(path.name for path in tables)}; expected either one NAME.inter, "
        "or NAME.train.inter, NAME.valid.inter and NAME.test.inter. Move the others away."
    )


class _Table:
    """One atomic file; its columns are read when they are asked for."""

    def __init__(self, path: Path) -> None:
        self.path, self.names = path, header(path, "\t")
        if len(self._full_names()) < len(self.names):
            raise DataError(f"{path}, row 1: two columns differ in their types only. Name every column once.")
        untyped = [name for name in self.names if name.partition(":")[2] not in TYPES]
        if untyped:
            raise DataError(
                f"{path}, row 1: the column '{untyped[0]}' has no type of RecBole's. Write NAME:TYPE with one of "
                f"{listed(TYPES)}."
            )

    def column(self, name: str) -> pa.ChunkedArray:
        """A column as texts, by its full name."""
        return read_text(self.path, "\t", [name], quoted=False).columns.column(name)

    def ids(self, kind: str, place: Place) -> pa.ChunkedArray:
        """The ids of a listing of users or items."""
        full = self._full_names()
        name = full[needed_column(self.path, list(full), kind, getattr(place.columns, kind))]
        return column_ids(self.path, name, self.column(name))

    def rows(self, place: Place) -> Rows:
        """The interactions.

        Raises:
            DataError: a column is missing or has two roles, or an id, time or rating is malformed.
        """
        full = self._full_names()
        short = roles(self.path, list(full), place.columns)
        rated = rated_columns(list(full), short)
        wanted = list(dict.fromkeys([*short.values(), *rated]))
        table = read_text(self.path, "\t", [full[name] for name in wanted], quoted=False).columns
        held = {name: table.column(full[name]) for name in wanted}
        return rows_of(self.path, short, held, place.columns, rated)

    def _full_names(self) -> dict[str, str]:
        """The column names with their types, by the names without."""
        return {name.partition(":")[0]: name for name in self.names}

    def modalities(self, keys: ItemKeys) -> tuple[Modality, ...]:
        """One for each float_seq column of an .item table, whose rows are `keys.of_rows`."""
        found = []
        for name in self.names:
            short, _, kind = name.partition(":")
            if kind == "float_seq":
                rows = _sequences(self.path, name, self.column(name))
                found.append(modality_of(self.path, Block(short, None, rows), modality_name(short), keys)[0])
        return tuple(found)


TYPES = ("token", "token_seq", "float", "float_seq")


def _sequences(path: Path, name: str, column: pa.ChunkedArray) -> NDArray[Any]:
    """Numbers separated by blanks as a matrix; an empty field is a row of zeros."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(column.combine_chunks())
    fields = pc.utf8_split_whitespace(trimmed)
    lengths = np.where(pc.equal(trimmed, "").to_numpy(zero_copy_only=False), 0, pc.list_value_length(fields))
    texts = pc.list_flatten(fields.filter(pc.not_equal(trimmed, "")))
    try:
        values = texts.cast(pa.float32()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        odd = int(np.argmax(np.isnan(pd.to_numeric(texts.to_pandas(), errors="coerce").to_numpy(np.float64))))
        row = int(np.searchsorted(np.cumsum(lengths), odd, side="right"))
        raise DataError(
            f"{path}, {row_number(path, row)}: '{name}' holds '{texts[odd]}', expected numbers separated by "
            "blanks. Correct it."
        ) from None
    return ragged(path, name, lengths, values)
