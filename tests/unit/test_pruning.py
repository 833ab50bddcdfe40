"""Pruning: what a trial must have reached after so many steps, and that a run ends there and nowhere else."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from curves import record_of

from bench.core.protocol import MIN_EPOCHS, Bounds, Protocol, bound_at
from bench.engine.sampling import TripleSampler
from bench.engine.trainer import TrainingState, TrainSettings, train
from bench.runs.record_files import RecordFile, place_of_record, read_record, run_key, to_text
from bench.runs.records import DataFacts, RunRecord, RunSpec
from bench.runs.tuning.pruning import MEDIAN, Budget, PruningRule, spent, steps_per_epoch
from bench.runs.tuning.search import Progress, Search, TuningSettings
from bench.runs.tuning.space import SearchSpace
from bench.runs.tuning.study import Trial

DATA = toy.random_data(n_users=25)  # 100 training pairs
CPU = torch.device("cpu")
METRIC = Protocol().selection_metric


def rising(n_epochs: int, last: float) -> list[float]:
    return [last * (epoch + 1) / n_epochs for epoch in range(n_epochs)]


def test_rungs_are_medians_of_the_best_so_far_at_the_same_number_of_steps() -> None:
    """Three trials with 100, 200 and 500 steps an epoch: their epochs differ, their steps do not."""
    found = MEDIAN.bounds(
        [record_of(rising(60, 0.6), 100), record_of(rising(30, 0.9), 200), record_of(rising(12, 0.24), 500)],
        METRIC,
    )
    # after 2,000 steps 20, 10 and 4 epochs; after 3,000 30, 15 and 6; after 4,500 45, 22 and 9
    assert [steps for steps, _ in found] == [2000, 3000, 4500]
    expected = [[0.2, 0.3, 0.08], [0.3, 0.45, 0.12], [0.45, 0.66, 0.18]]
    assert [score for _, score in found] == pytest.approx([statistics.median(scores) for scores in expected])


def test_a_trial_that_ended_earlier_counts_with_its_best_and_a_curve_that_falls_with_its_best_so_far() -> None:
    ended = record_of([0.5, 0.4, 0.3], 100)
    falling = record_of([0.1, 0.4, *[0.0] * 48], 100)
    long = record_of(rising(100, 0.9), 100)
    found = MEDIAN.bounds([ended, falling, long], METRIC)
    assert found == ((2000, 0.4), (4500, pytest.approx(0.405)), (6750, 0.5))


def test_a_pruned_trial_counts_with_what_it_had_reached() -> None:
    pruned = record_of(rising(20, 0.1), 100, max_epochs=1000, patience=5)
    assert pruned.stop_reason == "pruned"
    others = [record_of(rising(40, last), 100) for last in (0.4, 0.8)]
    assert MEDIAN.bounds([pruned, *others], METRIC)[-1] == (3000, pytest.approx(0.3))


def test_rungs_without_a_higher_score_are_left_out() -> None:
    flat = [record_of([0.1] * 500, 100) for _ in range(3)]
    assert MEDIAN.bounds(flat, METRIC) == ((2000, 0.1),)


def test_failed_trials_controls_and_few_trials_bound_nothing() -> None:
    good = [record_of(rising(40, 0.4), 100) for _ in range(2)]
    failed, control = record_of(None, 100), record_of([0.9], None)
    assert MEDIAN.bounds([*good, failed, control], METRIC) == ()
    assert MEDIAN.bounds([], METRIC) == ()
    assert MEDIAN.bounds([*good, good[0], failed, control], METRIC)


def test_the_bounds_of_a_wave_come_from_earlier_waves_alone() -> None:
    """Trials 4 to 6 are one wave: what 4 and 5 reached bounds none of them, in whatever order they end."""
    records = [record_of(rising(40, last), 100) for last in (0.1, 0.2, 0.3, 0.4, 0.8, 0.9)]
    study: Any = None  # no trial is proposed here
    progress = Progress(Search("mf", DATA, SearchSpace({}, {})), study, records)
    settings = TuningSettings(Budget(10), "tpe", 5, 1, {})
    specs = progress.specs([Trial(number, {}, None, "running") for number in (4, 5, 6)], settings, Protocol())
    assert [spec.bounds for spec in specs] == [MEDIAN.bounds(records[:4], METRIC)] * 3
    assert MEDIAN.bounds(records, METRIC) != MEDIAN.bounds(records[:4], METRIC)


def test_a_lower_quantile_is_milder() -> None:
    trials = [record_of([score] * 30, 100) for score in (0.1, 0.2, 0.3, 0.4, 0.5)]
    assert PruningRule(quantile=0.25).bounds(trials, METRIC) == ((2000, 0.2),)
    assert MEDIAN.bounds(trials, METRIC) == ((2000, 0.3),)


def test_steps_of_old_records_follow_from_the_batch_size() -> None:
    old = record_of([0.1], 7, params={"train_batch_size": 1000}, n_train=2500)
    assert steps_per_epoch(old) == 7
    assert old.cost is not None
    old = old.model_copy(update={"cost": old.cost.model_copy(update={"steps": None})})
    assert steps_per_epoch(old) == 3
    assert steps_per_epoch(record_of([0.1], None)) is None


@pytest.mark.parametrize(
    ("epoch", "steps", "bound"),
    [(19, 5000, None), (20, 1999, None), (20, 2000, 0.1), (30, 2999, 0.1), (30, 3000, 0.2), (99, 10**9, 0.2)],
)
def test_a_bound_holds_from_its_steps_and_the_twentieth_epoch_on(
    epoch: int, steps: int, bound: float | None
) -> None:
    assert bound_at(((2000, 0.1), (3000, 0.2)), epoch, steps) == bound
    assert bound_at((), epoch, steps) is None
    assert MIN_EPOCHS == 20
    assert MEDIAN.first_steps == 2000


def made(scores: list[float], bounds: Bounds, resume: TrainingState | None = None, max_epochs: int = 60) -> Any:
    """A training with scripted scores and a hundred steps an epoch; every state beside the result."""
    assert len(DATA.split.train) == 100
    model = toy.build_model("mf", DATA, embedding_size=4, train_batch_size=1)
    script, states = iter(scores), []
    settings = TrainSettings(max_epochs, 1000, triples_seed=1, model_seed=2, bounds=bounds)
    result = train(
        model,
        TripleSampler(DATA.split.train, CPU),
        lambda: {METRIC: next(script)},
        settings,
        resume=resume,
        keep=lambda state: states.append(copied(state)),
    )
    return result, states


def copied(state: TrainingState) -> TrainingState:
    best = {name: tensor.clone() for name, tensor in state.result.best_state.items()}
    result = state.result.__class__(
        state.result.best_epoch, state.result.best_score, best, list(state.result.curve)
    )
    return TrainingState(result, {name: tensor.clone() for name, tensor in state.tensors.items()})


@pytest.mark.parametrize(
    ("first", "score", "epochs"),
    [
        (2000, 0.3, 20),  # below at once where it may be stopped
        (500, 0.3, 20),  # twenty epochs are made however many steps they have
        (3010, 0.3, 31),  # at the end of the first epoch with so many steps
        (2000, 0.2, 60),  # equal is not below
    ],
)
def test_a_training_stops_where_its_best_is_below_the_bound(first: int, score: float, epochs: int) -> None:
    result, _ = made([0.1, 0.2, *[0.15] * 58], ((first, score),))
    assert result.steps_per_epoch == 100
    assert len(result.curve) == epochs
    assert result.best_epoch == 2


def test_a_training_that_reaches_the_bound_in_time_goes_on_to_the_next() -> None:
    scores = [0.01 * epoch for epoch in range(1, 61)]
    result, _ = made(scores, ((2000, 0.2), (3000, 0.35)))
    assert len(result.curve) == 30
    assert len(made(scores, ((2000, 0.2), (3000, 0.3)))[0].curve) == 60


@pytest.mark.parametrize("cut", [7, 19, 29])
def test_an_interrupted_training_is_pruned_at_the_same_epoch_with_the_same_bits(cut: int) -> None:
    scores, bounds = [0.001 * epoch for epoch in range(1, 61)], ((2000, 0.01), (3000, 0.5))
    whole, states = made(scores, bounds)
    again, _ = made(scores[cut:], bounds, resume=states[cut - 1])
    assert len(whole.curve) == len(again.curve) == 30
    for name, tensor in whole.best_state.items():
        assert torch.equal(tensor, again.best_state[name])


def test_a_state_that_was_pruned_makes_no_more_epochs() -> None:
    bounds = ((2000, 0.5),)
    _, states = made([0.1] * 60, bounds)
    again, more = made([], bounds, resume=states[-1])
    assert (len(again.curve), more) == (20, [])


def spec_of(**changes: Any) -> RunSpec:
    fields: dict[str, Any] = {"dataset": "toy", "model": "mf", "repetition": 0, "base_seed": 1, "max_epochs": 5}
    return RunSpec(**(fields | {"params": {"reg_weight": 0.1}} | changes))


def test_bounds_are_in_the_key_and_no_bounds_leave_keys_as_they_were() -> None:
    facts, protocol = DataFacts.of(DATA), Protocol()

    def key(**changes: Any) -> str:
        return run_key(spec_of(**changes), facts, protocol, "c0de")

    assert key(bounds=()) == key()
    assert len({key(), key(bounds=((2000, 0.1),)), key(bounds=((2000, 0.2),)), key(bounds=((3000, 0.1),))}) == 4
    assert "bounds" not in spec_of().model_dump(exclude_defaults=True)
    text = spec_of(bounds=((2000, 0.1), (3000, 1 / 3))).model_dump_json()
    assert RunSpec.model_validate_json(text).bounds == ((2000, 0.1), (3000, 1 / 3))


@pytest.mark.parametrize("bounds", [(), ((2000, 0.1), (3000, 1 / 3))])
def test_a_trial_s_record_is_read_as_it_was_written(bounds: Bounds, tmp_path: Path) -> None:
    record = record_of(rising(20, 0.3), 100, max_epochs=50, patience=10, bounds=bounds)
    path = tmp_path / place_of_record(record)
    path.parent.mkdir(parents=True)
    path.write_text(to_text(record), encoding="utf-8")
    found = read_record(path)
    assert isinstance(found, RecordFile), found
    assert found.record == record
    assert found.record.spec.bounds == bounds


def test_the_stages_of_a_setting_are_runs_of_their_own(tmp_path: Path) -> None:
    from bench.runs.runner import blank_record

    facts, seeds, keys = DataFacts.of(DATA), [], []
    for stage, repetition in (("final", 0), ("tuning", 0), ("confirm", 0), ("confirm", 1), ("confirm", 2)):
        spec = spec_of(stage=stage, repetition=repetition)
        keys.append(run_key(spec, facts, Protocol(), "c0de"))
        blank: RunRecord = blank_record(spec, keys[-1], facts, "c0de", Protocol(), "", CPU)
        seeds += blank.seeds.values()
    assert len(set(keys)) == 5
    assert len(set(seeds)) == len(seeds) == 15


def test_cpu_minutes_are_those_of_all_trials_failed_ones_too() -> None:
    known = [record_of([0.1], 1, cpu_seconds=seconds) for seconds in (100.0, 20.0)]
    failed = record_of(None, 1, cpu_seconds=30.0)
    assert spent([*known, failed]) == 150.0
    unknown = record_of(None, 1)  # its worker died: it counts as the longest
    assert spent([*known, unknown]) == 220.0
    assert spent([unknown]) == 60.0
    budget = Budget(minutes=2.5)
    assert budget.is_used_up([*known, failed])
    assert not budget.is_used_up(known)
    assert not Budget(n_trials=1).is_used_up([*known, failed])
    assert (Budget(n_trials=20).limit(7), Budget(n_trials=20).limit(99), budget.limit(99)) == (7, 20, 99)
    assert (Budget(n_trials=20).words, budget.words) == ("20 trials", "2.5 CPU minutes of trials")


def test_of_two_budgets_the_one_that_is_used_up_first_ends_a_search() -> None:
    both, slow = Budget(n_trials=20, minutes=2.5), record_of(None, 1, cpu_seconds=151.0)
    assert both.is_used_up([slow])
    assert not both.is_used_up([record_of(None, 1, cpu_seconds=149.0)])
    assert (both.limit(7), both.limit(99)) == (7, 20)
    assert both.words == "20 trials or 2.5 CPU minutes of them"
