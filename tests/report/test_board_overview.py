"""The overview of a leaderboard shows the recorded means of all tables, and refuses what cannot share a figure."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from bench.cli.main import main
from bench.core.errors import ResultsError
from bench.core.protocol import Protocol
from bench.report.leaderboard.overview import overview_of
from bench.report.tables.overview import CSV_HEADER
from tests.boards import add_run, facts_of

MOVIES = {"name": "movielens", "data_hash": "eeeeffff00001111", "split_hash": "2222333344445555"}


def rows_of(figure: Any) -> list[dict[str, Any]]:
    return [dict(zip(CSV_HEADER, row, strict=True)) for row in figure.csv_rows]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two data sets: three seeds of each row on TikTok, two on MovieLens."""
    for facts, n_seeds in ((facts_of(), 3), (facts_of(**MOVIES), 2)):
        for seed in range(n_seeds):
            add_run(tmp_path, "ludp", seed, 0.6, facts)
            add_run(tmp_path, "mf", seed, 0.4, facts)
            add_run(tmp_path, "popularity", seed, 0.1, facts, loss=None)
    return tmp_path


def test_all_tables_are_drawn_with_the_means_of_their_records(results: Path) -> None:
    figure = overview_of(results)
    found = {(row["dataset"], row["model"]): row for row in rows_of(figure)}
    assert {*found} == {
        (data, model) for data in ("tiktok", "movielens") for model in ("ludp", "mf", "popularity")
    }
    for (data, model), row in found.items():
        values = [
            add_run(results, model, seed, row_skill(model), facts_of(**(MOVIES if data == "movielens" else {})))
            for seed in range(2)
        ]
        means = [record.metrics.test.values["recall@20"] for record in values if record.metrics]
        assert row["mean"] == pytest.approx(sum(means) / 2, abs=0)
        assert (row["n_runs"], row["n_asked"]) == (2, 2)
    assert any("The first 2 seeds of each row" in note and "(3)" in note for note in figure.notes)


def row_skill(model: str) -> float:
    return {"ludp": 0.6, "mf": 0.4, "popularity": 0.1}[model]


def test_of_several_rows_of_a_model_validation_chooses(tmp_path: Path) -> None:
    worse = add_run(tmp_path, "mf", 0, 0.7, scores=[0.1, 0.1, 0.1, 0.1], values={"reg_weight": 0.5})
    better = add_run(tmp_path, "mf", 0, 0.4, scores=[0.1, 0.1, 0.1, 0.9], values={"reg_weight": 0.25})
    add_run(tmp_path, "ludp", 0, 0.6)
    assert worse.metrics is not None
    assert better.metrics is not None
    figure = overview_of(tmp_path)
    (row,) = [each for each in rows_of(figure) if each["model"] == "mf"]
    assert worse.metrics.test.values["recall@20"] > better.metrics.test.values["recall@20"] == row["mean"]
    assert any("best validation score: mf on tiktok" in note for note in figure.notes)


def test_an_incomplete_row_does_not_stand_for_a_complete_one(tmp_path: Path) -> None:
    for seed in range(3):
        add_run(tmp_path, "mf", seed, 0.4, scores=[0.1, 0.1, 0.1, 0.2], values={"reg_weight": 0.25})
        add_run(tmp_path, "ludp", seed, 0.6)
    add_run(tmp_path, "mf", 0, 0.7, scores=[0.1, 0.1, 0.1, 0.9], values={"reg_weight": 0.5})
    (row,) = [each for each in rows_of(overview_of(tmp_path)) if each["model"] == "mf"]
    assert row["n_runs"] == 3


def test_tables_of_several_protocols_are_refused(results: Path) -> None:
    add_run(results, "mf", 0, 0.4, protocol=Protocol(patience=7))
    with pytest.raises(ResultsError, match=r"The tables have 2 protocols: .*--results-dir"):
        overview_of(results)


def test_the_command_draws_it_beside_the_leaderboard_when_asked(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["leaderboard", "--results-dir", str(results)]) == 0
    assert not (results / "overview.svg").exists()
    output = tmp_path / "page"
    assert main(["leaderboard", "--results-dir", str(results), "--overview", "--output", str(output)]) == 0
    with (output / "overview.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 6
    assert "overview.svg" in capsys.readouterr().out
    add_run(results, "mf", 0, 0.4, protocol=Protocol(patience=7))
    assert main(["leaderboard", "--results-dir", str(results), "--overview"]) == 2
    assert "2 protocols" in capsys.readouterr().err
