"""`ludp-bench inspect PATH`: describe a user's data and report its problems. Reads the data; writes nothing."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from rich.console import Console

from bench.cli.declare import count, path_given

if TYPE_CHECKING:
    from bench.data.adjusting import Adjustments
    from bench.data.roles import Columns

SUMMARY = "describe your data: its format, its contents and its problems"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_data_arguments(parser)


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that describe the data, shared with `import`."""
    parser.add_argument("path", type=path_given, metavar="PATH", help="a directory with data, or one table")
    parser.add_argument(
        "--format",
        "--layout",  # the name in earlier versions
        metavar="NAME",
        help="pickled-coo, mmrec, lattice, recbole, table or normalised (default: detected)",
    )
    for role in ("user", "item", "time"):
        parser.add_argument(f"--{role}-column", metavar="NAME", help=f"the column of {role}s in a table or .inter")
    parser.add_argument("--min-rating", type=_number, metavar="X", help="leave out rows with a rating below X")
    parser.add_argument(
        "--positive",
        metavar="LABEL",
        help="leave out rows with any other label, for example those with 0 for LABEL 1",
    )
    parser.add_argument(
        "--rating-column", metavar="NAME", help="the column of ratings or labels (default: detected)"
    )
    parser.add_argument(
        "--k-core",
        type=count,
        metavar="K",
        help="leave out users and items with fewer than K interactions, repeatedly until all have K",
    )
    parser.add_argument(
        "--item-order",
        type=path_given,
        metavar="FILE",
        help="item ids in the order of the rows of a feature file without ids: one per line, or a table",
    )


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"expected a number such as 4, got '{text}'")
    return number


def columns_of(arguments: argparse.Namespace) -> Columns:
    """Collect the user's options about columns."""
    from bench.data.roles import Columns  # heavy

    a = arguments
    return Columns(a.user_column, a.item_column, a.time_column, a.rating_column, a.min_rating, a.positive)


def adjustments_of(arguments: argparse.Namespace) -> Adjustments:
    """Collect the user's options for data in any format."""
    from bench.data.adjusting import Adjustments

    return Adjustments(arguments.k_core, arguments.item_order)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Print the description of the data; return 2 if it has problems.

    Raises:
        BenchError: no data can be read.
    """
    from bench.data.card_files import DATASETS
    from bench.data.inspecting import inspect

    a = arguments
    report = inspect(a.path, DATASETS, a.format, columns_of(a), adjustments_of(a))
    console.print(f"{arguments.path}\n{report.text}", markup=False, soft_wrap=True)
    return 2 if report.problems else 0
