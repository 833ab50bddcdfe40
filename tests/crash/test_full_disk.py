"""Every file operation of a suite fails once, as on a full or a broken disk: it is said, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crash.suite import Driver, made, rests

SUITE = ["--datasets", "tiktok", "--models", "lattice", "--seeds", "1", "--epochs", "2", "--workers", "1"]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    with Driver(tmp_path_factory.mktemp("log"), *SUITE, "--threads", "1") as process:
        yield process


@pytest.fixture(scope="module")
def undisturbed(driver: Driver, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("undisturbed")
    answer = driver.make(folder)
    assert answer["code"] == 0, answer["error"]
    return {"files": made(folder), "events": answer["events"]}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("stride", [97, pytest.param(1, marks=pytest.mark.slow)])
def test_an_operation_that_fails_is_said_and_nothing_is_lost(
    stride: int, driver: Driver, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    for place, (what, writes) in list(enumerate(undisturbed["events"], start=1))[::stride]:
        for action in ("ENOSPC", "EIO") if writes else ("EIO",):
            folder = tmp_path / f"{place}-{action}"
            folder.mkdir()
            answer = driver.make(folder, event=place, action=action)
            where = f"{action} at {place}, {what}: {answer['error']}"
            if answer["code"] == 0:  # what cannot be removed may be in nobody's way, and a folder be there already
                assert made(folder) == undisturbed["files"], where
                continue
            assert answer["code"] == 2, where
            assert answer["error"].startswith("error: "), where
            assert len(answer["error"].strip().splitlines()) == 1, where
            assert not [path for path in rests(folder) if path.endswith(".part")], where
            for name, content in made(folder).items():
                assert content == undisturbed["files"][name], where
            answer = driver.make(folder)
            assert answer["code"] == 0, where
            assert made(folder) == undisturbed["files"], where
            assert rests(folder) == [], where
