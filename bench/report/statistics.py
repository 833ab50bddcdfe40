"""Paired tests, intervals and effect sizes of differences between rows, over the same users. Pure.

**Test.** Under the null hypothesis a user's scores by two rows could be exchanged, which turns the sign of the
difference. A flip turns the signs of a random half of the users; p is the share of flips, the data themselves
among them, whose sum is at least as far from zero. Users without a difference change nothing, so that the many
zeros of Recall need no rule, as they would with ranks.

**Seeds.** Every repetition is a test of its own on the same users, so that its p-values depend on each other, and
Fisher's product of them would take five looks at one user for five users. Here a user's sign is turned in all
repetitions at once, and the sum of the standardised statistics of the repetitions is compared with its own
distribution over the flips (nonparametric combination, Pesarin and Salmaso 2010). That is valid under any
dependence between repetitions, and is the plain test for one.

**Interval.** The percentile bootstrap of the difference of means, over users, of scores averaged over repetitions.
It speaks of the models as trained here: repetitions are not drawn again.

Sums over flipped or redrawn users are linear in the scores, so that one matrix product serves all differences.

Many rows against one: what `resampling` says of each pair, at a fraction of the cost. Pure.

The combined statistic of the repetitions is linear in the flipped scores, so that a pair's repetitions are added
up before they are flipped: one column a pair instead of one a row and repetition.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.core.hashing import derive_seed

N_FLIPS = 9_999
FLIPS_PER_TEST = 80  # the smallest p-value then stays below 0.05 after Holm's correction, however many tests
N_RESAMPLES = 2_000
LEVEL = 0.05
CHUNK = 250  # flips or resamples at once: memory stays at CHUNK x n_users
TIE = 1e-9  # sums closer than this share of their deviation are equal

FloatArray = NDArray[np.float64]
Weights = Mapping[str, float]


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of rows, mostly one row minus another, in one metric.

    Attributes:
        weights: by label.
        difference: mean over users and repetitions.
        low: lower end of its 95% interval.
        high: upper end.
        relative: the difference over the mean of the rows with negative weight; None where that is 0.
        relative_low: lower end of its 95% interval, None where some resample has no mean to divide by.
        relative_high: upper end.
        effect: Cohen's d_z, the mean over users by its standard deviation; None where that is 0.
        p: two-sided, of all repetitions together, uncorrected.
        p_holm: corrected by Holm's method over the family that the contrast was asked with.
        p_by_seed: two-sided, of each repetition alone.
        n_users: users with held-out items.
        n_agreeing: repetitions whose own difference has the sign of `difference`.
    """

    weights: Weights
    difference: float
    low: float
    high: float
    relative: float | None
    relative_low: float | None
    relative_high: float | None
    effect: float | None
    p: float
    p_holm: float
    p_by_seed: tuple[float, ...]
    n_users: int
    n_agreeing: int

    @property
    def sign(self) -> int:
        """1 or -1 where the corrected test finds a difference at the 5% level, else 0."""
        return int(np.sign(self.difference)) if self.p_holm < LEVEL else 0


class Resamples:
    """Flips and resamples of the users of one data set, shared by all contrasts of its rows.

    Args:
        labels: names of the rows.
        scores: by metric, `[n_rows, n_seeds, n_users]`.
        seed: root of what is drawn; the same seed and users give the same flips, whatever the rows.
        n_tests: the largest family that will be asked for.
    """

    def __init__(
        self, labels: Sequence[str], scores: Mapping[str, FloatArray], seed: int, n_tests: int = 1
    ) -> None:
        self._rows = {label: row for row, label in enumerate(labels)}
        self._scores = {metric: np.asarray(values, dtype=np.float64) for metric, values in scores.items()}
        stacked = np.stack(list(self._scores.values()))
        n_flips = max(N_FLIPS, FLIPS_PER_TEST * n_tests - 1)
        flipped = sums_over_flips(stacked, derive_seed(seed, "flips"), n_flips)
        redrawn = means_over_resamples(stacked.mean(axis=2), derive_seed(seed, "bootstrap"), N_RESAMPLES)
        self._flipped = dict(zip(self._scores, flipped, strict=True))
        self._redrawn = dict(zip(self._scores, redrawn, strict=True))

    def family(self, metric: str, weights: Sequence[Weights]) -> list[Contrast]:
        """Contrasts that are tested together: Holm's correction counts all of them.

        Args:
            metric: one of `scores`.
            weights: of each contrast, by label.
        """
        sums = [_tested(*self._weighted(metric, each)) for each in weights]
        corrected = holm([p for p, _ in sums])
        return [
            self._contrast(metric, each, p, p_holm, by_seed)
            for each, (p, by_seed), p_holm in zip(weights, sums, corrected, strict=True)
        ]

    def _weighted(self, metric: str, weights: Weights) -> tuple[FloatArray, FloatArray]:
        """The contrast of every user, `[n_seeds, n_users]`, and its sums under the flips, `[n_seeds, n_flips]`."""
        of_users, of_flips = self._scores[metric], self._flipped[metric]
        parts = [(weight, self._rows[label]) for label, weight in weights.items()]
        users = np.sum([weight * of_users[row] for weight, row in parts], axis=0)
        return users, np.sum([weight * of_flips[row] for weight, row in parts], axis=0)

    def _contrast(
        self, metric: str, weights: Weights, p: float, p_holm: float, by_seed: tuple[float, ...]
    ) -> Contrast:
        users, _ = self._weighted(metric, weights)
        averaged = users.mean(axis=0)
        difference, spread = float(averaged.mean()), float(averaged.std(ddof=1)) if averaged.size > 1 else 0.0
        redrawn, base = np.zeros(N_RESAMPLES), np.zeros(N_RESAMPLES)
        level = 0.0
        for label, weight in weights.items():
            means = self._redrawn[metric][self._rows[label]]
            redrawn += weight * means
            base += max(-weight, 0.0) * means
            level += max(-weight, 0.0) * float(self._scores[metric][self._rows[label]].mean())
        low, high = _percentiles(redrawn)
        relative_low, relative_high = _percentiles(redrawn / base) if base.min() > 0 else (None, None)
        return Contrast(
            weights=weights,
            difference=difference,
            low=low,
            high=high,
            relative=difference / level if level > 0 else None,
            relative_low=relative_low,
            relative_high=relative_high,
            effect=difference / spread if spread > 0 else None,
            p=p,
            p_holm=p_holm,
            p_by_seed=by_seed,
            n_users=averaged.size,
            n_agreeing=int((np.sign(users.mean(axis=1)) == np.sign(difference)).sum()),
        )


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected by Holm's method for being tested together; none for none."""
    if not p_values:
        return []
    from statsmodels.stats.multitest import multipletests

    gc.freeze()  # multipletests collects garbage at every call, 70 ms with all that a report has loaded
    try:
        return [float(p) for p in multipletests(p_values, method="holm")[1]]
    finally:
        gc.unfreeze()


def pair(first: str, second: str) -> Weights:
    """The contrast of one row minus another."""
    return {first: 1.0, second: -1.0}


def sums_over_flips(scores: FloatArray, seed: int, n_flips: int) -> FloatArray:
    """Sums over users with random signs: `[..., n_users]` to `[..., n_flips]`."""
    n_users = scores.shape[-1]
    columns = scores.reshape(-1, n_users)
    active = np.flatnonzero(columns.any(axis=0))  # whom no row serves adds nothing, whatever the sign
    columns = np.ascontiguousarray(columns[:, active])
    rng = np.random.default_rng(seed)
    sums = np.empty((len(columns), n_flips))
    for start in range(0, n_flips, CHUNK):
        bits = rng.integers(0, 256, (CHUNK, -(-n_users // 8)), dtype=np.uint8)
        signs = np.unpackbits(bits, axis=1, count=n_users)[: n_flips - start, active] * 2.0 - 1.0
        sums[:, start : start + CHUNK] = columns @ signs.T
    return sums.reshape(*scores.shape[:-1], n_flips)


def means_over_resamples(scores: FloatArray, seed: int, n_resamples: int) -> FloatArray:
    """Means over users that are drawn with replacement: `[..., n_users]` to `[..., n_resamples]`."""
    n_users = scores.shape[-1]
    columns = scores.reshape(-1, n_users)
    rng = np.random.default_rng(seed)
    means = np.empty((len(columns), n_resamples))
    for start in range(0, n_resamples, CHUNK):
        n = min(CHUNK, n_resamples - start)
        drawn = rng.integers(0, n_users, (n, n_users)) + n_users * np.arange(n)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=n * n_users).reshape(n, n_users)
        means[:, start : start + n] = columns @ counts.T.astype(np.float64) / n_users
    return means.reshape(*scores.shape[:-1], n_resamples)


def _tested(users: FloatArray, flipped: FloatArray) -> tuple[float, tuple[float, ...]]:
    """The combined p-value and those of the repetitions, from users' contrasts and their flipped sums."""
    deviations = np.sqrt((users**2).sum(axis=1))
    scale = np.where(deviations > 0, deviations, 1.0)
    found, flips = users.sum(axis=1) / scale, flipped / scale[:, None]
    by_seed = tuple(_share(flip, value) for flip, value in zip(flips, found, strict=True))
    return _share(flips.sum(axis=0), float(found.sum())), by_seed


def _share(flips: FloatArray, found: float) -> float:
    """Share of the flips, the data among them, at least as far from zero."""
    return float((1 + (np.abs(flips) >= abs(found) - TIE).sum()) / (1 + flips.size))


def _percentiles(values: FloatArray) -> tuple[float, float]:
    low, high = np.percentile(values, [100 * LEVEL / 2, 100 * (1 - LEVEL / 2)])
    return float(low), float(high)


@dataclass(frozen=True)
class Gap:
    """A row minus the one that it is compared with.

    Attributes:
        difference: mean over users and repetitions.
        low: lower end of its 95% bootstrap interval over users.
        high: upper end.
        p_holm: two-sided, of all repetitions together, corrected by Holm's method for all rows compared.
    """

    difference: float
    low: float
    high: float
    p_holm: float

    @property
    def differs(self) -> bool:
        """Whether the corrected test finds a difference at the 5% level."""
        return self.p_holm < LEVEL


def gaps(rows: FloatArray, reference: FloatArray, seed: int) -> list[Gap]:
    """Every row against the reference, tested together.

    Args:
        rows: scores, `[n_rows, n_seeds, n_users]`.
        reference: scores, `[n_seeds, n_users]`.
        seed: root of what is drawn; the flips and resamples are those of `Resamples` with this seed.
    """
    if not len(rows):
        return []
    differences = rows - reference
    deviations = np.sqrt((differences**2).sum(axis=-1, keepdims=True))
    standardised = (differences / np.where(deviations > 0, deviations, 1.0)).sum(axis=1)
    n_flips = max(N_FLIPS, FLIPS_PER_TEST * len(rows) - 1)
    flips = np.abs(sums_over_flips(standardised, derive_seed(seed, "flips"), n_flips))
    found = np.abs(standardised.sum(axis=-1, keepdims=True))
    p_values = (1 + (flips >= found - TIE).sum(axis=-1)) / (1 + n_flips)
    averaged = differences.mean(axis=1)
    redrawn = means_over_resamples(averaged, derive_seed(seed, "bootstrap"), N_RESAMPLES)
    low, high = np.percentile(redrawn, [100 * LEVEL / 2, 100 * (1 - LEVEL / 2)], axis=-1)
    corrected = holm([float(p) for p in p_values])
    return [
        Gap(float(mean), float(bottom), float(top), p)
        for mean, bottom, top, p in zip(averaged.mean(axis=-1), low, high, corrected, strict=True)
    ]
