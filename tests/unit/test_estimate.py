"""The estimate of a call's time: sane, larger for more work, and from earlier runs where there are some."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import toy
from boards import add_run, facts_of

from bench.cli.opening import TrialPlan
from bench.core.errors import ResultsError
from bench.core.protocol import Protocol
from bench.engine import registry
from bench.runs.estimate import Estimator, about
from bench.runs.records import DataFacts, RunSpec
from bench.runs.store import ResultsStore
from bench.runs.task import PlannedRun, RunOptions
from bench.runs.tuning.pruning import Budget
from bench.runs.tuning.search import TuningSettings

OPTIONS = RunOptions(Protocol(), torch.device("cpu"), "skip", "", Path("cache"))


def planned(store: ResultsStore, model: str, facts: DataFacts, max_epochs: int = 30) -> PlannedRun:
    spec = RunSpec(
        dataset=facts.name, model=model, repetition=0, base_seed=1, max_epochs=max_epochs, params={"x": max_epochs}
    )
    path = store.record_path("k", Protocol(), facts.name, facts.source, spec)
    return PlannedRun(spec, facts, "code", "k", path)


@pytest.fixture
def estimator(tmp_path: Path) -> Estimator:
    return Estimator(ResultsStore(tmp_path), OPTIONS)


def test_the_table_holds_every_model_of_ours_and_no_other(estimator: Estimator) -> None:
    assert set(estimator._table.models) == set(registry.built_in_names())


def test_without_earlier_runs_the_table_gives_a_sane_time(estimator: Estimator) -> None:
    """All models on the 80,000 pairs of MovieLens-100K take minutes, not seconds and not hours."""
    facts = facts_of(n_train=80_000)
    runs = [planned(estimator.store, name, facts) for name in registry.built_in_names()]
    assert 60 < (estimator.total(runs, 2) or 0) < 3600
    slow, fast, control = (
        estimator.seconds(planned(estimator.store, name, facts)) for name in ("grcn", "mf", "popularity")
    )
    assert slow > fast > control > 0
    unknown = estimator.seconds(planned(estimator.store, "mine", facts))
    assert control < unknown < slow


def test_a_search_takes_the_time_of_its_trials_and_at_most_its_minutes(estimator: Estimator) -> None:
    def seconds(**budget: float) -> float:
        settings = TuningSettings(Budget(**budget), "tpe", 30, 1, {})
        data, protocol = {"toy": toy.random_data()}, estimator.options.protocol
        plan = TrialPlan.of(["mf", "lightgcn"], data, settings, estimator.store, protocol)
        return plan.seconds(estimator) or 0

    assert seconds(minutes=2) == 2 * 60 * 2
    assert 0 < seconds(n_trials=5) < seconds(n_trials=10)
    assert seconds(n_trials=5, minutes=1e6) == seconds(n_trials=5)
    assert seconds(n_trials=5, minutes=1e-6) == pytest.approx(2 * 60e-6)


def test_more_work_takes_longer(estimator: Estimator) -> None:
    def seconds(n_train: int = 80_000, max_epochs: int = 30) -> float:
        found = estimator.seconds(planned(estimator.store, "ludp", facts_of(n_train=n_train), max_epochs))
        assert found is not None
        return found

    assert seconds(160_000) == pytest.approx(2 * seconds())
    assert seconds(max_epochs=60) > 1.9 * seconds(max_epochs=30)
    assert seconds(max_epochs=1000) == seconds(max_epochs=300)  # patience ends a training earlier


def test_workers_share_the_runs_but_not_one_run(estimator: Estimator) -> None:
    runs = [planned(estimator.store, name, facts_of(n_train=80_000)) for name in ("mf", "mf", "mf", "mf")]
    one = estimator.total(runs[:1], 1)
    assert one is not None
    assert estimator.total(runs, 1) == pytest.approx(4 * one)
    assert estimator.total(runs, 2) == pytest.approx(2 * one)
    assert estimator.total(runs[:1], 2) == pytest.approx(one)
    assert estimator.total([], 2) == 0


def test_earlier_runs_come_first_and_are_scaled(estimator: Estimator, tmp_path: Path) -> None:
    record = add_run(tmp_path, "ludp")
    assert record.cost is not None
    facts = record.data
    same = estimator.seconds(planned(estimator.store, "ludp", facts, record.spec.max_epochs))
    assert same == pytest.approx(record.cost.total_seconds)
    larger = facts.model_copy(update={"n_train": 10 * facts.n_train, "name": "movielens"})
    elsewhere = estimator.seconds(planned(estimator.store, "ludp", larger, record.spec.max_epochs))
    assert elsewhere == pytest.approx(10 * record.cost.total_seconds)


def test_runs_of_a_processor_say_nothing_of_a_gpu(estimator: Estimator, tmp_path: Path) -> None:
    add_run(tmp_path, "ludp")
    on_gpu = replace(estimator, options=replace(OPTIONS, device=torch.device("cuda")))
    run = planned(estimator.store, "ludp", facts_of())
    assert on_gpu.seconds(run) is None
    assert on_gpu.total([run], 1) is None


def test_a_record_that_cannot_be_read_leaves_the_table(
    estimator: Estimator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = add_run(tmp_path, "ludp").data

    def locked(self: ResultsStore, path: Path) -> None:
        raise ResultsError(f"{path} cannot be read (Permission denied).")

    monkeypatch.setattr(ResultsStore, "read", locked)
    assert estimator.seconds(planned(estimator.store, "ludp", facts)) is not None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "less than a minute"),
        (61, "about 2 min"),
        (720, "about 15 min"),
        (5000, "about 85 min"),
        (9000, "about 2.5 h"),
        (360_000, "about 100 h"),
    ],
)
def test_an_estimate_is_worded_without_false_precision(seconds: float, words: str) -> None:
    assert about(seconds) == words
