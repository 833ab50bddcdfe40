"""What is said of a search: the chosen trial, the curve over budgets, the tables, where values come from."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from curves import record_of

from bench.core.protocol import Protocol
from bench.engine.tuned import Confirmed
from bench.report.figure import write_figure
from bench.report.paper import Paper
from bench.report.tables.tuning import CSV_HEADER, budget_figure, tuning_table
from bench.runs.records import RunRecord
from bench.runs.tuning.keep import describe_dropped, export_trials, may_be_kept, tuned_entry
from bench.runs.tuning.pruning import Budget
from bench.runs.tuning.results import ConfirmedSetting as Again
from bench.runs.tuning.results import StudyResult, best_trials
from bench.runs.tuning.space import SearchSpace

SPACE = SearchSpace({"rate": 0.1, "depth": 2, "other": 7}, {"rate": (0.01, 0.1, 1.0), "depth": (1, 2, 3)})


@pytest.fixture
def confirmed(make_facts: Any) -> Any:
    def make(
        scores: list[float], again: dict[int, tuple[float | None, ...]], label: str = "mf", **changes: Any
    ) -> StudyResult:
        """A study with these validation scores, and those of the confirmation by trial; None is a failed run."""
        cpu_seconds, search_id = changes.pop("cpu_seconds", None), changes.pop("search_id", "")
        settings = [SPACE.setting(number + 4) | {"other": 7} for number in range(len(scores))]

        def made(score: float | None, number: int, **more: Any) -> RunRecord:
            curve = None if score is None else [score]
            return record_of(curve, 100, params=settings[number], cpu_seconds=cpu_seconds, **more)

        records = [made(score, number) for number, score in enumerate(scores)]
        groups = [
            Again(
                number,
                [made(score, number, stage="confirm", repetition=place) for place, score in enumerate(found)],
            )
            for number, found in again.items()
        ]
        facts = make_facts(**{"split": "shipped", **changes})
        budget = Budget(n_trials=len(scores))
        return StudyResult(label, facts, SPACE, "tpe", budget, records, groups, search_id)

    return make


@pytest.fixture
def study(make_record: Any, make_facts: Any, make_failed: Any) -> Any:
    def make(*scores: tuple[float, float] | None, label: str = "mf", **changes: Any) -> StudyResult:
        """A study whose trials have these validation and test scores; None is a failed one."""
        facts = make_facts(**changes)
        records = []
        for number, pair in enumerate(scores):
            params = SPACE.setting(number + 4) | {"other": 7}  # number 4 is the default
            if pair is None:
                records.append(make_failed(label, params=params, facts=facts, key=str(number)))
            else:
                record: RunRecord = make_record(label, params=params, facts=facts, key=str(number))
                assert record.metrics is not None
                valid, test = (record.metrics.valid.model_copy(update={"values": {"recall@20": s}}) for s in pair)
                test = test.model_copy(update={"values": {**record.metrics.test.values, "recall@20": pair[1]}})
                metrics = record.metrics.model_copy(update={"valid": valid, "test": test})
                records.append(record.model_copy(update={"metrics": metrics}))
        return StudyResult(label, facts, SPACE, "tpe", Budget(n_trials=5), records)

    return make


def test_validation_chooses_and_the_first_of_equals_wins(study: Any) -> None:
    found = study((0.2, 0.9), (0.3, 0.1), None, (0.3, 0.8))
    assert found.chosen is found.records[1]
    assert found.chosen_values == {"rate": 1.0, "depth": 2}
    assert found.selection_gap == pytest.approx(0.8)


def test_nothing_is_chosen_where_all_failed(study: Any) -> None:
    found = study(None, None)
    assert found.chosen is None
    assert found.chosen_values == {}
    assert found.selection_gap is None
    assert found.budget_curve() == []
    assert not may_be_kept(found)


def test_the_budget_curve_is_what_shorter_searches_chose(study: Any) -> None:
    pairs = [None, (0.2, 0.5), (0.3, 0.1), None, (0.1, 0.7), (0.3, 0.8), (0.4, 0.2)]
    curve = [(point.n_trials, point.valid, point.test) for point in study(*pairs).budget_curve()]
    assert curve == [(2, 0.2, 0.5), *((n, 0.3, 0.1) for n in (3, 4, 5, 6)), (7, 0.4, 0.2)]
    for n, valid, test in curve:
        chosen = study(*pairs[:n]).chosen  # the first of equals
        assert (chosen.metrics.valid.values["recall@20"], chosen.metrics.test.values["recall@20"]) == (valid, test)


def test_the_table_shows_models_and_its_csv_trials(study: Any, paper: Paper) -> None:
    studies = [
        study((0.2, 0.5), (0.3, 0.4), label="ludp"),
        study((0.25, 0.1), None, label="mf"),
        study(None, label="vbpr"),
    ]
    table = tuning_table(studies, paper)
    shown = [[cell.text for cell in row.cells] for row in table.blocks[0].rows]
    assert shown == [
        ["MF", "2 (1 failed)", "–", "–", "0.2500", "0.2500", "–", "0.1000", "0.1000", "0.0000", "–"],
        ["VBPR", "1 (1 failed)", "–", "–", "failed", "failed", "–", "failed", "failed", "–", "–"],
        ["LUDP", "2", "–", "–", "0.2000", "0.3000", "–", "0.5000", "0.4000", "0.1000", "rate 1.0"],
    ]
    assert [row.cells[5].mark for row in table.blocks[0].rows] == ["second", "", "best"]
    assert "The models did not get the same number of trials." in table.caption
    equal = "Every model got the same number of trials."
    same = [study((0.2, 0.5), label=label) for label in ("ludp", "mf")]
    assert equal in tuning_table(same, paper, ["ludp", "mf"]).caption
    assert equal not in tuning_table(same, paper, ["ludp", "mf", "vbpr"]).caption  # one was not searched
    small = replace(study((0.2, 0.5), label="popularity"), space=SearchSpace({"rate": 0.1}, {"rate": (0.1,)}))
    larger = study((0.2, 0.5), (0.3, 0.4), (0.1, 0.1))
    words = "Every model got the same number of trials, or all settings that it has."
    assert words in tuning_table([larger, small], paper, ["mf", "popularity"]).caption
    assert "number of trials" not in tuning_table(same[:1], paper, ["ludp"]).caption
    rows = [dict(zip(CSV_HEADER, row, strict=True)) for row in table.csv_rows]
    assert [(row["model"], row["trial"], row["is_chosen"], row["valid"]) for row in rows] == [
        ("ludp", 0, False, 0.2), ("ludp", 1, True, 0.3), ("mf", 0, True, 0.25), ("mf", 1, False, None),
        ("vbpr", 0, False, None),
    ]  # fmt: skip
    assert all(row["source"] == "real" for row in rows)


def test_a_chosen_number_at_an_end_of_its_list_is_said(confirmed: Any, paper: Paper) -> None:
    # trials have settings 4 to 8: rate .1 with depth 2, rate 1 with depth 2, rate .01, .1 and 1 with depth 3
    inside, at_one_end, at_both = [0.5, 0.1], [0.1, 0.5], [0.1, 0.1, 0.5]
    assert confirmed(inside, {}).at_an_end == {}
    assert confirmed(at_one_end, {}).at_an_end == {"rate": 1.0}
    notes = tuning_table([confirmed(at_both, {})], paper).notes
    assert any(": MF chose at an end of the list: rate 0.01, depth 3." in note for note in notes)
    assert not any("an end of the list" in note for note in tuning_table([confirmed(inside, {})], paper).notes)


def test_an_end_that_nothing_lies_beyond_is_no_end(confirmed: Any) -> None:
    lists = {"weight": (0.0, 0.1, 1.0), "switch": (0.5, 2.0), "norm": ("l2", "none", "z")}
    fixed = {"weight": 0.0, "switch": 0.5, "norm": "l2"}
    found = confirmed([0.5], {})
    record = found.records[0]
    same = record.model_copy(update={"spec": record.spec.model_copy(update={"params": fixed})})
    assert replace(found, space=SearchSpace(fixed, lists), records=[same]).at_an_end == {}


def test_the_figure_s_files_hold_its_numbers_and_no_date(study: Any, paper: Paper, tmp_path: Path) -> None:
    figure = budget_figure([study((0.2, 0.5), (0.3, 0.4)), study((0.1, 0.2), (0.2, 0.1), label="ludp")], paper)
    first = write_figure(figure, tmp_path / "a", "budget")
    again = write_figure(figure, tmp_path / "b", "budget")
    assert [path.suffix for path in first] == [".pdf", ".png", ".svg", ".csv", ".md"]
    assert all(path.read_bytes() == other.read_bytes() for path, other in zip(first, again, strict=True))
    with first[3].open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["n_trials"], float(row["test"])) for row in rows] == [
        ("mf", "1", 0.5), ("mf", "2", 0.4), ("ludp", "1", 0.2), ("ludp", "2", 0.1),
    ]  # fmt: skip
    assert "validation R@20" in first[2].read_text(encoding="utf-8")


def test_the_confirmation_chooses_by_the_mean_and_the_earlier_of_equal_ones(confirmed: Any) -> None:
    found = confirmed([0.1, 0.5, 0.4, 0.3], {1: (0.2, 0.3, 0.1), 2: (0.4, 0.2, 0.3), 3: (0.3, 0.3, 0.3)})
    assert found.chosen is found.records[2]
    assert found.chosen_mean == pytest.approx(0.3)
    tie = confirmed([0.1, 0.5, 0.4], {2: (0.25, 0.25), 1: (0.25, 0.25)})
    assert tie.chosen is tie.records[1]
    assert confirmed([0.1, 0.5], {}).chosen_mean is None


def test_a_setting_of_which_a_run_failed_drops_out_and_that_is_said(confirmed: Any) -> None:
    found = confirmed([0.1, 0.5, 0.4], {1: (0.9, None, 0.9), 2: (0.2, 0.2, 0.2)})
    assert found.chosen is found.records[2]
    assert describe_dropped(found) == "a confirmation run failed of trial 1; the choice is among the others"
    none = confirmed([0.1, 0.5, 0.4], {1: (0.9, None), 2: (None, 0.2)})
    assert none.chosen is none.records[1]
    assert none.chosen_mean is None
    assert "trial 1, trial 2; the choice is by the one seed of the search" in describe_dropped(none)
    assert describe_dropped(confirmed([0.1, 0.5], {0: (0.1, 0.1)})) == ""


def test_the_best_trials_are_whole_ones_while_there_are_any() -> None:
    whole = [record_of([score] * 3, 100) for score in (0.1, 0.3, 0.3)]
    pruned = record_of([0.1, 0.9], 100, max_epochs=50)
    failed = record_of(None, 100)
    assert pruned.stop_reason == "pruned"
    records = [whole[0], pruned, failed, whole[1], whole[2]]
    assert best_trials(records, 2) == [3, 4]
    assert best_trials(records, 5) == [3, 4, 0, 1]
    assert best_trials([failed], 5) == []


def test_the_cost_of_a_search_is_shown_with_all_its_runs(confirmed: Any, paper: Paper) -> None:
    found = confirmed([0.1, 0.5, 0.4], {1: (0.2, 0.2), 2: (0.3, 0.3)}, cpu_seconds=60.0)
    table = tuning_table([found], paper)
    shown = dict(
        zip([column.title for column in table.blocks[0].columns], table.blocks[0].rows[0].cells, strict=True)
    )
    assert [shown[name].text for name in ("Trials", "Again", "CPU min", "Confirmed")] == [
        "3",
        "4",
        "7.0",
        "0.3000",
    ]
    rows = [dict(zip(CSV_HEADER, row, strict=True)) for row in table.csv_rows]
    assert [(row["stage"], row["trial"], row["repetition"], row["is_chosen"]) for row in rows] == [
        ("tuning", 0, 0, False), ("tuning", 1, 0, False), ("tuning", 2, 0, True), ("confirm", 1, 0, False),
        ("confirm", 1, 1, False), ("confirm", 2, 0, True), ("confirm", 2, 1, True),
    ]  # fmt: skip
    assert {row["cpu_seconds"] for row in rows} == {60.0}


def test_the_trials_of_a_data_set_are_one_table_without_test_scores(confirmed: Any, tmp_path: Path) -> None:
    first = confirmed([0.1, 0.5, 0.4], {1: (0.2, 0.2), 2: (0.3, None)}, search_id="one")
    other = confirmed([0.7], {}, label="mf", search_id="two")
    said: list[str] = []
    path = export_trials([first], tmp_path, Protocol(), said.append)
    export_trials([other], tmp_path, Protocol(), said.append)
    again = export_trials([first], tmp_path, Protocol(), said.append)
    assert path == again == tmp_path / "trials.csv"
    assert [each.name for each in tmp_path.iterdir()] == ["trials.csv"]
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["search"] for row in rows] == ["one"] * 7 + ["two"]
    assert not [name for name in rows[0] if "test" in name]
    assert [row["state"] for row in rows] == ["finished"] * 6 + ["failed", "finished"]
    assert json.loads(rows[0]["values"]) == {"rate": 0.1, "depth": 2}
    assert float(rows[1]["valid"]) == 0.5
    assert [row["is_chosen"] for row in rows[:3]] == ["False", "True", "False"]
    path.write_text("another,form\n1,2\n", encoding="utf-8")
    export_trials([first], tmp_path, Protocol(), said.append)
    assert len(path.read_text(encoding="utf-8").splitlines()) == 8
    assert path.with_name("trials.csv.old").read_text(encoding="utf-8") == "another,form\n1,2\n"
    assert f"{path} was no table of trials, so it is kept as trials.csv.old, " in said.pop()
    path.write_text("a third,form\n", encoding="utf-8")
    export_trials([first], tmp_path, Protocol(), said.append)
    assert path.with_name("trials.csv.old.2").read_text(encoding="utf-8") == "a third,form\n"
    assert path.with_name("trials.csv.old").read_text(encoding="utf-8") == "another,form\n1,2\n"
    earlier = [
        {key: row[key] for key in ("dataset", "model", "search", "valid")}
        for row in rows
        if row["search"] == "two"
    ]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, earlier[0])
        writer.writeheader()
        writer.writerows(earlier)
    export_trials([first], tmp_path, Protocol(), said.append)
    with path.open(encoding="utf-8") as file:
        kept = [row for row in csv.DictReader(file) if row["search"] == "two"]
    assert [{key: row[key] for key in earlier[0]} for row in kept] == earlier  # a table of fewer columns


def test_the_chosen_values_know_where_they_come_from(confirmed: Any) -> None:
    found = confirmed([0.1, 0.5, 0.4], {1: (0.2, 0.2), 2: (0.3, 0.3)})
    entry = tuned_entry(found, Protocol(), "2023-01-01")
    assert entry.values == found.chosen_values  # all that could vary, also where it is the default's
    assert entry.values.keys() == SPACE.candidates.keys()
    assert entry.key == ("tiktok", found.facts.split, found.facts.split_hash, "")
    assert (entry.valid, entry.valid_default) == (pytest.approx(0.3), 0.1)
    assert entry.confirmed == Confirmed(settings=2, seeds=2)
    assert "0.3000, the mean over 2 fresh seeds of the best of 2 settings, the default's 0.1000" in entry.words
    alone = tuned_entry(confirmed([0.1, 0.5], {}), Protocol(), "2023-01-01")
    assert (alone.valid, alone.confirmed) == (0.5, None)


def test_values_for_drawn_data_are_not_kept(study: Any) -> None:
    assert may_be_kept(study((0.2, 0.5)))
    assert may_be_kept(study((0.2, 0.5), source="embedded"))
    assert not may_be_kept(study((0.2, 0.5), source="surrogate", scale=0.1))
