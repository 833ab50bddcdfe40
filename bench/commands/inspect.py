"""Layer 13. `ludp-bench inspect PATH`: what is this data, and what is wrong with it? Reads, never writes."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

SUMMARY = "say what a user's data is, what it holds, and what is wrong with it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_place(parser)


def add_place(parser: argparse.ArgumentParser) -> None:
    """What names the data, here and for `import`."""
    parser.add_argument("path", type=Path, metavar="PATH", help="a directory with data, or one table")
    parser.add_argument(
        "--layout",
        metavar="NAME",
        help="pickled-coo, mmrec, lattice, recbole, table or normalised (default: found)",
    )
    for role in ("user", "item", "time"):
        parser.add_argument(f"--{role}-column", metavar="NAME", help=f"the column of {role}s in a table or .inter")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Print what is there; 2 where it has problems.

    Raises:
        BenchError: there is nothing that can be read.
    """
    from bench import cards
    from bench.layouts.inspection import inspect
    from bench.layouts.place import Columns

    columns = Columns(arguments.user_column, arguments.item_column, arguments.time_column)
    found = inspect(arguments.path, cards.DATASETS, arguments.layout, columns)
    console.print(f"{arguments.path}\n{found.text}", markup=False, soft_wrap=True)
    return 2 if found.problems else 0
