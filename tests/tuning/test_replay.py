"""The replay of pruning rules, on made curves of which the answers are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from curves import record_of

from bench.core.protocol import Protocol
from bench.runs.record_files import place_of_record, to_text
from bench.runs.tuning.pruning import PruningRule
from tuning.__main__ import main
from tuning.replay import replay, searches


def flat(score: float, n_epochs: int = 100, **more: Any) -> Any:
    return record_of([score] * n_epochs, 100, **more)


def test_flat_trials_below_the_median_end_at_the_first_rung() -> None:
    """Of eight trials the first four run on; of the others, those below the median of earlier waves do not."""
    trials = [flat(score) for score in (0.1, 0.2, 0.3, 0.4, 0.05, 0.5, 0.24, 0.3)]
    # the second wave is compared with 0.25: 0.05 and 0.24 end after 20 epochs; the third with 0.24 (of seven)
    found = replay(trials, PruningRule(), n_orders=1)
    assert found.loss == 0.0
    assert found.is_missed == 0.0
    assert found.pruned == pytest.approx(2 / 8)
    assert found.kept == 4 / 5  # 0.24 is the fifth
    assert found.steps == found.seconds == pytest.approx(2 * 80 / 800)


def test_a_late_riser_is_lost_and_counted() -> None:
    late = record_of([0.01] * 60 + [0.9] * 40, 100)
    found = replay([*[flat(score) for score in (0.1, 0.2, 0.3, 0.4)], late], PruningRule(), n_orders=1)
    assert found.loss == pytest.approx(0.9 - 0.4)
    assert found.is_missed == 1.0
    assert found.kept == pytest.approx(4 / 5)
    later = replay([*[flat(score) for score in (0.1, 0.2, 0.3, 0.4)], late], PruningRule(first_steps=7000), 1)
    assert (later.loss, later.pruned) == (0.0, 0.0)


def test_a_trial_that_was_stopped_counts_for_later_ones_with_what_it_had_reached() -> None:
    rising = record_of([0.001 * place for place in range(1, 101)], 100)  # 0.02 when it is stopped, 0.1 at the end
    first = [flat(score) for score in (0.03, 0.03, 0.2, 0.2)]
    trials = [*first, rising, rising, rising, record_of([0.03] * 100, 100)]
    # the last one is compared with the median of two 0.03, two 0.2 and three times 0.02: 0.03, which it has
    assert replay(trials, PruningRule(), n_orders=1).pruned == pytest.approx(3 / 8)


def test_no_rule_changes_nothing_and_orders_are_means() -> None:
    trials = [flat(score) for score in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)]
    none = replay(trials, None, n_orders=3)
    assert (none.loss, none.pruned, none.steps, none.kept) == (0.0, 0.0, 0.0, 1.0)
    some = replay(trials, PruningRule(), n_orders=40)
    assert 0 < some.pruned < 2 / 6
    assert some == replay(trials, PruningRule(), n_orders=40)


def test_whole_trials_of_a_directory_are_found_and_a_table_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = (0.1, 0.2, 0.3, 0.4, 0.05)
    waits = 200  # epochs, so that flat curves of 100 are whole trials
    made = [
        flat(score, params={"reg_weight": score}, started=f"2023-01-0{n}T", patience=waits)
        for n, score in enumerate(scores, 1)
    ]
    made.append(flat(0.6, bounds=((2000, 0.1),), patience=waits))  # might have been pruned: not a whole trial
    made.append(flat(0.7, stage="confirm", patience=waits))
    for record in made:
        path = tmp_path / place_of_record(record)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_text(record), encoding="utf-8")
    path.with_name("damaged.json").write_text("{", encoding="utf-8")
    ((_, trials),) = searches(tmp_path).items()
    assert [max(epoch.valid.popitem()[1] for epoch in trial.curve) for trial in trials] == [
        0.1,
        0.2,
        0.3,
        0.4,
        0.05,
    ]
    assert main(["replay", str(tmp_path), "--orders", "1"]) == 0
    said = capsys.readouterr().out
    assert f"mf ({Protocol(patience=waits).tag}, 100 epochs, cccc) on tiktok [real" in said
    line = next(line for line in said.splitlines() if line.startswith("| below the median  "))
    assert [float(cell) for cell in line.split("|")[2:-1]] == pytest.approx([0, 0, 0, 0.8, 0.2, 0.16, 0.16])
    assert main(["replay", str(tmp_path / "nothing")]) == 2
