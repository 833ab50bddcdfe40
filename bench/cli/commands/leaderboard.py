"""`ludp-bench leaderboard`: rank all records of a results directory. Writes tables and a page."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from bench.cli.declare import add_options, count, path_given
from bench.cli.options import HowOptions, WhatOptions
from bench.core.errors import ResultsError, UsageError
from bench.core.files import resolved
from bench.core.names import is_foreign

if TYPE_CHECKING:
    from bench.report.leaderboard.build import Publication

SUMMARY = "rank all result records of a directory: leaderboard.md, .csv, .json, .html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_options(parser, HowOptions, "--results-dir")
    add_options(parser, WhatOptions, "--plugin")
    parser.add_argument(
        "--seeds",
        type=count,
        metavar="N",
        help="repetitions of a complete row (default: the largest number that most rows of its table have)",
    )
    parser.add_argument(
        "--overview",
        action="store_true",
        help="also draw one figure of all tables: overview.svg, .pdf, .png, .csv, .md; -narrow.svg is for phones",
    )
    parser.add_argument(
        "--output",
        type=path_given,
        metavar="DIR",
        help="to publish: write the page, .csv and .json into this directory instead, without links to records",
    )
    parser.add_argument(
        "--docs",
        default="",
        metavar="ADDRESS",
        help="with --output: the folder of the built documentation, such as ../.. or https://..., for links to it",
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Build and print the leaderboard; return 1 if it has no finished run.

    Raises:
        UsageError: `--output` or `--docs` does not fit.
        ResultsError: there are no records, or a file cannot be read or written; or `--overview` cannot show them.
    """
    from bench.report.leaderboard.build import outcome, refresh

    publication = _publication(arguments)
    paths, is_new = refresh(arguments.results_dir, arguments.seeds, publication)
    if not paths:
        raise ResultsError(
            f"There is no result record below {arguments.results_dir / 'runs'}. Make runs with ludp-bench run, or "
            f"give their directory with --results-dir."
        )
    value = json.loads(paths[-1].read_text(encoding="utf-8"))
    show(value, console)
    console.print(outcome(paths, is_new), markup=False, soft_wrap=True)
    if value["tables"]:
        if arguments.overview:
            console.print(outcome(_draw_overview(arguments), True), markup=False, soft_wrap=True)
        return 0
    if value["n_failed"]:
        console.print(f"{value['n_failed']} of {value['n_runs']} runs failed; run the same command to try again.")
    return 1


def _draw_overview(arguments: argparse.Namespace) -> list[Path]:
    """Write the figure of all tables beside the leaderboard and return its files.

    Raises:
        ResultsError: the tables cannot share a figure, or a file cannot be read or written.
    """
    from bench.report.figure import write_figure
    from bench.report.leaderboard.overview import NAME, overview_of

    figure = overview_of(arguments.results_dir, arguments.seeds)
    return write_figure(figure, arguments.output or arguments.results_dir, NAME)


def _publication(arguments: argparse.Namespace) -> Publication | None:
    """Return what `--output` and `--docs` ask for; None without `--output`.

    Raises:
        UsageError: `--docs` is given alone, or is neither a relative nor an https address; or `--output` is the
            results directory.
    """
    output, docs = arguments.output, arguments.docs.rstrip("/")
    if output is None:
        if docs:
            raise UsageError(
                f"--docs {docs} is given without --output. Add --output DIR, where the page is to lie."
            )
        return None
    if docs.partition("://")[0] != "https" and ":" in docs:
        raise UsageError(
            f"--docs is '{docs}'; allowed are a relative address, such as ../.., or one with https://."
        )
    if resolved(output) == resolved(arguments.results_dir):
        raise UsageError(
            f"--output {output} is the results directory itself. Leave --output out, or name another."
        )
    from bench.report.leaderboard.build import Publication

    return Publication(output, docs)


def show(value: dict[str, Any], console: Console) -> None:
    """Print the ranked tables and the left-out files; the written files hold more details.

    Args:
        value: the leaderboard in its JSON form.
        console: to print on.
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
                _ranks(row),
                Text(" ".join((row["title"], row["stops"]["signs"])).strip()),
                "" if is_foreign(row["model"]) else seeds,
                number,
            )
        console.print(grid)
        for note in table["signs"]:
            console.print(note, markup=False, soft_wrap=True)
    for line in value["left_out"]:
        console.print(f"left out: {line}", markup=False, soft_wrap=True)


def _ranks(row: dict[str, Any]) -> str:
    """Return the rank of a row, with the last one that it shares: `3`, `1-2`, or nothing for an incomplete row."""
    if row["rank"] is None:
        return ""
    return str(row["rank"]) if row["rank_first"] == row["rank_last"] else f"{row['rank_first']}-{row['rank_last']}"
