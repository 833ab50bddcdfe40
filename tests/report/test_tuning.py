"""What is said of a search: the chosen trial, the curve over budgets, the table, the values in a YAML."""

from __future__ import annotations

import csv
import itertools
import statistics
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.errors import ConfigError
from bench.records import RunRecord
from bench.report.budget import budget_figure
from bench.report.figure import write_figure
from bench.report.paper import Paper
from bench.report.tuning import CSV_HEADER, tuning_table
from bench.tuning.chosen import may_be_kept, write_chosen
from bench.tuning.results import StudyResult
from bench.tuning.space import SearchSpace

SPACE = SearchSpace({"rate": 0.1, "depth": 2, "other": 7}, {"rate": (0.01, 0.1, 1.0), "depth": (1, 2, 3)})


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
        return StudyResult(label, facts, SPACE, "tpe", 5, records)

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


def test_the_budget_curve_is_the_mean_over_all_subsets(study: Any) -> None:
    pairs = [(0.2, 0.5), (0.3, 0.1), (0.1, 0.7), (0.3, 0.8), (0.05, 0.2)]
    curve = study(*pairs[:2], None, *pairs[2:]).budget_curve()
    assert [point.n_trials for point in curve] == [1, 2, 3, 4, 5]
    for point in curve:
        subsets = list(itertools.combinations(pairs, point.n_trials))
        best = [max(subset, key=lambda pair: pair[0]) for subset in subsets]  # the first of equals, as `chosen`
        assert point.valid == pytest.approx(statistics.mean(valid for valid, _ in best))
        assert point.test == pytest.approx(statistics.mean(test for _, test in best))


def test_the_table_shows_models_and_its_csv_trials(study: Any, paper: Paper) -> None:
    studies = [
        study((0.2, 0.5), (0.3, 0.4), label="ludp"),
        study((0.25, 0.1), None, label="mf"),
        study(None, label="vbpr"),
    ]
    table = tuning_table(studies, paper)
    shown = [[cell.text for cell in row.cells] for row in table.blocks[0].rows]
    assert shown == [
        ["MF", "2 (1 failed)", "0.2500", "0.2500", "0.1000", "0.1000", "0.0000", "–"],
        ["VBPR", "1 (1 failed)", "failed", "failed", "failed", "failed", "–", "–"],
        ["LUDP", "2", "0.2000", "0.3000", "0.5000", "0.4000", "0.1000", "rate 1.0"],
    ]
    assert [row.cells[3].mark for row in table.blocks[0].rows] == ["second", "", "best"]
    rows = [dict(zip(CSV_HEADER, row, strict=True)) for row in table.csv_rows]
    assert [(row["model"], row["trial"], row["is_chosen"], row["valid"]) for row in rows] == [
        ("ludp", 0, False, 0.2), ("ludp", 1, True, 0.3), ("mf", 0, True, 0.25), ("mf", 1, False, None),
        ("vbpr", 0, False, None),
    ]  # fmt: skip
    assert all(row["source"] == "real" for row in rows)


def test_the_figure_s_files_hold_its_numbers_and_no_date(study: Any, paper: Paper, tmp_path: Path) -> None:
    figure = budget_figure([study((0.2, 0.5), (0.3, 0.4)), study((0.1, 0.2), (0.2, 0.1), label="ludp")], paper)
    first = write_figure(figure, tmp_path / "a", "budget")
    again = write_figure(figure, tmp_path / "b", "budget")
    assert [path.suffix for path in first] == [".pdf", ".png", ".svg", ".csv", ".md"]
    assert all(path.read_bytes() == other.read_bytes() for path, other in zip(first, again, strict=True))
    with first[3].open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["n_trials"], float(row["test"])) for row in rows] == [
        ("mf", "1", 0.45), ("mf", "2", 0.4), ("ludp", "1", pytest.approx(0.15)), ("ludp", "2", 0.1),
    ]  # fmt: skip
    assert "expected validation R@20" in first[2].read_text(encoding="utf-8")


BEFORE = """\
# A file with a word at its head.
defaults:
  rate: 0.1   # beside a value
  depth: 2
datasets:
  # Older words,
  # in two lines.
  tiktok:
    rate: 1.0
  # About the other.
  movielens:
    depth: 3
variants:
  deep:
    depth: 3
search:
  rate: [0.01, 0.1, 1.0]
"""


def test_chosen_values_replace_the_old_ones_and_nothing_else(study: Any, tmp_path: Path) -> None:
    path = tmp_path / "mf.yaml"
    path.write_text(BEFORE, encoding="utf-8")
    write_chosen(study((0.2, 0.5), (0.1, 0.4), None, (0.3, 0.4)), path)
    text = path.read_text(encoding="utf-8")
    head, block = text.split("datasets:\n")
    block, tail = block.split("  # About the other.")
    assert head == BEFORE.split("datasets:\n")[0]
    assert tail == BEFORE.split("  # About the other.")[1]
    comment = " ".join(line.strip(" #") for line in block.splitlines() if line.strip().startswith("#"))
    assert "Older" not in comment
    assert "validation recall@20 0.3000, the default's 0.2000, among 4 trials (1 failed) (tpe" in comment
    assert "tiktok [real, random split]" in comment
    assert yaml.safe_load(text)["datasets"] == {"tiktok": {"depth": 3}, "movielens": {"depth": 3}}


@pytest.mark.parametrize(
    ("label", "name", "key"),
    [("mf", "movielens", "movielens"), ("mf", "kwai", "kwai"), ("mf@deep", "tiktok", "tiktok@deep")],
)
def test_every_place_under_datasets_can_be_filled(
    study: Any, tmp_path: Path, label: str, name: str, key: str
) -> None:
    path = tmp_path / "mf.yaml"
    path.write_text(BEFORE, encoding="utf-8")
    expected = yaml.safe_load(BEFORE)
    found = study((0.2, 0.5), (0.3, 0.4), label=label, name=name)
    for _ in range(2):  # the second time in place of the first
        write_chosen(found, path)
    expected["datasets"][key] = {"rate": 1.0}
    assert yaml.safe_load(path.read_text(encoding="utf-8")) == expected
    assert path.read_text(encoding="utf-8").count("Chosen by") == 1


def test_a_file_without_data_sets_gets_them_and_a_chosen_default_is_written_as_nothing(
    study: Any, tmp_path: Path
) -> None:
    path = tmp_path / "mf.yaml"
    path.write_text("defaults:\n  rate: 0.1\nsearch:\n  rate: [1.0]\n", encoding="utf-8")
    write_chosen(study((0.4, 0.5), (0.3, 0.4)), path)
    assert list(yaml.safe_load(path.read_text(encoding="utf-8"))) == ["defaults", "datasets", "search"]
    assert yaml.safe_load(path.read_text(encoding="utf-8"))["datasets"] == {"tiktok": {}}


def test_a_layout_that_cannot_be_edited_is_left_alone(study: Any, tmp_path: Path) -> None:
    path = tmp_path / "mf.yaml"
    text = "defaults:\n  rate: 0.1\ndatasets: {tiktok: {rate: 1.0}}\n"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"mf\.yaml is laid out.*by hand: \{'rate': 1\.0\}"):
        write_chosen(study((0.2, 0.5), (0.3, 0.4)), path)
    assert path.read_text(encoding="utf-8") == text


def test_values_for_drawn_data_are_not_kept(study: Any) -> None:
    assert may_be_kept(study((0.2, 0.5)))
    assert may_be_kept(study((0.2, 0.5), source="embedded"))
    assert not may_be_kept(study((0.2, 0.5), source="surrogate", scale=0.1))
