"""`ludp-bench evaluate --topk FILE --datasets NAME`: evaluate the lists or scores of another program.

Reads one data set and one file. Writes a record, its lists and the leaderboard into the results directory; with
`--part valid` it writes nothing.
"""

# ruff: noqa: RUF009 - `option` returns a dataclasses.field

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from bench.cli.declare import add_options, option, path_given, read_options, switch
from bench.cli.options import DataOptions, HowOptions, ProtocolOptions, WhatOptions
from bench.cli.parser import Parser
from bench.core.errors import UsageError
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


@dataclass(frozen=True)
class ListOptions:
    """What the lists hold, and how they are evaluated."""

    part: HeldOut = option(
        "--part", default="test", allowed=PARTS, kind="--part value",
        help="test (default: once, recorded) or valid (repeatable, nothing is written)",
    )  # fmt: skip
    ids: Ids = option(
        "--ids", default="own", allowed=IDS, kind="--ids value",
        help="own (default: the data set's own ids) or internal (numbers from 0, see ludp-bench export)",
    )  # fmt: skip
    empty_if_missing: bool = switch("--empty-if-missing", "count users without a list as zero")


@dataclass(frozen=True, eq=False)
class Evaluated:
    """An evaluation.

    Attributes:
        dataset: canonical name of the data set.
        result: the record of the test part, or the metrics of the validation part.
        notes: remarks on the lists.
    """

    dataset: str
    result: RunRecord | dict[str, float]
    notes: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--datasets", "--dataset", required=True, metavar="NAME", help="NAME or NAME@SPLIT")
    parser.add_argument(
        "--topk", type=path_given, metavar="FILE",
        help="CSV, TSV, Parquet or JSON lines with user, item, and rank or score; 50 items a user are counted",
    )  # fmt: skip
    parser.add_argument(
        "--scores",
        type=path_given,
        metavar="FILE.npy",
        help="scores of all items for all users, in internal order",
    )
    parser.add_argument("--name", metavar="LABEL", help="name of the program in tables (default: of the file)")
    add_options(parser, ListOptions)
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
    read_options(ListOptions, a)  # before any file is read
    if (a.topk is None) == (a.scores is None):
        raise UsageError(
            f"Give either --topk FILE or --scores FILE.npy. To train on the same parts, write them with: "
            f"{export_command(a.datasets)}. A list holds the best items of a user that are not in those parts."
        )
    file: Path = a.topk or a.scores
    from bench.data.topk_files import read_recommendations
    from bench.runs.foreign import check_program, read_scores

    name = check_program(a.name or file.stem, is_of_file=not a.name)
    given = read_recommendations(file) if a.scores is None else read_scores(file)
    evaluate_and_record(given, file, name, shlex.join(a.words), a, console)
    return 0


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """Return all options of a command line, for calls from Python.

    Raises:
        UsageError: an option does not exist, or its value is not allowed.
    """
    parser = Parser(prog="ludp-bench evaluate", allow_abbrev=False)
    add_arguments(parser)
    arguments = parser.parse_strictly(words)
    read_options(ListOptions, arguments)
    return arguments


def evaluate_and_record(
    given: pd.DataFrame | NDArray[Any],
    file: Path | None,
    name: str,
    command: str,
    arguments: argparse.Namespace,
    console: Console,
) -> Evaluated:
    """Check lists or scores against their data set, evaluate, record and print.

    Args:
        given: as a reader of `bench.data.topk_files` or `bench.runs.foreign` returns them.
        file: where they were read from; None for values that Python gave.
        name: name of the program.
        command: the call, for the record.
        arguments: the options; cards and plugins that they name are known, see `with_cards_and_plugins`.
        console: for the metrics and remarks.

    Raises:
        BenchError: the lists do not fit the data, or the test part was evaluated before.
    """
    from bench.core.names import readable
    from bench.core.text import shorten_below, shorten_paths

    a, lists, of_data = arguments, read_options(ListOptions, arguments), read_options(DataOptions, arguments)
    protocol = read_options(ProtocolOptions, a).protocol()
    where, label = ("The recommendations", "") if file is None else (str(file), readable(file.name))
    with shorten_below(of_data.data_dirs):
        data, raw = load(a.datasets, of_data, a.profile, a.base_seed, console)
        checked = check(given, data, raw, protocol, lists, where)
        words = shorten_paths(readable(command))
        shown = show(checked, name, data, protocol, lists.part, a.results_dir, label, words, console)
    return Evaluated(data.name, shown, checked.notes)


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
    lists: ListOptions,
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
    return check_lists(given, data, raw, protocol, lists.part, lists.ids, lists.empty_if_missing, where)


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
                "No list holds a validation item of its user. Lists for --part valid leave out the "
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
