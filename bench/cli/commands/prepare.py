"""`ludp-bench prepare`: fetch a data set's files into the cache, check them, and read them once."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.cli.options import CACHE, is_offline
from bench.core.errors import DataError, listed
from bench.core.types import DataRequest
from bench.data import cards
from bench.data.cards import DatasetCard, DatasetChoice

SUMMARY = "fetch a data set into the cache, check every file, and say what it holds"
BAD = ("absent", "damaged")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "names", nargs="+", metavar="NAME", help="data sets, NAME or NAME@SPLIT; see 'run_all.py --list'"
    )
    parser.add_argument("--cache-dir", type=Path, default=CACHE, metavar="DIR")
    parser.add_argument("--offline", action="store_true", help="only check what is there")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Prepare the data sets, one after the other.

    Raises:
        UsageError: a data set or split does not exist.
        DataError: a file cannot be fetched, is absent or damaged, or does not hold what its card promises.
    """
    chosen = {choice.name: choice for choice in map(cards.choose, arguments.names)}
    for choice in chosen.values():
        _prepare(choice, arguments.cache_dir, arguments.offline or is_offline(), console)
    return 0


def _prepare(choice: DatasetChoice, cache: Path, offline: bool, console: Console) -> None:
    from bench.data.fetch.transfer import PATIENCE, Watch
    from bench.data.load import describe_source, describe_split, load_from_card, prepare

    card = choice.card
    with Watch(console) as watch:
        reports = prepare(card, DataRequest(cache_dir=cache), PATIENCE, watch, offline)
    if reports:
        grid = Table.grid(padding=(0, 2))
        for report in reports:
            grid.add_row(*map(Text, (f"  {report.path}", report.state, report.note)))
        console.print(f"{card.name}: {len(reports)} files in {cache}", markup=False, soft_wrap=True)
        console.print(grid)
    else:
        console.print(f"{card.name}: nothing of it has to be fetched", markup=False)
    bad = [report for report in reports if report.state in BAD]
    required = {path for path, optional in _targets(card).items() if not optional}
    if any(report.state == "damaged" or report.path in required for report in bad):
        raise DataError(
            f"{card.name} is not complete in {cache}: {listed(f'{one.path} ({one.state})' for one in bad)}. "
            "Run the same command without --offline to fetch it."
        )
    request = DataRequest(source="real" if reports else "auto", cache_dir=cache, split=choice.split)
    data = load_from_card(card, request)
    console.print(f"{describe_source(data)}\n{describe_split(data)}", markup=False, soft_wrap=True)


def _targets(card: DatasetCard) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for source in card.sources:
        if isinstance(source, cards.DirectorySource) and source.download is not None:
            found |= source.download.targets
    return found
