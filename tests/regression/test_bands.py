from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bench.checks.regression.compare import DRIFT_FACTOR, LEAST_STEPS, Band, same_seed_band, seeds_band, speed_band


def test_the_prediction_interval_by_hand() -> None:
    band = seeds_band([1.0, 2.0, 3.0], 0.0, 1, 0.05)
    # s = 1, t(0.975; 2) = 4.302653, sqrt(1 + 1/3) = 1.154701
    assert band.expected == 2.0
    assert band.high - 2.0 == pytest.approx(4.302653 * 1.154701, rel=1e-6)
    assert 2.0 - band.low == pytest.approx(band.high - 2.0)


def test_the_rate_is_divided_among_the_intervals() -> None:
    values = [0.1, 0.3, 0.2, 0.4]
    many, one = seeds_band(values, 0.0, 50, 0.05), seeds_band(values, 0.0, 1, 0.001)
    assert many == one
    assert many.high > seeds_band(values, 0.0, 49, 0.05).high


def test_of_unchanged_code_as_many_checks_are_red_as_it_says() -> None:
    rng = np.random.default_rng(0)
    draws = rng.normal(3.0, 2.0, size=(3000, 7))
    red = sum(not seeds_band(list(each[:6]), 0.0, 1, 0.1).holds(each[6]) for each in draws)
    assert stats.binomtest(red, len(draws), 0.1).pvalue > 0.001


def test_no_band_is_narrower_than_a_few_hits() -> None:
    assert seeds_band([0.5, 0.5, 0.5], 0.01, 9, 0.001) == Band.around(0.5, LEAST_STEPS * 0.01)
    assert same_seed_band(0.5, 0.0, 0.01) == Band.around(0.5, LEAST_STEPS * 0.01)


def test_the_same_seed_may_differ_as_machines_do() -> None:
    band = same_seed_band(0.5, 0.02, 0.001)
    assert band == Band.around(0.5, DRIFT_FACTOR * 0.02)
    assert band.holds(0.5 + 0.079)
    assert not band.holds(0.5 + 0.081)
    assert same_seed_band(0.5, None, 0.001) == Band.around(0.5, LEAST_STEPS * 0.001)


def test_what_no_seed_decides_on_must_be_equal() -> None:
    assert same_seed_band(4760.0, 0.0, 0.0).holds(4760.0)
    assert not same_seed_band(4760.0, 0.0, 0.0).holds(4761.0)
    assert not same_seed_band(0.0, 0.0, 0.0).holds(1e-12)


def test_not_a_number_is_in_no_band() -> None:
    assert not seeds_band([1.0, 2.0], 1.0, 1, 0.5).holds(math.nan)
    assert not speed_band([1.0], 2.0).holds(math.nan)


def test_faster_is_never_wrong_and_slower_is_from_the_share_on() -> None:
    band = speed_band([3.0, 2.0, 9.0], 1.5)
    assert band.expected == 3.0
    assert band.holds(0.1)
    assert band.holds(4.5)
    assert not band.holds(4.51)
