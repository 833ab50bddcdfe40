"""`ludp-bench check-model NAME`: run the contract suite on one model and explain failures. Prints only."""

from __future__ import annotations

import argparse

from rich.console import Console

from bench.cli.declare import add_options
from bench.cli.options import WhatOptions

SUMMARY = "check that a model follows the contract, and explain what to fix"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("model", metavar="NAME", help="name of a model of ours or of a plugin")
    add_options(parser, WhatOptions, "--plugin")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Check the model; return 1 if a check failed.

    Raises:
        UsageError: there is no such model, or it is one of RecBole's.
        ConfigError: its files cannot be read.
    """
    from bench.core.errors import UsageError
    from bench.engine import registry
    from bench.engine.recbole_catalogue import is_recbole

    if is_recbole(arguments.model):
        raise UsageError(
            f"{arguments.model} is RecBole's own model and does not follow this contract; run it with --models. "
            "check-model is for models of this project and of plugins."
        )
    registry.load(arguments.model)
    return _checked(arguments.model, console)


def _checked(model: str, console: Console) -> int:
    """Run and print all checks; return the exit code."""
    from rich.table import Table
    from rich.text import Text

    from bench.checks.contract.suite import run_checks

    results = list(run_checks(model))
    table = Table("", "check", title=f"contract of {model}", title_justify="left")
    for each in results:
        table.add_row(Text("✗", "red") if each.problem else Text("✓", "green"), each.check.title)
    console.print(table)
    failed = [each for each in results if each.problem is not None]
    for each in failed:
        assert each.problem is not None
        console.print(f"\n✗ {each.check.title}", style="bold", markup=False)
        for word, text in (
            ("found", each.problem.finding),
            ("why", each.problem.reason),
            ("fix", each.problem.fix),
        ):
            console.print(f"  {word + ':':<7}{text}", markup=False, soft_wrap=True)
    if failed:
        console.print(f"\n{len(failed)} of {len(results)} checks failed.")
        return 1
    console.print(f"All {len(results)} checks passed.")
    return 0
