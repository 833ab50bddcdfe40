"""Records to one tidy frame: unrounded means over repetitions, gaps kept. Pure; touches no file.

Look-ups in the tidy frame, which refuse to answer when a cell would be ambiguous. Pure.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.core.errors import ResultsError, UsageError, listed, unknown_name
from bench.core.protocol import METRICS, Protocol, metric_key
from bench.core.types import MetricsByPart
from bench.runs.records import DataFacts, RunRecord

COLUMNS = (
    "dataset",
    "source",
    "scale",
    "data",
    "split",
    "data_hash",
    "split_hash",
    "protocol",
    "hide_at_test",
    "selection_metric",
    "model",
    "variant",
    "label",
    "params_hash",
    "max_epochs",
    "code_hash",
    "patience",
    "base_seed",
    "part",
    "metric",
    "mean",
    "sd",
    "n_runs",
    "n_failed",
    "n_asked",
    "repetitions",
    "values",
)
PARTS = ("valid", "test")
DataKey = tuple[str, str, str, str]
Cell = tuple[str, ...]


def data_key(facts: DataFacts) -> DataKey:
    """What makes data the same data: label, split name, data hash, split hash."""
    return facts.label, facts.split, facts.data_hash, facts.split_hash


def distinct_data(records: Sequence[RunRecord]) -> list[DataFacts]:
    """The different data that the records were made on, sorted by `data_key`."""
    found = {data_key(record.data): record.data for record in records}
    return [found[key] for key in sorted(found)]


def tidy(records: Sequence[RunRecord], n_asked: int) -> pd.DataFrame:
    """One row per data, split, protocol, model label, part and metric.

    Runs on different data (hash), split (hash) or protocol (tag) fall into different rows.
    Failed runs are counted in `n_failed` and enter no mean. Without any finished run, `mean` is null and
    `n_runs` 0. `sd` is the sample standard deviation (ddof=1), null for fewer than two runs.

    Args:
        records: records in any order; the result does not depend on it.
        n_asked: repetitions that were asked for.

    Returns:
        A frame with the columns `COLUMNS`; `values` holds the single results by ascending repetition.

    Raises:
        UsageError: `n_asked` is below 1.
        ResultsError: one row would mix configurations, a repetition appears twice or was not asked for, or a
            finished record lacks metrics or holds one that is not finite.
    """
    if n_asked < 1:
        raise UsageError(f"{n_asked} repetitions were asked for; allowed are 1 and more.")
    groups: dict[Cell, list[RunRecord]] = {}
    for record in records:
        groups.setdefault(_identity(record), []).append(record)
    rows: list[dict[str, Any]] = []
    for identity in sorted(groups):
        group = sorted(groups[identity], key=lambda record: record.spec.repetition)
        _refuse_mixture(group)
        _refuse_repetitions(group, n_asked)
        rows.extend(_rows(group, n_asked))
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype({"scale": float, "mean": float, "sd": float})


def _identity(record: RunRecord) -> Cell:
    return *data_key(record.data), record.protocol.tag, record.spec.label


def _configuration(record: RunRecord) -> dict[str, str | int]:
    return {
        "params_hash": record.spec.params_hash,
        "max_epochs": record.spec.max_epochs,
        "code_hash": record.code_hash,
        "patience": record.protocol.patience,
        "base_seed": record.spec.base_seed,
    }


def _place(record: RunRecord) -> str:
    facts = record.data
    return f"'{record.spec.label}' on {facts.label} (split {facts.split}, data {facts.data_hash})"


def _refuse_mixture(group: Sequence[RunRecord]) -> None:
    """A mean over different parameters, code or budgets would be the mean of nothing."""
    for name in _configuration(group[0]):
        keys: dict[str | int, list[str]] = {}
        for record in group:
            keys.setdefault(_configuration(record)[name], []).append(record.key)
        if len(keys) > 1:
            found = "; ".join(f"{value} in {listed(keys[value])}" for value in keys)
            raise ResultsError(
                f"The records of {_place(group[0])} differ in {name}: {found}. One cell holds runs of one "
                f"configuration. Keep the records of one {name} and move the others out of results/runs."
            )


def _refuse_repetitions(group: Sequence[RunRecord], n_asked: int) -> None:
    counts = Counter(record.spec.repetition for record in group)
    for repetition, count in counts.items():
        keys = listed(record.key for record in group if record.spec.repetition == repetition)
        if count > 1:
            raise ResultsError(
                f"Repetition {repetition} of {_place(group[0])} appears {count} times: {keys}. Allowed is one "
                f"record a repetition. Keep the one that counts and move the others out of results/runs."
            )
        if not 0 <= repetition < n_asked:
            raise ResultsError(
                f"The record {keys} of {_place(group[0])} is repetition {repetition}, but with {n_asked} asked "
                f"for they run from 0 to {n_asked - 1}. Ask for {repetition + 1} or leave this record out."
            )


def _finished_metrics(record: RunRecord) -> MetricsByPart:
    if record.metrics is None:
        raise ResultsError(
            f"The record {record.key} of {_place(record)} is finished, but holds no metrics. Delete it and run "
            f"it again."
        )
    for part in PARTS:
        for metric, value in getattr(record.metrics, part).values.items():
            if not math.isfinite(value):
                raise ResultsError(
                    f"The record {record.key} of {_place(record)} has {part} {metric} = {value}; allowed are "
                    f"finite numbers. Delete it and run it again."
                )
    return record.metrics


def _rows(group: Sequence[RunRecord], n_asked: int) -> Iterator[dict[str, Any]]:
    finished = [record for record in group if record.status == "finished"]
    by_run = [_finished_metrics(record) for record in finished]
    shared = _shared_fields(group[0]) | {
        "n_runs": len(finished),
        "n_failed": len(group) - len(finished),
        "n_asked": n_asked,
        "repetitions": [record.spec.repetition for record in finished],
    }
    for part in PARTS:
        runs: list[dict[str, float]] = [getattr(metrics, part).values for metrics in by_run]
        for metric in _metric_names(group[0], part, runs):
            values = [run[metric] for run in runs]
            yield shared | {
                "part": part,
                "metric": metric,
                "mean": statistics.fmean(values) if values else None,
                "sd": statistics.stdev(values) if len(values) > 1 else None,
                "values": values,
            }


def _metric_names(first: RunRecord, part: str, runs: Sequence[dict[str, float]]) -> list[str]:
    """The metrics of all runs; of the protocol where no run finished, so that the gap gets its rows."""
    if not runs:
        return [metric_key(metric, cutoff) for metric in METRICS for cutoff in first.protocol.cutoffs]
    names = list(runs[0])
    for run in runs:
        if set(run) != set(names):
            odd = listed(sorted(set(run) ^ set(names)))
            raise ResultsError(
                f"The records of {_place(first)} do not hold the same {part} metrics: {odd} are not in all of "
                f"them. Run them again with one version of the program."
            )
    return names


def _shared_fields(record: RunRecord) -> dict[str, Any]:
    facts, spec, protocol = record.data, record.spec, record.protocol
    return {
        "dataset": facts.name,
        "source": facts.source,
        "scale": facts.scale,
        "data": facts.label,
        "split": facts.split,
        "data_hash": facts.data_hash,
        "split_hash": facts.split_hash,
        "protocol": protocol.tag,
        "hide_at_test": protocol.hide_at_test,
        "selection_metric": protocol.selection_metric,
        "model": spec.model,
        "variant": spec.variant,
        "label": spec.label,
        **_configuration(record),
    }


Key = tuple[DataKey, str, str]


@dataclass(frozen=True)
class Score:
    """What is known about one model on one data set in one metric; `mean` is None without a finished run."""

    mean: float | None = None
    sd: float | None = None
    n_runs: int = 0
    n_failed: int = 0
    n_asked: int | None = None

    @property
    def complete(self) -> float | None:
        """The mean if all repetitions that were asked for are in it; only such means are compared."""
        return self.mean if self.n_runs == self.n_asked else None


class Scores:
    """The test scores of one frame of `aggregate.tidy`, made under one protocol.

    Attributes:
        protocol: tag of the protocol, None for an empty frame.
        hide_at_test: whose items were hidden at test, None for an empty frame.
        selection_metric: what chose epochs and hyperparameters; the default protocol's for an empty frame.
        n_asked: repetitions asked for, None for an empty frame.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        """Index a frame.

        Raises:
            ResultsError: the frame mixes protocols or numbers of repetitions, or holds a cell twice.
        """
        test = frame[frame["part"] == "test"]
        self.protocol: str | None = _only(test, "protocol")
        self.hide_at_test: str | None = _only(test, "hide_at_test")
        self.selection_metric: str = _only(test, "selection_metric") or Protocol().selection_metric
        asked = _only(test, "n_asked")
        self.n_asked: int | None = None if asked is None else int(asked)
        self._metrics: set[str] = set(test["metric"])
        self._cells: dict[Key, Score] = {}
        for row in test.to_dict("records"):
            data: DataKey = (row["data"], row["split"], row["data_hash"], row["split_hash"])
            key = (data, row["label"], row["metric"])
            if key in self._cells:
                raise ResultsError(
                    f"The frame holds {row['metric']} of '{row['label']}' on {row['data']} (data "
                    f"{row['data_hash']}) twice; a table cell needs one. Aggregate all records in one call."
                )
            self._cells[key] = Score(
                mean=_number(row["mean"]),
                sd=_number(row["sd"]),
                n_runs=int(row["n_runs"]),
                n_failed=int(row["n_failed"]),
                n_asked=int(row["n_asked"]),
            )

    def require(self, metrics: Iterable[str]) -> None:
        """Refuse metrics that no run computed, which would otherwise look like missing runs.

        Raises:
            UsageError: the frame is not empty and lacks one of them.
        """
        for metric in metrics:
            if self._metrics and metric not in self._metrics:
                raise unknown_name("metric", metric, sorted(self._metrics))

    def get(self, facts: DataFacts, label: str, metric: str) -> Score:
        """The score on exactly this data and split; an empty one if there is no run."""
        return self._cells.get((data_key(facts), label, metric), Score(n_asked=self.n_asked))


def _only(frame: pd.DataFrame, column: str) -> Any:
    found = sorted(set(frame[column]))
    if len(found) > 1:
        raise ResultsError(
            f"The results differ in {column}: {listed(map(str, found))}. Such numbers cannot share a table. "
            f"Select the rows of one {column} and make a table of each."
        )
    return found[0] if found else None


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)
