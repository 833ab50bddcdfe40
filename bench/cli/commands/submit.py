"""`ludp-bench submit`: check, join and rank the results of one or several machines. Writes below `--to`."""

from __future__ import annotations

import argparse

from rich.console import Console

from bench.cli.declare import count, path_given

SUMMARY = "check results of one or several machines and join them in one directory"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("results_dirs", nargs="+", type=path_given, metavar="RESULTS_DIR")
    parser.add_argument(
        "--to", type=path_given, required=True, metavar="DIR", help="target directory; may hold results already"
    )
    parser.add_argument(
        "--seeds",
        type=count,
        metavar="N",
        help="repetitions that a row must have (default: the highest number on its data)",
    )
    parser.add_argument(
        "--unsigned", action="store_true", help="accept records of earlier versions, which have no content hash"
    )
    parser.add_argument(
        "--compact",
        action="store_true",
        help="copy users' scores in place of lists, and no parameters: small enough for a repository, and "
        "enough for the leaderboard and its tests",
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Check and copy the results, and build the leaderboard of the target directory.

    Raises:
        UsageError: a directory does not exist or is given twice.
        ResultsError: a check failed; nothing was copied.
    """
    from bench.report.leaderboard.build import outcome, refresh
    from bench.report.leaderboard.submit import submit

    merged = submit(arguments.results_dirs, arguments.to, arguments.seeds, arguments.unsigned, arguments.compact)
    console.print(
        f"{merged.n_runs} runs and {merged.n_trials} trials submitted to {arguments.to}; {merged.n_present} were "
        f"there already.",
        markup=False,
        soft_wrap=True,
    )
    if merged.n_unhashed:
        console.print(
            f"{merged.n_unhashed} parameter files were not copied: their records come from an earlier version and "
            f"have no hash of them. --unsigned copies them.",
            soft_wrap=True,
        )
    console.print(outcome(*refresh(arguments.to)), markup=False, soft_wrap=True)
    return 0
