"""Layer 8. Look-ups in the tidy frame, which refuse to answer when a cell would be ambiguous. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.errors import ResultsError, listed, unknown_name
from bench.protocol import Protocol
from bench.records import DataFacts
from bench.report.aggregate import DataKey, data_key

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
