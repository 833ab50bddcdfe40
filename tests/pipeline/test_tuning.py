"""run_all.py --tune: every model its trials, the chosen values in the runs that follow, nothing made twice."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from bench import registry
from bench.cli import main

SMALL = ["--datasets", "tiktok", "--source", "surrogate", "--scale", "0.01", "--epochs", "2", "--threads", "1"]


def call(folder: Path, *arguments: str) -> int:
    return main(
        ["--results-dir", str(folder / "results"), "--cache-dir", str(folder / "cache"), *SMALL, *arguments]
    )


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "results" / "tables" / f"{name}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def trials(folder: Path) -> dict[str, dict[str, Any]]:
    paths = (folder / "results" / "trials").rglob("*.json")
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def outcome(record: dict[str, Any]) -> tuple[Any, ...]:
    return record["spec"]["params"], record["seeds"], record["metrics"], record["best_epoch"]


def test_chosen_values_are_used_and_no_trial_is_made_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = ["--models", "mf", "ludp@literal", "--workers", "1"]
    before = {name: registry.load(name).path.read_bytes() for name in ("mf", "ludp")}
    assert call(tmp_path, *models, "--tune", "3", "--seeds", "1") == 0
    made = trials(tmp_path)
    assert sorted(record["spec"]["model"] for record in made.values()) == ["ludp"] * 3 + ["mf"] * 3
    assert not list((tmp_path / "results" / "checkpoints").glob(f"*{next(iter(made))}*"))
    rows = table(tmp_path, "tuning")
    assert len(rows) == 6
    for label in ("mf", "ludp@literal"):
        own = [row for row in rows if row["model"] == label]
        best = max(own, key=lambda row: float(row["valid"]))
        assert [row["is_chosen"] for row in own].count("True") == 1
        assert best["is_chosen"] == "True"
        runs = (json.loads(path.read_text("utf-8")) for path in (tmp_path / "results" / "runs").rglob("*.json"))
        model, _, variant = label.partition("@")
        run = next(run for run in runs if (run["spec"]["model"], run["spec"]["variant"]) == (model, variant))
        assert json.loads(best["params"]).items() <= run["spec"]["params"].items()
        assert run["seeds"] != made[best["key"]]["seeds"]
    assert (tmp_path / "results" / "figures" / "budget.pdf").is_file()
    assert {name: registry.load(name).path.read_bytes() for name in ("mf", "ludp")} == before
    assert "chosen for data drawn at random" in capsys.readouterr().out

    assert call(tmp_path, *models, "--tune", "4", "--artifacts", "tuning") == 0
    again = trials(tmp_path)
    assert len(again) == 8
    assert {key: again[key] for key in made} == made


def test_two_workers_search_as_one_does(tmp_path: Path) -> None:
    for workers in ("1", "2"):
        models = ["--models", "mf", "lightgcn", "--workers", workers, "--artifacts", "tuning"]
        assert call(tmp_path / workers, *models, "--tune", "12") == 0
    one, two = trials(tmp_path / "1"), trials(tmp_path / "2")
    assert len(one) == 24
    assert {key: outcome(record) for key, record in one.items()} == {
        key: outcome(record) for key, record in two.items()
    }


def test_a_search_in_use_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = ["--models", "mf", "--workers", "1", "--artifacts", "tuning"]
    assert call(tmp_path, *models, "--tune", "1") == 0
    (journal,) = (tmp_path / "results" / "trials").rglob("*.journal")
    capsys.readouterr()
    with FileLock(journal.with_suffix(".lock")):
        assert call(tmp_path, *models, "--tune", "2") == 2
    assert "worked on by another process" in capsys.readouterr().err


def test_what_the_user_sets_is_not_searched(tmp_path: Path) -> None:
    assert call(tmp_path, "--models", "mf", "--set", "mf.reg_weight=0.3", "--tune", "2", "--seeds", "1") == 0
    values = {record["spec"]["params"]["reg_weight"] for record in trials(tmp_path).values()}
    assert values == {0.3}


def test_a_dry_run_names_the_trials_and_makes_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(tmp_path, "--models", "mf", "--tune", "7", "--dry-run") == 0
    assert "trials" in capsys.readouterr().out
    assert not (tmp_path / "results").exists()
