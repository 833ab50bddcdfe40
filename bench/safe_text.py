"""Layer 0. Text of data, models, records and commands made safe for a terminal, Markdown or a spreadsheet. Pure.

A name can hold anything: an escape sequence that clears the screen, HTML, a formula. Every console of this project
writes through `for_terminal` (see `bench.terminal.make_console`), every Markdown file through `for_markdown`, and
every CSV through `for_csv`.
"""

from __future__ import annotations

import re

# Control characters but newline and tab; what turns the direction of a line; halves of surrogate pairs, which
# UTF-8 has no form for.
UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
MARKDOWN = str.maketrans(
    {character: f"\\{character}" for character in "\\|*_`~["} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
)
BLOCK_START = re.compile(r"([#=+-]|\d+(?=[.)]))")
FORMULA = re.compile(r"[=+\-@\t\r].", re.DOTALL)


def for_terminal(text: str) -> str:
    r"""Write control characters as escapes, for example ``\x1b``; newlines and tabs stay."""
    return UNSAFE.sub(lambda found: ascii(found[0])[1:-1], text)


def for_line(text: str) -> str:
    """Make a text safe for a terminal, and one line of it: in an error or a list, a newline begins no other."""
    return for_terminal(text).replace("\n", "\\n").replace("\t", "\\t")


def for_markdown(text: str, begins_line: bool = False) -> str:
    """Escape all that Markdown or HTML would read as markup; the result is one line.

    Args:
        text: any text.
        begins_line: whether it begins a paragraph or list item, where `# x` would be a heading.
    """
    line = for_terminal(" ".join(text.splitlines())).replace("\t", " ").translate(MARKDOWN)
    start = BLOCK_START.match(line) if begins_line else None
    if start is None:
        return line
    place = start.end() if start[1].isdigit() else start.start()
    return f"{line[:place]}\\{line[place:]}"


def for_csv(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would compute; a number stays as it is."""
    safe = for_terminal(text)
    return f"'{safe}" if FORMULA.match(safe) and not _is_number(safe) else safe


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
