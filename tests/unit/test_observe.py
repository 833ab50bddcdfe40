"""The log of a run holds every epoch in order, across interruptions; TensorBoard reads the curves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.core.errors import ResultsError
from bench.core.types import EpochFacts
from bench.runs.events import Curves, RunLog


def epoch(number: int, loss: float | None = 0.5) -> EpochFacts:
    return EpochFacts(
        epoch=number, loss=loss, train_seconds=1.0, valid_seconds=0.5, valid={"recall@10": number / 10}
    )


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_events_are_lines_in_order(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    log = RunLog(path)
    for event in (epoch(1), 'a "quoted"\nmessage', epoch(2, None)):
        log.handle(event)
    found = lines(path)
    assert [line["event"] for line in found] == ["epoch", "message", "epoch"]
    assert found[1]["text"] == 'a "quoted"\nmessage'
    assert found[2]["valid"] == {"recall@10": 0.2}
    assert all(line["time"].endswith("+00:00") for line in found)


def test_a_torn_line_stays_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    RunLog(path).handle(epoch(1))
    path.write_bytes(path.read_bytes()[:-10])
    RunLog(path).handle(epoch(2))
    torn, whole = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(whole)["epoch"] == 2
    with pytest.raises(json.JSONDecodeError):
        json.loads(torn)


def test_a_log_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file", encoding="utf-8")
    with pytest.raises(ResultsError, match=r"log .*a\.jsonl cannot be written"):
        RunLog(tmp_path / "logs" / "a.jsonl").handle(epoch(1))


def test_curves_go_on_after_an_interruption(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    first = Curves(tmp_path)
    for number in (1, 2, 3):
        first.handle(epoch(number))
    first.handle("a message")
    first.close()
    second = Curves(tmp_path)
    for number in (3, 4):
        second.handle(epoch(number, None))
    second.close()
    read = EventAccumulator(str(tmp_path))
    read.Reload()
    assert [(one.step, one.value) for one in read.Scalars("valid/recall@10")] == [
        (number, pytest.approx(number / 10)) for number in (1, 2, 3, 4)
    ]
    assert [one.step for one in read.Scalars("train/loss")] == [1, 2]
