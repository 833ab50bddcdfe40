"""A page from the files under `templates/`: nothing is loaded from elsewhere, no other script runs.

Tables and figures as what the templates show: heads, cells, downloads. Pure but for the drawing.

A figure is an image inside the page and no part of its tree: matplotlib uses the same ids in every drawing, and
gives each a style sheet that would reach the page.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.report.figure import Figure, styled
from bench.report.html.charts import Panel
from bench.report.render import to_csv, to_latex
from bench.report.table import Block, Cell, Row, Table, Tidy
from bench.runs.records import DataFacts

TEMPLATES = Path(__file__).resolve().parent / "templates"


def part(name: str) -> str:
    """The text of a style or script."""
    return (TEMPLATES / name).read_text(encoding="utf-8")


def rendered(name: str, **values: Any) -> str:
    """A template with its values; what they hold is text and never markup, unless the template says so."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template(name).render(**values)


def policy(*scripts: str) -> str:
    """The content security policy: nothing is loaded, and no script runs but these."""
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in scripts]
    return (
        f"default-src 'none'; script-src {' '.join(hashes)}; style-src 'unsafe-inline'; img-src data: blob:; "
        f"base-uri 'none'; form-action 'none'"
    )


ZIP_FROM = 200_000  # bytes of a CSV
BADGES = {
    "real": "real data",
    "embedded": "embedded data: shipped inside a package, not the paper's",
    "surrogate": "surrogate data: drawn at random, says nothing about real users",
}


@dataclass(frozen=True)
class Badge:
    """Which data, and how far it can be trusted."""

    source: str
    name: str
    meaning: str


@dataclass(frozen=True)
class Download:
    """A file inside the page."""

    name: str
    address: str


@dataclass(frozen=True)
class Head:
    """A column head: its text, columns that it spans, and alignment."""

    text: str
    span: int = 1
    align: str = "left"


@dataclass(frozen=True)
class Grid:
    """One HTML table; `bodies` are the groups of rows that rules part, each sorted for itself."""

    caption: str
    groups: list[Head]
    heads: list[Head]
    bodies: list[list[list[tuple[Cell, str]]]]


@dataclass(frozen=True)
class Item:
    """A table or figure of the page."""

    anchor: str
    name: str
    caption: str
    notes: Sequence[str] = ()
    grids: Sequence[Grid] = ()
    image: str = ""
    panels: Sequence[Panel] = field(default_factory=list)
    downloads: Sequence[Download] = ()


def badges(facts: Sequence[DataFacts]) -> list[Badge]:
    """Make one for each data set."""
    return [
        Badge(each.source, f"{each.card}{_scale(each)}, {each.split} split", BADGES[each.source]) for each in facts
    ]


def grid(block: Block, caption: str) -> Grid:
    """A block of a table; a ruled row begins a new group of rows."""
    heads = [Head(column.title, align=column.align) for column in block.columns]
    groups = [Head(name, span) for name, span in block.groups] if any(name for name, _ in block.groups) else []
    bodies: list[list[list[tuple[Cell, str]]]] = []
    for row in block.rows:
        if row.ruled or not bodies:
            bodies.append([])
        bodies[-1].append(_cells(row, block))
    return Grid(caption, groups, heads, bodies)


def table_item(anchor: str, table: Table) -> Item:
    """A table with its CSV and LaTeX form."""
    grids = [grid(block, f"{table.name}{_part(block, place, table)}") for place, block in enumerate(table.blocks)]
    files = [csv_file(anchor, table), Download(f"{anchor}.tex", _address("application/x-tex", to_latex(table)))]
    return Item(anchor, table.name, table.caption, table.notes, grids, downloads=files)


def figure_item(anchor: str, figure: Figure, panels: Sequence[Panel] = ()) -> Item:
    """A figure with its numbers."""
    return Item(
        anchor, figure.name, figure.caption, figure.notes, image=_image(figure), panels=panels,
        downloads=[csv_file(anchor, figure)],
    )  # fmt: skip


def csv_file(anchor: str, tidy: Tidy) -> Download:
    """The numbers of a table or figure; compressed where they are many."""
    text = to_csv(tidy)
    if len(text) < ZIP_FROM:
        return Download(f"{anchor}.csv", _address("text/csv;charset=utf-8", text))
    zipped = gzip.compress(text.encode("utf-8"), mtime=0)  # without the hour, for equal bytes
    return Download(f"{anchor}.csv.gz", _encoded("application/gzip", zipped))


def _part(block: Block, place: int, table: Table) -> str:
    groups = ", ".join(name for name, _ in block.groups if name)
    part = f", part {place + 1} of {len(table.blocks)}" if len(table.blocks) > 1 else ""
    return part + (f": {groups}" if groups else "")


def _cells(row: Row, block: Block) -> list[tuple[Cell, str]]:
    return [(cell, column.align) for cell, column in zip(row.cells, block.columns, strict=True)]


def _scale(facts: DataFacts) -> str:
    return "" if facts.scale is None else f" ×{facts.scale:g}"


def _image(figure: Figure) -> str:
    text = io.BytesIO()
    with styled():
        figure.draw().savefig(text, format="svg", metadata={"Date": None})
    return _encoded("image/svg+xml", text.getvalue())


def _address(kind: str, text: str) -> str:
    return _encoded(kind, text.encode("utf-8"))


def _encoded(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
