"""`ludp-bench import PATH --name N`: a user's data as a data set with a card. Writes card and copy."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from bench.cli.commands.inspect import add_place, columns_of

SUMMARY = "make a data set of a user's data: a card and a normalised copy"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from bench.core.files import ROOT

    add_place(parser)
    parser.add_argument("--name", required=True, metavar="NAME", help="of the new data set")
    parser.add_argument("--force", action="store_true", help="replace what an earlier import made under this name")
    parser.add_argument("--cache-dir", type=Path, default=ROOT / "datasets" / "cache", metavar="DIR")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Write both, and say what to do next.

    Raises:
        BenchError: the name is taken, or the data is malformed; nothing was written.
    """
    from bench.cli.options import CACHE
    from bench.data import cards
    from bench.data.detect import run_command
    from bench.data.importing import import_data

    a = arguments
    done = import_data(a.path, a.name, cards.DATASETS, a.cache_dir, a.layout, columns_of(a), a.force)
    for unread in done.loaded.unread:
        console.print(f"not read: {unread}", markup=False, soft_wrap=True)
    for place in (done.card, done.directory):
        console.print(f"wrote {place}", markup=False, soft_wrap=True)
    elsewhere = a.cache_dir if a.cache_dir.resolve() != CACHE.resolve() else None
    console.print(f"Next: {run_command(a.name, cache_dir=elsewhere)}", markup=False, soft_wrap=True)
    return 0
