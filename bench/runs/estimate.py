"""Estimate how long runs take, from the records of earlier runs, else from a table of measured seconds.

Reads the results directory and `seconds.yaml`; writes nothing.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from bench.core.config import Frozen, validated
from bench.core.errors import ResultsError
from bench.core.yaml_files import read_yaml
from bench.runs.record_files import Damaged
from bench.runs.records import RunRecord
from bench.runs.store import ResultsStore
from bench.runs.task import PlannedRun, RunOptions

TABLE = Path(__file__).with_name("seconds.yaml")
USUAL_EPOCHS = 80  # that a training makes before patience ends it, while no record tells
MOST_READ = 12  # records of one model


class Seconds(Frozen):
    """Seconds of a model: of one epoch with its validation pass, and of everything that is done once."""

    epoch: float
    once: float


class MeasuredSeconds(Frozen):
    """The table of measured seconds.

    Attributes:
        n_train: training interactions of the data on which they were measured.
        models: seconds by model.
        other: seconds of a model that is not listed.
    """

    n_train: int
    models: dict[str, Seconds]
    other: Seconds


@dataclass(frozen=True)
class Estimator:
    """Estimates the seconds of runs.

    Attributes:
        store: the store with earlier runs.
        options: options of the call; records of another protocol or kind of device are not used.
    """

    store: ResultsStore
    options: RunOptions
    _read: dict[Path, list[RunRecord]] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def _table(self) -> MeasuredSeconds:
        return validated(MeasuredSeconds, read_yaml(TABLE), TABLE, "Restore the file.")

    def seconds(self, run: PlannedRun) -> float | None:
        """Return the expected seconds of a run; None on CUDA without an earlier run of the model."""
        own = self._records(run.path.parent)
        if own:
            return self._by_records(run, own)
        elsewhere = self._records_on_other_data(run)
        if elsewhere:
            return self._by_records(run, elsewhere)
        if self.options.device.type != "cpu":
            return None  # the table was measured on a processor
        row = self._table.models.get(run.spec.model, self._table.other)
        n_epochs = min(run.spec.max_epochs, USUAL_EPOCHS)
        return (row.epoch * n_epochs + row.once) * run.facts.n_train / self._table.n_train

    def total(self, runs: Iterable[PlannedRun], n_workers: int) -> float | None:
        """Return the expected seconds of runs that several workers share; None if one run has no estimate."""
        each = [self.seconds(run) for run in runs]
        known = [seconds for seconds in each if seconds is not None]
        if len(known) < len(each):
            return None
        return max(sum(known) / n_workers, max(known, default=0.0))

    def _by_records(self, run: PlannedRun, records: Sequence[RunRecord]) -> float:
        """Return the median seconds of earlier runs, for as many epochs and training interactions as this run."""
        return statistics.median(
            record.cost.total_seconds
            * _epochs(run, record)
            / max(record.cost.epochs, 1)
            * run.facts.n_train
            / max(record.data.n_train, 1)
            for record in records
            if record.cost is not None
        )

    def _records_on_other_data(self, run: PlannedRun) -> list[RunRecord]:
        """Read records of the same model in the folders of other data sets of this protocol."""
        folder = run.path.parent
        places = sorted(folder.parent.parent.glob(f"*/{folder.name}"))
        found = [record for place in places for record in self._records(place)]
        return found[:MOST_READ]

    def _records(self, folder: Path) -> list[RunRecord]:
        """Read the finished runs in the folder of a model, once."""
        if folder not in self._read:
            some = map(self._read_one, sorted(folder.glob("*.json"))[:MOST_READ])
            self._read[folder] = [each for each in some if isinstance(each, RunRecord) and self._fits(each)]
        return self._read[folder]

    def _read_one(self, path: Path) -> RunRecord | Damaged | None:
        """Read a record; one of another run that cannot be read does not stop this call."""
        try:
            return self.store.read(path)
        except ResultsError:
            return None

    def _fits(self, record: RunRecord) -> bool:
        is_cpu = record.environment.get("device") == "cpu"
        return record.cost is not None and is_cpu == (self.options.device.type == "cpu")


def _epochs(run: PlannedRun, record: RunRecord) -> float:
    """Return the number of epochs to expect of a run, given an earlier run of its model."""
    assert record.cost is not None
    if not record.is_trained:
        return record.cost.epochs
    if record.stop_reason == "cap":  # with a higher limit it would have trained longer
        return min(run.spec.max_epochs, max(record.cost.epochs, USUAL_EPOCHS))
    return min(run.spec.max_epochs, record.cost.epochs)


def about(seconds: float) -> str:
    """Return a duration in words that claim no more precision than an estimate has."""
    if seconds < 60:
        return "less than a minute"
    minutes = seconds / 60
    if minutes < 90:
        return f"about {math.ceil(minutes if minutes < 10 else minutes / 5) * (1 if minutes < 10 else 5)} min"
    hours = minutes / 60
    return f"about {hours:.1f} h" if hours < 10 else f"about {hours:.0f} h"
