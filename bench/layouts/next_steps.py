"""Layer 4. The commands that a user is told to give next, as they are typed: quoted, with every option. Pure."""

from __future__ import annotations

import shlex
from pathlib import Path

from bench.layouts.place import Place


def import_command(place: Place, name: str, path: Path | None = None, layout: str | None = None) -> str:
    """The command line that imports a place.

    Args:
        place: with what the user said of columns.
        name: of the data set.
        path: how the place is called; None: as the user did.
        layout: its name where it is to be given.
    """
    words = ["ludp-bench", "import", str(path or place.path), "--name", name]
    words += ["--layout", layout] if layout else []
    words += [word for option in place.columns.given for word in option]
    return shlex.join(words)


def run_command(
    dataset: str, data_dir: Path | None = None, cache_dir: Path | None = None, source: str | None = None
) -> str:
    """Give the command line that runs a data set; `source` where another source would be taken first."""
    words = ["ludp-bench", "run", "--datasets", dataset]
    words += ["--source", source] if source else []
    words += ["--data-dir", str(data_dir)] if data_dir else []
    words += ["--cache-dir", str(cache_dir)] if cache_dir else []
    return shlex.join(words)


def link_command(path: Path, folder: str) -> str:
    """The command that gives a directory the name that a card looks for, beside it."""
    return shlex.join(["ln", "-s", str(path), str(path.parent / folder)])
