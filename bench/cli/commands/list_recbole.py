"""`ludp-bench list-recbole`: list RecBole's general recommenders, and why some do not run. Prints only."""

from __future__ import annotations

import argparse

from rich.console import Console

SUMMARY = "list RecBole's general recommenders: those that run as recbole:NAME, and why the others do not"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare no options."""


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Print the names of those that run, then the reasons why the others do not."""
    from rich.columns import Columns
    from rich.table import Table
    from rich.text import Text

    from bench.cli.parser import fit_console
    from bench.engine.recbole_catalogue import PREFIX, shipped, unusable, usable

    fit_console(console)
    title = f"{len(usable())} of {len(shipped())} general recommenders of RecBole run, as {PREFIX}NAME:"
    console.print(title, style="bold", markup=False)
    names = (name.removeprefix(PREFIX) for name in usable())
    console.print(Columns(names, padding=(0, 2), equal=True, column_first=True))
    console.print("The others do not:", style="bold")
    reasons = Table.grid(padding=(0, 2))
    for name, reason in unusable().items():
        reasons.add_row(f"  {name}", Text(reason))
    console.print(reasons)
    console.print(f"They have RecBole's parameters; --set {PREFIX}EASE.reg_weight=100 changes one.", markup=False)
    return 0
