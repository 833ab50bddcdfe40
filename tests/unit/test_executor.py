"""Runs in worker processes: cores, shared data, the pool's bad days, and the cache that two processes share."""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import os
import pickle
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from boards import records_in
from toy import random_data

from bench.core.errors import ConfigError, DataError, ResultsError, UsageError
from bench.core.protocol import Protocol
from bench.core.types import EpochFacts
from bench.engine import registry
from bench.runs.cache import ArrayCache, open_shared, publish
from bench.runs.events import OnEvent
from bench.runs.machine import divide_cores, usable_cores
from bench.runs.plan import make_plan
from bench.runs.pool import THREAD_VARIABLES, _check_code, _server, execute
from bench.runs.records import RunRecord, RunSpec
from bench.runs.runner import run_task
from bench.runs.store import ResultsStore
from bench.runs.task import RunOptions, RunTask

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


class Heard:
    """A listener that writes down what it is told."""

    def __init__(self) -> None:
        self.started: list[tuple[int, int]] = []
        self.epochs: list[tuple[int, int]] = []
        self.done: list[tuple[int, int | None]] = []
        self.warnings: list[str] = []

    def run_started(self, spec: RunSpec, worker: int) -> None:
        self.started.append((spec.repetition, worker))

    def epoch_done(self, facts: EpochFacts, worker: int) -> None:
        self.epochs.append((facts.epoch, worker))

    def run_done(self, record: RunRecord, worker: int | None) -> None:
        self.done.append((record.spec.repetition, worker))

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers with a thread each are allowed, whatever machine this is."""
    monkeypatch.setattr("bench.runs.pool.usable_cores", lambda: 2)


def make(folder: Path, n_seeds: int, n_workers: int, heard: Heard, run: Any = run_task) -> list[RunRecord]:
    """MF with several seeds on a toy, two epochs each."""
    options = RunOptions(Protocol(), CPU, "skip", "a test", folder / "cache", n_workers, 1)
    specs = make_plan(["toy"], ["mf"], n_seeds, 2, 2023, {})
    return execute(specs, {"toy": random_data()}, ResultsStore(folder / "results"), options, heard, run)


def test_a_run_of_a_variation_becomes_the_models_own(tmp_path: Path) -> None:
    """Equal parameters are one run, and its record has the name that stands on the leaderboard."""
    store, data = ResultsStore(tmp_path), {"toy": random_data()}
    options = RunOptions(Protocol(), CPU, "skip", "a test", tmp_path / "cache", 1, 1)
    (own,) = make_plan(["toy"], ["ludp"], 1, 1, 2023, {})
    variation, literal = (own.model_copy(update={"variant": name}) for name in ("knn_k=10", "literal"))
    for specs, label in (
        ([variation], "ludp@knn_k=10"),
        ([own, variation], "ludp"),
        ([variation], "ludp"),
        ([literal], "ludp"),
    ):
        records = execute(specs, data, store, options, Heard())
        assert [record.spec.label for record in records] == [spec.label for spec in specs]
        assert [record.spec.label for record in records_in(store.root)] == [label]


# --- cores ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workers", "threads", "n_runs", "device", "cores", "expected"),
    [
        (None, None, 9, CPU, 4, (4, 1)),
        (None, None, 2, CPU, 4, (2, 2)),
        (None, None, 1, CPU, 4, (1, 4)),
        (None, None, 0, CPU, 4, (1, 4)),
        (None, None, 3, CPU, 8, (3, 2)),
        (None, 2, 9, CPU, 4, (2, 2)),
        (None, None, 9, CUDA, 4, (1, 4)),
        (2, None, 9, CUDA, 4, (2, 2)),
        (3, None, 9, CPU, 4, (3, 1)),
        (4, None, 2, CPU, 4, (2, 2)),
        (2, 2, 9, CPU, 4, (2, 2)),
    ],
)
def test_division_of_cores(
    monkeypatch: pytest.MonkeyPatch,
    workers: Any,
    threads: Any,
    n_runs: int,
    device: Any,
    cores: int,
    expected: Any,
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    assert divide_cores(workers, threads, n_runs, device, cores) == expected


def test_threads_by_default_are_at_most_what_torch_would_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert divide_cores(None, None, 1, CPU, 4) == (1, 1)
    assert divide_cores(None, 3, 1, CPU, 4) == (1, 3)


def test_workers_times_threads_never_exceed_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    choices = (None, 1, 2, 3, 4, 5)
    for workers, threads, n_runs, cores in itertools.product(choices, choices, range(6), range(1, 7)):
        if (workers or 1) * (threads or 1) > cores:
            with pytest.raises(UsageError) as caught:
                divide_cores(workers, threads, n_runs, CPU, cores)
            for number in (workers or "auto", threads or 1, cores):
                assert f" {number} " in str(caught.value)
        else:
            division = divide_cores(workers, threads, n_runs, CPU, cores)
            assert min(division) >= 1
            assert division.n_workers * division.n_threads <= cores
            assert division.n_workers <= max(1, n_runs)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu.max": "350000 100000"}, 3),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "1600000 100000"}, 8),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ({"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2),
    ],
)
def test_usable_cores_know_the_quota_of_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(f"{text}\n", encoding="ascii")
    assert usable_cores(tmp_path) == expected


# --- shared data -----------------------------------------------------------------------------------------------


def test_shared_data_comes_back_equal_and_once(tmp_path: Path) -> None:
    data = random_data(absent=True)
    shared = publish(data, tmp_path)
    sent = pickle.dumps(shared)
    assert len(sent) < 8_000
    opened = open_shared(pickle.loads(sent))
    assert open_shared(shared) is opened
    assert (opened.name, opened.source, opened.data_hash) == (data.name, data.source, data.data_hash)
    for part in ("train", "valid", "test"):
        one, two = data.split.part(part), opened.split.part(part)
        assert (one.n_users, one.n_items, two.timestamps) == (two.n_users, two.n_items, None)
        for name in ("users", "items", "keys", "offsets"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name), strict=True)
    for one, two in zip(data.modalities, opened.modalities, strict=True):
        np.testing.assert_array_equal(one.matrix, two.matrix, strict=True)
        np.testing.assert_array_equal(one.present, two.present, strict=True)
        assert (one.name, one.fingerprint) == (two.name, two.fingerprint)


def test_what_is_written_into_opened_data_stays_there(tmp_path: Path) -> None:
    data = random_data(seed=3)
    files = publish(data, tmp_path)
    torch.from_numpy(open_shared(files).modalities[0].matrix).fill_(7.0)
    open_shared.cache_clear()
    np.testing.assert_array_equal(open_shared(files).modalities[0].matrix, data.modalities[0].matrix)


def test_shared_files_are_written_once_mended_and_missed(tmp_path: Path) -> None:
    data = random_data(seed=4)
    key = publish(data, tmp_path).key
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert publish(data, tmp_path).key == key
    assert stamps == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert publish(random_data(seed=5), tmp_path).key != key
    first = next(iter(stamps))
    first.write_bytes(first.read_bytes()[:-1])
    shared = publish(data, tmp_path)
    assert open_shared(shared).n_users == data.n_users
    first.unlink()
    open_shared.cache_clear()
    with pytest.raises(DataError, match=first.name):
        open_shared(shared)
    (tmp_path / "file").touch()
    with pytest.raises(ResultsError, match="--cache-dir"):
        publish(data, tmp_path / "file")


# --- the pool --------------------------------------------------------------------------------------------------


def second_dies_first_is_last(task: RunTask, tell: OnEvent) -> RunRecord:
    if task.blank.spec.repetition == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    record = run_task(task, tell)
    while task.blank.spec.repetition == 0 and len(list(task.path.parent.glob("*.json"))) < 4:
        time.sleep(0.05)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    seen = {"omp": os.environ["OMP_NUM_THREADS"], "pid": os.getpid(), "ctrl-c": signal.SIGINT not in blocked}
    seen |= {"variable": os.environ.get("SET_AFTER_THE_SERVER"), "safe path": os.environ.get("PYTHONSAFEPATH")}
    if sys.platform == "linux":
        server = Path("/proc", str(os.getppid()))
        seen["server"] = b"'torch'" in (server / "cmdline").read_bytes(), len(list((server / "task").iterdir()))
    return record.model_copy(update={"environment": record.environment | seen})


def test_a_run_whose_workers_are_killed_again_and_again_fails_alone(
    two_cores: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard()
    if sys.platform == "linux":
        _server(dict.fromkeys(THREAD_VARIABLES, "1"))
    monkeypatch.setenv("SET_AFTER_THE_SERVER", "set")
    before = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    records = make(tmp_path, 4, 2, heard, second_dies_first_is_last)
    assert [record.spec.repetition for record in records] == [0, 1, 2, 3]
    assert [record.status for record in records] == ["finished", "failed", "finished", "finished"]
    assert heard.started == [(0, 0), (1, 1), (1, 1), (1, 1), (2, 1), (3, 1)]
    cause = "worker process ended with signal 9; perhaps out of memory: try fewer --workers"
    assert heard.warnings == [f"A {cause}. Its run resumes in a new one."] * 2
    assert heard.done[:2] == [(1, 1), (2, 1)]
    assert sorted(heard.done[2:]) == [(0, 0), (3, 1)]  # the first ends when it sees the record of the last
    assert sorted(heard.epochs) == [(1, 0), (1, 1), (1, 1), (2, 0), (2, 1), (2, 1)]
    error = records[1].error
    assert error is not None
    assert error.kind == "WorkerDied"
    assert error.message == f"3 times a {cause}"
    made = [record for record in records if record.status == "finished"]
    assert len({record.environment["pid"] for record in made} | {os.getpid()}) == 3
    for record in made:
        assert (record.environment["omp"], record.environment["n_workers"]) == ("1", 2)
        assert (record.environment["threads"], record.environment["ctrl-c"]) == (1, False)
        assert (record.environment["variable"], record.environment["safe path"]) == ("set", None)
        # forked from a process that has imported torch and has one thread, the only kind that can be forked safely
        assert record.environment.get("server", (True, 1)) == (True, 1)
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    on_disk = {record.spec.repetition: record.status for record in records_in(tmp_path / "results")}
    assert on_disk == {0: "finished", 1: "failed", 2: "finished", 3: "finished"}
    assert before == {name: os.environ.get(name) for name in before}
    assert multiprocessing.active_children() == []
    again = Heard()
    assert [record.status for record in make(tmp_path, 4, 1, again)] == ["finished"] * 4
    assert again.started == [(1, 0)]


def third_is_the_users_error(task: RunTask, tell: OnEvent) -> RunRecord:
    if task.blank.spec.repetition == 2:
        raise ConfigError("mf.yaml: wrong. Correct the file.")
    return run_task(task, tell)


def test_a_users_error_in_a_worker_is_raised_here_and_finished_runs_are_kept(
    two_cores: None, tmp_path: Path, heard_workers: pytest.CaptureFixture[str]
) -> None:
    gc.collect()  # what earlier tests left open speaks up when it is collected
    heard_workers.readouterr()
    with pytest.raises(ConfigError, match=r"^mf\.yaml: wrong\. Correct the file\.$"):
        make(tmp_path, 6, 2, Heard(), third_is_the_users_error)
    kept = {record.spec.repetition: record.status for record in records_in(tmp_path / "results")}
    assert kept
    assert set(kept.values()) == {"finished"}
    assert 2 not in kept
    assert multiprocessing.active_children() == []
    assert "Traceback" not in heard_workers.readouterr().err


def test_code_that_is_not_the_plans_is_refused() -> None:
    _check_code({"mf": registry.code_hash("mf")})
    with pytest.raises(ConfigError, match="'mf' was changed"):
        _check_code({"mf": "another"})


# --- in this process -------------------------------------------------------------------------------------------


def test_one_worker_is_this_process_with_the_threads_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("bench.runs.pool.usable_cores", lambda: 3)
    monkeypatch.setattr("bench.runs.pool.start_worker", None)
    seen: list[tuple[int, int]] = []

    class Counting(Heard):
        def epoch_done(self, facts: EpochFacts, worker: int) -> None:
            seen.append((torch.get_num_threads(), os.getpid()))

    before = torch.get_num_threads()
    options = RunOptions(Protocol(), CPU, "skip", "a test", tmp_path / "cache", 1, 3)
    specs = make_plan(["toy"], ["mf"], 1, 2, 2023, {})
    (record,) = execute(specs, {"toy": random_data()}, ResultsStore(tmp_path), options, Counting())
    assert seen == [(3, os.getpid())] * 2
    assert torch.get_num_threads() == before
    assert (record.environment["threads"], record.environment["n_workers"]) == (3, 1)
    assert not (tmp_path / "cache" / "shared").exists()


def test_two_labels_of_the_same_parameters_are_one_run(tmp_path: Path) -> None:
    (spec,) = make_plan(["toy"], ["mf"], 1, 1, 2023, {})
    named = spec.model_copy(update={"variant": "named"})
    options = RunOptions(Protocol(), CPU, "rerun", "a test", tmp_path / "cache", 1, 1)
    heard = Heard()
    records = execute([spec, named], {"toy": random_data()}, ResultsStore(tmp_path), options, heard)
    assert [record.spec.label for record in records] == ["mf", "mf@named"]
    assert records[0].started == records[1].started
    assert heard.started == [(0, 0)]
    assert heard.done == [(0, 0)]


# --- the cache of derived arrays -------------------------------------------------------------------------------


def look_up(folder: Path, together: Any, answers: Any) -> None:
    def compute() -> dict[str, np.ndarray]:
        with (folder / "computed").open("a", encoding="ascii") as file:
            file.write("once\n")
        time.sleep(1)
        return {"x": np.arange(3)}

    together.wait(60)
    answers.put(ArrayCache(folder / "graphs", "code")("key", compute)["x"].tolist())


def test_two_processes_that_need_the_same_arrays_compute_them_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")  # what it runs here touches files and numpy only
    together, answers = context.Barrier(2), context.Queue()
    processes = [context.Process(target=look_up, args=(tmp_path, together, answers)) for _ in range(2)]
    for process in processes:
        process.start()
    assert [answers.get(timeout=90) for _ in processes] == [[0, 1, 2]] * 2
    for process in processes:
        process.join()
    assert (tmp_path / "computed").read_text(encoding="ascii") == "once\n"
