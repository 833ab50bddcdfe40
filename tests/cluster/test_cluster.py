"""Runs on a Dask cluster give the files and the numbers of local ones, whatever happens to its workers."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from boards import records_in
from dask import config
from distributed import Client, LocalCluster

from bench.checks.scaffold import Skeleton, write_skeleton
from bench.cli import run
from bench.core.errors import UsageError
from bench.core.protocol import Protocol
from bench.core.types import BenchmarkData, DataRequest, EpochFacts
from bench.data.load import load_dataset
from bench.runs import dask
from bench.runs.plan import make_plan
from bench.runs.pool import THREAD_VARIABLES, _server, execute
from bench.runs.records import RunRecord, RunSpec
from bench.runs.store import ResultsStore
from bench.runs.task import Cluster, RunOptions


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """Two workers; they, and those in a dead one's place, are forked from a process that has imported torch."""
    _server(dict.fromkeys(THREAD_VARIABLES, "1"))
    forked = config.set({"distributed.worker.multiprocessing-method": "forkserver"})
    workers = {"n_workers": 2, "threads_per_worker": 1, "resources": {"threads": 1}}
    with forked, LocalCluster(**workers, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, BenchmarkData]:
    request = DataRequest(
        source="surrogate", data_dirs=(), cache_dir=tmp_path_factory.mktemp("cache"), scale=0.01,
        default_scale=0.01, split=None, base_seed=1,
    )  # fmt: skip
    return {"tiktok": load_dataset("tiktok", request)}


class Watch:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.epochs = 0
        self.done: list[RunRecord] = []
        self.warnings: list[str] = []

    def run_started(self, spec: RunSpec, worker: int) -> None:
        self.begun.append(f"{spec.label} {spec.repetition}")

    def epoch_done(self, facts: EpochFacts, worker: int) -> None:
        self.epochs += 1

    def run_done(self, record: RunRecord, worker: int | None) -> None:
        self.done.append(record)

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def specs(n_seeds: int = 2, max_epochs: int = 3) -> list[RunSpec]:
    return make_plan(["tiktok"], ["mf", "ludp"], n_seeds, max_epochs, 1, {})


def options(folder: Path, cluster: Cluster | None) -> RunOptions:
    return RunOptions(
        protocol=Protocol(), device=torch.device("cpu"), on_existing="skip", command="test",
        cache_dir=folder / "cache", n_workers=None if cluster else 1, n_threads=1, cluster=cluster,
    )  # fmt: skip


def numbers(records: list[RunRecord]) -> dict[str, Any]:
    return {record.key: (record.metrics, record.best_epoch, record.seeds) for record in records}


def files(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for part in ("runs", "topk", "checkpoints")
        for path in (folder / part).rglob("*.*")
    }


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, data: dict[str, BenchmarkData]) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("local")
    records = execute(specs(), data, ResultsStore(folder), options(folder, None), Watch())
    return folder, numbers(records)


@pytest.mark.parametrize("is_visible", [True, False])
def test_the_files_and_numbers_are_those_of_a_local_run(
    scheduler: str,
    data: dict[str, BenchmarkData],
    local: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_visible: bool,
) -> None:
    if not is_visible:  # as on a machine that does not share our disk: the marker is not there
        write = dask.write_atomically
        monkeypatch.setattr(dask, "write_atomically", lambda p, w: None if p.name[0] == "." else write(p, w))
    watch = Watch()
    store = ResultsStore(tmp_path)
    records = execute(specs(), data, store, options(tmp_path, Cluster(scheduler, "cpu", 1)), watch)
    assert numbers(records) == local[1]
    assert files(tmp_path) == files(local[0])
    assert sorted(watch.begun) == ["ludp 0", "ludp 1", "mf 0", "mf 1"]
    assert watch.epochs >= 4
    assert numbers(watch.done) == local[1]
    assert numbers(records_in(store.root)) == local[1]
    for record in records:
        kept = (local[0] / "checkpoints" / f"{record.key}.safetensors").read_bytes()
        assert (tmp_path / "checkpoints" / f"{record.key}.safetensors").read_bytes() == kept
        assert record.environment["threads"] == 1
    assert not list(tmp_path.glob(".ludp-bench*"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, data: dict[str, BenchmarkData]) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return numbers(execute(specs(1, 8), data, ResultsStore(folder), options(folder, None), Watch()))


@pytest.mark.parametrize("is_visible", [True, False])
def test_a_killed_worker_s_run_is_made_elsewhere(
    scheduler: str,
    data: dict[str, BenchmarkData],
    undisturbed: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_visible: bool,
) -> None:
    if not is_visible:
        write = dask.write_atomically
        monkeypatch.setattr(dask, "write_atomically", lambda p, w: None if p.name[0] == "." else write(p, w))

    class Killer(Watch):
        def epoch_done(self, facts: EpochFacts, worker: int) -> None:
            super().epoch_done(facts, worker)
            if self.epochs == 3:
                with Client(scheduler, set_as_default=False) as client:
                    busy = {address for address, keys in client.processing().items() if keys}
                    victims = {a: pid for a, pid in client.run(os.getpid).items() if a in busy} or client.run(
                        os.getpid
                    )
                os.kill(next(iter(victims.values())), signal.SIGKILL)

    cluster = Cluster(scheduler, "cpu", 1)
    watch = Killer()
    records = execute(specs(1, 8), data, ResultsStore(tmp_path), options(tmp_path, cluster), watch)
    assert numbers(records) == undisturbed
    assert watch.epochs > 3


def test_nobody_to_make_the_runs_is_said(
    scheduler: str, data: dict[str, BenchmarkData], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Impatient(Watch):
        def warn(self, message: str) -> None:
            super().warn(message)
            raise KeyboardInterrupt

    monkeypatch.setattr(dask, "SECONDS_BETWEEN_CHECKS", 0.2)
    watch = Impatient()
    with Client(scheduler) as client:
        client.wait_for_workers(2, timeout=60)  # an earlier test kills workers, which start again
    with pytest.raises(KeyboardInterrupt):
        execute(specs(1), data, ResultsStore(tmp_path), options(tmp_path, Cluster(scheduler, "cuda", 1)), watch)
    assert "none of 2 Dask workers offers GPU=1" in watch.warnings[0]
    assert '--resources "GPU=1"' in watch.warnings[0]


def test_workers_with_several_slots_are_refused(data: dict[str, BenchmarkData], tmp_path: Path) -> None:
    slots = LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        processes=False,
        protocol="tcp://",
        resources={"threads": 1},
        dashboard_address=None,
    )
    with slots:
        chosen = options(tmp_path, Cluster(slots.scheduler_address, "cpu", 1))
        with pytest.raises(UsageError, match="--nthreads 1"):
            execute(specs(1), data, ResultsStore(tmp_path), chosen, Watch())


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense", "tcp://no.such.host.invalid:1"])
def test_a_scheduler_that_does_not_answer_is_said_soon(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    start = time.perf_counter()
    assert run.main(["--datasets", "tiktok", "--executor", "dask", "--scheduler", address]) == 2
    assert time.perf_counter() - start < 15
    said = capsys.readouterr().err
    assert f"No Dask scheduler answers at '{address}'" in said
    assert "Traceback" not in said


def test_a_plugin_is_found_on_the_workers(scheduler: str, tmp_path: Path) -> None:
    model = write_skeleton(Skeleton("afar", False, tmp_path / "mine"))[0]
    small = [
        "--datasets",
        "tiktok",
        "--source",
        "surrogate",
        "--scale",
        "0.01",
        "--epochs",
        "1",
        "--models",
        "afar",
    ]
    folders = ["--results-dir", str(tmp_path / "results"), "--cache-dir", str(tmp_path / "cache")]
    call = [*small, *folders, "--plugin", str(model), "--artifacts", "table3"]
    assert run.main([*call, "--executor", "dask", "--scheduler", scheduler]) == 0
    (path,) = (tmp_path / "results" / "runs").rglob("*.json")
    assert json.loads(path.read_text(encoding="utf-8"))["status"] == "finished"


def test_the_command_line_reaches_the_cluster(
    scheduler: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--datasets", "tiktok", "--source", "surrogate", "--scale", "0.01", "--epochs", "2", "--models", "mf"]
    folders = ["--results-dir", str(tmp_path / "results"), "--cache-dir", str(tmp_path / "cache")]
    assert run.main([*small, *folders, "--executor", "dask", "--scheduler", scheduler]) == 0
    (path,) = (tmp_path / "results" / "runs").rglob("*.json")
    assert json.loads(path.read_text(encoding="utf-8"))["status"] == "finished"
    assert "[1/1] tiktok  MF  valid R@20" in capsys.readouterr().out
