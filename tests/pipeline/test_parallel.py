"""run_all.py with several workers: the same files as with one, and an end without leftovers whatever happens."""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from rich.console import Console
from toy import random_data

from bench.cli.run import main
from bench.core.protocol import Protocol
from bench.core.types import EpochFacts
from bench.runs.display import RunDisplay
from bench.runs.events import OnEvent
from bench.runs.machine import usable_cores
from bench.runs.plan import make_plan
from bench.runs.pool import execute
from bench.runs.records import RunRecord, RunSpec
from bench.runs.store import ResultsStore
from bench.runs.task import RunOptions, RunTask

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--datasets", "tiktok", "--source", "surrogate", "--scale", "0.01", "--artifacts", "table3"]
PASSING = ("started", "command", "environment", "cost", "content_hash")  # the last is of the others


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers with a thread each are allowed, whatever machine this is."""
    monkeypatch.setattr("bench.runs.machine.usable_cores", lambda: 2)
    monkeypatch.setattr("bench.runs.pool.usable_cores", lambda: 2)


def run(folder: Path, *arguments: str) -> int:
    return main(
        ["--results-dir", str(folder / "results"), "--cache-dir", str(folder / "cache"), *SMALL, *arguments]
    )


def without_time_and_place(record: dict[str, Any]) -> dict[str, Any]:
    """What must not depend on when and where a run was made."""
    kept = {key: value for key, value in record.items() if key not in PASSING}
    kept["curve"] = [{k: v for k, v in epoch.items() if not k.endswith("seconds")} for epoch in record["curve"]]
    return kept


def test_two_workers_write_what_one_writes(two_cores: None, tmp_path: Path) -> None:
    arguments = ["--models", "mf", "ludp", "--seeds", "2", "--epochs", "2", "--threads", "1"]
    for n_workers in (1, 2):
        assert run(tmp_path / str(n_workers), *arguments, "--workers", str(n_workers)) == 0
    alone, together = tmp_path / "1" / "results", tmp_path / "2" / "results"
    names = sorted(path.relative_to(alone) for path in alone.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(together) for path in together.rglob("*") if path.is_file())
    assert sum(path.suffix == ".safetensors" for path in names) == 4
    for name in names:
        if name.parts[0] == "runs":
            one, two = (json.loads((folder / name).read_text(encoding="utf-8")) for folder in (alone, together))
            assert (one["environment"]["n_workers"], two["environment"]["n_workers"]) == (1, 2)
            assert without_time_and_place(one) == without_time_and_place(two)
        elif name.suffix == ".npz":
            with np.load(alone / name) as one, np.load(together / name) as two:
                for array in one:
                    np.testing.assert_array_equal(one[array], two[array], strict=True)
        elif name.parts[0] not in ("logs", "report.html", "report.md") and name.stem != "leaderboard":
            # which tell time and command
            assert (alone / name).read_bytes() == (together / name).read_bytes(), name


def test_a_users_error_in_a_worker_ends_with_2_and_one_paragraph(
    two_cores: None, tmp_path: Path, heard_workers: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "topk").write_text("a file, not a folder", encoding="utf-8")
    assert run(tmp_path, "--models", "mf", "--seeds", "2", "--epochs", "1", "--workers", "2") == 2
    error = heard_workers.readouterr().err
    assert error.startswith("error: ")
    assert len(error.strip().splitlines()) == 1
    assert "topk" in error


def test_what_is_there_or_only_shown_starts_no_worker(
    two_cores: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--models", "mf", "--seeds", "2", "--epochs", "1"]
    assert run(tmp_path, *arguments, "--workers", "1") == 0
    monkeypatch.setattr("bench.runs.pool.start_worker", None)
    capsys.readouterr()
    assert run(tmp_path, *arguments, "--workers", "2") == 0
    assert "2 runs are finished already and kept" in capsys.readouterr().out
    assert run(tmp_path, *arguments, "--workers", "2", "--on-existing", "rerun", "--dry-run") == 0


@pytest.mark.skipif(usable_cores() < 2, reason="two workers need two cores")
def test_interrupt_leaves_finished_runs_and_no_process(tmp_path: Path) -> None:
    folders = ["--results-dir", str(tmp_path / "results"), "--cache-dir", str(tmp_path / "cache")]
    endless = ["--models", "mf", "--seeds", "99", "--epochs", "30", "--workers", "2", "--threads", "1"]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "run_all.py"), *folders, *SMALL, *endless],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a process group of its own, as a shell gives to a command
    )
    try:
        assert process.stdout is not None
        assert any("[ 1/99]" in line for line in process.stdout)
        os.killpg(process.pid, signal.SIGINT)
        _, error = process.communicate(timeout=60)
        assert until(lambda: living(process.pid) == [], 20)
    finally:
        end(process.pid)
    assert process.returncode == 130
    assert "resumes from there" in error
    assert "Traceback" not in error
    made = [
        json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "results" / "runs").rglob("*.json")
    ]
    assert 1 <= len(made) < 99
    assert {record["status"] for record in made} == {"finished"}
    assert not list((tmp_path / "results").rglob("*.part"))


def sleep(task: RunTask, tell: OnEvent) -> RunRecord:
    (task.results_dir / f"{task.blank.spec.repetition}.asleep").touch()
    time.sleep(600)
    return task.blank


class Deaf:
    """A listener that does nothing."""

    def run_started(self, spec: RunSpec, worker: int) -> None:
        pass

    def epoch_done(self, facts: EpochFacts, worker: int) -> None:
        pass

    def run_done(self, record: RunRecord, worker: int | None) -> None:
        pass

    def warn(self, message: str) -> None:
        pass


def make_sleepers(folder: Path) -> None:
    os.setsid()
    mock.patch("bench.runs.pool.usable_cores", return_value=2).start()
    options = RunOptions(Protocol(), torch.device("cpu"), "skip", "a test", folder / "cache", 2, 1)
    specs = make_plan(["toy"], ["mf"], 2, 1, 2023, {})
    execute(specs, {"toy": random_data()}, ResultsStore(folder), options, Deaf(), sleep)


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=make_sleepers, args=(tmp_path,))
    process.start()
    assert process.pid is not None
    try:
        assert until(lambda: len(list(tmp_path.glob("*.asleep"))) == 2, 120)
        assert len(living(process.pid)) >= 3
        process.kill()
        process.join()
        assert until(lambda: living(process.pid) == [], 20)
    finally:
        end(process.pid)


def until(holds: Callable[[], bool], seconds: float) -> bool:
    """Whether it comes to hold within some seconds."""
    last = time.monotonic() + seconds
    while time.monotonic() < last and not holds():
        time.sleep(0.05)
    return holds()


def living(group: int | None) -> list[int]:
    """Processes of a group that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group = path.read_text(encoding="utf-8").rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                found.append(int(path.parent.name))
    return found


def end(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def test_the_display_has_a_bar_for_each_worker_and_one_for_all() -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=160)
    epoch = EpochFacts(epoch=1, loss=1.0, train_seconds=0.0, valid_seconds=0.0, valid={"recall@20": 0.25})
    better = epoch.model_copy(update={"epoch": 2, "valid": {"recall@20": 0.5}})
    with RunDisplay(terminal, 4, Protocol(patience=10)) as display:
        for worker, model in enumerate(("mf", "lightgcn")):
            spec = RunSpec(dataset="d", model=model, repetition=0, base_seed=1, max_epochs=4, params={})
            display.run_started(spec, worker)
        display.epoch_done(epoch, 1)
        display.epoch_done(epoch, 0)
        display.epoch_done(better, 1)
        everything, first, second = display._progress.tasks
        assert (first.description, first.completed, first.total) == ("d MF", 1, 4)
        assert (second.description, second.completed, second.total) == ("d LightGCN", 2, 4)
        assert "0.2500 at epoch 1, stops in 10" in first.fields["note"]
        assert "0.5000 at epoch 2, stops in 10" in second.fields["note"]
        assert (everything.completed, everything.total) == (1 / 4 + 2 / 4, 4)


def test_the_bars_of_a_narrow_terminal_keep_their_numbers_whole() -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    epoch = EpochFacts(epoch=3, loss=1.0, train_seconds=0.0, valid_seconds=0.0, valid={"recall@20": 0.25})
    spec = RunSpec(
        dataset="movielens",
        model="mmgcn",
        variant="reference",
        repetition=1,
        base_seed=1,
        max_epochs=1000,
        params={},
    )
    with RunDisplay(terminal, 97, Protocol()) as display:
        display.run_started(spec, 0)
        display.epoch_done(epoch, 0)
        display._progress.refresh()
    assert isinstance(terminal.file, io.StringIO)
    shown = terminal.file.getvalue()
    assert "3/1000 0.2500 at epoch 3" in " ".join(shown.split())
    assert "…" not in shown
