"""The committed baseline: other seeds leave the check green, planted faults turn it red."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from faults import smoke

from bench.checks.regression import baseline as files
from bench.checks.regression.compare import seeds_band, suite_data
from bench.checks.regression.suite import facts_of
from bench.engine import registry
from bench.runs.controls import is_control
from regression.proofs import BASELINE, ROOT, Outcome, mutate, with_other_seeds

COMMITTED = files.read(ROOT / BASELINE)


def test_it_is_of_the_suite_and_of_all_models() -> None:
    assert COMMITTED.suite == facts_of(suite_data())
    assert set(COMMITTED.models) == set(registry.names())
    for name, model in COMMITTED.models.items():
        assert bool(model.speed) != is_control(name)
        if not is_control(name):
            assert min(len(number.values) for number in model.numbers.values() if number.step) >= 20


def test_no_seed_of_it_is_an_outlier_among_the_others() -> None:
    """Twenty checks in small: each seed against the band of the others, at the rate of the real check."""
    outside = []
    for name, model in COMMITTED.models.items():
        for key, number in model.numbers.items():
            for index, value in enumerate(number.values if number.is_random else ()):
                others = [*number.values[:index], *number.values[index + 1 :]]
                band = seeds_band(others, number.step, COMMITTED.n_intervals, COMMITTED.false_alarm_rate)
                if not band.holds(value):
                    outside.append((name, key, index, value))
    assert outside == []


@pytest.fixture(scope="module")
def outcomes() -> Callable[[bool], dict[str, Outcome]]:
    """The check on the cheapest faults, or on the others."""

    @cache
    def run(cheapest: bool) -> dict[str, Outcome]:
        return mutate(fault for fault in smoke.FAULTS if (fault.name in smoke.CHEAPEST) == cheapest)

    return run


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "name",
    [pytest.param(f.name, marks=[pytest.mark.slow] * (f.name not in smoke.CHEAPEST)) for f in smoke.FAULTS],
)
def test_a_planted_fault_turns_the_check_red(outcomes: Callable[[bool], dict[str, Outcome]], name: str) -> None:
    outcome = outcomes(name in smoke.CHEAPEST)[name]
    assert outcome.code == 1
    assert outcome.red


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("cheapest", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_without_a_fault_it_is_green(outcomes: Callable[[bool], dict[str, Outcome]], cheapest: bool) -> None:
    assert outcomes(cheapest)[""] == Outcome(0, [])


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_checks_with_other_seeds_are_green() -> None:
    found = with_other_seeds([], 20)
    assert [outcome.red for outcome in found] == [[]] * 20
