"""A results table as a value, independent of any text format: cells, columns, blocks and marks. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal
from typing import Protocol as Structural

Mark = Literal["", "best", "second"]
Tone = Literal["", "good", "bad", "open"]
CsvValue = str | int | float | None


class Tidy(Structural):
    """Anything with tidy rows for programs: tables and figures."""

    @property
    def csv_header(self) -> tuple[str, ...]:
        """Return the names of the columns."""

    @property
    def csv_rows(self) -> tuple[tuple[CsvValue, ...], ...]:
        """Return one tuple per row at full precision; None for a missing value."""


@dataclass(frozen=True)
class Cell:
    """One cell. Its number keeps full precision; only `text` rounds it.

    Attributes:
        value: the number; None for an empty cell or one with words only.
        sd: standard deviation shown after the number, in the same form.
        form: format specification of number and deviation.
        words: text shown after the number, or alone.
        mark: whether the cell is the best or second best of its column.
        tone: what a verdict means, for formats with colours.
    """

    value: float | None = None
    sd: float | None = None
    form: str = ".4f"
    words: str = ""
    mark: Mark = ""
    tone: Tone = ""

    @property
    def text(self) -> str:
        """Return the cell as plain text, without mark and escapes."""
        number = "" if self.value is None else format(self.value, self.form)
        spread = "" if self.sd is None else f"± {format(self.sd, self.form)}"
        return " ".join(part for part in (number, spread, self.words) if part)


@dataclass(frozen=True)
class Column:
    """A column head. Neighbouring columns of one `group` share a head above their titles.

    The group of a results column is the label of its data, so that every format names the source. A column of
    sentences has a `share` of the page's width, for formats that do not wrap text by themselves.
    """

    title: str
    group: str = ""
    align: Literal["left", "right"] = "right"
    share: float = 0.0


@dataclass(frozen=True)
class Row:
    """Cells from left to right; `ruled` draws a line above the row in formats that have lines."""

    cells: tuple[Cell, ...]
    ruled: bool = False


@dataclass(frozen=True)
class Block:
    """Rows under one set of columns."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.cells) != len(self.columns):
                raise ValueError(f"A row of {len(row.cells)} cells does not fit {len(self.columns)} columns.")

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Return the group heads from left to right, each with the number of columns it spans."""
        spans: list[tuple[str, int]] = []
        for column in self.columns:
            if spans and spans[-1][0] == column.group:
                spans[-1] = (column.group, spans[-1][1] + 1)
            else:
                spans.append((column.group, 1))
        return spans


@dataclass(frozen=True)
class Table:
    """A table for people (`blocks`) and for programs (`csv_header`, `csv_rows`).

    Attributes:
        name: for example "Accuracy (the paper's Table 3)".
        caption: what the numbers are and what the marks mean.
        blocks: parts shown below each other, for example one per data set.
        notes: footnotes, in order.
        csv_header: names of the tidy columns.
        csv_rows: one tuple per cell at full precision; None for a missing value.
    """

    name: str
    caption: str
    blocks: tuple[Block, ...]
    notes: tuple[str, ...]
    csv_header: tuple[str, ...]
    csv_rows: tuple[tuple[CsvValue, ...], ...]


def marks(values: Sequence[float | None]) -> list[Mark]:
    """Mark the best and second best of a column; larger is better, and equal values get the same mark.

    Args:
        values: unrounded; None is never marked.
    """
    ranked = sorted({value for value in values if value is not None}, reverse=True)
    names: tuple[Mark, ...] = ("best", "second")
    by_value = dict(zip(ranked, names, strict=False))
    return ["" if value is None else by_value.get(value, "") for value in values]


def improvement(proposed: float | None, others: Iterable[float | None]) -> float | None:
    """Return `proposed / best other - 1`, signed; None if one side is missing or the best other is 0."""
    best = max((value for value in others if value is not None), default=None)
    return proposed / best - 1 if proposed is not None and best else None
