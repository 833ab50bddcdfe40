"""Layer 4. RecBole's atomic files: NAME.inter or NAME.PART.inter, NAME.item (float_seq), NAME.user. Reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError, listed
from bench.layouts.columns import interactions, positions
from bench.layouts.modality_names import modality_name
from bench.layouts.place import Content, Place, needed_column, part_files, usual_column
from bench.sources.blocks import Block
from bench.sources.features import ItemKeys, modality_of
from bench.sources.ids import as_texts, column_ids
from bench.sources.parsing import ragged
from bench.sources.raw import RawData
from bench.sources.tables import header, read_text, row_number
from bench.types import Modality

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "recbole"
NEEDS = "NAME.inter, tab-separated with a header such as 'user_id:token', or NAME.train.inter and the other parts"
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
    tables = [_Table(path) for path in paths]
    others = {kind: _Table(path) for kind in ("user", "item") for path in place.ending(f".{kind}")[:1]}
    ids = {
        kind: [table.ids(kind, place) for table in (*tables, *([others[kind]] if kind in others else []))]
        for kind in ("user", "item")
    }
    times = [table.times(place) for table in tables]
    found = interactions(tables[0].path, ids["user"], ids["item"], times, len(tables))
    of_rows = found.further_items if "item" in others else positions(found.item_ids)
    if "item" in others and len(np.unique(found.further_items)) < len(found.further_items):
        raise DataError(f"{others['item'].path} lists an item twice. Keep one row for each item.")
    keys = ItemKeys(as_texts(found.item_ids, len(found.item_ids)), of_rows)
    raw = RawData(
        origin=f"interactions, read from {place.path}",
        parts=found.parts,
        modalities=others["item"].modalities(keys) if "item" in others else (),
        notes=_notes(tables),
        user_ids=found.user_ids,
        item_ids=found.item_ids,
        n_repeated=found.n_repeated,
    )
    return Content(raw, keys, (*paths, *(table.path for table in others.values())))


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


def _notes(tables: Sequence[_Table]) -> tuple[str, ...]:
    rated = any(name.partition(":")[0] == "rating" for table in tables for name in table.names)
    return ("Every row is a positive, whatever its rating.",) * rated


class _Table:
    """One atomic file; its columns are read when they are asked for."""

    def __init__(self, path: Path) -> None:
        self.path, self.names = path, header(path, "\t")
        untyped = [name for name in self.names if name.partition(":")[2] not in TYPES]
        if untyped:
            raise DataError(
                f"{path}, row 1: the column '{untyped[0]}' has no type of RecBole's. Write NAME:TYPE with one of "
                f"{listed(TYPES)}."
            )

    def column(self, name: str) -> pa.ChunkedArray:
        """A column as texts."""
        return read_text(self.path, "\t", [name], quoted=False).column(name)

    def named(self, role: str, given: str | None) -> str | None:
        """The full name of the column for a role."""
        short = [name.partition(":")[0] for name in self.names]
        found = usual_column(short, role, given)
        return None if found is None else self.names[short.index(found)]

    def ids(self, kind: str, place: Place) -> pa.ChunkedArray:
        """The ids of users or items."""
        given = getattr(place.columns, kind)
        name = self.named(kind, given) or needed_column(self.path, self.names, kind, given)
        return column_ids(self.path, name, self.column(name))

    def times(self, place: Place) -> Any:
        """The times of the rows, `[n]`; None where the table has none."""
        from bench.sources.ids import seconds

        name = self.named("time", place.columns.time)
        return None if name is None else seconds(self.path, name, self.column(name))

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
