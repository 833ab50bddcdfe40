"""Groups of users and items, and the measures beside accuracy, against values counted by hand."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy import data_of, pairs

from bench.core.types import BenchmarkData, TopK
from bench.report.figure import styled
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.tables import groups as measure
from bench.report.tables.groups import CSV_HEADER, build
from bench.runs.list_files import StoredLists
from bench.runs.records import DataFacts
from bench.runs.store import ResultsStore

# Item 0 has four training interactions, item 1 two, items 2 and 3 one each, and items 4 and 5 none.
TRAIN = [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (3, 0), (3, 3)]
TEST = [(0, 1), (0, 4), (1, 2), (2, 4), (3, 1)]
FIRST = {0: [1, 2], 1: [2, 3], 2: [5, 3], 3: [2, 5]}  # user 0 finds item 1, user 1 item 2


@pytest.fixture
def data() -> BenchmarkData:
    return data_of(pairs(TRAIN, 4, 6), pairs([], 4, 6), pairs(TEST, 4, 6))


@pytest.fixture
def lists() -> StoredLists:
    items = np.full((4, 50), -1)
    for user, first in FIRST.items():
        items[user, : len(first)] = first
    return StoredLists(np.arange(4), items, {"recall@10": np.array([0.5, 1.0, 0.0, 0.0])})


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([1, 2, 3, 4, 5, 6, 7, 8], [(1, 2, 2), (3, 4, 2), (5, 6, 2), (7, 8, 2)]),
        ([1, 1, 1, 1, 1, 1, 1, 9], [(1, 1, 7), (9, 9, 1)]),  # equal counts are never parted
        ([5, 5, 5], [(5, 5, 3)]),
        ([3], [(3, 3, 1)]),
        ([], []),
    ],
)
def test_quarters_by_count(counts: list[int], expected: list[tuple[int, int, int]]) -> None:
    array = np.array(counts, dtype=np.int64)
    found = measure.quarters(array, np.ones(len(array), dtype=bool))
    assert [(group.least, group.most, int(group.members.sum())) for group in found] == expected


def test_every_one_that_takes_part_is_in_one_group() -> None:
    rng = np.random.default_rng(0)
    counts, inside = rng.geometric(0.2, 300), rng.random(300) < 0.7
    groups = measure.quarters(counts, inside)
    assert (np.sum([group.members for group in groups], axis=0) == inside).all()
    assert all(one.most < other.least for one, other in itertools.pairwise(groups))


def test_users_without_test_items_are_in_no_group() -> None:
    data = data_of(pairs(TRAIN, 5, 6), pairs([], 5, 6), pairs(TEST, 5, 6))
    assert not any(group.members[4] for group in measure.user_groups(data))


def test_users_are_grouped_by_training_interactions(data: BenchmarkData, lists: StoredLists) -> None:
    groups = measure.user_groups(data)  # 1, 2, 3 and 2 interactions
    assert [(group.name, group.members.tolist()) for group in groups] == [
        ("1", [True, False, False, False]),
        ("2", [False, True, False, True]),
        ("3", [False, False, True, False]),
    ]
    assert [measure.user_mean(lists, group.members) for group in groups] == [0.5, 0.5, 0.0]


def test_users_without_training_interactions_stand_apart(lists: StoredLists) -> None:
    data = data_of(pairs([pair for pair in TRAIN if pair[0] != 1], 4, 6), pairs([], 4, 6), pairs(TEST, 4, 6))
    groups = measure.user_groups(data)
    assert [(group.name, np.flatnonzero(group.members).tolist()) for group in groups] == [
        ("1", [0]), ("2", [3]), ("3", [2]), ("0 (cold)", [1]), ("1 or more", [0, 2, 3]),
    ]  # fmt: skip
    some = StoredLists(lists.users, lists.items, {**lists.per_user, "recall@20": np.array([1.0, 0.5, 0.5, 0.0])})
    measures = [each for each in measure.measures_of(data, "recall@20") if each.by == "user"]
    assert [(each.group, each.n, each.metric, each.of(some)) for each in measures[3:]] == [
        ("0 (cold)", 1, "recall@10", 1.0), ("1 or more", 3, "recall@10", pytest.approx(1 / 6)),
        ("0 (cold)", 1, "recall@20", 0.5), ("1 or more", 3, "recall@20", 0.5),
    ]  # fmt: skip
    assert [each.is_drawn("user") for each in measures] == [True] * 5 + [False] * 2


def test_items_are_grouped_by_training_interactions_and_cold_ones_stand_apart(
    data: BenchmarkData, lists: StoredLists
) -> None:
    groups = measure.item_groups(data)
    assert [(group.name, np.flatnonzero(group.members).tolist()) for group in groups] == [
        ("1", [2, 3]), ("2", [1]), ("4", [0]), ("0 (cold)", [4, 5]),
    ]  # fmt: skip
    # one of one test interaction with item 2 or 3; one of two with item 1; none with item 0; none of two cold
    assert [measure.item_recall(lists, data, group.members) for group in groups] == [1.0, 0.5, None, 0.0]


def test_item_recall_over_all_items_is_hits_over_test_interactions(
    data: BenchmarkData, lists: StoredLists
) -> None:
    assert measure.item_recall(lists, data, np.ones(6, dtype=bool)) == pytest.approx(2 / 5)


def test_lists_of_some_users_are_matched_by_their_ids(data: BenchmarkData, lists: StoredLists) -> None:
    some = StoredLists(np.array([1, 3]), lists.items[[1, 3]], {"recall@10": np.array([1.0, 0.0])})
    groups = measure.user_groups(data)
    assert [measure.user_mean(some, group.members) for group in groups] == [None, 0.5, None]


def test_without_cold_items_there_is_no_such_group() -> None:
    data = data_of(pairs([(0, 0), (0, 1)], 1, 2), pairs([], 1, 2), pairs([(0, 1)], 1, 2))
    assert [group.name for group in measure.item_groups(data)] == ["1"]


def test_only_the_first_ten_count() -> None:
    data = data_of(pairs([(0, 0)], 1, 20), pairs([], 1, 20), pairs([(0, 15), (0, 3)], 1, 20))
    lists = StoredLists(np.array([0]), np.arange(20)[None], {})
    assert measure.item_recall(lists, data, np.ones(20, dtype=bool)) == 0.5
    assert measure.exposure(lists, 20).tolist() == [1] * 10 + [0] * 10


def test_coverage_gini_and_novelty_by_hand(data: BenchmarkData, lists: StoredLists) -> None:
    shown = measure.exposure(lists, 6)
    assert shown.tolist() == [0, 1, 3, 2, 0, 2]
    assert measure.coverage(shown) == pytest.approx(4 / 6)
    # ascending 0 0 1 2 2 3, weights -5 -3 -1 1 3 5: (-1 + 2 + 6 + 15) / (6 * 8)
    assert measure.gini(shown) == pytest.approx(22 / 48)
    # of 8 + 6: item 1 has 3, items 2 and 3 have 2 each, item 5 has 1
    bits = [1 * math.log2(14 / 3), 5 * math.log2(14 / 2), 2 * math.log2(14 / 1)]
    assert measure.novelty(shown, measure.popularity(data)) == pytest.approx(sum(bits) / 8)


def test_gini_at_its_ends() -> None:
    assert measure.gini(np.array([3, 3, 3, 3])) == pytest.approx(0)
    assert measure.gini(np.array([0, 0, 0, 7])) == pytest.approx(3 / 4)
    assert measure.gini(np.zeros(3, dtype=np.int64)) is None


def shown(axes: Any) -> list[list[str]]:
    """The texts of the cells, row by row."""
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    n_columns, n_rows = (1 + int(max(place[axis] for place in cells)) for axis in (0, 1))
    return [[cells[column, row] for column in range(n_columns)] for row in range(n_rows)]


def test_the_heat_maps_mean_over_runs_and_tell_gaps(
    data: BenchmarkData, lists: StoredLists, make_record: Any, paper: Paper, tmp_path: Path
) -> None:
    store, facts = ResultsStore(tmp_path), DataFacts.of(data)
    means = {("mf", 0): 0.375, ("mf", 1): 0.0, ("ludp", 0): 0.0}
    records = [make_record(*row, {"recall@10": mean}, facts, n_users=4) for row, mean in means.items()]
    for record, recall in zip(records, ([0.5, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0] * 4), strict=True):
        topk = TopK(lists.users, lists.items, 0)
        store.write_topk(record.key, topk, {"recall@10": np.array(recall)})
    material = Material({"toy": data}, ["ludp", "mf", "lightgcn"], records, 2, paper, store)
    figure = build(material)
    with styled():
        users, items = figure.draw().axes
    assert [tick.get_text() for tick in users.get_xticklabels()] == ["1\n(n=1)", "2\n(n=2)", "3\n(n=1)"]
    assert users.get_title(loc="left") == "toy [surrogate x1, random split]"
    assert [tick.get_text() for tick in users.get_yticklabels()] == ["MF", "LUDP", "LightGCN"]  # the best on top
    assert shown(users) == [["0.250", "0.250", "0.000"], ["1 of 2"] * 3, ["–"] * 3]
    assert shown(items)[0] == ["1.000", "0.500", "–", "0.000"]
    colours = users.images[0].get_array()
    assert colours[0, 0] == 1.0  # the best of its column
    assert np.ma.is_masked(colours[1, 0])  # an incomplete mean is not compared
    rows = [dict(zip(CSV_HEADER, row, strict=True)) for row in figure.csv_rows]
    (cold,) = (row for row in rows if row["model"] == "mf" and row["group"] == "0 (cold)")
    assert (cold["by"], cold["n"], cold["mean"], cold["n_runs"], cold["source"]) == (
        "item",
        2,
        0.0,
        2,
        "surrogate",
    )
