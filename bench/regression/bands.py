"""Layer 5. How far a number may be from its baseline. Pure.

There are two questions, and a number answers both:

- **seeds**: is it where another seed of the same code would put it? The two-sided prediction interval for one more
  draw from the normal distribution that n seeds were drawn from, mean +- t(n - 1) s sqrt(1 + 1/n). The rate of
  false alarms is that of the whole check: it is divided by the number of intervals (Bonferroni, which holds
  whatever the dependence between them).
- **same seed**: is it what the baseline's own first seed gave? On the same machine and versions that is equal to
  the last bit, so the tolerance covers other machines only: a multiple of the largest difference that other vector
  instructions made when the baseline was measured. Asked only if the seeds are equal.

The first is blind to what moves less than seeds do; the second sees that too, and also changes that mean nothing,
such as another order of random draws. Numbers that no seed has a say in must be equal.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

DRIFT_FACTOR = 4.0  # on the largest of a few differences; a further machine may show a larger one
LEAST_STEPS = 3.0  # no band is narrower than three hits, or three of whatever the number's step is
ROUNDING = 1e-9  # relative; means of the same values, added in another order


class Band(NamedTuple):
    """The values that are allowed, and the one that is expected."""

    expected: float
    low: float
    high: float

    @classmethod
    def around(cls, expected: float, half: float) -> Band:
        """The symmetric band."""
        return cls(expected, expected - half, expected + half)

    def holds(self, value: float) -> bool:
        """Whether a value lies in it; NaN does not."""
        return self.low <= value <= self.high


def seeds_band(values: Sequence[float], step: float, n_intervals: int, rate: float) -> Band:
    """The prediction interval for one more seed.

    Args:
        values: of the baseline's seeds, at least two.
        step: of the number, see `bench.regression.numbers.Value`.
        n_intervals: intervals among which the rate is divided.
        rate: chance that a check of unchanged code is red anywhere.
    """
    n = len(values)
    half = _quantile(1 - rate / (2 * n_intervals), n - 1) * statistics.stdev(values) * math.sqrt(1 + 1 / n)
    return Band.around(statistics.fmean(values), max(half, LEAST_STEPS * step))


@cache
def _quantile(probability: float, degrees: int) -> float:
    """Of Student's t distribution."""
    from scipy import stats

    return float(stats.t.ppf(probability, degrees))


def same_seed_band(value: float, drift: float, step: float) -> Band:
    """What the same seed may give on another machine; `drift` is the largest difference that was measured."""
    return Band.around(value, max(DRIFT_FACTOR * drift, LEAST_STEPS * step, ROUNDING * abs(value)))


def speed_band(ratios: Sequence[float], max_slowdown: float) -> Band:
    """At most so many times the median of the baseline's ratios; faster is never wrong."""
    expected = statistics.median(ratios)
    return Band(expected, 0.0, max_slowdown * expected)
