"""`ludp-bench export NAME --layout L --to DIR`: a data set for another tool. Writes below DIR."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from rich.console import Console

SUMMARY = "write a data set with its split for RecBole or MMRec"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from bench.cli.options import DATA_VARIABLE
    from bench.core.files import ROOT
    from bench.core.names import SPLITS

    parser.add_argument("name", metavar="NAME", help="NAME or NAME@SPLIT of a data set")
    parser.add_argument("--layout", required=True, metavar="NAME", help="recbole or mmrec")
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="the files go to DIR/NAME")
    parser.add_argument("--whole", action="store_true", help="leave the split out")
    parser.add_argument("--force", action="store_true", help="replace DIR/NAME")
    parser.add_argument("--source", default="auto", help="auto (default), real, embedded or surrogate")
    parser.add_argument("--split", help=f"the rule where NAME says none: {', '.join(SPLITS)}")
    parser.add_argument(
        "--base-seed", type=int, default=2023, metavar="N", help="root of all seeds (default 2023)"
    )
    parser.add_argument("--scale", type=float, metavar="X", help="surrogate size relative to the paper's data")
    parser.add_argument(
        "--data-dir", type=Path, action="append", default=[], metavar="DIR",
        help=f"where data lies; repeatable (also the environment variable {DATA_VARIABLE})",
    )  # fmt: skip
    parser.add_argument("--cache-dir", type=Path, default=ROOT / "datasets" / "cache", metavar="DIR")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Write the files, and name them.

    Raises:
        BenchError: no such data set, split or layout, or the place is taken.
    """
    from bench.cli.options import DATA_VARIABLE
    from bench.core.types import DataRequest
    from bench.data import cards
    from bench.data.exporting import check_place, export
    from bench.data.load import describe_source, load_with_raw

    a = arguments
    chosen = cards.choose(a.name, a.split)
    from_environment = [Path(part) for part in os.environ.get(DATA_VARIABLE, "").split(os.pathsep) if part]
    request = DataRequest(
        source=a.source,
        data_dirs=(*a.data_dir, *from_environment),
        cache_dir=a.cache_dir,
        scale=a.scale,
        split=chosen.split,
        base_seed=a.base_seed,
    )
    check_place(chosen.name, a.layout, a.to, a.force)
    data, raw = load_with_raw(chosen.card, request)
    console.print(describe_source(data), markup=False, soft_wrap=True)
    directory = export(data, raw, a.layout, a.to, a.whole, a.force)
    for path in sorted(directory.iterdir()):
        console.print(f"wrote {path}", markup=False, soft_wrap=True)
    return 0
