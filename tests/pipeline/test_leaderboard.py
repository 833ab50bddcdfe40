"""From runs to the leaderboard and to another directory, and what becomes of a record that was edited."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from bench.cli.main import main

SMALL = [
    *("--datasets", "tiktok", "--source", "surrogate", "--scale", "0.01", "--epochs", "1", "--seeds", "2"),
    *("--workers", "1", "--models", "mf", "lightgcn", "--artifacts", "table3"),
]


def test_runs_are_ranked_submitted_and_made_again_if_edited(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    command = ["run", "--results-dir", str(results), "--cache-dir", str(tmp_path / "cache"), *SMALL]
    assert main(command) == 0
    assert "leaderboard.html" in capsys.readouterr().out
    with (results / "leaderboard.csv").open(encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert {first["model"], second["model"]} == {"mf", "lightgcn"}
    assert (first["rank"], first["source"], first["n_runs"]) == ("1", "surrogate", "2")
    with (results / "tables" / "table3.csv").open(encoding="utf-8") as file:
        table3 = {row["model"]: row["mean"] for row in csv.DictReader(file) if row["metric"] == "recall@10"}
    assert {row["model"]: row["recall@10"] for row in (first, second)} == table3
    stamp = (results / "leaderboard.json").stat().st_mtime_ns
    assert main(command) == 0
    assert (results / "leaderboard.json").stat().st_mtime_ns == stamp

    path = sorted((results / "runs").rglob("*.json"))[0]
    whole = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(
        path.read_text(encoding="utf-8").replace('"best_epoch": 1', '"best_epoch": 2'), encoding="utf-8"
    )
    capsys.readouterr()
    assert main(["submit", str(results), "--to", str(tmp_path / "to")]) == 2
    assert str(path) in capsys.readouterr().err
    assert main(["leaderboard", "--results-dir", str(results)]) == 0
    assert f"left out: {path.relative_to(results)}" in capsys.readouterr().out
    assert main(command) == 0
    assert "damaged" in capsys.readouterr().out
    assert path.with_suffix(".damaged").is_file()
    again = json.loads(path.read_text(encoding="utf-8"))
    assert again["metrics"] == whole["metrics"]
    assert again["lists_hash"] == whole["lists_hash"]
    assert main(["submit", str(results), "--to", str(tmp_path / "to")]) == 0
    assert "4 runs and 0 trials" in capsys.readouterr().out
    assert (tmp_path / "to" / "topk" / f"{path.stem}.npz").is_file()
