"""`ludp-bench inspect PATH`: what is this data, and what is wrong with it? Reads, never writes."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from rich.console import Console

from bench.data.roles import Columns

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
    parser.add_argument("--min-rating", type=_number, metavar="X", help="leave out rows with a rating below X")
    parser.add_argument("--positive", metavar="LABEL", help="leave out rows with another label, such as 0 for 1")
    parser.add_argument("--rating-column", metavar="NAME", help="the column of ratings or labels (default: found)")


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"expected a number such as 4, got '{text}'")
    return number


def columns_of(arguments: argparse.Namespace) -> Columns:
    """What the user says of columns."""
    a = arguments
    return Columns(a.user_column, a.item_column, a.time_column, a.rating_column, a.min_rating, a.positive)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Print what is there; 2 where it has problems.

    Raises:
        BenchError: there is nothing that can be read.
    """
    from bench.data import cards
    from bench.data.inspecting import inspect

    found = inspect(arguments.path, cards.DATASETS, arguments.layout, columns_of(arguments))
    console.print(f"{arguments.path}\n{found.text}", markup=False, soft_wrap=True)
    return 2 if found.problems else 0
