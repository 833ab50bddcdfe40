"""A search that is killed while a trial is proposed or scored resumes as if nothing had happened."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crash.suite import Driver, made, rests

SUITE = ["--datasets", "tiktok", "--models", "mf", "--seeds", "1", "--epochs", "1", "--tune", "2"]
SUITE += ["--confirm-settings", "2", "--confirm-seeds", "2"]


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    with Driver(tmp_path / "log", *SUITE, "--workers", "1", "--threads", "1") as process:
        yield process


def trials(folder: Path) -> dict[str, Any]:
    records = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("results/trials/**/*.json")]
    return {record["key"]: (record["spec"], record["metrics"]) for record in records}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("stride", [61, pytest.param(1, marks=pytest.mark.slow)])
def test_a_killed_search_makes_the_same_trials(stride: int, driver: Driver, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    events = driver.make(whole)["events"]
    assert len(trials(whole)) == 2 + 2 * 2
    of_the_study = [place for place, (what, _) in enumerate(events, start=1) if ".journal" in what]
    for place in of_the_study[3::stride]:
        folder = tmp_path / str(place)
        folder.mkdir()
        assert driver.make(folder, event=place, action="kill")["code"] == -9
        answer = driver.make(folder)
        assert answer["code"] == 0, (place, answer["error"])
        assert trials(folder) == trials(whole), place
        assert made(folder) == made(whole), place
        assert rests(folder) == [], place
