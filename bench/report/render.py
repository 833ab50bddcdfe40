"""Layer 8. A table as Markdown, CSV or terminal table, and its files. Writes into the given directory only."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import ResultsError, UsageError
from bench.files import write_text
from bench.report.latex import to_latex
from bench.report.table import Block, Cell, Table, Tidy
from bench.safe_text import for_csv, for_markdown

if TYPE_CHECKING:
    from rich.table import Table as RichTable

MARKDOWN_MARKS = {"": "{}", "best": "**{}**", "second": "<u>{}</u>"}
RICH_MARKS = {"": "", "best": "bold", "second": "underline"}


def to_markdown(table: Table) -> str:
    """Caption, one pipe table a block with the group in every column head, and the notes."""
    caption = f"**{for_markdown(table.name)}.** {for_markdown(table.caption)}"
    notes = [f"- {for_markdown(note, begins_line=True)}" for note in table.notes]
    parts = [caption, *(_markdown_block(block) for block in table.blocks), *(["\n".join(notes)] if notes else [])]
    return "\n\n".join(parts) + "\n"


def to_csv(tidy: Tidy) -> str:
    """The tidy rows; floats in the shortest form that reads back as the same float, None as nothing.

    A text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(tidy.csv_header)
    writer.writerows([for_csv(each) if isinstance(each, str) else each for each in row] for row in tidy.csv_rows)
    return text.getvalue()


def console_table(table: Table) -> RichTable:
    """The table for the terminal; blocks stand below each other."""
    from rich.table import Table as RichTable
    from rich.text import Text

    # Text and not str: rich would take "[surrogate]" for markup and swallow it.
    grid = RichTable.grid()
    grid.title = Text(table.name)
    grid.caption = Text("\n".join((table.caption, *table.notes)))
    grid.caption_justify = "left"
    grid.add_column()
    for block in table.blocks:
        inner = RichTable()
        for column in block.columns:
            inner.add_column(Text("\n".join(filter(None, (column.group, column.title)))), justify=column.align)
        for row in block.rows:
            if row.ruled:
                inner.add_section()
            inner.add_row(*(Text(cell.text, style=RICH_MARKS[cell.mark]) for cell in row.cells))
        grid.add_row(inner)
    return grid


def write_table(table: Table, directory: Path, name: str) -> list[Path]:
    """Write `name`.md, `name`.csv and `name`.tex, each by temporary file and rename.

    All three are rendered before the first is written.

    Returns:
        The three paths.

    Raises:
        UsageError: `name` is empty or holds a directory.
        ResultsError: a file cannot be written.
    """
    if not name or Path(name).name != name:
        raise UsageError(f"The table name '{name}' is no file name. Allowed is a name without directory.")
    texts = {"md": to_markdown(table), "csv": to_csv(table), "tex": to_latex(table)}
    paths = {suffix: directory / f"{name}.{suffix}" for suffix in texts}
    try:
        for suffix, path in paths.items():
            write_text(path, texts[suffix])
    except OSError as error:
        raise ResultsError(
            f"The table '{name}' cannot be written to '{directory}': {error}. Free the path or name another one."
        ) from error
    return list(paths.values())


def _markdown_block(block: Block) -> str:
    from tabulate import tabulate

    heads = [
        "<br>".join(for_markdown(part) for part in (column.group, column.title) if part)
        for column in block.columns
    ]
    return str(
        tabulate(
            [[_markdown_cell(cell) for cell in row.cells] for row in block.rows],
            headers=heads,
            tablefmt="pipe",
            disable_numparse=True,
            colalign=[column.align for column in block.columns],
        )
    )


def _markdown_cell(cell: Cell) -> str:
    return MARKDOWN_MARKS[cell.mark].format(for_markdown(cell.text)) if cell.text else ""
