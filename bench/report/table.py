"""A results table as a value: what stands where, and which cells are marked. Pure; no text format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal
from typing import Protocol as Structural

Mark = Literal["", "best", "second"]
CsvValue = str | int | float | None


class Tidy(Structural):
    """What has tidy rows for programs, as tables and figures do."""

    @property
    def csv_header(self) -> tuple[str, ...]:
        """Names of the columns."""

    @property
    def csv_rows(self) -> tuple[tuple[CsvValue, ...], ...]:
        """One tuple a row, full precision; None where there is nothing."""


@dataclass(frozen=True)
class Cell:
    """One cell. Its number keeps full precision and is rounded by `text` alone.

    Attributes:
        value: the number, None for a cell of words or an empty one.
        sd: standard deviation shown after the number, in the number's own form.
        form: format specification of number and deviation.
        words: shown after the number, or alone.
        mark: whether it is the best or second best of its column.
    """

    value: float | None = None
    sd: float | None = None
    form: str = ".4f"
    words: str = ""
    mark: Mark = ""

    @property
    def text(self) -> str:
        """The cell as plain text, without its mark and without escapes."""
        number = "" if self.value is None else format(self.value, self.form)
        spread = "" if self.sd is None else f"± {format(self.sd, self.form)}"
        return " ".join(part for part in (number, spread, self.words) if part)


@dataclass(frozen=True)
class Column:
    """A column head. Neighbours of one `group` share a head above their titles.

    The group of a results column is the label of its data, so that every format names the source. Sentences get a
    `share` of the page's width, in which they are wrapped where a format would not do it by itself.
    """

    title: str
    group: str = ""
    align: Literal["left", "right"] = "right"
    share: float = 0.0


@dataclass(frozen=True)
class Row:
    """Cells from left to right; `ruled` draws a line above where the format has lines."""

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
        """Group heads from left to right, each with the number of columns it spans."""
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
        name: for example "Table 3".
        caption: what the numbers are and what the marks mean.
        blocks: parts that stand below each other, for example one a data set.
        notes: footnotes, in order.
        csv_header: names of the tidy columns.
        csv_rows: one tuple a cell, full precision; None where there is nothing.
    """

    name: str
    caption: str
    blocks: tuple[Block, ...]
    notes: tuple[str, ...]
    csv_header: tuple[str, ...]
    csv_rows: tuple[tuple[CsvValue, ...], ...]


def marks(values: Sequence[float | None]) -> list[Mark]:
    """Best and second best of a column; the larger is the better, and all equal values get the same mark.

    Args:
        values: unrounded; None takes no part.
    """
    ranked = sorted({value for value in values if value is not None}, reverse=True)
    names: tuple[Mark, ...] = ("best", "second")
    given = dict(zip(ranked, names, strict=False))
    return ["" if value is None else given.get(value, "") for value in values]


def improvement(proposed: float | None, others: Iterable[float | None]) -> float | None:
    """`proposed / best other - 1`, signed; None where one side is missing or the best other is 0."""
    best = max((value for value in others if value is not None), default=None)
    return proposed / best - 1 if proposed is not None and best else None
