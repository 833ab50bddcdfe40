"""Claims, locks and leftovers: between processes, and however one ends."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from bench.core.errors import DataError, ResultsError
from bench.core.files import claim, locked, os_errors, remove_leftovers, write_atomically

CONTEXT = multiprocessing.get_context("fork")  # what it runs here touches files only


def hold(path: Path, held: Any) -> None:
    with claim(path) as ours:
        assert ours
        held.set()
        time.sleep(600)


@pytest.fixture
def other(tmp_path: Path) -> Any:
    """Another process that holds the claim `a.lock`."""
    held = CONTEXT.Event()
    process = CONTEXT.Process(target=hold, args=(tmp_path / "a.lock", held))
    process.start()
    assert held.wait(30)
    yield process
    process.kill()
    process.join()


def test_a_claim_is_held_by_one_and_its_file_goes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "claims" / "a.lock"
    with claim(path) as ours:
        assert ours
        with claim(path) as twice, claim(path.with_name("b.lock")) as another:
            assert (twice, another) == (False, True)
        assert path.exists()
    assert list(path.parent.iterdir()) == []
    with pytest.raises(ZeroDivisionError), claim(path):
        raise ZeroDivisionError
    with claim(path) as ours:
        assert ours


def test_a_claim_ends_with_its_process(other: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with claim(path) as ours:
        assert not ours
    assert path.exists()
    waited = []

    def kill() -> None:
        waited.append(1)
        os.kill(other.pid, signal.SIGKILL)

    with claim(path, kill) as ours:
        assert ours
    assert waited == [1]
    with claim(path, kill) as ours:  # a free claim is taken without a word
        assert ours
    assert waited == [1]


def take_turns(path: Path, log: Path) -> None:
    for _ in range(30):
        with claim(path, lambda: None) as ours:
            assert ours
            with log.open("a", encoding="ascii") as file:
                file.write("in ")
                file.flush()
                time.sleep(0.001)
                file.write("out\n")


def test_turns_are_taken_though_the_file_comes_and_goes(tmp_path: Path) -> None:
    arguments = (tmp_path / "a.lock", tmp_path / "log")
    processes = [CONTEXT.Process(target=take_turns, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert (tmp_path / "log").read_text(encoding="ascii") == "in out\n" * 90


@pytest.mark.parametrize("comes_back", [False, True])
def test_a_lock_on_a_file_that_another_removed_is_taken_anew(
    comes_back: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process removes the file between our opening and our lock, and perhaps makes a new one."""
    path, real, calls = tmp_path / "a.lock", fcntl.flock, []

    def flock(handle: int, operation: int) -> None:
        if not calls:
            path.unlink()
            if comes_back:
                path.touch()
        calls.append(handle)
        real(handle, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(path, wait=False) as ours:
        assert ours
        assert len(calls) == 2
        assert path.exists()


def test_a_claim_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "claims").write_text("a file, not a folder", encoding="ascii")
    with pytest.raises(ResultsError, match="--results-dir"), claim(tmp_path / "claims" / "a.lock"):
        pass


def test_leftovers_of_the_dead_go_and_files_of_the_living_stay(tmp_path: Path) -> None:
    deep = tmp_path / "runs" / "p1"
    deep.mkdir(parents=True)
    left = [deep / ".a.json.0123.part", tmp_path / ".b.npz.4567.part"]
    for path in left:
        path.write_text("half of a fi", encoding="ascii")
    kept = deep / "c.json"

    def write(temporary: Path) -> None:
        remove_leftovers(tmp_path)
        assert temporary.exists()
        temporary.write_text("whole", encoding="ascii")

    write_atomically(kept, write)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [kept]
    remove_leftovers(tmp_path / "nowhere")


def test_locks_of_the_dead_go_and_those_of_the_living_stay(other: Any, tmp_path: Path) -> None:
    dead = tmp_path / "dead.lock"
    dead.touch()
    remove_leftovers(tmp_path, "*.lock")
    assert [path.name for path in tmp_path.iterdir()] == ["a.lock"]
    with locked(tmp_path / "a.lock", wait=False) as ours:
        assert not ours


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (PermissionError(13, "Permission denied", "/x/a.csv"), "Permission denied"),  # `failure` names the file
        (PermissionError(13, "Permission denied", "/x/other.csv"), "/x/other.csv: Permission denied"),
        (OSError(28, "No space left on device", "/x/.a.csv.1f.part"), "No space left on device"),
        (
            UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid\nstart byte"),
            "'utf-8' codec can't decode byte 0xff",
        ),
        (EOFError(), "EOFError"),
    ],
)
def test_an_error_of_the_system_becomes_one_for_users(problem: Exception, reason: str) -> None:
    with (
        pytest.raises(
            DataError, match=rf"^/x/a\.csv cannot be read \({re.escape(reason)}.*\)\. Mend it\.$"
        ) as caught,
        os_errors("/x/a.csv cannot be read", "Mend it.", DataError, UnicodeDecodeError, EOFError),
    ):
        raise problem
    assert caught.value.__cause__ is problem
    with pytest.raises(KeyError), os_errors("a", "b"):
        raise KeyError("left alone")
