"""Layer 6. What a search found: the chosen trial, the default, what other budgets would have given. Pure.

The curve over budgets is the expectation over all subsets of the trials (Dodge et al., "Show Your Work: Improved
Reporting of Experimental Results", EMNLP 2019, here without replacement and therefore exact).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.records import DataFacts, RunRecord
from bench.tuning.space import SearchSpace


@dataclass(frozen=True)
class BudgetPoint:
    """What a search of `n_trials` gives in expectation: the chosen trial's validation and test score."""

    n_trials: int
    valid: float
    test: float


@dataclass(frozen=True)
class StudyResult:
    """A finished search.

    Attributes:
        label: model, or `model@variant`.
        facts: the data.
        space: what could vary.
        sampler: who proposed.
        n_asked: the budget; a small space may have fewer settings.
        records: the trials' records in the order of their proposal, the default first.
    """

    label: str
    facts: DataFacts
    space: SearchSpace
    sampler: str
    n_asked: int
    records: Sequence[RunRecord]

    @property
    def finished(self) -> list[RunRecord]:
        """Trials that did not fail."""
        return [record for record in self.records if record.metrics is not None]

    @property
    def default(self) -> RunRecord:
        """The first trial."""
        return self.records[0]

    @property
    def chosen(self) -> RunRecord | None:
        """The trial with the best validation score, the first of several; None if all failed."""
        return max(self.finished, key=valid_score, default=None)

    @property
    def chosen_values(self) -> dict[str, Any]:
        """Values of the chosen trial, of the parameters that could vary; empty if all failed."""
        chosen = self.chosen
        return {} if chosen is None else {name: chosen.spec.params[name] for name in self.space.candidates}

    @property
    def selection_gap(self) -> float | None:
        """What choosing on the test part would have added to the test score: never reported as a result."""
        chosen = self.chosen
        return None if chosen is None else max(map(test_score, self.finished)) - test_score(chosen)

    def budget_curve(self) -> list[BudgetPoint]:
        """Expected scores of the chosen one of n trials, for every n up to the finished ones.

        Of all subsets of n trials, those in which the trial of rank r (from 1, lowest validation score first) is
        the best are C(r - 1, n - 1) of C(N, n).
        """
        # the later of two equal scores ranks lower, as it does in `chosen`
        last_first = self.finished[::-1]
        ranked = sorted(last_first, key=valid_score)
        points = []
        for n in range(1, len(ranked) + 1):
            shares = [math.comb(rank, n - 1) / math.comb(len(ranked), n) for rank in range(len(ranked))]
            valid = math.fsum(share * valid_score(one) for share, one in zip(shares, ranked, strict=True))
            test = math.fsum(share * test_score(one) for share, one in zip(shares, ranked, strict=True))
            points.append(BudgetPoint(n, valid, test))
        return points


def valid_score(record: RunRecord) -> float:
    """The selection metric on the validation part of a finished trial."""
    assert record.metrics is not None
    return record.metrics.valid.values[record.protocol.selection_metric]


def test_score(record: RunRecord) -> float:
    """The same metric on the test part."""
    assert record.metrics is not None
    return record.metrics.test.values[record.protocol.selection_metric]
