"""The content ablation as a figure: all held-out items and rare ones, against values counted by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy import data_of, pairs

from bench.core.names import model_of
from bench.core.types import BenchmarkData, TopK
from bench.engine.evaluate import hit_matrix
from bench.report.artifacts import records_of
from bench.report.figure import markdown_of, styled
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.tables import ablation, content
from bench.report.tables.content import RareItems, _share, rare_view
from bench.runs.list_files import StoredLists
from bench.runs.records import DataFacts
from bench.runs.store import ResultsStore

# Item 0 has four training interactions, item 1 two, items 2 and 3 one each, and items 4 and 5 none: median 1.
TRAIN = [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (3, 0), (3, 3)]
TEST = [(0, 1), (0, 4), (1, 2), (1, 4), (2, 4), (3, 1)]
GIVEN = {0: [1, 4], 1: [2, 3], 2: [4, 3], 3: [1, 5]}
SHUFFLED = {0: [1, 2], 1: [2, 3], 2: [5, 3], 3: [1, 5]}
R20 = "recall@20"


@pytest.fixture
def data() -> BenchmarkData:
    return data_of(pairs(TRAIN, 4, 6), pairs([], 4, 6), pairs(TEST, 4, 6))


def items_of(first: Mapping[int, list[int]]) -> np.ndarray:
    items = np.full((4, 50), -1)
    for user, each in first.items():
        items[user, : len(each)] = each
    return items


def test_rare_items_have_at_most_the_median_count_and_cold_ones_belong_to_them(data: BenchmarkData) -> None:
    rare = RareItems.of(data)
    assert np.flatnonzero(rare.members).tolist() == [2, 3, 4, 5]
    assert (rare.most, rare.n_held_out, rare.n_test) == (1, 4, 6)
    assert rare.title == "rare items: ≤ 1 training interactions\n4 of 6 held-out"


def test_recall_of_rare_items_is_that_of_the_users_who_hold_any(data: BenchmarkData) -> None:
    view = rare_view(data, RareItems.of(data), R20)
    given = view(StoredLists(np.arange(4), items_of(GIVEN), {}))
    assert given.users.tolist() == [0, 1, 2]  # user 3 holds item 1 alone, which is not rare
    # user 0 holds one rare item and finds it, user 1 two of which one is found, user 2 one and finds it
    assert given.per_user[R20].tolist() == [1.0, 0.5, 1.0]
    shuffled = view(StoredLists(np.array([1, 2]), items_of(SHUFFLED)[[1, 2]], {}))
    assert shuffled.users.tolist() == [1, 2]
    assert shuffled.per_user[R20].tolist() == [0.5, 0.0]


def test_rare_items_beyond_the_cutoff_do_not_count() -> None:
    data = data_of(pairs([(0, 0)], 1, 40), pairs([], 1, 40), pairs([(0, 9), (0, 10), (0, 30)], 1, 40))
    lists = StoredLists(np.array([0]), np.arange(40)[None], {})
    for cutoff, expected in ((10, 1 / 3), (20, 2 / 3)):
        metric = f"recall@{cutoff}"
        assert rare_view(data, RareItems.of(data), metric)(lists).per_user[metric] == pytest.approx(expected)


@pytest.fixture
def material(tmp_path: Path, make_record: Any, paper: Paper) -> Any:
    """Return a function from a data set and lists by label and user to the material of a call with three seeds."""

    def make(data: BenchmarkData, by_label: Mapping[str, Mapping[int, list[int]]], *labels: str) -> Material:
        store, records, facts = ResultsStore(tmp_path), [], DataFacts.of(data)
        names = ("precision@10", "recall@10", "ndcg@10", R20)
        for label, first in by_label.items():
            for repetition in range(3):
                shown = items_of(first)
                shown[0] = [-1] * 50 if repetition == 2 else shown[0]  # the third seed finds nothing for user 0
                hits = hit_matrix(TopK(np.arange(4), shown, 0), data.split.test).sum(axis=1)
                values = hits / np.diff(data.split.test.offsets).clip(1)
                metrics = dict.fromkeys(names, float(values.mean()))
                key = f"{facts.name}-{label}-{repetition}"
                records.append(make_record(label, repetition, metrics, facts, key=key, n_users=4))
                store.write_topk(key, TopK(np.arange(4), shown, 0), dict.fromkeys(names, values))
        return Material({"toy": data}, labels, records, 3, paper, store)

    return make


CALL = {"ludp": GIVEN, "ludp@features=shuffled": SHUFFLED, "ludp@features=noise": {0: [], 1: [], 2: [], 3: []}}


def rows_of(figure: Any) -> dict[str, dict[str, Any]]:
    rows = [dict(zip(figure.csv_header, row, strict=True)) for row in figure.csv_rows]
    return {row["model"]: row for row in rows if row["metric"] == "recall@20 of rare items"}


def drawn(axes: Any) -> dict[float, float]:
    """Differences by height."""
    return {line.get_ydata()[0]: line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 1}


def test_the_figure_shows_all_and_rare_items_side_by_side(material: Any, data: BenchmarkData) -> None:
    figure = content.build(material(data, CALL, "ludp"))
    rows = rows_of(figure)
    given = [2.5 / 3, 2.5 / 3, 1.5 / 3]  # of the three seeds
    assert {label: row["mean"] for label, row in rows.items()} == {
        "ludp": pytest.approx(np.mean(given)),
        "ludp@features=shuffled": pytest.approx(0.5 / 3),
        "ludp@features=noise": 0,
    }
    lost = rows["ludp@features=shuffled"]
    assert (lost["variation"], lost["n_runs"], lost["sd"]) == ("LUDP, shuffled", 3, 0)
    assert rows["ludp"]["sd"] == pytest.approx(np.std(given, ddof=1))
    assert lost["difference"] == pytest.approx(0.5 / 3 - np.mean(given))
    assert rows["ludp"]["difference"] is None
    assert "\n\n**Is the content used?** Change of test Recall@20 when" in markdown_of(figure, "content.svg", [])
    with styled():
        left, right = figure.draw().axes
    assert left.get_title() == "toy [surrogate x1, random split]\nall 6 held-out interactions"
    assert right.get_title() == RareItems.of(data).title
    assert [tick.get_text() for tick in left.get_yticklabels()] == [
        "LUDP", "other items' content", "noise", "one constant row",
    ]  # fmt: skip
    assert drawn(right) == {1: pytest.approx(0.5 / 3 - np.mean(given)), 2: pytest.approx(-np.mean(given))}
    assert [text.get_text() for text in right.texts] == [f"as given: {np.mean(given):.4f}", "no result"]
    # all items: users 0 to 3 have 1, 1/2, 1 and 1 of theirs with the content as given, 1/2, 1/2, 0 and 1 without
    whole, half = [3.5 / 4, 3.5 / 4, 2.5 / 4], [2 / 4, 2 / 4, 1.5 / 4]
    assert drawn(left) == {1: pytest.approx(np.mean(half) / np.mean(whole) - 1), 2: pytest.approx(-1)}
    assert left.texts[0].get_text() == f"as given: {np.mean(whole):.4f}"
    assert right.get_xlabel() == "change of rare items' test Recall@20\n(95% interval over users, 3 seeds)"


@pytest.mark.parametrize(("value", "label"), [(0.015, "+1.5%"), (-0.03, "-3%"), (0.0, "0%"), (-1e-12, "0%")])
def test_a_tick_of_a_share_has_its_own_value(value: float, label: str) -> None:
    assert _share(value, 0) == label


def test_a_data_set_without_rare_held_out_items_has_no_result_for_them(material: Any) -> None:
    data = data_of(pairs(TRAIN, 4, 6), pairs([], 4, 6), pairs([(0, 1), (1, 0), (2, 0), (3, 1)], 4, 6))
    figure = content.build(material(data, CALL, "ludp"))
    assert rows_of(figure) == {}
    with styled():
        _, right = figure.draw().axes
    assert [text.get_text() for text in right.texts] == ["", *3 * ["no user has a rare item"]]


def test_models_that_the_call_names_but_does_not_vary_are_named_in_a_note(
    material: Any, data: BenchmarkData
) -> None:
    call = material(data, {**CALL, "grcn": GIVEN, "acf": GIVEN}, "ludp", "grcn", "acf", "mf")
    assert {model_of(row["model"]) for row in rows_of(content.build(call)).values()} == {"ludp"}
    for made in (content.build(call), ablation.build(call)):
        (note,) = (each for each in made.notes if "varies all content models" in each)
        assert note.startswith("Without GRCN, ACF, to save time: --artifacts content or --profile full")
    assert [row.cells[0].text for row in ablation.build(call).blocks[0].rows] == ["LUDP"]
    for name in ("content", "controls"):  # the caption counts the runs of these that a cap ended
        assert {record.spec.label for record in records_of(name, call)} == set(CALL)
    alone = material(data, CALL, "ludp")
    assert not any(re.match("Without", note) for note in content.build(alone).notes)
