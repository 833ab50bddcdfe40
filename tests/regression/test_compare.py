from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import toy

from bench.checks.regression import baseline as files
from bench.checks.regression.baseline import Baseline, Change, ModelRecord, NumberRecord, SuiteFacts
from bench.checks.regression.check import speed_rows, write_junit
from bench.checks.regression.compare import (
    Comparison,
    Measured,
    Value,
    compare_numbers,
    compare_speed,
    compare_suite,
    numbers_of,
)
from bench.core.errors import ResultsError, UsageError
from bench.core.protocol import Protocol
from bench.core.types import Metrics, MetricsByPart
from bench.runs.list_files import StoredLists

FACTS = SuiteFacts(suite_version=1, protocol_version="1", data_hash="d", split_hash="s", max_epochs=10)
RECALL = NumberRecord(values=[0.30, 0.32, 0.34, 0.28, 0.31], step=0.002, drift=0.001)
N_USERS = NumberRecord(values=[476.0], step=0.0)
CHANGE = Change(
    date="2026-01-01T00:00:00+00:00", reason="first", command="python run_all.py", user="ann", commit="c0ffee",
    modified=False, models=["mf"], n_seeds=5, drift_over={}, environment={"packages": {}},
)  # fmt: skip


def a_baseline(**changes: Any) -> Baseline:
    model = ModelRecord(numbers={"test recall@10": RECALL, "users test": N_USERS}, speed=[2.0, 2.2, 2.1])
    known = {"suite": FACTS, "base_seed": 1, "false_alarm_rate": 0.01, "max_slowdown": 1.5}
    return Baseline(**{**known, "models": {"mf": model}, "history": [CHANGE], **changes})


def measured(recall: float, users: float = 476.0) -> Measured:
    return Measured({"test recall@10": Value(recall, 0.002), "users test": Value(users, 0.0)})


def outcome(rows: list[Comparison]) -> dict[tuple[str, str], bool]:
    return {(row.number, row.against): row.holds for row in rows}


def test_the_same_seed_is_compared_twice_and_another_once() -> None:
    same = compare_numbers(a_baseline(), "mf", measured(0.30), 1)
    assert outcome(same) == {
        ("test recall@10", "same seed"): True, ("test recall@10", "seeds"): True, ("users test", "constant"): True,
    }  # fmt: skip
    assert all(row.equal for row in same if row.against != "seeds")
    other = compare_numbers(a_baseline(), "mf", measured(0.30), 2)
    assert outcome(other) == {("test recall@10", "seeds"): True, ("users test", "constant"): True}


def test_a_small_move_leaves_the_narrow_band_only_and_a_large_one_both() -> None:
    small = outcome(compare_numbers(a_baseline(), "mf", measured(0.32), 1))
    assert small["test recall@10", "seeds"]
    assert not small["test recall@10", "same seed"]
    large = outcome(compare_numbers(a_baseline(), "mf", measured(0.60), 1))
    assert not large["test recall@10", "seeds"]


def test_a_count_that_differs_is_red_whatever_the_seed() -> None:
    assert not outcome(compare_numbers(a_baseline(), "mf", measured(0.3, 475.0), 2))["users test", "constant"]


def test_a_run_that_failed_or_lacks_a_number_is_red() -> None:
    (row,) = compare_numbers(a_baseline(), "mf", Measured({}, "failed: the loss became nan"), 1)
    assert (row.against, row.got, row.holds) == ("run", "failed: the loss became nan", False)
    rows = compare_numbers(a_baseline(), "mf", Measured({"new": Value(1.0, 0.0)}), 1)
    assert outcome(rows) == dict.fromkeys(
        [("test recall@10", "run"), ("users test", "run"), ("new", "run")], False
    )


def test_other_data_or_another_protocol_is_red() -> None:
    assert all(row.holds for row in compare_suite(FACTS, FACTS))
    other = FACTS.model_copy(update={"data_hash": "e", "protocol_version": "2"})
    assert [row.number for row in compare_suite(FACTS, other) if not row.holds] == [
        "protocol version",
        "data hash",
    ]


def test_speed_is_held_to_the_share() -> None:
    known = a_baseline().models["mf"]
    assert compare_speed("mf", known, 3.1, 1.5).holds
    assert not compare_speed("mf", known, 3.2, 1.5).holds
    assert compare_speed("mf", known, 3.2, 2.0).holds


def test_two_numbers_that_differ_are_never_shown_alike() -> None:
    known = {"mf": ModelRecord(numbers={"x": NumberRecord(values=[0.1], step=0.0)}, speed=[])}
    (row,) = compare_numbers(a_baseline(models=known), "mf", Measured({"x": Value(0.1 + 1e-8, 0.0)}), 1)
    assert not row.holds
    assert row.expected != row.got


def test_intervals_are_counted_over_all_models() -> None:
    assert a_baseline().n_intervals == 1
    two = {"mf": a_baseline().models["mf"], "vbpr": a_baseline().models["mf"]}
    assert a_baseline(models=two).n_intervals == 2


def test_a_baseline_is_read_as_it_was_written_with_a_line_a_number(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "b.json"
    files.write(path, a_baseline())
    assert files.read(path) == a_baseline()
    (line,) = [line for line in path.read_text().splitlines() if "test recall@10" in line]
    assert "0.28" in line
    assert "drift" in line


def test_a_missing_or_damaged_baseline_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--update-baseline"):
        files.read(tmp_path / "none.json")
    (tmp_path / "b.json").write_text('{"schema_version": 1}')
    with pytest.raises(ResultsError, match="suite"):
        files.read(tmp_path / "b.json")


def test_junit_names_every_comparison_and_says_what_failed(tmp_path: Path) -> None:
    rows = [
        Comparison("mf", "test recall@10", "seeds", "0.3", "0.6", "± 0.1", False),
        Comparison("mf", "run", "run", "finished", 'a "<\x1b[31m>" & more', "", False),
        Comparison("", "data hash", "suite", "d", "d", "", True),
    ]
    write_junit(tmp_path / "out" / "j.xml", rows, 12.3, {"version of torch": "2"})
    root = ElementTree.parse(tmp_path / "out" / "j.xml").getroot()
    assert (root.attrib["tests"], root.attrib["failures"]) == ("3", "2")
    cases = {case.attrib["name"]: case for case in root.iter("testcase")}
    assert set(cases) == {"test recall@10 (seeds)", "run (run)", "data hash (suite)"}
    failure = cases["test recall@10 (seeds)"].find("failure")
    assert failure is not None
    assert failure.attrib["message"] == "expected 0.3, got 0.6, tolerance ± 0.1"
    assert '"<' in cases["run (run)"].find("failure").attrib["message"]  # type: ignore[union-attr]
    assert cases["data hash (suite)"].find("failure") is None


def test_the_numbers_of_a_run_by_hand() -> None:
    # user 0 has train {0, 1} and valid {2}, user 1 train {1} and test {0}; item 3 is never trained on
    data = toy.data_of(
        toy.pairs([(0, 0), (0, 1), (1, 1)], 2, 4), toy.pairs([(0, 2)], 2, 4), toy.pairs([(1, 0)], 2, 4)
    )
    items = np.full((1, 50), -1)
    items[0, :3] = [3, 0, 1]  # of user 1: cold, a hit, and one that training has
    lists = StoredLists(np.array([1]), items, {})
    found = numbers_of(a_record(), lists, data)
    assert found["seen@50"].value == 1 / 50
    assert found["empty@50"].value == 47 / 50
    assert found["coverage@10"].value == 3 / 4
    assert found["cold@10"].value == 1 / 10  # items 2 and 3 are cold; of the ten places one shows item 3
    assert found["selection gap"].value == pytest.approx(0.3)
    assert found["test precision@20"] == Value(0.1, 1 / 20 / 4)
    assert found["valid recall@10"] == Value(0.4, 1 / 5)
    assert found["loss, last epoch"].value == 0.5
    assert {name for name, each in found.items() if each.step == 0} == {
        "epochs", "parameters", "users valid", "users test", "selection gap", "seen@50", "empty@50",
    }  # fmt: skip


def a_record() -> Any:
    """As much of a record as numbers are taken from: the best epoch has 0.7, the chosen one 0.4."""
    from types import SimpleNamespace

    keys = [f"{metric}@{k}" for metric in ("precision", "recall", "ndcg") for k in (10, 20)]
    parts = MetricsByPart(
        valid=Metrics(values=dict.fromkeys(keys, 0.4), n_users=5, n_skipped=0),
        test=Metrics(values=dict.fromkeys(keys, 0.1), n_users=4, n_skipped=0),
    )
    curve = [
        SimpleNamespace(loss=loss, valid={"recall@20": score})
        for loss, score in ((0.9, 0.4), (0.7, 0.7), (0.5, 0.2))
    ]
    cost = SimpleNamespace(epochs=3, n_parameters=12)
    return SimpleNamespace(key="k", metrics=parts, cost=cost, best_epoch=1, curve=curve, protocol=Protocol())


def changed_baseline(path: Path, change: Any) -> Path:
    files.write(path, a_baseline())
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.update(models={}),
        lambda v: v["models"]["mf"].update(numbers={}),
        lambda v: v.update(schema_version=99),
        lambda v: v.update(false_alarm_rate=1e-300),
        lambda v: v.update(max_slowdown=float("inf")),
        lambda v: v.update(max_slowdown=1e9),
        lambda v: v["models"]["mf"]["numbers"]["test recall@10"].update(drift=float("inf")),
        lambda v: v["models"]["mf"]["numbers"]["test recall@10"].update(drift=9.0),
        lambda v: v["models"]["mf"]["numbers"]["test recall@10"].update(drift=-1.0),
        lambda v: v["models"]["mf"]["numbers"]["test recall@10"].update(step=1e9),
        lambda v: v["models"]["mf"]["numbers"]["test recall@10"].update(values=[float("nan")] * 5),
        lambda v: v["models"]["mf"].update(speed=[-1.0]),
        lambda v: v.update(history=[]),
    ],
)
def test_a_baseline_that_allows_everything_is_none(tmp_path: Path, change: Any) -> None:
    with pytest.raises(ResultsError, match="is not a baseline of this version"):
        files.read(changed_baseline(tmp_path / "b.json", change))


@pytest.mark.parametrize(
    ("change", "base_seed"),
    [({"drift": 0.3}, 1), ({"values": [0.0, 1.0] * 5}, 2), ({"step": 0.3}, 2)],
)
def test_a_band_that_holds_every_value_is_red(change: dict[str, Any], base_seed: int) -> None:
    model = ModelRecord(numbers={"test recall@10": RECALL.model_copy(update=change)}, speed=[2.0])
    rows = compare_numbers(
        a_baseline(models={"mf": model}), "mf", Measured({"test recall@10": Value(0.3, 0.002)}), base_seed
    )
    assert not all(row.holds for row in rows)


@pytest.mark.parametrize(
    ("drift", "here", "fails"), [(None, True, True), (None, False, False), (0.001, False, True)]
)
def test_another_processor_may_round_otherwise(drift: float | None, here: bool, fails: bool) -> None:
    """A miss that the seeds' spread allows counts on the baseline's processor, or beyond a recorded drift."""
    model = ModelRecord(numbers={"test recall@10": RECALL.model_copy(update={"drift": drift})}, speed=[2.0])
    known = a_baseline(models={"mf": model})
    moved, equal = (Measured({"test recall@10": Value(value, 0.002)}) for value in (0.309, 0.300))
    rows = compare_numbers(known, "mf", moved, 1, here)
    assert [(row.against, row.holds) for row in rows] == [("same seed", False), ("seeds", True)]
    assert any(row.failed for row in rows) is fails
    assert all(row.holds for row in compare_numbers(known, "mf", equal, 1, here))
    far = Measured({"test recall@10": Value(0.9, 0.002)})
    assert [row.failed for row in compare_numbers(known, "mf", far, 1, here)] == [fails, True]


def test_a_trained_model_without_a_measured_speed_is_red() -> None:
    model = ModelRecord(numbers={"test recall@10": RECALL}, speed=[])
    rows = speed_rows(["mf"], a_baseline(models={"mf": model}), {}, 1.5)
    assert [(row.against, row.holds) for row in rows] == [("speed", False)]


def test_a_pipe_is_no_baseline(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "b.json")
    with pytest.raises(ResultsError, match="a named pipe"):
        files.read(tmp_path / "b.json")
