"""`ludp-bench export NAME --format L --to DIR`: write a data set for another tool. Writes below DIR."""

from __future__ import annotations

import argparse

from rich.console import Console

from bench.cli.declare import add_options, path_given, read_options
from bench.cli.options import DataOptions, WhatOptions
from bench.core.names import SPLITS

SUMMARY = "write a data set with its split as CSV, or for RecBole or MMRec"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", metavar="NAME", help="NAME or NAME@SPLIT of a data set")
    parser.add_argument("--format", "--layout", required=True, metavar="NAME", help="csv, recbole or mmrec")
    parser.add_argument("--to", type=path_given, required=True, metavar="DIR", help="the files go to DIR/NAME")
    parser.add_argument("--whole", action="store_true", help="leave the split out")
    parser.add_argument("--force", action="store_true", help="replace DIR/NAME")
    add_options(parser, DataOptions, "--source")
    parser.add_argument("--split", help=f"split rule if NAME has no @SPLIT: {', '.join(SPLITS)}")
    add_options(parser, WhatOptions, "--profile", "--base-seed")
    add_options(parser, DataOptions, "--scale", "--data-dir", "--cache-dir", "--card-dir")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Write the files and print their paths.

    Raises:
        BenchError: the data set, split or format does not exist, or the target folder exists already.
    """
    from bench.data import cards
    from bench.data.exporting import check_place, export
    from bench.data.load import describe_source, load_with_raw
    from bench.runs.plan import profile

    a = arguments
    chosen = cards.choose(a.name, a.split)
    scale = profile(a.profile or "quick").scale  # of synthetic data, as a run has it
    given = read_options(DataOptions, a)
    request = given.request(split=chosen.split, base_seed=a.base_seed, default_scale=scale)
    check_place(chosen.name, a.format, a.to, a.force)
    data, raw = load_with_raw(chosen.card, request)
    console.print(describe_source(data), markup=False, soft_wrap=True)
    directory = export(data, raw, a.format, a.to, a.whole, a.force)
    for path in sorted(directory.iterdir()):
        console.print(f"wrote {path}", markup=False, soft_wrap=True)
    return 0
