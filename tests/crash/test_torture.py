"""Killed at any moment, the same command resumes and ends with the same files as if nothing had happened."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crash.suite import Driver, made, rests

KILLED = -9
SUITE = ["--datasets", "tiktok", "--models", "mf", "ngcf", "lattice", "--seeds", "2", "--epochs", "4"]
ALONE = [*SUITE, "--workers", "1", "--threads", "1"]
TOGETHER = [*SUITE, "--workers", "2", "--threads", "1"]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    with Driver(tmp_path_factory.mktemp("log"), *ALONE) as process:
        yield process


@pytest.fixture(scope="module")
def undisturbed(driver: Driver, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the suite leaves if nothing happens, and how many file operations that takes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    answer = driver.make(folder)
    assert answer["code"] == 0, answer["error"]
    assert rests(folder) == []
    files = made(folder)
    assert sum(name.startswith("runs/") for name in files) == 6
    return {"files": files, "n_events": len(answer["events"])}


def check_unfinished(folder: Path, undisturbed: dict[str, Any]) -> None:
    """What is there already is right."""
    for name, content in made(folder).items():
        assert content == undisturbed["files"][name], name


def check_finished(folder: Path, answer: dict[str, Any], undisturbed: dict[str, Any]) -> None:
    assert answer["code"] == 0, answer["error"]
    assert made(folder) == undisturbed["files"]
    assert rests(folder) == []


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("n_kills", [4, pytest.param(200, marks=pytest.mark.slow)])
def test_kills_at_any_moment_lose_nothing(
    n_kills: int, driver: Driver, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    rng, done = np.random.default_rng(n_kills), 0
    while done < n_kills:
        if rng.random() < 0.7:  # at a file operation, among those half-way through a write
            trouble = {"event": int(rng.integers(1, undisturbed["n_events"] // 2)), "action": "kill"}
        else:
            trouble = {"seconds": float(rng.uniform(0.05, 4))}
        answer = driver.make(tmp_path, **trouble)
        if answer["code"] == KILLED:
            done += 1
            check_unfinished(tmp_path, undisturbed)
        else:
            check_finished(tmp_path, answer, undisturbed)
            shutil.rmtree(tmp_path)
            tmp_path.mkdir()
    check_finished(tmp_path, driver.make(tmp_path), undisturbed)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_kills_of_all_processes_or_of_a_worker_lose_nothing(undisturbed: dict[str, Any], tmp_path: Path) -> None:
    rng, n_deaths = np.random.default_rng(1), 0
    with Driver(tmp_path / "log", *TOGETHER) as driver:
        for suite in range(3):
            folder = tmp_path / str(suite)
            folder.mkdir()
            for _ in range(3):
                answer = driver.make(folder, seconds=float(rng.uniform(2, 10)))
                assert answer["code"] in (KILLED, 0), answer["error"]
                check_unfinished(folder, undisturbed)
            for path in list(folder.glob("results/runs/**/*.json"))[:4]:
                path.unlink()
            answer = driver.make(folder, seconds=float(rng.uniform(2, 8)), victim="worker")
            check_finished(folder, answer, undisturbed)
            n_deaths += answer["output"].count("Its run resumes in a new one")
    assert n_deaths > 0


@pytest.mark.timeout(600)
@pytest.mark.parametrize("event", [25, *(pytest.param(other, marks=pytest.mark.slow) for other in (None, 8, 45))])
def test_two_runners_on_one_directory_and_one_is_killed(
    event: int | None, driver: Driver, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "both"
    folder.mkdir()
    with Driver(tmp_path / "log", *ALONE) as other:
        driver.ask(folder, **({} if event is None else {"event": event, "action": "kill"}))
        other.ask(folder)
        first, second = driver.answer(), other.answer()
        assert first["code"] == (0 if event is None else KILLED), first["error"]
        check_finished(folder, second, undisturbed)
    check_finished(folder, driver.make(folder), undisturbed)
