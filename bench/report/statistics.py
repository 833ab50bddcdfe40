"""Paired tests, intervals and effect sizes of differences between rows, over the same users. Pure.

**Test.** Under the null hypothesis a user's scores from two rows are exchangeable, and an exchange flips the sign
of the difference. A flip draws a random sign for every user. p is the share of flips, the observed data included,
whose sum is at least as far from zero. Users without a difference change nothing, so the many zeros of Recall need
no special rule, as they would with ranks.

**Seeds.** All repetitions are tested on the same users, so their p-values depend on each other. Fisher's product
of them would count five results of one user as five users. Here a flip gives a user the same sign in all
repetitions, and the sum of the standardised statistics of the repetitions is compared with its own distribution
over the flips (nonparametric combination, Pesarin and Salmaso 2010). This is valid under any dependence between
repetitions, and with one repetition it is the plain test.

**A reference that was chosen by its score.** The best of k rows is the luckiest one, too, and any row could have
been it. So the comparisons with it are corrected over all k(k - 1)/2 pairs of rows, by the step-down method of
Westfall and Young (1993): a flip gives a user the same sign in all pairs, and a pair is compared with the largest
statistic of the pairs that are no surer than itself. Each statistic is divided by its deviation over the flips.
Correcting over the k - 1 comparisons alone would find a difference between 14 equal rows in one table of six.

**Interval over users.** The percentile bootstrap, over users, of the difference of scores averaged over
repetitions. It is about the models as trained here: repetitions are not resampled.

**Interval over users and seeds.** It is about further trainings, too. Each resample of the users is shifted by
what other seeds could give: for each row a draw from Student's t with n - 1 degrees of freedom times the standard
error of its n repetitions, without the part that the users' own chance gives to their means, since the resamples
hold it already. Drawing few repetitions with replacement would give too little: the variance of three is
underestimated by a third, and their distribution has heavy tails. The tests simulate the coverage. Relative
intervals divide the same draws by their own bases, so that they leave out 0 where the absolute ones do.

**Verdict.** Two rows differ if the corrected test over users finds it and the interval over users and seeds leaves
out 0. The test alone is about the models as trained here: of two models that are equal on average over seeds, it
finds one better in a fifth of the calls where seeds differ as much as those of VBPR. Rows that are fitted without
a seed add nothing to that interval. It is one interval of 95%, not corrected for the number of comparisons.

**Detectable difference.** The true difference that the test over users finds with a power of 80 % at the level
that Holm's method asks of the smallest p-value of a family of m tests: (z(1 - 0.05 / 2m) + z(0.8)) times the
standard error over users. A smaller difference may well exist where the test finds none.

"""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.core.hashing import derive_seed

if TYPE_CHECKING:
    from bench.runs.records import DataFacts

N_FLIPS = 9_999
LEAST_PER_TEST = 80  # the smallest p-value stays below 0.05 after Holm's correction, for any number of tests
# After Holm's correction over n tests, p-values near 0.05 / n decide: on 100 flips their error is a tenth.
FLIPS_PER_TEST = 2_000
MOST_FLIPS = 200_000  # of `FLIPS_PER_TEST`, for memory: the sums of 14 rows, 3 seeds and 3 metrics take 200 MB
MOST_SIGNS = 2e9  # flips x users, for time: 14 rows, 3 seeds and 3 metrics take half a minute
N_RESAMPLES = 2_000
LEVEL = 0.05
POWER = 0.8
CHUNK = 250  # flips or resamples at once: memory stays at CHUNK x n_users
TIE = 1e-9  # sums closer than this fraction of their deviation count as equal
NOISE = 1e-12  # differences below this fraction of the largest score are rounding errors of equal scores
# largest share of draws without a positive base for which a relative interval is given: a fifth of a tail
FEW = 0.005

FloatArray = NDArray[np.float64]
Weights = Mapping[str, float]
Intervals = tuple[float, float, float | None, float | None]


@dataclass(frozen=True)
class OverSeeds:
    """The 95% interval of a difference over users and seeds, absolute and relative as in `Contrast`."""

    low: float
    high: float
    relative_low: float | None
    relative_high: float | None


@dataclass(frozen=True)
class Contrast:
    """A tested weighted sum of rows in one metric, usually one row minus another.

    Attributes:
        weights: weight of every row, by label.
        difference: mean over users and repetitions.
        low: lower end of its 95% interval.
        high: upper end.
        level: mean of the rows with negative weight, the base.
        relative: the difference divided by the base; None if that is 0.
        relative_low: lower end of its 95% interval; None if the base is not positive in more than `FEW` draws.
        relative_high: upper end.
        over_seeds: the interval over users and seeds; None for one repetition.
        detectable: the detectable difference, absolute; None where users do not vary.
        effect: Cohen's d_z, the mean over users divided by its standard deviation; None if that is 0.
        p: two-sided, of all repetitions together, uncorrected.
        p_corrected: `p` corrected over the family of the contrast: by Holm's method, or by that of Westfall and
            Young against a row that was chosen by its score.
        p_by_seed: two-sided, of each repetition alone.
        direction: sign of the tested statistic, 1, -1 or 0. It can differ from the sign of `difference`, because
            the test gives every repetition the same scale.
        n_users: users with held-out items.
        n_agreeing: repetitions whose own difference has the sign of `difference`.
    """

    weights: Weights
    difference: float
    low: float
    high: float
    level: float
    relative: float | None
    relative_low: float | None
    relative_high: float | None
    over_seeds: OverSeeds | None
    detectable: float | None
    effect: float | None
    p: float
    p_corrected: float
    p_by_seed: tuple[float, ...]
    direction: int
    n_users: int
    n_agreeing: int

    @property
    def relative_detectable(self) -> float | None:
        """Return the detectable difference divided by what `relative` is divided by; None without either."""
        return self.detectable / self.level if self.detectable is not None and self.level > 0 else None

    @property
    def is_blind(self) -> bool:
        """Return whether the metric cannot tell the rows apart: every resample of the users gives one difference.

        This happens where a list holds all candidates: every user then has the same score, whatever the model.
        """
        return self.high - self.low <= NOISE * (self.level + abs(self.difference))

    @property
    def sign(self) -> int:
        """Return 1 or -1 if the rows differ, else 0.

        They differ if the corrected test finds it at the 5% level over users and the interval over users and seeds
        leaves out 0. Without an interval over seeds the test decides alone.
        """
        return 0 if self.is_within_seeds else self._found

    @property
    def is_within_seeds(self) -> bool:
        """Return whether the test finds a difference over users that other seeds could turn around."""
        if not self._found or self.over_seeds is None:
            return False
        nearest = self.over_seeds.low if self._found > 0 else -self.over_seeds.high
        return nearest <= 0

    @property
    def _found(self) -> int:
        """Return the sign of what the test finds over users; the opposite of the mean decides nothing."""
        mean = int(np.sign(self.difference))
        return mean if self.p_corrected < LEVEL and mean == self.direction else 0


class Resamples:
    """Sign flips and bootstrap resamples of the users of one data set, shared by all contrasts of its rows.

    Args:
        labels: names of the rows.
        scores: by metric, `[n_rows, n_seeds, n_users]`.
        seed: root seed of the draws; flips and resamples depend on it and the number of users, not on the rows.
        n_tests: size of the largest family that will be tested.
    """

    def __init__(
        self, labels: Sequence[str], scores: Mapping[str, FloatArray], seed: int, n_tests: int = 1
    ) -> None:
        self._rows = {label: row for row, label in enumerate(labels)}
        self._scores = {metric: np.asarray(values, dtype=np.float64) for metric, values in scores.items()}
        self._noise = {metric: NOISE * np.abs(values).max(initial=0.0) for metric, values in self._scores.items()}
        # Sums over flipped or resampled users are linear in the scores. One matrix product per row serves every
        # contrast, which then only adds up sums.
        stacked = np.stack(list(self._scores.values()))
        most = min(MOST_FLIPS, int(MOST_SIGNS / max(1, stacked.shape[-1])))
        n_flips = max(N_FLIPS, LEAST_PER_TEST * n_tests - 1, min(FLIPS_PER_TEST * n_tests, most) - 1)
        flipped = sums_over_flips(stacked, derive_seed(seed, "flips"), n_flips)
        resampled = means_over_resamples(stacked.mean(axis=2), derive_seed(seed, "bootstrap"), N_RESAMPLES)
        self._flipped = dict(zip(self._scores, flipped, strict=True))
        self._resampled = dict(zip(self._scores, resampled, strict=True))
        self._n_seeds = stacked.shape[2]
        self._errors = {metric: seed_errors(values) for metric, values in self._scores.items()}
        self._shifts = {
            metric: seed_shifts(values, self._errors[metric], labels, seed)
            for metric, values in self._scores.items()
        }

    def family(self, metric: str, weights: Sequence[Weights]) -> list[Contrast]:
        """Test contrasts together: Holm's correction counts all of them.

        Args:
            metric: one of `scores`.
            weights: weights of each contrast, by label.
        """
        p_values = [_p_values(*self._weighted(metric, each)) for each in weights]
        corrected = holm([p for p, _ in p_values])
        return [
            self._contrast(metric, each, p, p_corrected, by_seed, len(weights))
            for each, (p, by_seed), p_corrected in zip(weights, p_values, corrected, strict=True)
        ]

    def against_best(self, metric: str, best: str) -> list[Contrast]:
        """Test every other row minus the row that has the best mean, corrected over all pairs of rows.

        Args:
            metric: one of `scores`.
            best: label of the row with the best mean; it was chosen after the scores were seen.
        """
        pairs = [pair(*each) for each in combinations(self._rows, 2)]
        corrected = self._corrected_over(metric, pairs)
        found = []
        for weights, p_corrected in zip(pairs, corrected, strict=True):
            if best in weights:
                own = pair(next(label for label in weights if label != best), best)
                p, by_seed = _p_values(*self._weighted(metric, own))
                found.append(self._contrast(metric, own, p, p_corrected, by_seed, len(pairs)))
        return found

    def _corrected_over(self, metric: str, weights: Sequence[Weights]) -> list[float]:
        """Return the p-values of all contrasts, corrected together by Westfall and Young's step-down method."""
        scores, flipped = self._scores[metric], self._flipped[metric]
        parts, observed = [], np.zeros(len(weights))
        for place, each in enumerate(weights):
            users = self._cleared(metric, self._sum(scores, each))
            parts.append(_combination(users))
            observed[place] = abs(parts[place] @ users.sum(axis=1))
        least_first = np.argsort(observed, kind="stable")
        p_values, largest = np.ones(len(weights)), np.zeros(flipped.shape[-1])
        for place in least_first:
            terms = [
                weight * (parts[place] @ flipped[self._rows[label]]) for label, weight in weights[place].items()
            ]
            np.maximum(largest, np.abs(sum(terms)), out=largest)
            p_values[place] = _p_value(largest, observed[place])
        most_first = least_first[::-1]
        p_values[most_first] = np.maximum.accumulate(p_values[most_first])
        return [float(p) for p in p_values]

    def _weighted(self, metric: str, weights: Weights) -> tuple[FloatArray, FloatArray]:
        """Return the contrast per user, `[n_seeds, n_users]`, and its flipped sums, `[n_seeds, n_flips]`."""
        scores, flipped = self._scores[metric], self._flipped[metric]
        return self._cleared(metric, self._sum(scores, weights)), self._sum(flipped, weights)

    def _contrast(
        self, metric: str, weights: Weights, p: float, p_corrected: float, by_seed: tuple[float, ...], size: int
    ) -> Contrast:
        users, _ = self._weighted(metric, weights)
        averaged = users.mean(axis=0)
        difference, spread = float(averaged.mean()), float(averaged.std(ddof=1)) if averaged.size > 1 else 0.0
        below = {label: max(-w, 0.0) for label, w in weights.items()}
        level = float(self._sum(self._scores[metric], below).mean())
        means, shifts = self._resampled[metric], self._shifts[metric]
        low, high, relative_low, relative_high = self._intervals(metric, means, weights, below)
        wide = OverSeeds(*self._intervals(metric, means + shifts, weights, below)) if self._n_seeds > 1 else None
        return Contrast(
            weights=weights,
            difference=difference,
            low=low,
            high=high,
            level=level,
            relative=difference / level if level > 0 else None,
            relative_low=relative_low,
            relative_high=relative_high,
            over_seeds=wide,
            detectable=self._detectable(metric, weights, spread / np.sqrt(averaged.size), size, wide),
            effect=difference / spread if spread > 0 else None,
            p=p,
            p_corrected=p_corrected,
            p_by_seed=by_seed,
            direction=int(np.sign(_standardised(users)[0].sum())),
            n_users=averaged.size,
            n_agreeing=int((np.sign(users.mean(axis=1)) == np.sign(difference)).sum()),
        )

    def _detectable(
        self, metric: str, weights: Weights, error: float, size: int, wide: OverSeeds | None
    ) -> float | None:
        """Return the detectable difference of a contrast; None where users do not vary.

        Args:
            metric: of the rows.
            weights: of the contrast.
            error: standard error over users.
            size: of the family of tests.
            wide: the interval over users and seeds.
        """
        if error <= 0:
            return None
        of_rows = self._errors[metric]
        variance = sum((weight * of_rows[self._rows[label]]) ** 2 for label, weight in weights.items())
        return detectable(error, size, float(np.sqrt(variance)), (wide.high - wide.low) / 2 if wide else 0.0)

    def _cleared(self, metric: str, differences: FloatArray) -> FloatArray:
        """Return the differences with 0 for those that are rounding errors of equal scores."""
        return np.where(np.abs(differences) < self._noise[metric], 0.0, differences)

    def _intervals(self, metric: str, drawn: FloatArray, weights: Weights, base: Weights) -> Intervals:
        """Return the 95% interval of a contrast, absolute and relative to its base, from the same draws.

        Args:
            metric: of the rows.
            drawn: the mean of every row in every draw, `[n_rows, n_resamples]`.
            weights: of the contrast.
            base: weights of the rows that it is compared with.
        """
        differences = self._cleared(metric, self._sum(drawn, weights))
        return (*_percentiles(differences), *_relative(differences, self._sum(drawn, base)))

    def _sum(self, table: FloatArray, weights: Weights) -> FloatArray:
        """Return a weighted sum of the rows of a table, `[n_rows, ...]`."""
        return np.asarray(sum(weight * table[self._rows[label]] for label, weight in weights.items()))


def _relative(differences: FloatArray, bases: FloatArray) -> tuple[float, float] | tuple[None, None]:
    """Return the interval of the differences divided by their bases; None where bases are often not positive.

    The far tails of few seeds make a base negative. Such a draw counts as infinitely far from 0 on the side of its
    difference, so that the interval leaves out 0 where that of the differences does.
    """
    has_base = bases > 0
    if (~has_base).mean() > FEW:
        return None, None
    far = np.where(differences == 0, 0.0, np.copysign(np.inf, differences))
    return _percentiles(np.divide(differences, bases, out=far, where=has_base))


def seed_errors(scores: FloatArray) -> FloatArray:
    """Return the standard error over seeds of each row's mean, without what users alone explain, `[n_rows]`.

    Args:
        scores: `[n_rows, n_seeds, n_users]`.
    """
    n_rows, n_seeds, n_users = scores.shape
    if n_seeds == 1:
        return np.zeros(n_rows)
    of_means = scores.mean(axis=2).var(axis=1, ddof=1)
    of_chance = scores.var(axis=1, ddof=1).mean(axis=1) / n_users
    return np.asarray(np.sqrt(np.maximum(of_means - of_chance, 0.0) / n_seeds))


def seed_shifts(scores: FloatArray, errors: FloatArray, labels: Sequence[str], seed: int) -> FloatArray:
    """Draw what other repetitions could add to the mean of each row, `[n_rows, N_RESAMPLES]`.

    Args:
        scores: `[n_rows, n_seeds, n_users]`.
        errors: from `seed_errors`, `[n_rows]`.
        labels: names of the rows; the draws of a row depend on its name and not on the other rows. Rows with the
            same scores are the same runs and share the draws of the first.
        seed: root seed of the draws.
    """
    from scipy.special import stdtrit

    n_rows, n_seeds, _ = scores.shape
    if n_seeds == 1:
        return np.zeros((n_rows, N_RESAMPLES))
    # evenly spaced quantiles in random order, because the tails of random draws would be rough
    quantiles = stdtrit(n_seeds - 1, (np.arange(N_RESAMPLES) + 0.5) / N_RESAMPLES)
    named: dict[bytes, str] = {}
    names = [named.setdefault(row.tobytes(), label) for label, row in zip(labels, scores, strict=True)]
    drawn = [np.random.default_rng(derive_seed(seed, "seeds", name)).permutation(quantiles) for name in names]
    return np.asarray(errors[:, None] * np.array(drawn))


def detectable(error: float, n_tests: int = 1, seed_error: float = 0.0, half_width: float = 0.0) -> float:
    """Return the difference that is found with a power of `POWER`: by a test of a family, and by the interval.

    A difference counts as found if the test over users finds it and the interval over users and seeds leaves out
    0, so the mean must be further from 0 than both the test's bound and half of the interval. By normal theory,
    with the interval as wide as it is: where seeds vary much and are few, the power is 60 to 80%.

    Args:
        error: standard error of the difference over users.
        n_tests: size of the family.
        seed_error: standard error of the difference over seeds.
        half_width: half of the width of the interval over users and seeds.
    """
    from scipy.special import ndtri

    bound = max(float(ndtri(1 - LEVEL / 2 / n_tests)) * error, half_width)
    return bound + float(ndtri(POWER)) * float(np.hypot(error, seed_error))


def seed_of_tests(facts: DataFacts) -> int:
    """Return the root seed of all draws on a data set, by the data alone: tables agree in their p-values."""
    return derive_seed(0, "significance", facts.data_hash, facts.split_hash)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values of tests that are made together by Holm's method."""
    if not p_values:
        return []
    from statsmodels.stats.multitest import multipletests

    gc.freeze()  # multipletests collects garbage at every call, which takes 70 ms within a report
    try:
        return [float(p) for p in multipletests(p_values, method="holm")[1]]
    finally:
        gc.unfreeze()


def pair(first: str, second: str) -> Weights:
    """Return the weights of one row minus another."""
    return {first: 1.0, second: -1.0}


def sums_over_flips(scores: FloatArray, seed: int, n_flips: int) -> FloatArray:
    """Sum the scores over users with random signs: `[..., n_users]` to `[..., n_flips]`."""
    n_users = scores.shape[-1]
    columns = scores.reshape(-1, n_users)
    active = np.flatnonzero(columns.any(axis=0))  # users with only zeros add nothing under any sign
    columns = np.ascontiguousarray(columns[:, active])
    rng = np.random.default_rng(seed)
    sums = np.empty((len(columns), n_flips))
    for start in range(0, n_flips, CHUNK):
        # One bit per user: bytes are drawn for all users, so the flips do not depend on who is active.
        bits = rng.integers(0, 256, (CHUNK, -(-n_users // 8)), dtype=np.uint8)
        signs = np.unpackbits(bits, axis=1, count=n_users)[: n_flips - start, active] * 2.0 - 1.0
        sums[:, start : start + CHUNK] = columns @ signs.T
    return sums.reshape(*scores.shape[:-1], n_flips)


def means_over_resamples(scores: FloatArray, seed: int, n_resamples: int) -> FloatArray:
    """Average the scores over users drawn with replacement: `[..., n_users]` to `[..., n_resamples]`."""
    n_users = scores.shape[-1]
    columns = scores.reshape(-1, n_users)
    rng = np.random.default_rng(seed)
    means = np.empty((len(columns), n_resamples))
    for start in range(0, n_resamples, CHUNK):
        n = min(CHUNK, n_resamples - start)
        # Offsets put each resample into its own range of ids, so that one bincount counts them all.
        drawn = rng.integers(0, n_users, (n, n_users)) + n_users * np.arange(n)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=n * n_users).reshape(n, n_users)
        means[:, start : start + n] = columns @ counts.T.astype(np.float64) / n_users
    return means.reshape(*scores.shape[:-1], n_resamples)


def _p_values(users: FloatArray, flipped: FloatArray) -> tuple[float, tuple[float, ...]]:
    """Return the combined p-value and that of each repetition, from users' contrasts and their flipped sums."""
    observed, scale = _standardised(users)
    flips = flipped / scale[:, None]
    by_seed = tuple(_p_value(flip, value) for flip, value in zip(flips, observed, strict=True))
    return _p_value(flips.sum(axis=0), float(observed.sum())), by_seed


def _combination(users: FloatArray) -> FloatArray:
    """Return what each repetition's sum is multiplied with in the combined statistic of a contrast, `[n_seeds]`.

    The statistics of all contrasts then have the deviation 1 over the flips.

    Args:
        users: a contrast per user, `[n_seeds, n_users]`.
    """
    _, scale = _standardised(users)
    deviation = float(np.sqrt(((users / scale[:, None]).sum(axis=0) ** 2).sum())) or 1.0
    return np.asarray(1 / scale / deviation)


def _standardised(users: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the sum over users of each repetition divided by its scale, and the scale, both `[n_seeds]`."""
    deviations = np.sqrt((users**2).sum(axis=1))
    scale = np.where(deviations > 0, deviations, 1.0)
    return users.sum(axis=1) / scale, scale


def _p_value(flips: FloatArray, observed: float) -> float:
    """Return the share of the flips, the observed sum included, that are at least as far from zero."""
    return float((1 + (np.abs(flips) >= abs(observed) - TIE).sum()) / (1 + flips.size))


def _percentiles(values: FloatArray) -> tuple[float, float]:
    # a value itself, none between two: lists of draws with the same signs have percentiles with the same signs
    low, high = np.percentile(values, [100 * LEVEL / 2, 100 * (1 - LEVEL / 2)], method="nearest")
    return float(low), float(high)
