"""The command `ludp-bench`, also `python -m bench`: pick a subcommand and run it. Touches nothing by itself."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from bench import __version__
from bench.cli import commands
from bench.cli.parser import Parser, exit_code_of, fit_console

NAME = "ludp-bench"
RUN = "run"
USAGE = f"""\
usage: {NAME} COMMAND [OPTIONS]   or: {NAME} --version

examples:
  {NAME} run --datasets movielens --models mf lightgcn ease
  {NAME} new-model mymodel
  {NAME} run --help

commands:"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand and return its exit code; 2 is a user's error, 130 an interruption."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    return exit_code_of(
        lambda console: dispatch(given, console), "Interrupted. No incomplete file was left behind."
    )


def dispatch(given: Sequence[str], console: Console) -> int:
    """Run the subcommand that the first argument names, with the rest as its options.

    Raises:
        BenchError: there is no such command, or it failed for a reason that the user can fix.
    """
    if not given or given[0] in ("-h", "--help"):
        show_commands(console)
        return 0
    if given[0] == "--version":
        console.print(f"{NAME} {__version__}", markup=False)
        return 0
    if given[0] == RUN:
        from bench.cli.run import main as run_all

        return run_all(given[1:], f"{NAME} {RUN}")
    command = commands.load(given[0])
    parser = Parser(prog=f"{NAME} {given[0]}", description=f"{command.SUMMARY}.", allow_abbrev=False)
    command.add_arguments(parser)
    parsed = parser.parse_strictly(given[1:])
    parsed.words = [NAME, *given]  # for a record
    with with_cards_and_plugins(parsed):
        return command.run(parsed, console)


@contextlib.contextmanager
def with_cards_and_plugins(options: argparse.Namespace) -> Iterator[None]:
    """Make the cards of `--card-dir` and the models of `--plugin` known while the body runs.

    Raises:
        UsageError: a folder or plugin does not exist, or two models have the same name.
    """
    with contextlib.ExitStack() as around:
        if getattr(options, "card_dir", None):
            from bench.data.card_files import also_in

            around.enter_context(also_in(options.card_dir))
        if getattr(options, "plugin", None):
            from bench.cli.declare import read_options
            from bench.cli.options import WhatOptions
            from bench.engine import registry
            from bench.engine.plugins import use_plugins

            around.enter_context(use_plugins(read_options(WhatOptions, options).plugins))
            registry.check_plugins()
        yield


def show_commands(console: Console) -> None:
    """Print every subcommand with its summary."""
    fit_console(console)
    console.print(USAGE, markup=False)
    grid = Table.grid(padding=(0, 2))
    grid.add_row(f"  {RUN}", "train and compare models; write tables, report and leaderboard")
    for name in commands.modules():
        grid.add_row(f"  {name}", commands.load(name).SUMMARY)
    console.print(grid)
