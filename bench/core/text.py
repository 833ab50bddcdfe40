"""Make text safe to publish, and word counts and durations.

Reads the environment for the home directory; writes nothing.

Records and pages are shared, and an absolute path reveals the user and the disks of a machine. Published texts
keep only the part below the checkout, below a data directory or, as `~/...`, below home. Of any other path they
keep the last part.

A name can hold an escape sequence that clears the screen, HTML, or a formula. Every console of this project writes
through `for_terminal` (see `bench.cli.parser.make_console`), every Markdown file through `for_markdown`, and every
CSV file through `for_csv`.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path

from bench.core.places import WORK

ELSEWHERE = "…"
# a slash that begins a path, and not one within a URL, a fraction or a relative path
PATH = re.compile(r"(?<![\w.~:/…\\])/(?:[^\s'\"`,;:()<>|\[\]/]+/)*[^\s'\"`,;:()<>|\[\]/]+/?")
SYSTEM = ("/dev/", "/proc/", "/usr/", "/etc/")  # the same on every machine

_data_dirs: ContextVar[tuple[Path, ...]] = ContextVar("data_dirs", default=())

# Control characters except newline and tab; characters that change the direction of a line; lone surrogates, which
# UTF-8 cannot encode.
UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
MARKDOWN = str.maketrans(
    {character: f"\\{character}" for character in "\\|*_`~["} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
)
BLOCK_START = re.compile(r"([#=+-]|\d+(?=[.)]))")
FORMULA = re.compile(r"[=+\-@\t\r].", re.DOTALL)


@contextlib.contextmanager
def shorten_below(data_dirs: Iterable[Path]) -> Iterator[None]:
    """Shorten paths below these directories to the part below them, while the body runs."""
    token = _data_dirs.set(tuple(data_dirs))
    try:
        yield
    finally:
        _data_dirs.reset(token)


def shorten_paths(text: str) -> str:
    """Shorten every absolute path in a text, as the module's docstring describes."""
    if "/" not in text:
        return text
    # longest first, so that the nearest root of a path counts
    for root, short_root in sorted(_roots().items(), key=lambda each: -len(each[0])):
        prefix = "~/" if short_root == "~" else ""
        start = rf"(?<![\w.~/…]){re.escape(root)}"
        text = re.sub(rf"{start}/(?=[^\s/])", prefix, text)
        text = re.sub(rf"{start}/?(?![\w./-])", short_root, text)
    return PATH.sub(_last_part, text)


def _roots() -> dict[str, str]:
    """Return the short form of each known directory."""
    roots = {str(WORK): "."}
    home = os.environ.get("HOME", "")
    if Path(home).is_absolute() and home.strip("/"):
        roots[home.rstrip("/")] = "~"
    for directory in _data_dirs.get():
        path = directory.absolute()
        if path.name:
            roots[str(path)] = f"{ELSEWHERE}/{path.name}"
    return roots


def _last_part(match: re.Match[str]) -> str:
    path = match[0]
    if path.startswith(SYSTEM):
        return path
    return f"{ELSEWHERE}/{path.rstrip('/').rpartition('/')[2]}"


def for_terminal(text: str) -> str:
    r"""Write control characters as escapes, for example ``\x1b``; newlines and tabs stay."""
    return UNSAFE.sub(lambda match: ascii(match[0])[1:-1], text)


def for_line(text: str) -> str:
    """Make a text safe for a terminal and put it on one line, as errors and lists need."""
    return for_terminal(text).replace("\n", "\\n").replace("\t", "\\t")


def for_markdown(text: str, begins_line: bool = False) -> str:
    """Escape everything that Markdown or HTML would read as markup, and put it on one line.

    Args:
        text: any text.
        begins_line: whether the text begins a paragraph or list item, where `# x` would be a heading.
    """
    line = for_terminal(" ".join(text.splitlines())).replace("\t", " ").translate(MARKDOWN)
    start = BLOCK_START.match(line) if begins_line else None
    if start is None:
        return line
    place = start.end() if start[1].isdigit() else start.start()
    return f"{line[:place]}\\{line[place:]}"


def for_csv(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would evaluate; numbers stay as they are."""
    safe = for_terminal(text)
    return f"'{safe}" if FORMULA.match(safe) and not _is_number(safe) else safe


def in_seconds(seconds: float) -> str:
    """Return a duration in few characters: `3.4 s`, `71 s`, `12 min` or `2.5 h`."""
    if seconds < 600:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def counted(n: int | str, thing: str, things: str = "") -> str:
    """Return a count with its noun, for example `1 run` or `28 runs`.

    Args:
        n: the count; a text, such as `?`, where it is not known.
        thing: the noun.
        things: its plural if that is not regular.
    """
    number = n if isinstance(n, str) else f"{n:,}"
    return f"{number} {thing if n == 1 else things or f'{thing}s'}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
