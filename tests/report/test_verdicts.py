"""What may be called a difference: rows that were chosen by their score, other seeds, and rounding."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from bench.report import statistics
from bench.report.comparisons import shown_detectable
from bench.report.statistics import Resamples, holm, pair

METRIC = "recall@10"


def best_of(scores: np.ndarray, seed: int = 1) -> tuple[str, Resamples]:
    """Return the row with the best mean, and the draws for rows of these scores, `[n_rows, n_seeds, n_users]`."""
    labels = [str(row) for row in range(len(scores))]
    return str(scores.mean(axis=(1, 2)).argmax()), Resamples(labels, {METRIC: scores}, seed)


def test_the_best_of_equal_rows_is_seldom_called_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """14 rows that score alike; corrected over the rows instead of the pairs, one table of six has a star."""
    monkeypatch.setattr(statistics, "N_FLIPS", 499)
    rng, n, n_found = np.random.default_rng(3), 120, 0
    for trial in range(n):
        best, resamples = best_of((rng.random((14, 3, 200)) < 0.15).astype(float), trial)
        found = resamples.against_best(METRIC, best)
        assert len(found) == 13
        n_found += any(each.p_corrected < 0.05 for each in found)
    assert n_found <= stats.binom.ppf(0.995, n, 0.05)


def test_pairs_are_corrected_step_by_step() -> None:
    """One row far below three equal ones: its pairs are found, and the others are corrected over three pairs."""
    rng = np.random.default_rng(5)
    scores = rng.random((4, 2, 300))
    scores[3] -= 0.5
    best, resamples = best_of(scores)
    found = {next(iter(each.weights)): each for each in resamples.against_best(METRIC, best)}
    assert found["3"].p_corrected == 1 / (1 + statistics.N_FLIPS)
    pairs = [pair(*each) for each in itertools.combinations("0123", 2)]
    by_holm = {frozenset(each.weights): each.p_corrected for each in resamples.family(METRIC, pairs)}
    for name, each in found.items():
        assert (
            each.p <= each.p_corrected <= by_holm[frozenset({name, best})] + 0.01
        )  # the pairs depend on each other
    equal = [label for label in "012" if label != best]
    alone = Resamples([*equal, best], {METRIC: scores[[int(name) for name in (*equal, best)]]}, 1)
    for each in alone.against_best(METRIC, best):
        assert found[next(iter(each.weights))].p_corrected == pytest.approx(each.p_corrected, abs=1e-12)


def test_statistics_of_all_pairs_are_on_one_scale() -> None:
    """Three equal repetitions give a statistic three times as wide as one; the surest pair stays the surest."""
    rng = np.random.default_rng(7)
    fitted = rng.random((2, 1, 300)).repeat(3, axis=1)
    trained = rng.random((2, 3, 300)) + [[[0.0]], [[0.03]]]  # noqa: RUF005
    _, resamples = best_of(np.stack([*fitted, *trained]))
    pairs = [pair(*each) for each in itertools.combinations("0123", 2)]
    corrected = resamples._corrected_over(METRIC, pairs)
    alone = [each.p for each in resamples.family(METRIC, pairs)]
    assert np.argsort(corrected, kind="stable").tolist() == np.argsort(alone, kind="stable").tolist()
    assert all(p <= q <= r for p, q, r in zip(alone, corrected, holm(alone), strict=True))


def test_a_difference_that_other_seeds_could_turn_around_is_none() -> None:
    """Two models of one quality whose three seeds scatter more than 400 users do."""
    rng = np.random.default_rng(11)
    n, n_users = 100, 400
    luck = 0.05 * rng.standard_normal((2 * n, 3, 1))
    scores = (rng.random((2 * n, 3, n_users)) < np.clip(0.3 + luck, 0, 1)).astype(float)
    resamples = Resamples([str(row) for row in range(2 * n)], {METRIC: scores}, 1)
    found = [resamples.family(METRIC, [pair(str(row), str(n + row))])[0] for row in range(n)]
    assert sum(each.p_corrected < 0.05 for each in found) > 20
    assert sum(bool(each.sign) for each in found) <= stats.binom.ppf(0.995, n, 0.05)
    assert any(each.is_within_seeds for each in found)
    assert not any(each.is_within_seeds and each.sign for each in found)


def test_fitted_rows_differ_by_the_users_alone() -> None:
    rng = np.random.default_rng(13)
    one = rng.random((1, 400))
    better = np.clip(one + 0.2 * rng.random((1, 400)), 0, 1)
    scores = np.stack([better, one]).repeat(3, axis=1)
    (found,) = Resamples(["a", "b"], {METRIC: scores}, 1).family(METRIC, [pair("a", "b")])
    assert (found.sign, found.is_within_seeds) == (1, False)


@pytest.mark.parametrize("n_seeds", [1, 3])
def test_absolute_and_relative_intervals_agree_about_zero(n_seeds: int) -> None:
    """Rows whose differences are as large as what other seeds give, so that ends of intervals fall near 0."""
    rng = np.random.default_rng(17)
    n, n_users = 300, 60
    luck = 0.06 * rng.standard_normal((2 * n, n_seeds, 1))
    gains = np.repeat([0.0, 0.08], n)[:, None, None]
    scores = (rng.random((2 * n, n_seeds, n_users)) < np.clip(0.25 + gains + luck, 0, 1)).astype(float)
    resamples = Resamples([str(row) for row in range(2 * n)], {METRIC: scores}, 1)
    n_relative = 0
    for row in range(n):
        (found,) = resamples.family(METRIC, [pair(str(row), str(n + row))])
        for each in (found, found.over_seeds):
            if each is not None and each.relative_low is not None:
                n_relative += 1
                assert (np.sign(each.low), np.sign(each.high)) == (
                    np.sign(each.relative_low), np.sign(each.relative_high),
                )  # fmt: skip
    assert n_relative > 0.8 * n


def test_a_base_that_other_seeds_could_take_away_gives_no_relative_interval() -> None:
    draws = np.linspace(-1, 1, 2000)
    assert statistics._relative(draws, np.where(np.arange(2000) < 11, -1.0, 1.0)) == (None, None)
    low, high = statistics._relative(draws, np.where(np.arange(2000) < 10, -1.0, 1.0))
    assert (low, high) == pytest.approx((-0.95, 0.95), abs=0.002)


def test_draws_of_the_same_signs_have_intervals_of_the_same_signs() -> None:
    near, far = (np.repeat([low, 1.0], [50, 1950]) for low in (-1.0, -1000.0))
    assert statistics._percentiles(near) == statistics._percentiles(far) == (1.0, 1.0)


@pytest.mark.parametrize("kind", ["random", "thirds", "tenths", "constant"])
def test_rounding_errors_of_weighted_means_are_no_difference(kind: str) -> None:
    """Eight rows with the same scores: the mean of five minus the mean of three is 0 but for the last digits."""
    rng = np.random.default_rng(19)
    kinds = {
        "random": rng.random(300),
        "thirds": rng.integers(0, 4, 300) / 3,
        "tenths": rng.integers(0, 9, 300) / 10,
    }
    own = kinds.get(kind, np.full(300, 0.7))
    labels = [str(row) for row in range(8)]
    resamples = Resamples(labels, {METRIC: np.tile(own, (8, 3, 1))}, 1)
    weights = dict.fromkeys(labels[:5], 1 / 5) | dict.fromkeys(labels[5:], -1 / 3)
    (found,) = resamples.family(METRIC, [weights])
    assert (found.p, found.sign, found.direction, found.difference) == (1.0, 0, 0, 0.0)
    assert (found.low, found.high, found.effect, found.detectable) == (0.0, 0.0, None, None)
    assert (found.over_seeds.low, found.over_seeds.high) == (0.0, 0.0)
    assert found.is_blind
    assert {each.p_corrected for each in resamples.against_best(METRIC, "0")} == {1.0}
    shifted = Resamples(["a", "b"], {METRIC: np.stack([own + 1e-3, own])[:, None]}, 1)
    (constant,) = shifted.family(METRIC, [pair("a", "b")])
    assert constant.is_blind  # one difference for every user, whatever its size
    assert constant.relative_detectable is None or constant.relative_detectable < 1e-9


def test_a_difference_of_exactly_zero_has_a_relative_detectable_one() -> None:
    values = np.tile([0.2, 0.4], 50)
    scores = np.stack([values, values[::-1]])[:, None]
    (found,) = Resamples(["a", "b"], {METRIC: scores}, 1).family(METRIC, [pair("a", "b")])
    assert found.difference == pytest.approx(0.0, abs=1e-15)
    assert found.relative_detectable == pytest.approx(found.detectable / 0.3)
    assert shown_detectable(found).endswith("%")
