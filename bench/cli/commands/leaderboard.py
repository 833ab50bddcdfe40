"""`ludp-bench leaderboard`: all records of a results directory as ranked tables and a page."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.core.errors import ResultsError, UsageError

SUMMARY = "rank all result records of a directory: leaderboard.md, .csv, .json, .html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--results-dir", type=Path, default=Path("results"), metavar="DIR")
    parser.add_argument(
        "--seeds", type=int, metavar="N", help="repetitions of a complete row (default: the most that a table has)"
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Build it and show it; 1 if there is no finished run to show.

    Raises:
        UsageError: a number of seeds below 1.
        ResultsError: there are no records, or something cannot be read or written.
    """
    if arguments.seeds is not None and arguments.seeds < 1:
        raise UsageError(f"--seeds must be at least 1, not {arguments.seeds}.")
    from bench.report.leaderboard.build import outcome, refresh

    paths, is_new = refresh(arguments.results_dir, arguments.seeds)
    if not paths:
        raise ResultsError(
            f"There is no result record below {arguments.results_dir / 'runs'}. Make runs with run_all.py, or "
            f"name their directory with --results-dir."
        )
    value = json.loads(paths[-1].read_text(encoding="utf-8"))
    show(value, console)
    console.print(outcome(paths, is_new), markup=False, soft_wrap=True)
    if value["tables"]:
        return 0
    if value["n_failed"]:
        console.print(f"{value['n_failed']} of {value['n_runs']} runs failed; run the same command to try again.")
    return 1


def show(value: dict[str, Any], console: Console) -> None:
    """The tables with their ranks, and what is left out; the files have the rest.

    Args:
        value: the JSON form.
        console: where to.
    """
    from rich.table import Table
    from rich.text import Text

    for table in value["tables"]:
        metric = table["ranked_by"]
        grid = Table("#", "model", "seeds", f"test {metric}", title=Text(table["heading"]))
        for row in table["rows"]:
            spread, is_whole = row["test"][metric], row["is_complete"]
            sd = "" if spread["sd"] is None else f" ± {spread['sd']:.4f}"
            number = "" if spread["mean"] is None else f"{spread['mean']:.4f}{sd}"
            seeds = str(row["n_runs"]) if is_whole else f"{row['n_runs']} of {row['n_asked']}"
            grid.add_row(
                str(row["rank"] or ""),
                Text(" ".join((row["title"], row["stops"]["signs"])).strip()),
                seeds,
                number,
            )
        console.print(grid)
        for note in table["signs"]:
            console.print(note, markup=False, soft_wrap=True)
    for line in value["left_out"]:
        console.print(f"left out: {line}", markup=False, soft_wrap=True)
