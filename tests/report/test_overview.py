"""The overview shows the means of the records in common rows, and the paper's own places beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure as Drawing

from bench.core.protocol import TOPK_DEPTH
from bench.core.types import TopK
from bench.report.artifacts import check_names
from bench.report.comparisons import COMPARED
from bench.report.figure import styled
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.tables.accuracy import Panel, panels_of
from bench.report.tables.overview import (
    CSV_HEADER,
    FAR,
    _baselines,
    build,
    common_order,
    far_baselines,
    paper_places,
    places_among_trained,
)
from bench.runs.store import ResultsStore

N_USERS = 100
# mean places 1.5 and 1.5, in the order of the call, and 3; EASE and popularity are baselines
MEANS = {
    "tiktok": {"ludp": 0.30, "mf": 0.20, "lightgcn": 0.10, "ease": 0.25, "popularity": 0.05},
    "movielens": {"ludp": 0.40, "mf": 0.50, "lightgcn": 0.30, "ease": 0.60, "popularity": 0.20},
}
SOURCES = {"tiktok": "real", "movielens": "surrogate"}


@pytest.fixture
def material(make_facts: Any, make_record: Any, paper: Paper, tmp_path: Path) -> Any:
    """One run of each model on two data sets; `without` names a model that lacks its run on MovieLens."""

    def make(without: str = "") -> Material:
        store, records, every = ResultsStore(tmp_path), [], []
        for name, means in MEANS.items():
            facts = make_facts(name, source=SOURCES[name], data_hash=f"{name:.<16}", origin="made data")
            every.append(facts)
            for label, mean in means.items():
                if (name, label) == ("movielens", without):
                    continue
                record = make_record(label, 0, mean, facts, n_users=N_USERS, key=f"{name}-{label}")
                lists = TopK(np.arange(N_USERS), np.zeros((N_USERS, TOPK_DEPTH), dtype=np.int64), 0)
                users = np.r_[np.ones(round(mean * N_USERS)), np.zeros(N_USERS - round(mean * N_USERS))]
                store.write_topk(record.key, lists, dict.fromkeys((*COMPARED, "recall@20"), users))
                records.append(record)
        return Material({}, [*MEANS["tiktok"]], records, 1, paper, store, recorded=every)

    return make


def drawn_figure(figure: Any) -> Any:
    with styled():
        return figure.draw()


def drawn(figure: Any) -> list[Any]:
    axes: list[Any] = drawn_figure(figure).axes
    return axes


def test_panels_share_their_rows_and_draw_the_means_of_the_records(material: Any) -> None:
    axes = drawn(build(material()))
    assert [tick.get_text() for tick in axes[0].get_yticklabels()] == ["LUDP", "MF", "LightGCN"]
    for panel, means in zip(axes, MEANS.values(), strict=True):
        dots = [line for line in panel.lines if len(line.get_xdata()) == 1]
        assert [(float(dot.get_xdata()[0]), float(dot.get_ydata()[0])) for dot in dots] == [
            (pytest.approx(means[model]), row) for row, model in enumerate(("ludp", "mf", "lightgcn"))
        ]
        uprights = [line for line in panel.lines if list(line.get_ydata()) == [0, 1]]
        assert sorted(float(line.get_xdata()[0]) for line in uprights) == pytest.approx(
            sorted((means["ease"], means["popularity"]))
        )


def test_many_data_sets_stand_in_a_square(material: Any, make_facts: Any) -> None:
    call = material()
    more = [make_facts(name, data_hash=f"{name:.<16}", origin="made data") for name in ("one", "two")]
    axes = drawn(build(replace(call, recorded=[*call.facts, *more])))
    columns, rows = zip(*[each.get_subplotspec().get_geometry()[:2] for each in axes], strict=True)
    assert (len(axes), {*columns}, {*rows}) == (4, {2}, {2})


def test_the_form_for_a_phone_shows_the_same_in_one_column(material: Any) -> None:
    figure = build(material())
    wide, narrow = drawn(figure), drawn(replace(figure, draw=figure.draw_narrow))
    points = [
        [[*line.get_xdata(), *line.get_ydata()] for axes in form for line in axes.lines] for form in (wide, narrow)
    ]
    assert points[0] == points[1]
    geometry = [[axes.get_subplotspec().get_geometry()[:2] for axes in form] for form in (wide, narrow)]
    assert geometry == [[(1, 2)] * 2, [(2, 1)] * 2]


def test_the_points_and_bars_are_explained_once(material: Any) -> None:
    (legend,) = drawn_figure(build(material())).legends
    assert legend.get_title().get_text() == "test Recall@20 (1 seed, 95% interval over users)"


def test_a_baseline_far_below_has_its_number_and_no_line(material: Any) -> None:
    call = material()
    (panel, _) = panels_of(call)
    assert far_baselines(panel) == []
    near = min(low for label, (low, _) in panel.bars.items() if label in ("ludp", "mf", "lightgcn"))
    span = max(high for label, (_, high) in panel.bars.items() if label in ("ludp", "mf", "lightgcn")) - near

    def with_popularity(mean: float) -> Panel:
        moved = [
            replace(each, score=replace(each.score, mean=mean)) if each.label == "popularity" else each
            for each in panel.ranked
        ]
        return replace(panel, ranked=moved)

    assert far_baselines(with_popularity(near - 0.99 * FAR * span)) == []
    far = with_popularity(near - 1.01 * FAR * span)
    assert [each.label for each in far_baselines(far)] == ["popularity"]
    axes = Drawing().subplots()
    drawn_lines = _baselines(axes, far, {"ease": "-", "popularity": "--"})
    assert list(drawn_lines) == ["EASE"]
    assert [text.get_text() for text in axes.texts] == [f"\u25c2 Popularity {near - 1.01 * FAR * span:.3f}"]


def test_the_papers_places_stand_beside_real_data_only(material: Any, paper: Paper) -> None:
    call = material()
    real, made = call.facts
    assert paper_places(made, paper) == {}
    found = paper_places(real, paper)
    # Table 3, TikTok, Recall@10: .0613, .0582, .0577, .0561, .0536, .0526, .0513, .0466, .0433
    order = ("ludp", "lattice", "grcn", "lightgcn", "mmgcn", "vbpr", "ngcf", "mf", "acf")
    assert found == {model: place for place, model in enumerate(order, start=1)}
    texts = [[text.get_text() for text in axes.texts] for axes in drawn(build(call))]
    assert texts == [
        ["here", "1", "2", "3", "paper", "1", "8", "4"],
        ["here", "2", "1", "3"],
    ]


def test_the_csv_has_every_row_and_baselines_have_no_place(material: Any) -> None:
    rows = [dict(zip(CSV_HEADER, row, strict=True)) for row in build(material()).csv_rows]
    assert len(rows) == 10
    by_key = {(row["dataset"], row["model"]): row for row in rows}
    assert (by_key["tiktok", "ease"]["drawn_as"], by_key["tiktok", "ease"]["place"]) == ("line", None)
    assert (by_key["tiktok", "mf"]["place"], by_key["tiktok", "mf"]["paper_place"]) == (2, 8)
    assert by_key["movielens", "mf"]["paper_place"] is None
    assert by_key["movielens", "mf"]["mean"] == pytest.approx(0.5)


def test_a_model_without_its_runs_keeps_its_row_and_has_no_point(material: Any) -> None:
    call = material(without="lightgcn")
    figure = build(call)
    axes = drawn(figure)[1]
    assert [text.get_text() for text in axes.texts] == [
        "\u25c2 Popularity 0.200",
        "not run",
        "here",
        "2",
        "1",
        "-",
    ]
    assert len([line for line in axes.lines if len(line.get_xdata()) == 1]) == 2
    assert any("LightGCN (0 of 1 seeds)" in note for note in figure.notes)


def test_equal_scores_share_a_place_and_a_model_without_any_comes_last(material: Any) -> None:
    call = material()
    first, second = panels_of(call)
    assert places_among_trained(first) == {"ludp": 1, "mf": 2, "lightgcn": 3}
    assert common_order([first], ["grcn", "lightgcn", "ludp", "mf", "ease"]) == ["ludp", "mf", "lightgcn", "grcn"]
    assert common_order([first, second], ["lightgcn", "mf", "ludp"]) == ["mf", "ludp", "lightgcn"]
    partial = replace(second, ranked=[each for each in second.ranked if each.label != "mf"])
    assert common_order([first, partial], ["lightgcn", "mf", "ludp"])[-1] == "mf"  # whatever its place elsewhere


def test_the_overview_is_made_when_asked_and_with_all_artifacts() -> None:
    assert check_names(["overview"], ["mf"], is_tuned=False) == ["overview"]
    assert "overview" in check_names(["all"], ["mf"], is_tuned=False)
    assert "overview" not in check_names([], ["mf"], is_tuned=False)
