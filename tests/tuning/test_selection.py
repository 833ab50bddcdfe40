"""The simulation of choices, where its answers are known."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tuning.__main__ import main
from tuning.selection import seed_spreads, shrunk, simulate, trial_scores

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference" / "tiktok" / "tables"


def test_without_noise_every_choice_is_the_best() -> None:
    for way in ((0, 0), (5, 3)):
        found = simulate([0.1, 0.3, 0.2], 0.0, *way, n_draws=10)
        assert (found.hits, found.loss, found.optimism) == (1.0, 0.0, 0.0)


def test_two_settings_are_told_apart_as_often_as_the_normal_distribution_says() -> None:
    """The difference of two draws has a deviation of sqrt(2) spreads; that of two means of n, sqrt(2 / n)."""
    gap, spread = 0.01, 0.01

    def expected(n: int) -> float:
        return 0.5 * (1 + math.erf(gap / spread / math.sqrt(2 / n) / math.sqrt(2)))

    one = simulate([0.0, gap], spread, 0, 0, n_draws=100_000)
    assert one.hits == pytest.approx(expected(1), abs=0.005)
    assert one.loss == pytest.approx((1 - expected(1)) * gap, rel=0.03)
    three = simulate([0.0, gap], spread, 2, 3, n_draws=100_000)
    assert three.hits == pytest.approx(expected(3), abs=0.005)
    assert three.runs == 6


def test_the_best_of_equal_settings_only_looks_better() -> None:
    """The largest of two standard normal draws is 1 / sqrt(pi) on average."""
    found = simulate([0.5, 0.5], 1.0, 0, 0, n_draws=100_000)
    assert found.optimism == pytest.approx(1 / math.sqrt(math.pi), abs=0.01)
    assert found.loss == 0.0
    again = simulate([0.5, 0.5], 1.0, 2, 4, n_draws=100_000)
    assert again.optimism == pytest.approx(1 / math.sqrt(math.pi) / 2, abs=0.01)


@pytest.mark.parametrize("way", [(0, 3), (1, 3), (5, 0), (5, 1)])
def test_fewer_than_two_settings_or_seeds_are_the_old_rule(way: tuple[int, int]) -> None:
    assert simulate([0.1, 0.2], 0.1, *way, n_draws=1000) == simulate([0.1, 0.2], 0.1, 0, 0, n_draws=1000)


def test_scores_are_drawn_towards_their_mean_by_the_seeds_share() -> None:
    assert shrunk([1.0, 3.0], 0.0) == [1.0, 3.0]
    assert shrunk([1.0, 3.0], 0.6) == pytest.approx([1.2, 2.8])  # variance 1 - 0.36 = 0.8 ** 2
    assert shrunk([1.0, 3.0], 2.0) == [2.0, 2.0]
    assert shrunk([1.0, 1.0], 0.5) == [1.0, 1.0]


def test_the_reference_tables_are_read_and_confirmation_helps_on_them(capsys: pytest.CaptureFixture[str]) -> None:
    scores = trial_scores(REFERENCE / "tuning.csv")
    assert len(scores["mf"]) == 20
    spread = seed_spreads(REFERENCE / "table3.csv", "recall@10")["mf"]
    assert spread == pytest.approx(0.0064, abs=1e-4)
    truth = shrunk(scores["mf"], spread)
    one, again = (simulate(truth, spread, *way, n_draws=5000) for way in ((0, 0), (5, 3)))
    assert again.hits > one.hits
    assert again.loss < one.loss
    assert main(["selection", str(REFERENCE / "tuning.csv"), str(REFERENCE / "table3.csv")]) == 0
    said = capsys.readouterr().out
    assert "5 x 3" in said
    assert "ease" not in said  # a control has no spread
