"""The budget of a search, and the pruning of its trials. Pure.

The rule is the median stopping rule (Golovin et al., "Google Vizier", KDD 2017), with the best score so far on
both sides, because a trial is chosen by its best epoch. A trial is compared with the trials of earlier waves at
the same number of training steps, not of epochs: trials differ in batch size, and an epoch of small batches has
more steps.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from bench.core.protocol import MIN_EPOCHS, Bounds

if TYPE_CHECKING:
    from bench.runs.records import RunRecord

N_SETTINGS, N_SEEDS = 5, 3  # best settings that are trained again, and fresh seeds of each
LEAST_UNKNOWN = 60.0  # CPU seconds of a trial, if no trial's time is known


@dataclass(frozen=True)
class Budget:
    """The budget of a search, the same for every model; of two numbers, the one that is used up first counts.

    Attributes:
        n_trials: number of trials.
        minutes: CPU minutes of the trials; new trials start until they are used up.
    """

    n_trials: int | None = None
    minutes: float | None = None

    @property
    def words(self) -> str:
        """Describe the budget, for example `20 trials` or `90 CPU minutes of trials`."""
        if self.minutes is None:
            return f"{self.n_trials} trials"
        if self.n_trials is None:
            return f"{self.minutes:g} CPU minutes of trials"
        return f"{self.n_trials} trials or {self.minutes:g} CPU minutes of them"

    def limit(self, size: int) -> int:
        """Return the largest number of trials in a space of `size` settings."""
        return size if self.n_trials is None else min(self.n_trials, size)

    def is_used_up(self, records: Sequence[RunRecord]) -> bool:
        """Return whether the trials so far used up the CPU minutes; False without a limit in minutes."""
        return self.minutes is not None and spent(records) >= 60 * self.minutes


def spent(records: Sequence[RunRecord]) -> float:
    """Sum up the CPU seconds of trials.

    A trial without a known time counts as the longest of the others, and at least as a minute. Failed trials
    count, so that a search whose trials all fail ends.
    """
    known = [seconds for record in records if (seconds := record.cpu_seconds) is not None]
    unknown = len(records) - len(known)
    return sum(known) + unknown * max([LEAST_UNKNOWN, *known])


@dataclass(frozen=True)
class PruningRule:
    """The rule that decides which trials are stopped early.

    Attributes:
        quantile: quantile of the earlier trials' scores; a trial below it is stopped. One half is the median.
        first_steps: number of training steps before which no trial is stopped.
        growth: ratio of the steps of two neighbouring rungs.
        min_trials: number of finished earlier trials that a bound needs.
    """

    quantile: float = 0.5
    first_steps: int = 2000
    growth: float = 1.5
    min_trials: int = 3

    @property
    def words(self) -> str:
        """Describe the rule, for example `below the median from 2000 steps on`."""
        below = "the median" if self.quantile == 0.5 else f"the {self.quantile:g} quantile"
        return f"below {below} from {self.first_steps} steps on"

    @property
    def identity(self) -> dict[str, Any]:
        """Return everything about the rule on which a search's proposals depend."""
        return {**asdict(self), "min_epochs": MIN_EPOCHS}

    def bounds(self, earlier: Sequence[RunRecord], metric: str) -> Bounds:
        """Return the rungs `(steps, score)` for a trial, ascending in both; empty if too few trials have curves.

        A trial that ended before a rung counts with its best score. If early stopping or the limit of epochs ended
        it, that is its result. If it was pruned, it could have improved later, so the bound is at most the true
        one, and no trial is stopped because of it.

        Args:
            earlier: trials of earlier waves; failed ones, and models without training steps, are skipped.
            metric: the selection metric.
        """
        import numpy as np  # heavy

        # The rungs are fixed in the trial's spec before it starts. So it ends at the same epoch whatever runs in
        # parallel, however often it is interrupted, and on any machine.
        curves = [curve for record in earlier if (curve := _best_by_steps(record, metric))]
        if len(curves) < self.min_trials:
            return ()
        rungs: list[tuple[int, float]] = []
        for steps in self._grid(max(curve[0][-1] for curve in curves)):
            reached = [_best_at(curve, steps) for curve in curves]
            score = float(np.quantile(reached, self.quantile, method="linear"))
            if not rungs or score > rungs[-1][1]:
                rungs.append((steps, score))
        return tuple(rungs)

    def _grid(self, longest: int) -> list[int]:
        """Return the steps of the rungs, from the first one up to the longest trial."""
        n_more = max(0, math.floor(math.log(longest / self.first_steps, self.growth))) if longest else 0
        return [round(self.first_steps * self.growth**n) for n in range(n_more + 1)]


MEDIAN = PruningRule()


def steps_per_epoch(record: RunRecord) -> int | None:
    """Return the training steps of an epoch; None for a model that has none, such as a control."""
    if record.cost is None:
        return None
    if record.cost.steps is not None:
        return record.cost.steps // record.cost.epochs or None
    batch = record.spec.params.get("train_batch_size")  # a record of an earlier version, without steps
    return -(-record.data.n_train // batch) if isinstance(batch, int) and batch > 0 else None


def _best_by_steps(record: RunRecord, metric: str) -> tuple[list[int], list[float]] | None:
    """Return the steps and the best score so far after every epoch; None if there is no such curve."""
    n_steps = steps_per_epoch(record)
    if n_steps is None or record.metrics is None or not record.curve:
        return None
    best = list(accumulate((epoch.valid[metric] for epoch in record.curve), max))
    return [n_steps * (place + 1) for place in range(len(best))], best


def _best_at(curve: tuple[list[int], list[float]], steps: int) -> float:
    """Return the best score up to a number of steps, or that of the first epoch if it has more steps."""
    place = bisect_right(curve[0], steps)
    return curve[1][max(place - 1, 0)]
