"""Look up the test scores of run records: unrounded means by data set, model label and metric. Pure.

Every look-up finds runs of one configuration, on one version of the data, under one protocol; anything else is an
error.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.core.errors import ResultsError, UsageError, listed, unknown_name
from bench.core.protocol import METRICS, Protocol, metric_key
from bench.core.types import MetricsByPart
from bench.runs.records import DataFacts, RunRecord

Part = Literal["valid", "test"]
PARTS: tuple[Part, ...] = ("valid", "test")
DataKey = tuple[str, str, str, str]
RowKey = tuple[str, ...]


def data_key(facts: DataFacts) -> DataKey:
    """Return the identity of a data set: label, split name, data hash, split hash."""
    return facts.label, facts.split, facts.data_hash, facts.split_hash


@dataclass(frozen=True)
class Score:
    """The score of one model on one data set in one metric.

    Attributes:
        mean: over all requested repetitions; None if one is missing, because a mean over the repetitions that are
            there could be that of the lucky ones.
        sd: sample standard deviation (ddof=1); None without a mean, and for one run.
        n_runs: finished runs.
        n_failed: failed runs.
        n_asked: requested repetitions; None without records.
    """

    mean: float | None = None
    sd: float | None = None
    n_runs: int = 0
    n_failed: int = 0
    n_asked: int | None = None

    @classmethod
    def of(cls, values: Sequence[float], n_runs: int, n_failed: int, n_asked: int) -> Score:
        """Return the score of the values of finished runs.

        Args:
            values: one per finished run; empty if the runs have none.
            n_runs: finished runs.
            n_failed: failed runs.
            n_asked: requested repetitions.
        """
        has_mean = bool(values) and n_runs == n_asked
        return cls(
            mean=statistics.fmean(values) if has_mean else None,
            sd=statistics.stdev(values) if has_mean and len(values) > 1 else None,
            n_runs=n_runs,
            n_failed=n_failed,
            n_asked=n_asked,
        )

    @property
    def progress(self) -> str:
        """Return how many of the requested repetitions are finished, `2 of 3`."""
        return f"{self.n_runs} of {self.n_asked}"


class Scores:
    """The test scores of records that were made under one protocol.

    Failed runs are counted and enter no mean.

    Attributes:
        protocol: tag of the protocol, None without records.
        hide_at_test: which items were hidden at test, None without records.
        selection_metric: metric that chose epochs and hyperparameters; the default protocol's without records.
        n_asked: requested repetitions, None without records.
    """

    def __init__(self, records: Sequence[RunRecord], n_asked: int) -> None:
        """Index the records.

        Args:
            records: in any order; the result does not depend on it.
            n_asked: requested repetitions.

        Raises:
            UsageError: `n_asked` is below 1.
            ResultsError: the records mix protocols, or configurations in one cell; a repetition appears twice or
                was not requested; a finished record lacks metrics or has a metric that is not finite.
        """
        if n_asked < 1:
            raise UsageError(f"{n_asked} repetitions were requested; allowed are 1 or more.")
        self._cells: dict[tuple[DataKey, str, str], Score] = {}
        groups = _groups(records)
        for group in groups:
            _refuse_mixture(group)
            _refuse_repetitions(group, n_asked)
            for metric, score in _scores(group, n_asked).items():
                self._cells[data_key(group[0].data), group[0].spec.label, metric] = score
        self._metrics = {metric for _, _, metric in self._cells}
        used = _only_protocol([group[0] for group in groups])
        self.protocol: str | None = used.tag if used else None
        self.hide_at_test: str | None = used.hide_at_test if used else None
        self.selection_metric: str = (used or Protocol()).selection_metric
        self.n_asked: int | None = n_asked if used else None

    def require(self, metrics: Iterable[str]) -> None:
        """Check that the runs computed these metrics; a metric without values would look like missing runs.

        Raises:
            UsageError: there are records, and they lack one of them.
        """
        for metric in metrics:
            if self._metrics and metric not in self._metrics:
                raise unknown_name("metric", metric, sorted(self._metrics))

    def get(self, facts: DataFacts, label: str, metric: str) -> Score:
        """Return the score on exactly this data and split, or an empty score without a run."""
        return self._cells.get((data_key(facts), label, metric), Score(n_asked=self.n_asked))


def _groups(records: Sequence[RunRecord]) -> list[list[RunRecord]]:
    """Group the records by data, protocol and label, each group by ascending repetition."""
    groups: dict[RowKey, list[RunRecord]] = {}
    for record in records:
        key = (*data_key(record.data), record.protocol.tag, record.spec.label)
        groups.setdefault(key, []).append(record)
    return [sorted(groups[key], key=lambda record: record.spec.repetition) for key in sorted(groups)]


def _only_protocol(records: Sequence[RunRecord]) -> Protocol | None:
    """Return the protocol of all records, None without records."""
    by_tag = {record.protocol.tag: record.protocol.protocol for record in records}
    if len(by_tag) > 1:
        raise ResultsError(
            f"The results differ in protocol: {listed(sorted(by_tag))}. Such numbers cannot share a table. Select "
            f"the results of one protocol and make a table of each."
        )
    return next(iter(by_tag.values()), None)


def _configuration(record: RunRecord) -> dict[str, str | int]:
    return {
        "params_hash": record.spec.params_hash,
        "max_epochs": record.spec.max_epochs,
        "code_hash": record.code_hash,
        "base_seed": record.spec.base_seed,
    }


def _describe(record: RunRecord) -> str:
    facts = record.data
    return f"'{record.spec.label}' on {facts.label} (split {facts.split}, data {facts.data_hash})"


def _refuse_mixture(group: Sequence[RunRecord]) -> None:
    """Raise an error if the runs of one row differ in parameters, code or budget: their mean has no meaning."""
    for name in _configuration(group[0]):
        keys: dict[str | int, list[str]] = {}
        for record in group:
            keys.setdefault(_configuration(record)[name], []).append(record.key)
        if len(keys) > 1:
            values = "; ".join(f"{value} in {listed(keys[value])}" for value in keys)
            raise ResultsError(
                f"The records of {_describe(group[0])} differ in {name}: {values}. One cell holds runs of one "
                f"configuration. Keep the records of one {name} and move the others out of results/runs."
            )


def _refuse_repetitions(group: Sequence[RunRecord], n_asked: int) -> None:
    counts = Counter(record.spec.repetition for record in group)
    for repetition, count in counts.items():
        keys = listed(record.key for record in group if record.spec.repetition == repetition)
        if count > 1:
            raise ResultsError(
                f"Repetition {repetition} of {_describe(group[0])} appears {count} times: {keys}. Allowed is one "
                f"record per repetition. Keep the one that counts and move the others out of results/runs."
            )
        if not 0 <= repetition < n_asked:
            raise ResultsError(
                f"The record {keys} of {_describe(group[0])} is repetition {repetition}, but with {n_asked} "
                f"requested they run from 0 to {n_asked - 1}. Request {repetition + 1} or leave this record out."
            )


def _finished_metrics(record: RunRecord) -> MetricsByPart:
    if record.metrics is None:
        raise ResultsError(
            f"The record {record.key} of {_describe(record)} is finished, but has no metrics. Delete it and run "
            f"it again."
        )
    for part in PARTS:
        for metric, value in getattr(record.metrics, part).values.items():
            if not math.isfinite(value):
                raise ResultsError(
                    f"The record {record.key} of {_describe(record)} has {part} {metric} = {value}; allowed are "
                    f"finite numbers. Delete it and run it again."
                )
    return record.metrics


def _scores(group: Sequence[RunRecord], n_asked: int) -> dict[str, Score]:
    """Return the test scores of one configuration by metric."""
    by_run = [_finished_metrics(record) for record in group if record.status == "finished"]
    names = {part: _metric_names(group[0], part, by_run) for part in PARTS}  # validation too, for its errors
    scores = {}
    n_asked = 1 if group[0].foreign else n_asked  # the lists of another program have no seeds
    for metric in names["test"]:
        values = [run.test.values[metric] for run in by_run]
        scores[metric] = Score.of(values, len(by_run), len(group) - len(by_run), n_asked)
    return scores


def _metric_names(first: RunRecord, part: Part, by_run: Sequence[MetricsByPart]) -> list[str]:
    """Return the metrics that all runs have."""
    if not by_run:  # the protocol's metrics, so that a model without results still counts its failed runs
        return [metric_key(metric, cutoff) for metric in METRICS for cutoff in first.protocol.cutoffs]
    names, *others = [list(getattr(metrics, part).values) for metrics in by_run]
    for other in others:
        if set(other) != set(names):
            odd = listed(sorted(set(other) ^ set(names)))
            raise ResultsError(
                f"The records of {_describe(first)} do not have the same {part} metrics: {odd} are not in all of "
                f"them. Run them again with one version of the program."
            )
    return names
