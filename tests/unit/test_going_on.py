"""Runs that were interrupted, are made by another, or lose their worker: the same numbers, and none twice."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from toy import random_data

from bench.core.errors import ResultsError
from bench.core.files import claim, write_bytes
from bench.core.protocol import Protocol
from bench.core.types import EpochFacts
from bench.engine.trainer import TrainResult, train
from bench.runs.checkpoint import Checkpoint
from bench.runs.events import OnEvent
from bench.runs.machine import CoreShare
from bench.runs.plan import make_plan
from bench.runs.pool import execute, start_worker
from bench.runs.records import RunRecord, RunSpec
from bench.runs.runner import make_task, planned_runs, record_lost_run, run_task
from bench.runs.store import ResultsStore
from bench.runs.task import RunOptions, RunTask, Tasks

DATA, N_EPOCHS = random_data(), 4
SPECS = make_plan(["toy"], ["mf"], 2, N_EPOCHS, 2023, {})


def options(
    folder: Path, n_workers: int | None = 1, n_threads: int | None = 1, policy: Any = "skip"
) -> RunOptions:
    return RunOptions(Protocol(), torch.device("cpu"), policy, "a test", folder / "cache", n_workers, n_threads)


def task(folder: Path, repetition: int = 0, **changed: Any) -> RunTask:
    store, asked = ResultsStore(folder / "results"), options(folder)
    (run,) = planned_runs([SPECS[repetition]], {"toy": DATA}, store, asked.protocol)
    return replace(make_task(run, DATA, store, asked, CoreShare(1, 1)), **changed)


def numbers(record: RunRecord | None) -> Any:
    assert record is not None
    assert record.status == "finished", record.error
    return record.metrics, record.best_epoch, [(facts.epoch, facts.loss, facts.valid) for facts in record.curve]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return [numbers(run_task(task(tmp_path_factory.mktemp("undisturbed"), each))) for each in (0, 1)]


class Heard:
    """A listener that writes down what it is told."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.epochs: list[int] = []
        self.done: list[int] = []
        self.warnings: list[str] = []

    def run_started(self, spec: RunSpec, worker: int) -> None:
        self.started.append(spec.repetition)

    def epoch_done(self, facts: EpochFacts, worker: int) -> None:
        self.epochs.append(facts.epoch)

    def run_done(self, record: RunRecord, worker: int | None) -> None:
        self.done.append(record.spec.repetition)

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def interrupt(one: RunTask, after: int) -> None:
    """Make a run up to an epoch."""

    def tell(event: EpochFacts | str) -> None:
        if isinstance(event, EpochFacts) and event.epoch == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_task(one, tell)


def states(folder: Path) -> list[int]:
    """Epochs of the kept states."""
    return sorted(
        int(path.stem.partition("-")[2]) for path in (folder / "results/unfinished").glob("*.safetensors")
    )


# --- interrupted -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [1, 3, N_EPOCHS])
def test_an_interrupted_run_goes_on_and_shows_what_was_before(
    tmp_path: Path, undisturbed: list[Any], after: int
) -> None:
    interrupt(task(tmp_path), after)
    assert states(tmp_path) == [after]
    assert not (tmp_path / "results" / "runs").exists()
    told: list[Any] = []
    record = run_task(task(tmp_path, n_threads=2), told.append)
    assert numbers(record) == undisturbed[0]
    assert told[0] == f"toy mf seed 1: resumes after epoch {after}."
    assert [facts.epoch for facts in told[1:]] == list(range(1, N_EPOCHS + 1))
    assert states(tmp_path) == []
    assert record is not None
    assert record.environment["threads"] == 1  # as it began
    assert record.cost is not None
    assert record.cost.total_seconds >= sum(facts.train_seconds for facts in record.curve)


def test_a_damaged_state_is_said_and_the_run_begins_anew(tmp_path: Path, undisturbed: list[Any]) -> None:
    interrupt(task(tmp_path), 2)
    (path,) = (tmp_path / "results" / "unfinished").iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    told: list[Any] = []
    assert numbers(run_task(task(tmp_path), told.append)) == undisturbed[0]
    assert "damaged" in told[0]
    assert [facts.epoch for facts in told[1:]] == list(range(1, N_EPOCHS + 1))
    assert path.with_suffix(".damaged").exists()


def test_a_whole_state_of_another_model_is_said_and_the_run_begins_anew(
    tmp_path: Path, undisturbed: list[Any]
) -> None:
    interrupt(task(tmp_path), 2)
    one = task(tmp_path)
    checkpoint = Checkpoint(tmp_path / "results" / "unfinished", one.blank, 1, pytest.fail)
    checkpoint.load()
    assert checkpoint.state is not None
    checkpoint.state.tensors["model/user_embedding.weight"] = torch.zeros(2, 2)
    checkpoint.keep(checkpoint.state)
    told: list[Any] = []
    assert numbers(run_task(one, told.append)) == undisturbed[0]
    assert any("model/user_embedding.weight" in text for text in told if isinstance(text, str))


def test_a_full_disk_ends_the_run_and_the_last_whole_state_is_gone_on_from(
    tmp_path: Path, undisturbed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes, durable: bool = True) -> None:
        if "0000003" in path.name:
            raise OSError(28, "No space left on device")
        write_bytes(path, content, durable)

    with monkeypatch.context() as patch:
        patch.setattr("bench.runs.checkpoint.write_bytes", full)
        with pytest.raises(ResultsError, match=r"No space left on device.*Free some space"):
            run_task(task(tmp_path))
    assert states(tmp_path) == [2]
    told: list[Any] = []
    assert numbers(run_task(task(tmp_path), told.append)) == undisturbed[0]
    assert "after epoch 2" in told[0]


def test_the_threads_of_a_run_do_not_depend_on_what_is_left_of_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.runs.pool.usable_cores", lambda: 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    store = ResultsStore(tmp_path / "results")
    execute(SPECS[:1], {"toy": DATA}, store, options(tmp_path), Heard())
    records = execute(SPECS, {"toy": DATA}, store, options(tmp_path, None, None), Heard())
    assert [record.environment["threads"] for record in records] == [1, 1]


# --- made by another process -----------------------------------------------------------------------------------


def test_a_run_that_another_runner_makes_is_left_or_waited_for(tmp_path: Path, undisturbed: list[Any]) -> None:
    one = task(tmp_path)
    path = ResultsStore(one.results_dir).claim_path(one.blank.key)
    with claim(path):
        assert run_task(one) is None
        assert record_lost_run(one, "a reason").error is not None
        assert not one.path.exists()  # the other one writes it
    interrupt(one, 2)
    assert numbers(run_task(one)) == undisturbed[0]
    told: list[Any] = []
    again = run_task(one, told.append)
    assert numbers(again) == undisturbed[0]
    assert told == []  # nothing was trained
    assert numbers(record_lost_run(one, "a reason")) == undisturbed[0]
    remade = run_task(replace(one, options=options(tmp_path, policy="rerun")), told.append)
    assert numbers(remade) == undisturbed[0]
    assert len(told) == N_EPOCHS


def test_claimed_runs_come_last_and_their_records_are_taken_over(tmp_path: Path, undisturbed: list[Any]) -> None:
    first = task(tmp_path)
    store, heard = ResultsStore(first.results_dir), Heard()
    claimed = threading.Event()

    def other_runner() -> None:
        with claim(store.claim_path(first.blank.key)):
            claimed.set()
            while not any("waiting" in text for text in heard.warnings):
                time.sleep(0.01)
            record = run_task(replace(first, results_dir=tmp_path / "elsewhere"))
            assert record is not None
            store.write_record(first.path, record)

    other = threading.Thread(target=other_runner)
    other.start()
    assert claimed.wait(10)
    records = execute(SPECS, {"toy": DATA}, store, options(tmp_path), heard)
    other.join()
    assert [numbers(record) for record in records] == undisturbed
    assert heard.started == [0, 1, 0]
    assert heard.done == [1, 0]
    assert heard.epochs == list(range(1, N_EPOCHS + 1))  # of the second
    assert heard.warnings == ["toy mf seed 1: another process makes this run; waiting for it."]


def test_order_of_tasks(tmp_path: Path) -> None:
    one, two = task(tmp_path, 0), task(tmp_path, 1)
    tasks = Tasks([one, two])
    assert tasks.next() is one
    tasks.postpone(one)
    assert tasks.next() is two
    tasks.retry(two)
    assert tasks.next() is two
    last = tasks.next()
    assert last is not None
    assert (last.blank.key, last.wait) == (one.blank.key, True)
    assert tasks.next() is None


# --- in workers ------------------------------------------------------------------------------------------------


def dies_once(one: RunTask, tell: OnEvent) -> RunRecord | None:
    mark = one.results_dir / "died"

    def pass_on(event: EpochFacts | str) -> None:
        tell(event)
        if (
            isinstance(event, EpochFacts)
            and (one.blank.spec.repetition, event.epoch) == (0, 2)
            and not mark.exists()
        ):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    return run_task(one, pass_on)


def test_the_run_of_a_killed_worker_goes_on_in_a_new_one(
    tmp_path: Path, undisturbed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.runs.pool.usable_cores", lambda: 2)
    heard, store = Heard(), ResultsStore(tmp_path / "results")
    records = execute(SPECS, {"toy": DATA}, store, options(tmp_path, 2), heard, dies_once)
    assert [numbers(record) for record in records] == undisturbed
    assert sorted(heard.started) == [0, 0, 1]
    assert len(heard.warnings) == 2
    assert "signal 9" in heard.warnings[0]
    assert heard.warnings[1] == "toy mf seed 1: resumes after epoch 2."


def exits_become_import_errors(one: RunTask, tell: OnEvent) -> RunRecord | None:
    """As where a signal comes while a C extension imports numpy."""

    def converted(*arguments: Any) -> TrainResult:
        try:
            return train(*arguments)
        except SystemExit as end:
            raise ImportError("numpy.core.multiarray failed to import") from end

    with mock.patch("bench.runs.runner.train", converted):
        return run_task(one, tell)


@pytest.mark.parametrize(("how", "n_threads"), [("terminated", 1), ("left alone", 2)])  # forked, and spawned
def test_a_worker_that_is_ended_records_no_defect(tmp_path: Path, how: str, n_threads: int) -> None:
    one = task(tmp_path)
    (long,) = make_plan(["toy"], ["mf"], 1, 100_000, 2023, {})
    one = replace(one, blank=one.blank.model_copy(update={"spec": long}))
    process, connection = start_worker(exits_become_import_errors, {}, n_threads)
    connection.send(one)
    assert connection.recv().epoch == 1
    if how == "terminated":
        process.terminate()
    else:
        connection.close()
    process.join(30)
    assert process.exitcode == 128 + (signal.SIGTERM if how == "terminated" else signal.SIGPIPE)
    assert not one.path.exists()
    assert len(states(tmp_path)) == 1
