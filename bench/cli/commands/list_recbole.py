"""`ludp-bench list-recbole`: list RecBole's general recommenders, and why some do not run. Prints only."""

from __future__ import annotations

import argparse

from rich.console import Console

SUMMARY = "list RecBole's general recommenders: those that run as recbole:NAME, and why the others do not"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare no options."""


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Print the table of models."""
    from rich.table import Table
    from rich.text import Text

    from bench.engine.recbole_catalogue import PREFIX, shipped, unusable

    table = Table("", "model", "why not", title="RecBole's general recommenders", title_justify="left")
    for name in shipped():
        reason = unusable().get(name, "")
        table.add_row(Text("✗", "red") if reason else Text("✓", "green"), f"{PREFIX}{name}", Text(reason))
    console.print(table)
    counts = f"{len(shipped()) - len(unusable())} of {len(shipped())}"
    summary = f"{counts} run, with RecBole's parameters; --set {PREFIX}EASE.reg_weight=100 changes one."
    console.print(summary, markup=False, soft_wrap=True)
    return 0
