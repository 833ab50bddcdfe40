"""The first figures: dots, intervals and the Pareto front are those of the records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from bench.core.protocol import TOPK_DEPTH
from bench.core.types import TopK
from bench.report.comparisons import COMPARED
from bench.report.figure import styled
from bench.report.labels import Name, name_points, spread
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.ranking import intervals, kind_of, second_metric, standings
from bench.report.tables.accuracy import CSV_HEADER, build, build_cost
from bench.runs.records import Cost
from bench.runs.store import ResultsStore

N_USERS = 200
COST = Cost(
    train_seconds=1.0, valid_seconds=1.0, test_seconds=1.0, total_seconds=1.0, epochs=1, peak_memory_bytes=2**20,
    peak_memory_scope="run", n_parameters=1,
)  # fmt: skip
# mean, deviation over seeds, seconds
MODELS = {
    "ludp": (0.30, 0.02, 90.0), "mf": (0.20, 0.01, 30.0), "ease": (0.28, 0.0, 1.0), "grcn": (0.31, 0.01, 300.0),
    "popularity": (0.10, 0.0, 0.5), "ludp@literal": (0.15, 0.01, 100.0),
}  # fmt: skip


@pytest.fixture
def material(make_facts: Any, make_record: Any, paper: Paper, tmp_path: Path) -> Any:
    """Runs with these means, half a deviation around them; LightGCN lacks a seed."""

    def make(n_seeds: int) -> Material:
        facts, store, records = make_facts(), ResultsStore(tmp_path), []
        for label, (mean, sd, seconds) in {**MODELS, "lightgcn": (0.9, 0.0, 1.0)}.items():
            for seed in range(n_seeds - (label == "lightgcn")):
                value = mean + sd * (seed - (n_seeds - 1) / 2)
                users = np.zeros(N_USERS)
                users[: round(value * N_USERS)] = 1.0  # their mean is the value
                cost = COST.model_copy(update={"total_seconds": seconds})
                record = make_record(label, seed, value, facts, n_users=N_USERS, cost=cost)
                lists = TopK(np.arange(N_USERS), np.zeros((N_USERS, TOPK_DEPTH), dtype=np.int64), 0)
                store.write_topk(record.key, lists, dict.fromkeys((*COMPARED, "recall@20"), users))
                records.append(record)
        return Material({}, [*MODELS, "lightgcn"], records, n_seeds, paper, store, recorded=[facts])

    return make


def rows_of(figure: Any) -> dict[str, dict[str, Any]]:
    rows = [dict(zip(CSV_HEADER, row, strict=True)) for row in figure.csv_rows]
    return {row["model"]: row for row in rows}


def test_models_are_ranked_with_what_stands_beside_them(material: Any) -> None:
    call = material(3)
    found = standings(call, call.facts[0])
    assert [each.label for each in found] == ["grcn", "ludp", "ease", "mf", "ludp@literal", "popularity"]
    assert [each.place for each in found] == [1, 2, 3, 4, 5, 6]
    assert [each.name for each in found][1:5] == ["LUDP", "EASE", "MF", "LUDP (literal)"]
    assert [each.kind for each in found] == [
        "multimodal", "multimodal", "baseline", "collaborative", "multimodal", "baseline",
    ]  # fmt: skip
    assert found[0].seconds == 300.0
    assert kind_of("a-model-that-is-gone") == "other"
    assert (second_metric("recall@20"), second_metric("ndcg@10")) == ("ndcg@10", "recall@10")


@pytest.mark.parametrize("n_seeds", [2, 3])
def test_intervals_are_over_seeds_from_three_on_and_over_users_below(material: Any, n_seeds: int) -> None:
    call = material(n_seeds)
    found = intervals(call, call.facts[0], ["ludp", "lightgcn"])
    assert set(found) == {"ludp"}  # a mean of some seeds has no interval
    fitted = intervals(call, call.facts[0], ["ease"])
    assert set(fitted) == ({"ease"} if n_seeds == 2 else set())  # and equal runs have none over seeds
    low, high = found["ludp"]
    if n_seeds == 3:
        half = 4.302653 * 0.02 / 3**0.5  # Student's t with two degrees of freedom
        assert (low, high) == pytest.approx((0.3 - half, 0.3 + half), abs=1e-6)
    else:
        half = 1.96 * (0.3 * 0.7 / N_USERS) ** 0.5  # of a share of users
        assert (low, high) == pytest.approx((0.3 - half, 0.3 + half), abs=0.01)


def test_the_dots_are_those_of_the_csv_best_first(material: Any) -> None:
    figure = build(material(3))
    rows = rows_of(figure)
    with styled():
        (axes,) = figure.draw().axes
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names == ["GRCN", "LUDP", "EASE", "MF", "LUDP (literal)", "Popularity"]
    dots = [line for line in axes.lines if len(line.get_xdata()) == 1]
    assert [float(line.get_xdata()[0]) for line in dots] == [row["mean"] for row in rows.values()]
    bars = [list(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2]
    assert [rows["ludp"]["ci_low"], rows["ludp"]["ci_high"]] in bars
    assert [rows["ease"][name] for name in ("ci_low", "ci_high", "interval_over")] == [None] * 3
    assert rows["ludp"]["interval_over"] == "seeds"
    assert all(low < high for low, high in bars if low != pytest.approx(0.28))
    assert axes.get_xlabel() == "test Recall@20\n(mean, 95% interval over 3 seeds)"
    (baseline,) = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert list(baseline.get_xdata()) == [pytest.approx(0.28)] * 2
    by_name = dict(zip(names, dots, strict=True))
    assert by_name["LUDP"].get_fillstyle() == "full"
    assert by_name["LUDP (literal)"].get_fillstyle() != "full"
    assert by_name["EASE"].get_fillstyle() == "none"
    assert any("LightGCN (2 of 3 seeds)" in note for note in figure.notes)
    assert "<title>LUDP: 0.3000, " in figure.svg
    assert "<title>EASE: 0.2800</title>" in figure.svg


def test_the_front_holds_what_nothing_beats_in_both(material: Any) -> None:
    figure = build_cost(material(1))
    rows = rows_of(figure)
    assert [name for name, row in rows.items() if row["on_front"]] == ["grcn", "ludp", "ease", "popularity"]
    assert rows["mf"]["interval_over"] == "users"
    with styled():
        (axes,) = figure.draw().axes
    assert axes.get_xscale() == "log"
    assert axes.get_xlabel() == "seconds of a run, log scale (1 seed)"
    (front,) = [line for line in axes.lines if len(line.get_xdata()) == 4]
    assert list(front.get_xdata()) == [0.5, 1.0, 90.0, 300.0]
    assert {text.get_text() for text in axes.texts} == {
        "GRCN", "LUDP", "EASE", "MF", "LUDP (literal)", "Popularity",
    }  # fmt: skip


def test_names_of_crowded_points_do_not_cover_each_other() -> None:
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(4, 3), layout="constrained")
    axes = drawing.subplots()
    points = [(1.0, 1.0), (1.02, 1.0), (1.0, 1.01), (2.0, 2.0)]
    axes.plot(*zip(*points, strict=True), "o")
    name_points(drawing, [(axes, [Name(f"Model {place}", *point) for place, point in enumerate(points)])])
    drawing.draw_without_rendering()  # moves the texts to their places
    boxes = [Text.get_window_extent(text) for text in axes.texts]  # without the lines that lead to points
    assert len(boxes) == 4
    assert not any(Bbox.intersection(a, b) for place, a in enumerate(boxes) for b in boxes[:place])


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ([0.0, 5.0], [0.0, 5.0]),
        ([3.0, 3.0, 3.0], [3.0, 4.0, 5.0]),
        ([9.5, 10.0, 9.9], [8.0, 10.0, 9.0]),
        ([], []),
    ],
)
def test_names_at_line_ends_are_moved_apart_and_stay_inside(wanted: list[float], expected: list[float]) -> None:
    assert spread(wanted, 1.0, 0.0, 10.0) == expected
