"""The arithmetic of the speed benchmark, with a clock that the tests wind."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from speed.measure import Pairs, estimate, exponent, interleaved, ratio, repeated, timed


class FakeClock:
    """Stands still unless something takes time."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def taking(self, seconds: list[float], log: list[str], name: str) -> Callable[[], None]:
        """An action that takes the listed seconds, call by call, the last of them from then on."""
        left = list(seconds)

        def action() -> None:
            log.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return action


def test_pairs_alternate_and_the_warm_up_is_not_kept() -> None:
    clock, log = FakeClock(), []
    ours = timed(clock.taking([50.0, 1.0, 2.0, 3.0], log, "o"), clock)
    theirs = timed(clock.taking([70.0, 10.0, 30.0, 60.0], log, "t"), clock)
    pairs = interleaved(ours, theirs, 0.0, least=3, clock=clock)
    assert pairs == Pairs((1.0, 2.0, 3.0), (10.0, 30.0, 60.0))
    assert "".join(log) == "ot" + "ot" + "to" + "ot"


def test_without_warm_up_every_run_is_kept() -> None:
    clock, log = FakeClock(), []
    task = timed(clock.taking([5.0, 1.0], log, "x"), clock)
    assert interleaved(task, task, 0.0, least=1, warm_up=False, clock=clock) == Pairs((5.0,), (1.0,))


@pytest.mark.parametrize(
    ("budget", "n_pairs"),
    [(0.0, 2), (32.0, 2), (40.0, 3), (49.9, 3), (50.0, 4), (1000.0, 6)],
    ids=["least", "the third would not fit", "it just fits", "almost a fourth", "a fourth", "most"],
)
def test_pairs_fit_the_budget(budget: float, n_pairs: int) -> None:
    clock, log = FakeClock(), []
    ours, theirs = (timed(clock.taking([seconds], log, "x"), clock) for seconds in (2.0, 8.0))
    pairs = interleaved(ours, theirs, budget, least=2, most=6, clock=clock)  # the warm-up takes 10 s, a pair too
    assert len(pairs.ours) == len(pairs.theirs) == n_pairs


def test_a_single_task_is_repeated_within_its_budget() -> None:
    clock, log = FakeClock(), []
    task = timed(clock.taking([9.0, 1.0, 2.0, 3.0], log, "x"), clock)
    assert repeated(task, 15.0, least=1, most=9, clock=clock) == [1.0, 2.0, 3.0]
    assert len(log) == 4


def test_a_short_action_is_timed_over_several_calls() -> None:
    clock, log = FakeClock(), []
    assert timed(clock.taking([1.0, 2.0, 6.0], log, "x"), clock, times=3)() == 3.0


def test_ratio_is_the_median_of_the_pairs_and_not_the_ratio_of_medians() -> None:
    pairs = Pairs((1.0, 2.0, 4.0), (8.0, 6.0, 20.0))
    found = ratio(pairs, "theirs/ours")
    assert (found.value, found.low, found.high) == (5.0, 3.0, 8.0)
    inverse = ratio(pairs, "ours/theirs")
    assert (inverse.value, inverse.low, inverse.high) == (0.2, 0.125, pytest.approx(1 / 3))


def test_estimate_of_an_even_number_of_samples() -> None:
    found = estimate([4.0, 1.0, 3.0, 2.0])
    assert (found.value, found.low, found.high) == (2.5, 1.0, 4.0)


def test_exponent_of_a_power_law() -> None:
    sizes = [1.0, 3.0, 10.0, 30.0]
    found = exponent(sizes, [5 * size**1.4 for size in sizes])
    assert (found.value, found.low, found.high) == pytest.approx((1.4, 1.4, 1.4))


def test_exponent_of_a_bend_lies_between_its_pieces() -> None:
    found = exponent([1.0, 10.0, 100.0], [1.0, 10.0, 1000.0])
    assert (found.value, found.low, found.high) == pytest.approx((1.5, 1.0, 2.0))


@pytest.mark.parametrize(
    ("sizes", "values"), [([1.0], [1.0]), ([2.0, 2.0], [1.0, 3.0]), ([1.0, 2.0], [0.0, 3.0]), ([1.0, 2.0], [1.0])]
)
def test_exponent_refuses_what_has_none(sizes: list[float], values: list[float]) -> None:
    with pytest.raises(ValueError, match="two different sizes"):
        exponent(sizes, values)
