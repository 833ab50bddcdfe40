"""Absolute paths in what is published, shortened. Reads the environment for the home directory.

Records and pages travel. A path names the user and the disks of a machine, so what is published keeps of it only
what lies below the checkout, below a directory of data or, as `~/...`, below home; of any other path its last
part.

Text of data, models, records and commands made safe for a terminal, Markdown or a spreadsheet. Pure.

A name can hold anything: an escape sequence that clears the screen, HTML, a formula. Every console of this project
writes through `for_terminal` (see `bench.cli.parser.make_console`), every Markdown file through `for_markdown`,
and every CSV through `for_csv`.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path

from bench.core.files import ROOT

ELSEWHERE = "…"
# a slash that begins a path: not one within an address, a fraction or a path that is relative already
PATH = re.compile(r"(?<![\w.~:/…\\])/(?:[^\s'\"`,;:()<>|\[\]/]+/)*[^\s'\"`,;:()<>|\[\]/]+/?")
SYSTEM = ("/dev/", "/proc/", "/usr/", "/etc/")  # the same on every machine

_data_dirs: ContextVar[tuple[Path, ...]] = ContextVar("data_dirs", default=())


@contextlib.contextmanager
def below(data_dirs: Iterable[Path]) -> Iterator[None]:
    """While the body runs, paths below these directories are shortened to what lies below them."""
    token = _data_dirs.set(tuple(data_dirs))
    try:
        yield
    finally:
        _data_dirs.reset(token)


def shortened(text: str) -> str:
    """Shorten every absolute path in a text; see above."""
    if "/" not in text:
        return text
    for root, itself in sorted(_roots().items(), key=lambda each: -len(each[0])):  # the nearest one counts
        below_it = "~/" if itself == "~" else ""
        start = rf"(?<![\w.~/…]){re.escape(root)}"
        text = re.sub(rf"{start}/(?=[^\s/])", below_it, text)
        text = re.sub(rf"{start}/?(?![\w./-])", itself, text)
    return PATH.sub(_last_part, text)


def _roots() -> dict[str, str]:
    """Directories with what stands for each; what lies below home begins with `~/`."""
    found = {str(ROOT): "."}
    home = os.environ.get("HOME", "")
    if Path(home).is_absolute() and home.strip("/"):
        found[home.rstrip("/")] = "~"
    for directory in _data_dirs.get():
        path = directory.absolute()
        if path.name:
            found[str(path)] = f"{ELSEWHERE}/{path.name}"
    return found


def _last_part(found: re.Match[str]) -> str:
    path = found[0]
    if path.startswith(SYSTEM):
        return path
    return f"{ELSEWHERE}/{path.rstrip('/').rpartition('/')[2]}"


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
