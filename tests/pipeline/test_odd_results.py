"""Whole calls on results directories that hold what is not theirs, and calls whose runs all fail."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from bench.cli.main import main

SMALL = [
    *("--datasets", "tiktok", "--source", "surrogate", "--scale", "0.01", "--epochs", "1", "--seeds", "1"),
    *("--workers", "1", "--artifacts", "table3"),
]


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    return ["run", "--results-dir", str(tmp_path / "r"), "--cache-dir", str(tmp_path / "cache"), *SMALL]


def test_runs_that_all_failed_are_counted(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--models", "mf", "--set", "mf.learning_rate=1e30"]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].startswith("1 of 1 run failed: tiktok MF. Why: the same command with --status")
    assert err == ""
    assert main(["leaderboard", "--results-dir", str(tmp_path / "r")]) == 1
    assert "1 of 1 runs failed" in capsys.readouterr().out


def test_another_runs_record_is_said_and_the_run_made_again(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    call = [*command, "--models", "mf", "popularity"]
    assert main(call) == 0
    (mf,) = (tmp_path / "r" / "runs").rglob("mf/*.json")
    (popularity,) = (tmp_path / "r" / "runs").rglob("popularity/*.json")
    whole = json.loads(mf.read_text(encoding="utf-8"))
    assert str(tmp_path) not in json.dumps(whole)
    assert whole["checkpoint_hash"]
    shutil.copy(popularity, mf)
    (tmp_path / "r" / "unfinished").mkdir(exist_ok=True)
    os.mkfifo(mf.with_name("pipe.json"))
    capsys.readouterr()
    assert main([*call, "--status"]) == 0
    assert "1 damaged" in capsys.readouterr().out
    assert main(call) == 0
    out = capsys.readouterr().out
    assert f"is damaged (it holds the record of the run {popularity.stem})" in " ".join(out.split())
    again = json.loads(mf.read_text(encoding="utf-8"))
    assert again["metrics"] == whole["metrics"]
    assert again["lists_hash"] == whole["lists_hash"]
    assert again["checkpoint_hash"] == whole["checkpoint_hash"]
    assert mf.with_suffix(".damaged").read_bytes() == popularity.read_bytes()
