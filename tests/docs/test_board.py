"""The published leaderboard is what the committed records, scores and trials give."""

from __future__ import annotations

import csv
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from bench.cli.main import main
from bench.core.places import ROOT


def loaded() -> Any:
    """Load docs/_board.py, which is in no package."""
    spec = importlib.util.spec_from_file_location("_board", ROOT / "docs" / "_board.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


board = loaded()


def close(value: Any) -> Any:
    """Let numbers differ in their last digits, which depend on the processor."""
    if isinstance(value, dict):
        return {name: close(each) for name, each in value.items()}
    if isinstance(value, list):
        return [close(each) for each in value]
    return pytest.approx(value, rel=1e-9, abs=1e-12) if isinstance(value, float) else value


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}  # without its lock


def numbers_of(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of the overview's CSV, its numbers as such."""
    with (folder / "overview.csv").open(encoding="utf-8") as file:
        return [{name: number(value) for name, value in row.items()} for row in csv.DictReader(file)]


def number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def test_the_published_leaderboard_is_that_of_the_committed_results(tmp_path: Path) -> None:
    page = tmp_path / "page"
    assert board.build(tmp_path / "results", page) == 0
    built, published = (
        json.loads((place / "leaderboard.json").read_text(encoding="utf-8")) for place in (page, board.PAGE)
    )
    for name in ("tables", "left_out", "n_runs", "n_failed"):
        assert close(published[name]) == built[name], "run 'make board'"
    assert len(built["tables"]) == len(board.folders())
    assert all(row["against_best"] for table in built["tables"] for row in table["rows"][1:])
    assert close(numbers_of(board.PAGE)) == numbers_of(page), "run 'make board'"
    assert names_in(board.PAGE) == names_in(page)


def test_the_committed_results_pass_the_checks_of_submit(tmp_path: Path) -> None:
    assert main(["submit", str(board.gather(tmp_path / "from")), "--to", str(tmp_path / "to"), "--compact"]) == 0
