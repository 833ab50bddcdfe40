"""`ludp-bench evaluate --topk FILE --datasets NAME`: evaluate the lists or scores of another program.

Reads one data set and one file. Writes a record, its lists and the leaderboard into the results directory; with
`--part valid` it writes nothing.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from bench.cli.declare import add_options, read_options
from bench.cli.options import DataOptions, HowOptions, ProtocolOptions, WhatOptions
from bench.cli.parser import Parser
from bench.core.errors import UsageError, unknown_name
from bench.runs.foreign_terms import IDS, PARTS, export_command

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from bench.core.protocol import Protocol
    from bench.core.types import BenchmarkData, Metrics
    from bench.data.raw import RawData
    from bench.runs.foreign import Given
    from bench.runs.foreign_terms import HeldOut, Ids
    from bench.runs.records import RunRecord

SUMMARY = "put the lists or scores of another program under this evaluator and on the leaderboard"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--datasets", "--dataset", required=True, metavar="NAME", help="NAME or NAME@SPLIT")
    parser.add_argument(
        "--topk", type=Path, metavar="FILE",
        help="CSV, TSV, Parquet or JSON lines with user, item, and rank or score; 50 items a user are counted",
    )  # fmt: skip
    parser.add_argument(
        "--scores", type=Path, metavar="FILE.npy", help="scores of all items for all users, in internal order"
    )
    parser.add_argument("--name", metavar="LABEL", help="name of the program in tables (default: of the file)")
    parser.add_argument(
        "--part", default="test", metavar="PART",
        help="test (default: once, recorded) or valid (repeatable, nothing is written)",
    )  # fmt: skip
    parser.add_argument(
        "--ids", default="own", metavar="KIND",
        help="own (default: the data set's own ids) or internal (numbers from 0, see ludp-bench export)",
    )  # fmt: skip
    parser.add_argument("--empty-if-missing", action="store_true", help="count users without a list as zero")
    add_options(parser, WhatOptions, "--plugin", "--profile", "--base-seed")
    add_options(parser, ProtocolOptions)
    add_options(parser, DataOptions, "--source", "--split", "--scale", "--data-dir", "--cache-dir", "--card-dir")
    add_options(parser, HowOptions, "--results-dir")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Evaluate, record and print.

    Raises:
        BenchError: an option is wrong, a file cannot be read or does not fit the data, or the test part was
            evaluated before.
    """
    a = arguments
    check_choices(a)
    if (a.topk is None) == (a.scores is None):
        raise UsageError(
            f"Give either --topk FILE or --scores FILE.npy. To train on the same parts, write them with: "
            f"{export_command(a.datasets)}. A list holds the best items of a user that are not in those parts."
        )
    file: Path = a.topk or a.scores
    from bench.core.names import readable
    from bench.core.text import shorten_below, shorten_paths
    from bench.data.topk_files import read_recommendations
    from bench.runs.foreign import check_program, read_scores

    name = check_program(a.name or file.stem)
    data_options = read_options(DataOptions, a)
    protocol = read_options(ProtocolOptions, a).protocol()
    given = read_recommendations(file) if a.scores is None else read_scores(file)
    with shorten_below(data_options.data_dirs):
        data, raw = load(a.datasets, data_options, a.profile, a.base_seed, console)
        checked = check(given, data, raw, protocol, a.part, a.ids, a.empty_if_missing, str(file))
        words = shorten_paths(readable(shlex.join(a.words)))
        show(checked, name, data, protocol, a.part, a.results_dir, readable(file.name), words, console)
    return 0


def check_choices(arguments: argparse.Namespace) -> None:
    """Check the values of `--part` and `--ids`.

    Raises:
        UsageError: one is not allowed.
    """
    for flag, allowed in (("part", PARTS), ("ids", IDS)):
        value = getattr(arguments, flag)
        if value not in allowed:
            raise unknown_name(f"--{flag} value", value, allowed)


def options_of(words: Sequence[str]) -> tuple[Protocol, DataOptions, argparse.Namespace]:
    """Return the protocol, the data options and all options of a command line, for calls from Python.

    Raises:
        UsageError: an option does not exist, or its value is not allowed.
    """
    parser = Parser(prog="ludp-bench evaluate", allow_abbrev=False)
    add_arguments(parser)
    a = parser.parse_strictly(words)
    check_choices(a)
    return read_options(ProtocolOptions, a).protocol(), read_options(DataOptions, a), a


def load(
    dataset: str, options: DataOptions, profile_name: str | None, base_seed: int, console: Console
) -> tuple[BenchmarkData, RawData]:
    """Load a data set as a run would, with its original ids, and print what it is.

    Raises:
        BenchError: it does not exist or cannot be read.
    """
    from bench.cli.opening import show_data
    from bench.data import cards
    from bench.data.load import load_with_raw
    from bench.runs.plan import profile

    chosen = cards.choose(dataset, options.split)
    scale = profile(profile_name or "quick").scale
    request = options.request(split=chosen.split, base_seed=base_seed, default_scale=scale)
    data, raw = load_with_raw(chosen.card, request)
    show_data(data, chosen.card, console)
    return data, raw


def check(
    given: pd.DataFrame | NDArray[Any],
    data: BenchmarkData,
    raw: RawData,
    protocol: Protocol,
    part: HeldOut,
    ids: Ids,
    empty_if_missing: bool,
    where: str,
) -> Given:
    """Check lists or a matrix of scores against the data; see `bench.runs.foreign`.

    Raises:
        DataError: they do not fit; the message names every mistake with an example.
    """
    import numpy as np

    from bench.runs.foreign import check_lists, check_scores

    if isinstance(given, np.ndarray):
        return check_scores(given, data, raw, where)
    return check_lists(given, data, raw, protocol, part, ids, empty_if_missing, where)


def show(
    given: Given,
    name: str,
    data: BenchmarkData,
    protocol: Protocol,
    part: HeldOut,
    results_dir: Path,
    file: str,
    command: str,
    console: Console,
) -> RunRecord | dict[str, float]:
    """Evaluate and print the metrics; for the test part also write the record and the leaderboard.

    Returns:
        The record of the test part, or the metrics of the validation part.

    Raises:
        ResultsError: the test part was evaluated with other lists of this name, or a file cannot be written.
    """
    from bench.report.leaderboard.build import outcome, refresh
    from bench.report.leaderboard.rows import why_alone
    from bench.runs.foreign import evaluate_test, evaluate_valid
    from bench.runs.store import ResultsStore

    for note in given.notes:
        console.print(f"note: {note}", markup=False, soft_wrap=True)
    if part == "valid":
        metrics = evaluate_valid(given, data, protocol).metrics
        print_metrics(name, "validation", metrics, console)
        if not any(metrics.values.values()):
            console.print(
                "Every list misses: it holds no validation item of its user. Lists for --part valid leave out the "
                "items of training alone; lists for the test part leave out those of validation, too.",
                soft_wrap=True,
            )
        console.print("Nothing was written. Evaluate the test part once, with the final lists.", soft_wrap=True)
        return metrics.values
    store = ResultsStore(results_dir)
    record, is_new = evaluate_test(given, name, data, protocol, store, file, command)
    assert record.metrics is not None
    print_metrics(name, "test", record.metrics.test, console)
    path = store.record_path(record.key, protocol, data.name, data.source, record.spec)
    console.print(f"{'wrote' if is_new else 'evaluated before:'} {path}", markup=False, soft_wrap=True)
    console.print(outcome(*refresh(results_dir)), markup=False, soft_wrap=True)
    if (alone := why_alone(results_dir, record)) is not None:
        console.print(f"note: {alone}", markup=False, soft_wrap=True)
    return record


def print_metrics(name: str, part: str, metrics: Metrics, console: Console) -> None:
    """Print the metrics of a part as a small table, one line per cut-off."""
    from rich.table import Table
    from rich.text import Text

    from bench.core.protocol import CUTOFFS, METRICS, metric_key

    title = Text(f"{name}, {part} part, {metrics.n_users:,} users")
    table = Table("at", *METRICS, title=title, title_justify="left")
    for cutoff in CUTOFFS:
        table.add_row(str(cutoff), *(f"{metrics.values[metric_key(metric, cutoff)]:.4f}" for metric in METRICS))
    console.print(table)
