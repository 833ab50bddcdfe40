"""What the speed benchmark tells: verdicts, table, file, data, and wrong arguments."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import toy

from speed import memory
from speed.__main__ import CASES, main
from speed.context import Bench, data_name, sizes
from speed.measure import Estimate, Pairs
from speed.result import Failed, Row, Target, compared, render, save

PAIRS = Pairs((2.0, 2.0, 4.0), (6.0, 8.0, 10.0))


@pytest.mark.parametrize(
    ("target", "value", "verdict"),
    [
        (Target("at least", 3), 3.0, "met"),
        (Target("at least", 3.1), 3.0, "falls short"),
        (Target("at most", 0.3), 1 / 3, "falls short"),
        (Target("at most", 0.4), 1 / 3, "met"),
        (None, 3.0, "-"),
    ],
)
def test_a_comparison_looks_the_way_of_its_target(target: Target | None, value: float, verdict: str) -> None:
    row = compared("A", "B", "toy", PAIRS, target)
    assert row.value.value == pytest.approx(value)
    assert row.verdict == verdict


def test_table_numbers_notes_once_and_shows_failures() -> None:
    first = compared("one", "rival", "toy", PAIRS, Target("at least", 20), "the same remark")
    second = Row("two", "", "toy", "GB", Estimate(1.5, 1.5, 1.5), note="the same remark")
    table = render({"a": [first, second], "b": Failed("OSError: gone")})
    assert table.count("the same remark") == 1
    assert "one [1]" in table
    assert "two [1]" in table
    assert "3x (2.5x to 4x)" in table
    assert "at least 20x  falls short" in table
    assert "1.50 GB" in table
    assert "FAILED b: OSError: gone" in table


def test_file_keeps_every_sample(tmp_path: Path) -> None:
    row = compared("one", "rival", "toy", Pairs((1 / 3,), (2 / 3,)), Target("at least", 2), steps=7)
    path = tmp_path / "deep" / "bench.json"
    save(path, {"a": [row], "b": Failed("OSError: gone")}, {"quick": True})
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["quick"] is True
    assert found["cases"]["b"] == {"failed": "OSError: gone"}
    (kept,) = found["cases"]["a"]["rows"]
    assert (kept["ours"], kept["theirs"]) == ([1 / 3], [2 / 3])
    assert kept["value"] == {"value": 2.0, "low": 2.0, "high": 2.0}
    assert (kept["verdict"], kept["details"]) == ("met", {"steps": 7})
    assert [file.name for file in path.parent.iterdir()] == ["bench.json"]


def test_an_unknown_case_is_refused_with_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--cases", "latice"]) == 2
    assert "lattice" in capsys.readouterr().err
    assert "lattice" in CASES


def test_without_files_a_surrogate_of_public_size_stands_in(tmp_path: Path) -> None:
    data = Bench((), torch.device("cpu"), tmp_path, quick=True).public()
    assert data_name(data) == "surrogate 0.0498"
    assert sizes(data)[0] == pytest.approx(59_541, rel=0.001)
    assert sizes(data)[1] == 59


def test_real_files_are_taken_where_they_are(real_data_dir: Path, tmp_path: Path) -> None:
    bench = Bench((real_data_dir,), torch.device("cpu"), tmp_path, quick=True)
    assert data_name(bench.public()) == "public TikTok"
    assert bench.descriptions["public TikTok"]["source"] == "real"
    assert sizes(bench.public()) == (59_541, 59)


def test_data_survives_the_way_to_another_process(tmp_path: Path) -> None:
    data = toy.random_data(absent=True)
    memory.save(data, tmp_path / "toy.npz")
    copy = memory.load(tmp_path / "toy.npz")
    for part in memory.PARTS:
        assert np.array_equal(copy.split.part(part).keys, data.split.part(part).keys)
    assert [modality.name for modality in copy.modalities] == [modality.name for modality in data.modalities]
    for one, other in zip(copy.modalities, data.modalities, strict=True):
        assert np.array_equal(one.matrix, other.matrix)
        assert np.array_equal(one.present, other.present)


def test_memory_of_an_action_is_seen() -> None:
    rise = memory.increase(lambda: torch.ones(25_000_000), torch.device("cpu"))
    assert 90e6 < rise < 200e6
