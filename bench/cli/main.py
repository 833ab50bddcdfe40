"""The command `ludp-bench`, also `python -m bench`: pick a subcommand and run it. Touches nothing by itself."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from bench.cli import commands
from bench.cli.parser import Parser, exit_code_of

NAME = "ludp-bench"
RUN = "run"


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
    if given[0] == RUN:
        from bench.cli.run import main as run_all

        return run_all(given[1:])
    command = commands.load(given[0])
    parser = Parser(prog=f"{NAME} {given[0]}", description=f"{command.SUMMARY}.", allow_abbrev=False)
    command.add_arguments(parser)
    return command.run(parser.parse_strictly(given[1:]), console)


def show_commands(console: Console) -> None:
    """Print every subcommand with its summary."""
    usage = f"usage: {NAME} COMMAND [options]; '{NAME} COMMAND --help' lists a command's options"
    console.print(usage, markup=False, soft_wrap=True)
    grid = Table.grid(padding=(0, 2))
    grid.add_row(f"  {RUN}", "train, evaluate and write tables: all options of run_all.py")
    for name in commands.modules():
        grid.add_row(f"  {name}", commands.load(name).SUMMARY)
    console.print(grid)
