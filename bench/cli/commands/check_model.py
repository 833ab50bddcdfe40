"""`ludp-bench check-model NAME`: the contract suite on one model, and what failures mean. Prints."""

from __future__ import annotations

import argparse

from rich.console import Console

SUMMARY = "check that a model honours the contract, and explain what to mend"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The model, and where it lies."""
    from bench.cli.options import add_plugin

    parser.add_argument("model", metavar="NAME", help="name of a model of ours or of a plugin")
    add_plugin(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Check; 1 if a check failed.

    Raises:
        UsageError: there is no such model, or it is one of RecBole's.
        ConfigError: its files cannot be read.
    """
    from bench.core.errors import UsageError
    from bench.engine import registry
    from bench.engine.plugins import plugged, resolved
    from bench.engine.recbole_catalogue import is_recbole

    if is_recbole(arguments.model):
        raise UsageError(
            f"{arguments.model} is RecBole's own and not written to this contract; it runs by --models as it is. "
            "check-model is for models of this project and of plugins."
        )
    with plugged([resolved(location) for location in arguments.plugin]):
        registry.load(arguments.model)
        return _checked(arguments.model, console)


def _checked(model: str, console: Console) -> int:
    """Run and print all checks."""
    from rich.table import Table
    from rich.text import Text

    from bench.checks.contract.suite import outcomes

    found = list(outcomes(model))
    table = Table("", "check", title=f"contract of {model}", title_justify="left")
    for each in found:
        table.add_row(Text("✗", "red") if each.problem else Text("✓", "green"), each.check.title)
    console.print(table)
    failed = [each for each in found if each.problem is not None]
    for each in failed:
        assert each.problem is not None
        console.print(f"\n✗ {each.check.title}", style="bold", markup=False)
        for word, text in (
            ("found", each.problem.what),
            ("means", each.problem.means),
            ("mend", each.problem.mend),
        ):
            console.print(f"  {word + ':':<7}{text}", markup=False, soft_wrap=True)
    if failed:
        console.print(f"\n{len(failed)} of {len(found)} checks failed.")
        return 1
    console.print(f"All {len(found)} checks passed.")
    return 0
