"""`ludp-bench list-recbole`: RecBole's general recommenders, and why some do not run. Prints only."""

from __future__ import annotations

import argparse

from rich.console import Console

SUMMARY = "list RecBole's general recommenders: those that run as recbole:NAME, and why the others do not"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None."""


def run(arguments: argparse.Namespace, console: Console) -> int:
    """List them."""
    from rich.table import Table
    from rich.text import Text

    from bench.engine.recbole_catalogue import PREFIX, shipped, unusable

    table = Table("", "model", "why not", title="RecBole's general recommenders", title_justify="left")
    for name in shipped():
        reason = unusable().get(name, "")
        table.add_row(Text("✗", "red") if reason else Text("✓", "green"), f"{PREFIX}{name}", Text(reason))
    console.print(table)
    counts = f"{len(shipped()) - len(unusable())} of {len(shipped())}"
    told = f"{counts} run, with RecBole's parameters; --set {PREFIX}EASE.reg_weight=100 changes one."
    console.print(told, markup=False, soft_wrap=True)
    return 0
