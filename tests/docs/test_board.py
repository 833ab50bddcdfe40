"""A published leaderboard is what the committed records, scores and trials give."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from bench.cli.main import main
from bench.core.places import ROOT

FOLDERS = sorted(path.parent for path in (ROOT / "results" / "reference").glob("*/scores"))


def copied(folder: Path, target: Path) -> Path:
    """Copy a folder of committed results, its trials unpacked."""
    for part in ("runs", "scores"):
        shutil.copytree(folder / part, target / part)
    if (trials := folder / "trials.tar.xz").exists():
        with tarfile.open(trials) as archive:
            archive.extractall(target, filter="data")
    return target


def close(value: Any) -> Any:
    """Let numbers differ in their last digits, which depend on the processor."""
    if isinstance(value, dict):
        return {name: close(each) for name, each in value.items()}
    if isinstance(value, list):
        return [close(each) for each in value]
    return pytest.approx(value, rel=1e-9, abs=1e-12) if isinstance(value, float) else value


def test_there_are_published_leaderboards() -> None:
    assert FOLDERS


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_published_leaderboard_is_that_of_the_committed_results(folder: Path, tmp_path: Path) -> None:
    source, target = copied(folder, tmp_path / "results"), tmp_path / "board"
    assert main(["leaderboard", "--results-dir", str(source), "--output", str(target)]) == 0
    built, published = (
        json.loads((place / "leaderboard.json").read_text(encoding="utf-8"))
        for place in (target, ROOT / "docs" / "leaderboard" / folder.name)
    )
    for name in ("tables", "left_out", "n_runs", "n_failed"):
        assert close(published[name]) == built[name], "run 'make board'"
    assert all(row["against_best"] for table in built["tables"] for row in table["rows"][1:])


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_committed_results_pass_the_checks_of_submit(folder: Path, tmp_path: Path) -> None:
    assert (
        main(["submit", str(copied(folder, tmp_path / "results")), "--to", str(tmp_path / "to"), "--compact"]) == 0
    )
