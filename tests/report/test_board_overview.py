"""The overview of a leaderboard shows the recorded means of all tables, and refuses what cannot share a figure."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.cli.main import main
from bench.core.errors import ResultsError
from bench.core.protocol import Protocol
from bench.report.figure import styled
from bench.report.leaderboard.build import consistent
from bench.report.leaderboard.overview import _choices, _trained, overview_of
from bench.report.leaderboard.rows import boards, read_results
from bench.report.tables.overview import CSV_HEADER
from bench.runs.records import ForeignLists
from bench.runs.store import ResultsStore
from tests.boards import add_run, facts_of

MOVIES = {"name": "movielens", "data_hash": "eeeeffff00001111", "split_hash": "2222333344445555"}
SKILLS = {"ludp": 0.6, "mf": 0.4, "popularity": 0.1}


def rows_of(figure: Any) -> list[dict[str, Any]]:
    return [dict(zip(CSV_HEADER, row, strict=True)) for row in figure.csv_rows]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two data sets: three seeds of each row on TikTok, two on MovieLens."""
    for facts, n_seeds in ((facts_of(), 3), (facts_of(**MOVIES), 2)):
        for seed in range(n_seeds):
            for model, skill in SKILLS.items():
                add_run(tmp_path, model, seed, skill, facts, loss=None if model == "popularity" else 0.5)
    return tmp_path


def test_all_tables_are_drawn_with_the_means_of_their_records(results: Path) -> None:
    figure = overview_of(results)
    found = {(row["dataset"], row["model"]): row for row in rows_of(figure)}
    assert {*found} == {
        (data, model) for data in ("tiktok", "movielens") for model in ("ludp", "mf", "popularity")
    }
    for (data, model), row in found.items():
        values = [
            add_run(results, model, seed, SKILLS[model], facts_of(**(MOVIES if data == "movielens" else {})))
            for seed in range(2)
        ]
        means = [record.metrics.test.values["recall@20"] for record in values if record.metrics]
        assert row["mean"] == pytest.approx(sum(means) / 2, abs=0)
        assert (row["n_runs"], row["n_asked"]) == (2, 2)
    (note,) = [each for each in figure.notes if "first 2 seeds" in each]
    assert note.endswith("tiktok [real, random split] (3 there).")


def test_of_several_rows_of_a_model_validation_chooses(tmp_path: Path) -> None:
    worse = add_run(tmp_path, "mf", 0, 0.7, scores=[0.1, 0.1, 0.1, 0.1], values={"reg_weight": 0.5})
    better = add_run(tmp_path, "mf", 0, 0.4, scores=[0.1, 0.1, 0.1, 0.9], values={"reg_weight": 0.25})
    add_run(tmp_path, "ludp", 0, 0.6)
    assert worse.metrics is not None
    assert better.metrics is not None
    figure = overview_of(tmp_path)
    (row,) = [each for each in rows_of(figure) if each["model"] == "mf"]
    assert worse.metrics.test.values["recall@20"] > better.metrics.test.values["recall@20"] == row["mean"]
    assert any("best validation score: MF on tiktok" in note for note in figure.notes)


def test_an_incomplete_row_does_not_stand_for_a_complete_one(tmp_path: Path) -> None:
    for seed in range(3):
        add_run(tmp_path, "mf", seed, 0.4, scores=[0.1, 0.1, 0.1, 0.2], values={"reg_weight": 0.25})
        add_run(tmp_path, "ludp", seed, 0.6)
    add_run(tmp_path, "mf", 0, 0.7, scores=[0.1, 0.1, 0.1, 0.9], values={"reg_weight": 0.5})
    (row,) = [each for each in rows_of(overview_of(tmp_path)) if each["model"] == "mf"]
    assert row["n_runs"] == 3


def test_among_incomplete_rows_validation_chooses_too(results: Path) -> None:
    (results / "runs").rename(results / "others")
    for seed in range(2):
        add_run(results, "mf", seed, 0.7, scores=[0.1, 0.1, 0.1, 0.2], values={"reg_weight": 0.25})
        add_run(results, "mf", seed, 0.3, scores=[0.1, 0.1, 0.1, 0.9], values={"reg_weight": 0.5})
        add_run(results, "ludp", seed, 0.6, facts_of(**MOVIES))
    for seed in range(3):
        for model in ("ludp", "lightgcn", "grcn"):
            add_run(results, model, seed, 0.5)
    better = [
        add_run(results, "mf", seed, 0.3, scores=[0.1, 0.1, 0.1, 0.9], values={"reg_weight": 0.5})
        for seed in range(2)
    ]
    (row,) = [each for each in rows_of(overview_of(results)) if each["model"] == "mf"]
    means = [record.metrics.test.values["recall@20"] for record in better if record.metrics]
    assert row["mean"] == sum(means) / 2


@pytest.mark.parametrize("skills", [(0.4, 0.7), (0.7, 0.4)])
def test_test_scores_do_not_choose_between_equal_validation_scores(
    tmp_path: Path, skills: tuple[float, float]
) -> None:
    equal = [0.1, 0.1, 0.1, 0.5]
    for weight, skill in zip((0.25, 0.5), skills, strict=True):
        add_run(tmp_path, "mf", 0, skill, scores=equal, values={"reg_weight": weight})
    add_run(tmp_path, "ludp", 0, 0.6)
    (choice,) = [
        each
        for board in boards([file.record for file in read_results(tmp_path).runs], None)[0]
        for each in _choices(board, 1)
        if each.row.label == "mf"
    ]
    ids = sorted(row.id for row in choice.board.rows if row.label == "mf")
    assert choice.row.id == ids[0]  # whichever of the two has the better test score


def test_runs_that_contradict_their_users_are_not_drawn(results: Path) -> None:
    store = ResultsStore(results)
    for seed in range(3):
        record = add_run(results, "grcn", seed, 0.3)
        assert record.metrics is not None
        test = record.metrics.test
        better = test.model_copy(update={"values": test.values | {"recall@20": test.values["recall@20"] + 0.4}})
        changed = record.model_copy(update={"metrics": record.metrics.model_copy(update={"test": better})})
        path = store.record_path(record.key, Protocol(), record.data.name, record.data.source, record.spec)
        store.write_record(path, changed)
    assert "grcn" not in {row["model"] for row in rows_of(overview_of(results))}


def test_lists_of_other_programs_are_left_out(results: Path) -> None:
    foreign = ForeignLists(file="lists.csv", form="lists", longest=50, n_empty=0, notes=[])
    board = consistent(read_results(results), None, ResultsStore(results)).tables[0]
    row = board.rows[0]
    listed = replace(row, records=(row.first.model_copy(update={"foreign": foreign}),))
    assert listed.is_foreign
    assert [each.label for each in _trained(replace(board, rows=(listed, row))).rows] == [row.label]


def test_a_model_that_was_not_run_on_a_data_set_says_so(results: Path) -> None:
    for seed in range(3):
        add_run(results, "lightgcn", seed, 0.5)
    with styled():
        axes = overview_of(results).draw().axes
    texts = [{text.get_text() for text in each.texts} for each in axes]
    assert ["not run" in each for each in texts] == [True, False]  # MovieLens, TikTok


def test_without_scores_of_users_the_message_says_where_they_belong(results: Path) -> None:
    for path in (results / "topk").iterdir():
        path.unlink()
    with pytest.raises(ResultsError, match=r"copy topk/ or scores/ of that run beside runs/"):
        overview_of(results)  # two seeds: intervals over users
    for model, skill in SKILLS.items():
        add_run(results, model, 2, skill, facts_of(**MOVIES))
    assert len(overview_of(results).csv_rows) == 6  # three seeds need none


def test_a_table_without_a_run_among_the_first_seeds_is_left_out(tmp_path: Path) -> None:
    add_run(tmp_path, "mf", 0, status="failed")
    add_run(tmp_path, "mf", 1, 0.4)
    with pytest.raises(ResultsError, match="among the first 1 seed; give a larger --seeds"):
        overview_of(tmp_path, 1)


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
    assert (output / "overview-narrow.svg").read_text(encoding="utf-8").count("movielens, ") == 1
    add_run(results, "mf", 0, 0.4, protocol=Protocol(patience=7))
    assert main(["leaderboard", "--results-dir", str(results), "--overview"]) == 2
    assert "2 protocols" in capsys.readouterr().err
