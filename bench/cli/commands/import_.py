"""`ludp-bench import PATH --name N`: turn a user's data into a data set. Writes a card and a normalised copy."""

from __future__ import annotations

import argparse

from rich.console import Console

from bench.cli.commands.inspect import add_data_arguments, adjustments_of, columns_of
from bench.cli.declare import add_options, path_given
from bench.cli.options import CACHE, DataOptions
from bench.core.files import resolved

SUMMARY = "turn your data into a data set: write a card and a normalised copy"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_data_arguments(parser)
    parser.add_argument("--name", required=True, metavar="NAME", help="name of the new data set")
    parser.add_argument("--force", action="store_true", help="replace an earlier import of this name")
    parser.add_argument(
        "--card-dir",
        type=path_given,
        metavar="DIR",
        dest="card_to",
        help="folder of the data card (default: datasets); give it to later commands, too",
    )
    add_options(parser, DataOptions, "--cache-dir")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Write the card and the copy, and print the next command.

    Raises:
        BenchError: the name is taken, or the data is malformed; nothing was written.
    """
    from bench.data.card_files import DATASETS, also_in
    from bench.data.detect import run_command
    from bench.data.importing import import_data

    a = arguments
    to = a.card_to or DATASETS
    # a name is taken wherever its card lies
    with also_in([DATASETS] if DATASETS.is_dir() else []):
        done = import_data(a.path, a.name, to, a.cache_dir, a.format, columns_of(a), a.force, adjustments_of(a))
    for note in done.loaded.raw.notes:
        console.print(f"note: {note}", markup=False, soft_wrap=True)
    for unread in done.loaded.unread:
        console.print(f"not read: {unread}", markup=False, soft_wrap=True)
    for place in (done.card, done.directory):
        console.print(f"wrote {place}", markup=False, soft_wrap=True)
    elsewhere = a.cache_dir if resolved(a.cache_dir) != resolved(CACHE) else None
    command = run_command(a.name, cache_dir=elsewhere, card_dir=a.card_to)
    console.print(f"Next: {command}", markup=False, soft_wrap=True)
    return 0
