"""Render the templates, and turn tables and figures into the values that they show. Reads `templates/` only.

A page loads nothing from elsewhere, and its security policy lets no other script run.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.report.figure import Figure
from bench.report.render import to_csv, to_latex
from bench.report.table import Block, Cell, Row, Table, Tidy
from bench.runs.records import DataFacts

TEMPLATES = Path(__file__).resolve().parent / "templates"
ZIP_FROM = 200_000  # characters of a CSV from which its download is compressed
LEAD_WORDS = 40  # a caption shows whole sentences up to this number of words, and folds the others
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z(*†‡%])")
FIGURE_FILES = ("pdf", "svg")
BADGES = {
    "real": "real data",
    "embedded": "embedded data: shipped inside a package, not the paper's",
    "surrogate": "synthetic data (surrogate): drawn at random, says nothing about real users",
}


def read_template(name: str) -> str:
    """Read the text of a style sheet or script."""
    return (TEMPLATES / name).read_text(encoding="utf-8")


def render_template(name: str, **values: Any) -> str:
    """Render a template; values are escaped as text unless the template marks them as safe."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template(name).render(**values)


def content_security_policy(*scripts: str) -> str:
    """Return the content security policy: the page loads nothing and runs only these scripts."""
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in scripts]
    return (
        f"default-src 'none'; script-src {' '.join(hashes)}; style-src 'unsafe-inline'; img-src data: blob:; "
        f"base-uri 'none'; form-action 'none'"
    )


@dataclass(frozen=True)
class Badge:
    """The label of a data set that shows its source: real, embedded or surrogate."""

    source: str
    name: str
    meaning: str


@dataclass(frozen=True)
class Download:
    """A file to download: inside the page as a data URL, or beside it."""

    name: str
    address: str


@dataclass(frozen=True)
class Head:
    """A column head: its text, the number of columns that it spans, and its alignment."""

    text: str
    span: int = 1
    align: str = "left"


@dataclass(frozen=True)
class Grid:
    """One HTML table; `bodies` are the groups of rows between rules, each sorted separately.

    `caption` stands above the table; `label` names it for screen readers. A table of undecided verdicts is folded.
    """

    caption: str
    label: str
    groups: list[Head]
    heads: list[Head]
    bodies: list[list[list[tuple[Cell, str]]]]

    @property
    def has_only_undecided(self) -> bool:
        """Return whether every row is an undecided verdict; such a table is folded."""
        return bool(self.bodies) and all(row[0][0].tone == "open" for body in self.bodies for row in body)

    @property
    def n_rows(self) -> int:
        """Return the number of rows."""
        return sum(map(len, self.bodies))


@dataclass(frozen=True)
class Item:
    """A table or figure of the page.

    Attributes:
        anchor: name of its artifact.
        name: its heading.
        lead: the first sentences of the caption.
        reading: the other sentences, which are folded.
        notes: footnotes.
        grids: the tables.
        drawing: the figure as SVG.
        downloads: its files.
    """

    anchor: str
    name: str
    lead: str
    reading: str = ""
    notes: Sequence[str] = ()
    grids: Sequence[Grid] = field(default_factory=list)
    drawing: str = ""
    downloads: Sequence[Download] = ()


def badges(facts: Sequence[DataFacts]) -> list[Badge]:
    """Return one badge per data set."""
    return [
        Badge(each.source, f"{each.card}{_scale(each)}, {each.split} split", BADGES[each.source]) for each in facts
    ]


def grid(block: Block, label: str) -> Grid:
    """Convert a block of a table; a ruled row begins a new group of rows.

    The first group, which names the data set, is the caption above the table, where a narrow screen shows it.
    Heads that span columns stay where there is another group.
    """
    heads = [Head(column.title, align=column.align) for column in block.columns]
    named = list(dict.fromkeys(name for name, _ in block.groups if name))
    groups = [Head(name, span) for name, span in block.groups] if len(named) > 1 else []
    bodies: list[list[list[tuple[Cell, str]]]] = []
    for row in block.rows:
        if row.ruled or not bodies:
            bodies.append([])
        bodies[-1].append(_cells(row, block))
    return Grid(named[0] if named else "", label, groups, heads, bodies)


def table_item(anchor: str, table: Table) -> Item:
    """Convert a table, with its CSV and LaTeX forms as downloads."""
    grids = [
        grid(block, f"{table.name}{_suffix(block, place, table)}") for place, block in enumerate(table.blocks)
    ]
    files = [csv_file(anchor, table), Download(f"{anchor}.tex", _text_url("application/x-tex", to_latex(table)))]
    return Item(anchor, table.name, *split_caption(table.caption), table.notes, grids, downloads=files)


def figure_item(anchor: str, figure: Figure, svg: str) -> Item:
    """Convert a figure, drawn as `svg`, with its numbers and the files beside the page as downloads."""
    files = [Download(f"{anchor}.{form}", f"figures/{anchor}.{form}") for form in FIGURE_FILES]
    return Item(
        anchor, figure.name, *split_caption(figure.caption), figure.notes, drawing=_inline(svg, anchor),
        downloads=[csv_file(anchor, figure), *files],
    )  # fmt: skip


def split_caption(caption: str) -> tuple[str, str]:
    """Split a caption into its first sentences, at least one and at most `LEAD_WORDS` words, and the others."""
    first, *others = SENTENCE_END.split(caption)
    while others and len(f"{first} {others[0]}".split()) <= LEAD_WORDS:
        first = f"{first} {others.pop(0)}"
    return first, " ".join(others)


def csv_file(anchor: str, tidy: Tidy) -> Download:
    """Return the CSV of a table or figure as a download, compressed if it is large."""
    text = to_csv(tidy)
    if len(text) < ZIP_FROM:
        return Download(f"{anchor}.csv", _text_url("text/csv;charset=utf-8", text))
    zipped = gzip.compress(text.encode("utf-8"), mtime=0)  # without the time, for equal bytes
    return Download(f"{anchor}.csv.gz", _data_url("application/gzip", zipped))


def _suffix(block: Block, place: int, table: Table) -> str:
    groups = ", ".join(name for name, _ in block.groups if name)
    part = f", part {place + 1} of {len(table.blocks)}" if len(table.blocks) > 1 else ""
    return part + (f": {groups}" if groups else "")


def _cells(row: Row, block: Block) -> list[tuple[Cell, str]]:
    return [(cell, column.align) for cell, column in zip(row.cells, block.columns, strict=True)]


def _scale(facts: DataFacts) -> str:
    return "" if facts.scale is None else f" ×{facts.scale:g}"


def _inline(svg: str, anchor: str) -> str:
    """Return an SVG file as an element of the page, whose tooltips work there.

    matplotlib uses the same ids in every drawing, so they get the anchor as a prefix. Its style sheet would apply
    to the whole page; the page's own has the rule instead.
    """
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{anchor}-", text)


def _text_url(media_type: str, text: str) -> str:
    return _data_url(media_type, text.encode("utf-8"))


def _data_url(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
