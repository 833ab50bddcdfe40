r"""Layer 8. A table as LaTeX (booktabs), ready for \input. Pure."""

from __future__ import annotations

from bench.report.table import Block, Cell, Column, Table

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


def escape(text: str) -> str:
    """Plain text with everything escaped that LaTeX would take for a command."""
    return text.translate(ESCAPES)


def to_latex(table: Table) -> str:
    """The whole table environment; every text is escaped, every head spans its group.

    A table with sentences in it runs over pages and does not float; another one that is wider than the text is
    made smaller.
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
        autoescape=False,  # this is no HTML; `escape` has been applied to every text
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
    r"""One row. After `\\` a leading "[" would be read as a length, so that it is shielded."""
    line = " & ".join(cells)
    return ("{}" if line.startswith("[") else "") + line + r" \\"
