r"""Tables as LaTeX (booktabs, ready for \input), Markdown, CSV and terminal output.

Writes only into the given directory.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core.errors import UsageError
from bench.core.files import os_errors, write_text
from bench.core.text import for_csv, for_markdown
from bench.report.table import Block, Cell, Column, Table, Tidy

if TYPE_CHECKING:
    from rich.table import Table as RichTable

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "–": "--",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "\n": " ",
}
WRITE_ADVICE = (
    "The records are kept: free some space or make the directory writable, and run the same command again, or "
    "choose another directory with --results-dir."
)
ESCAPES = str.maketrans(SPECIAL)
MARKS = {"": "{}", "best": r"\textbf{{{}}}", "second": r"\underline{{{}}}"}
TEMPLATE = r"""% Needs \usepackage{<< packages >>}. Regenerated with the results; edits are lost.
<% if long %>
\begingroup
\small
\noindent << caption >>
<% else %>
\begin{table}[t]
\centering
\small
\caption{<< caption >>}
<% endif %>
<% for block in blocks %>
<% if not loop.first %>

\par\medskip
<% endif %>
<< "" if long else "\\setbox0=\\hbox{" >>\begin{<< tabular >>}{<< block.alignment >>}
\toprule
<% for line in block.heads %>
<< line >>
<% endfor %>
\midrule
<% if long %>
\endhead
<% endif %>
<% for row in block.rows %>
<% if row.ruled %>
\midrule
<% endif %>
<< row.line >>
<% endfor %>
\bottomrule
\end{<< tabular >>}<< "" if long else "}" >>
<% if not long %>
\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\box0}\else\box0\fi
<% endif %>
<% endfor %>
<% for note in notes %>

\par\smallskip{\footnotesize << note >>\par}
<% endfor %>
<% if long %>
\endgroup
<% else %>
\end{table}
<% endif %>
"""
MARKDOWN_MARKS = {"": "{}", "best": "**{}**", "second": "<u>{}</u>"}
RICH_MARKS = {"": "", "best": "bold", "second": "underline"}


def escape(text: str) -> str:
    """Escape the characters that LaTeX would read as commands."""
    return text.translate(ESCAPES)


def to_latex(table: Table) -> str:
    """Return the whole table environment; every text is escaped and every group head spans its columns.

    A table with columns of sentences becomes a `longtable` that breaks over pages. Any other table floats, and is
    scaled down if it is wider than the text.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        autoescape=False,  # LaTeX, not HTML; `escape` has been applied to every text
    )
    blocks = [
        {
            "alignment": "".join(_alignment(column) for column in block.columns),
            "heads": _heads(block),
            "rows": [
                {"line": _line([_cell(cell) for cell in row.cells]), "ruled": row.ruled} for row in block.rows
            ],
        }
        for block in table.blocks
    ]
    long = any(column.share for block in table.blocks for column in block.columns)
    return environment.from_string(TEMPLATE).render(
        caption=escape(table.caption),
        blocks=blocks,
        notes=[escape(note) for note in table.notes],
        long=long,
        tabular="longtable" if long else "tabular",
        packages="booktabs,longtable" if long else "booktabs,graphicx",
    )


def _alignment(column: Column) -> str:
    if not column.share:
        return column.align[0]
    return rf"p{{\dimexpr {column.share:g}\linewidth-2\tabcolsep\relax}}"


def _heads(block: Block) -> list[str]:
    titles = _line([escape(column.title) for column in block.columns])
    if not any(group for group, _ in block.groups):
        return [titles]
    cells, rules, first = [], [], 1
    for group, span in block.groups:
        if group:
            cells.append(rf"\multicolumn{{{span}}}{{c}}{{{escape(group)}}}")
            rules.append(rf"\cmidrule(lr){{{first}-{first + span - 1}}}")
        else:
            cells += [""] * span
        first += span
    return [_line(cells), " ".join(rules), titles]


def _cell(cell: Cell) -> str:
    return MARKS[cell.mark].format(escape(cell.text)) if cell.text else ""


def _line(cells: list[str]) -> str:
    line = " & ".join(cells)
    # LaTeX would read a "[" after the `\\` of the previous row as an optional length.
    return ("{}" if line.startswith("[") else "") + line + r" \\"


def to_markdown(table: Table) -> str:
    """Return the caption, one pipe table per block with the group in every column head, and the notes."""
    caption = f"**{for_markdown(table.name)}.** {for_markdown(table.caption)}"
    notes = [f"- {for_markdown(note, begins_line=True)}" for note in table.notes]
    parts = [caption, *(_markdown_block(block) for block in table.blocks), *(["\n".join(notes)] if notes else [])]
    return "\n\n".join(parts) + "\n"


def to_csv(tidy: Tidy) -> str:
    """Return the tidy rows as CSV: floats in the shortest form that reads back as the same float, None as "".

    A text that a spreadsheet would read as a formula gets a leading apostrophe.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(tidy.csv_header)
    writer.writerows([for_csv(each) if isinstance(each, str) else each for each in row] for row in tidy.csv_rows)
    return text.getvalue()


def console_table(table: Table, has_frames: bool = True) -> RichTable:
    """Return the table for the console, with its blocks below each other; without frames for a pipe."""
    from rich.box import HEAVY_HEAD
    from rich.table import Table as RichTable
    from rich.text import Text

    # Text and not str: rich would read "[surrogate]" as markup and drop it.
    grid = RichTable.grid()
    grid.title = Text(table.name)
    grid.caption = Text("\n".join((table.caption, *table.notes)))
    grid.caption_justify = "left"
    grid.add_column()
    for block in table.blocks:
        inner = RichTable(box=HEAVY_HEAD if has_frames else None)
        for column in block.columns:
            inner.add_column(Text("\n".join(filter(None, (column.group, column.title)))), justify=column.align)
        for row in block.rows:
            if row.ruled:
                inner.add_section()
            inner.add_row(*(Text(cell.text, style=RICH_MARKS[cell.mark]) for cell in row.cells))
        grid.add_row(inner)
    return grid


def write_table(table: Table, directory: Path, name: str) -> list[Path]:
    """Write `name`.md, `name`.csv and `name`.tex, each through a temporary file and a rename.

    Returns:
        The three paths.

    Raises:
        UsageError: `name` is empty or contains a directory.
        ResultsError: a file cannot be written.
    """
    if not name or Path(name).name != name:
        raise UsageError(f"The table name '{name}' is not a file name. Give a name without a directory.")
    # Render all forms first, so that an error in one leaves no half-written set.
    texts = {"md": to_markdown(table), "csv": to_csv(table), "tex": to_latex(table)}
    paths = {suffix: directory / f"{name}.{suffix}" for suffix in texts}
    with os_errors(f"The table {directory / name} cannot be written", WRITE_ADVICE):
        for suffix, path in paths.items():
            write_text(path, texts[suffix])
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
