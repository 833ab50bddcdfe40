"""The result of a search: the chosen trial, the default, and what smaller budgets would have given. Pure.

The curve over budgets is the expectation over all subsets of the trials (Dodge et al., "Show Your Work: Improved
Reporting of Experimental Results", EMNLP 2019, here without replacement and therefore exact).
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.runs.records import DataFacts, RunRecord
from bench.runs.tuning.pruning import Budget
from bench.runs.tuning.space import SearchSpace


@dataclass(frozen=True)
class BudgetPoint:
    """The validation and test score of the trial that the search had chosen after `n_trials`."""

    n_trials: int
    valid: float
    test: float


@dataclass(frozen=True)
class ConfirmedSetting:
    """The setting of a trial, trained again with fresh seeds.

    Attributes:
        trial: number of the trial.
        records: one record per seed, in order.
    """

    trial: int
    records: Sequence[RunRecord]

    @property
    def mean(self) -> float | None:
        """Return the mean validation score over the seeds; None if a run failed."""
        if any(record.metrics is None for record in self.records):
            return None
        return statistics.fmean(map(valid_score, self.records))


@dataclass(frozen=True)
class StudyResult:
    """A finished search.

    Attributes:
        label: model, or `model@variant`.
        facts: facts of the data.
        space: the search space.
        sampler: name of the sampler that proposed the trials.
        budget: the given budget; a small space may have fewer settings.
        records: the trials' records in the order of their proposal, the default first.
        confirmed: the best settings with fresh seeds; empty if the choice is by one seed.
        search_id: identifies the search among others of the same model on the same data.
        pruning: the rule that stopped trials early, in a few words.
    """

    label: str
    facts: DataFacts
    space: SearchSpace
    sampler: str
    budget: Budget
    records: Sequence[RunRecord]
    confirmed: Sequence[ConfirmedSetting] = ()
    search_id: str = ""
    pruning: str = "none"

    @property
    def finished(self) -> list[RunRecord]:
        """Return the trials that did not fail."""
        return [record for record in self.records if record.metrics is not None]

    @property
    def n_pruned(self) -> int:
        """Return the number of trials that were stopped early."""
        return sum(record.stop_reason == "pruned" for record in self.records)

    @property
    def default(self) -> RunRecord:
        """Return the first trial, which has the model's default values."""
        return self.records[0]

    @property
    def chosen(self) -> RunRecord | None:
        """Return the trial whose setting is chosen; None if all failed.

        It has the best mean over the seeds of the confirmation; of equal means the earliest trial counts. Without
        confirmation, or if every confirmed setting had a failed run, it has the best score of the search.
        """
        number = self._chosen_number()
        return None if number is None else self.records[number]

    @property
    def chosen_mean(self) -> float | None:
        """Return the chosen setting's mean validation score over fresh seeds; None without confirmation."""
        number = self._chosen_number()
        return next((each.mean for each in self.confirmed if each.trial == number), None)

    @property
    def chosen_values(self) -> dict[str, Any]:
        """Return the chosen trial's values of the parameters that could vary; empty if all trials failed."""
        chosen = self.chosen
        return {} if chosen is None else {name: chosen.spec.params[name] for name in self.space.candidates}

    @property
    def at_an_end(self) -> dict[str, Any]:
        """Return the chosen numbers that are the first or last of their list, beyond which nothing was tried.

        Lists of two values are switches, and below 0 there is nothing to try.
        """
        lists = self.space.candidates
        return {
            name: value
            for name, value in self.chosen_values.items()
            if self.space.is_ordered(name) and len(lists[name]) > 2 and value != 0
            if value in (lists[name][0], lists[name][-1])
        }

    @property
    def dropped(self) -> list[ConfirmedSetting]:
        """Return the settings that dropped out because one of their runs failed."""
        return [each for each in self.confirmed if each.mean is None]

    @property
    def confirmations(self) -> list[RunRecord]:
        """Return all runs of the confirmation."""
        return [record for each in self.confirmed for record in each.records]

    @property
    def selection_gap(self) -> float | None:
        """Return what choosing on the test part would have added to the test score; never reported as a result."""
        chosen = self.chosen
        return None if chosen is None else max(map(test_score, self.finished)) - test_score(chosen)

    def budget_curve(self) -> list[BudgetPoint]:
        """Return the scores of the best of the first n trials, by one seed, for every n with a finished trial.

        A search of n trials makes the first n of a longer one. A mean over subsets of the trials would not tell
        what it finds, because the sampler proposes late trials from the scores of early ones.
        """
        points = []
        for n in range(1, len(self.records) + 1):
            for number in best_trials(self.records[:n], 1):
                best = self.records[number]
                points.append(BudgetPoint(n, valid_score(best), test_score(best)))
        return points

    def _chosen_number(self) -> int | None:
        means = {each.trial: each.mean for each in self.confirmed if each.mean is not None}
        if means:
            return max(sorted(means), key=lambda number: means[number])
        return next(iter(best_trials(self.records, 1)), None)


def best_trials(records: Sequence[RunRecord], n: int) -> list[int]:
    """Return the numbers of the n best trials by validation score, the earlier of equal ones first.

    Pruned trials come after all others; failed ones are left out.
    """
    finished = [number for number, record in enumerate(records) if record.metrics is not None]
    return sorted(
        finished,
        key=lambda number: (records[number].stop_reason == "pruned", -valid_score(records[number]), number),
    )[:n]


def valid_score(record: RunRecord) -> float:
    """Return the selection metric on the validation part of a finished trial."""
    assert record.metrics is not None
    return record.metrics.valid.values[record.protocol.selection_metric]


def test_score(record: RunRecord) -> float:
    """Return the selection metric on the test part of a finished trial."""
    assert record.metrics is not None
    return record.metrics.test.values[record.protocol.selection_metric]
