"""Layer 3. How much a search may try: a number of trials, or CPU minutes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.records import RunRecord

N_SETTINGS, N_SEEDS = 5, 3  # best settings that are trained again, and fresh seeds of each
LEAST_UNKNOWN = 60.0  # CPU seconds that a trial counts with where nothing is known of any


@dataclass(frozen=True)
class Budget:
    """The budget of a search, the same for every model: exactly one of the two is given.

    Attributes:
        n_trials: trials.
        minutes: CPU minutes of the trials; a new trial begins while less is used up.
    """

    n_trials: int | None = None
    minutes: float | None = None

    @property
    def words(self) -> str:
        """For example `20 trials`, or `90 CPU minutes of trials`."""
        if self.minutes is not None:
            return f"{self.minutes:g} CPU minutes of trials"
        return f"{self.n_trials} trials"

    def limit(self, size: int) -> int:
        """The most trials that a space of that many settings gives."""
        return size if self.n_trials is None else min(self.n_trials, size)

    def is_used_up(self, records: Sequence[RunRecord]) -> bool:
        """Whether the trials so far took the CPU minutes; never, where the budget is a number of trials."""
        return self.minutes is not None and spent(records) >= 60 * self.minutes


def spent(records: Sequence[RunRecord]) -> float:
    """CPU seconds of trials; one that does not tell counts as the longest of the others, and at least a minute.

    Failed trials count, so that a search whose trials all fail comes to its end.
    """
    known = [seconds for record in records if (seconds := record.cpu_seconds) is not None]
    unknown = len(records) - len(known)
    return sum(known) + unknown * max([LEAST_UNKNOWN, *known])
