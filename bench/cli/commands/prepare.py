"""`ludp-bench prepare`: fetch a data set's files into the cache, check them and load the data once."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.cli.declare import add_options, read_options
from bench.cli.options import DataOptions
from bench.core.errors import DataError, listed

if TYPE_CHECKING:
    from bench.data.cards import DatasetCard, DatasetChoice

SUMMARY = "fetch a data set into the cache, check every file, and describe the data"
BAD = ("absent", "damaged")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "names", nargs="+", metavar="NAME", help="data sets, NAME or NAME@SPLIT; see 'ludp-bench run --list'"
    )
    add_options(parser, DataOptions, "--data-dir", "--cache-dir", "--card-dir", "--offline")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Prepare the data sets, one after the other.

    Raises:
        UsageError: a data set or split does not exist.
        DataError: a file cannot be fetched, is absent or damaged, or does not hold what its card promises.
    """
    from bench.data import cards  # heavy

    chosen = {choice.name: choice for choice in map(cards.choose, arguments.names)}
    options = read_options(DataOptions, arguments)
    for choice in chosen.values():
        _prepare(choice, options, console)
    return 0


def _prepare(choice: DatasetChoice, options: DataOptions, console: Console) -> None:
    """Fetch and check the files of a data set, unless a data directory of the user holds it, and describe it."""
    from bench.data.load import describe_source, describe_split, load_from_card
    from bench.data.pins import resolve

    request = options.request(split=choice.split)
    found = resolve(choice.card, request, fetchable=True)
    if found is not None and found.is_own:
        name = choice.card.name
        console.print(f"{name}: {found.directory} is used; nothing is fetched", markup=False, soft_wrap=True)
    elif _fetch_and_check(choice.card, options, console):
        request = replace(request, source="real")
    data = load_from_card(choice.card, request)
    console.print(f"{describe_source(data)}\n{describe_split(data)}", markup=False, soft_wrap=True)


def _fetch_and_check(card: DatasetCard, options: DataOptions, console: Console) -> bool:
    """Fetch a data set's files into the cache and print their states; return whether it has any.

    Raises:
        DataError: a file cannot be fetched, is absent or damaged.
    """
    from bench.data.fetch.transfer import LONG_TIMEOUTS, Watch
    from bench.data.load import prepare

    cache = options.cache_dir
    with Watch(console) as watch:
        reports = prepare(card, options.request(), LONG_TIMEOUTS, watch, options.offline)
    if reports:
        grid = Table.grid(padding=(0, 2))
        for report in reports:
            grid.add_row(*map(Text, (f"  {report.path}", report.state, report.note)))
        console.print(f"{card.name}: {len(reports)} files in {cache}", markup=False, soft_wrap=True)
        console.print(grid)
    else:
        console.print(f"{card.name}: it needs no files from the network", markup=False)
    bad = [report for report in reports if report.state in BAD]
    required = {path for path, optional in _targets(card).items() if not optional}
    if any(report.state == "damaged" or report.path in required for report in bad):
        raise DataError(
            f"{card.name} is not complete in {cache}: {listed(f'{each.path} ({each.state})' for each in bad)}. "
            "Run the same command without --offline to fetch it."
        )
    return bool(reports)


def _targets(card: DatasetCard) -> dict[str, bool]:
    """Return whether each file of the card's downloads is optional, by path."""
    from bench.data.cards import DirectorySource

    targets: dict[str, bool] = {}
    for source in card.sources:
        if isinstance(source, DirectorySource) and source.download is not None:
            targets |= source.download.targets
    return targets
