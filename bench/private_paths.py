"""Layer 0. Absolute paths in what is published, shortened. Reads the environment for the home directory.

Records and pages travel. A path names the user and the disks of a machine, so what is published keeps of it only
what lies below the checkout, below a directory of data or, as `~/...`, below home; of any other path its last
part.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
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
    found = {str(CHECKOUT): "."}
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
