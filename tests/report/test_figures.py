"""Figures: what is drawn is what the CSV says, gaps show, and a model looks the same everywhere."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer

from bench.core.names import model_of
from bench.engine import registry
from bench.report import experiments
from bench.report.figure import COLOURS, GREYS, Figure, plot_styles, styled, write_figure
from bench.report.paper import Paper
from bench.report.scores import Scores
from bench.report.tables.variation_forms import CSV_HEADER, NO_RUN
from bench.report.tables.variations import build_variations

ROWS: dict[str, Callable[[], Any]] = {
    "fig3": experiments.part_rows,
    "fig5": experiments.fusion_rows,
    "fig6": experiments.neighbour_rows,
}
BUILDERS: dict[str, Any] = {name: partial(build_variations, name) for name in ROWS}
# Simulation of dichromats' vision in linear RGB: Machado, Oliveira, Fernandes, IEEE TVCG 15(6), 2009, severity 1.
VISION = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(colour: str, vision: Any) -> Any:
    """CIELAB of a colour as somebody sees it."""
    rgb = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(np.array(vision) @ linear, 0, 1) / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def drawn(figure: Figure) -> list[Any]:
    """The panels that hold something."""
    with styled():
        return [axes for axes in figure.draw().axes if axes.axison]


def bars(axes: Any, is_upright: bool) -> list[tuple[float, float, float | None]]:
    """Place, value and half-length of the bar of every point, in the order drawn."""
    found = []
    for container in (each for each in axes.containers if isinstance(each, ErrorbarContainer)):
        (x,), (y,) = container[0].get_data()
        place, value = (x, y) if is_upright else (y, x)
        low_high = [segment[:, 1 if is_upright else 0] for part in container[2] for segment in part.get_segments()]
        found.append((float(place), float(value), float(np.ptp(low_high[0])) / 2 if low_high else None))
    return found


@pytest.fixture
def scores(make_record: Any) -> Any:
    def make(
        labels: list[str], facts: list[Any], n_seeds: int, leave_out: tuple[tuple[str, int], ...] = ()
    ) -> Scores:
        """Different scores everywhere."""
        records = [
            make_record(
                label, repetition,
                {f"{metric}@10": 0.1 + 0.01 * place + 0.1 * each + 0.003 * repetition**2
                 for place, metric in enumerate(("precision", "recall", "ndcg"), position)},
                facts[each],
            )
            for each in range(len(facts))
            for position, label in enumerate(labels)
            for repetition in range(n_seeds)
            if (label, repetition) not in leave_out
        ]  # fmt: skip
        return Scores(records, n_seeds)

    return make


def labels_of(name: str) -> list[str]:
    return [row.label for row in ROWS[name]().values()]


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("n_seeds", [1, 3])
def test_what_is_drawn_is_what_the_csv_says(
    name: str, n_seeds: int, make_facts: Any, scores: Any, paper: Paper
) -> None:
    facts = [make_facts(), make_facts("movielens", source="surrogate", scale=0.1, data_hash="b" * 16)]
    figure = BUILDERS[name](scores(labels_of(name), facts, n_seeds), facts, paper)
    rows = [dict(zip(CSV_HEADER, row, strict=True)) for row in figure.csv_rows]
    panels = drawn(figure)
    groups = [list(group) for _, group in itertools.groupby(rows, key=lambda row: (row["data"], row["metric"]))]
    assert len(panels) == len(groups) == len(facts) * (1 if name == "fig5" else 3)
    is_upright = name == "fig6"
    named = [axes.get_title(loc="left") or axes.get_title() for axes in panels]
    assert list(dict.fromkeys(filter(None, named))) == [each.label for each in facts]  # once a row
    for axes, group in zip(panels, groups, strict=True):
        score_axis = axes.get_ylabel() if is_upright else axes.get_xlabel()
        bars_are = "mean, SD over 3 seeds" if n_seeds == 3 else "1 seed"
        assert score_axis.lower() == f"{group[0]['metric']}\n({bars_are.lower()})"
        places = experiments.KNN_K if is_upright else range(len(group))
        assert [(place, value) for place, value, _ in bars(axes, is_upright)] == [
            (place, row["mean"]) for place, row in zip(places, group, strict=True)
        ]
        for (_, _, half), row in zip(bars(axes, is_upright), group, strict=True):
            assert half == (None if n_seeds == 1 else pytest.approx(row["sd"]))
        trend = [line for line in axes.lines if len(line.get_xdata()) == len(group) and is_upright]
        assert len(trend) == int(n_seeds > 1 and is_upright)  # one seed shows no trend
    assert ("n=1 seed, hence no error bars" in figure.caption) == (n_seeds == 1)


@pytest.mark.parametrize("name", ["fig3", "fig6"])
def test_precision_is_left_out_where_it_repeats_recall(
    name: str, make_facts: Any, make_record: Any, paper: Paper
) -> None:
    facts = [make_facts(), make_facts("movielens", data_hash="b" * 16)]
    records = [
        make_record(
            label, 0,
            {"recall@10": 0.1 + 0.01 * place, "precision@10": 0.01 + 0.001 * place + each * 0.01 * (place % 2)},
            facts[each],
        )
        for each in (0, 1) for place, label in enumerate(labels_of(name))
    ]  # fmt: skip
    figure = BUILDERS[name](Scores(records, 1), facts, paper)
    axis = "get_ylabel" if name == "fig6" else "get_xlabel"
    shown = [getattr(axes, axis)().partition("\n")[0] for axes in drawn(figure)]
    assert shown == ["Recall@10", "NDCG@10", "Precision@10", "Recall@10", "NDCG@10"]
    assert {row[CSV_HEADER.index("metric")] for row in figure.csv_rows} >= {"precision@10"}


@pytest.mark.parametrize("name", BUILDERS)
def test_gaps_say_how_many_runs_there_are(name: str, make_facts: Any, scores: Any, paper: Paper) -> None:
    facts, labels = [make_facts()], labels_of(name)
    missing = ((labels[0], 1), *((labels[2], repetition) for repetition in range(3)))
    figure = BUILDERS[name](scores(labels, facts, 3, missing), facts, paper)
    for axes in drawn(figure):
        words = [text.get_text() for text in axes.texts]
        assert sorted(words) == sorted(["2 of 3 seeds", NO_RUN])
        found = bars(axes, name == "fig6")
        assert len(found) == len(labels) - 2
        assert all(half is not None for _, _, half in found)
        if name == "fig3":
            assert not [line for line in axes.lines if line.get_linestyle() == ":"]  # the base is incomplete
        if name == "fig6":
            line = next(line for line in axes.lines if len(line.get_xdata()) == len(labels))
            assert [math.isnan(y) for y in line.get_ydata()] == [True, False, True, False]
    assert any("not compared" in note and "2 of 3 seeds" in note for note in figure.notes)


def test_figure_3_names_the_parts_from_above(make_facts: Any, scores: Any, paper: Paper) -> None:
    first, *_ = drawn(BUILDERS["fig3"](scores(labels_of("fig3"), [make_facts()], 1), [make_facts()], paper))
    assert [tick.get_text() for tick in first.get_yticklabels()] == [
        "base", "base + item graph", "base + user preference", "full",
    ]  # fmt: skip
    low, high = first.get_ylim()
    assert low > high


def test_the_same_numbers_give_the_same_bytes(make_facts: Any, scores: Any, paper: Paper, tmp_path: Path) -> None:
    facts = [make_facts()]
    for name, build in BUILDERS.items():
        made = [build(scores(labels_of(name), facts, 2), facts, paper) for _ in "ab"]
        first, again = (write_figure(one, tmp_path / folder, name) for one, folder in zip(made, "ab", strict=True))
        assert [path.suffix for path in first] == [".pdf", ".png", ".svg", ".csv", ".md"]
        assert all(one.read_bytes() == other.read_bytes() for one, other in zip(first, again, strict=True))


def test_a_model_looks_the_same_in_every_figure(paper: Paper) -> None:
    everything = plot_styles([*paper.models, *registry.names()[:3]], paper)
    for labels in (["ludp", "mf"], ["lattice"], ["ludp@literal", "ludp", "grcn"]):
        for label, style in plot_styles(labels, paper).items():
            model = model_of(label)
            assert all(style[key] == everything[model][key] for key in ("color", "marker", "linewidth"))
    colours = {model: everything[model]["color"] for model in paper.models}
    assert len(set(colours.values())) == len(paper.models)
    assert colours[paper.proposed] == "#000000"
    variants = plot_styles(["ludp", "ludp@a", "ludp@b"], paper)
    assert len({str(style["linestyle"]) for style in variants.values()}) == 3
    assert len({style["fillstyle"] for style in variants.values()}) == 3
    assert variants["ludp"]["fillstyle"] == "full"
    many = plot_styles(["ludp", *(f"ludp@{place}" for place in range(20))], paper).values()
    assert len({(str(style["linestyle"]), style["fillstyle"]) for style in many}) == 21
    others = [name for name in registry.names() if not paper.has_model(name)]
    assert {plot_styles(others, paper)[name]["color"] for name in others} <= set(GREYS)
    kinds = {(style["color"], str(style["linestyle"])) for style in plot_styles(others, paper).values()}
    assert len(kinds) == len(others)


@pytest.mark.parametrize("vision", VISION)
def test_colours_are_told_apart(vision: str) -> None:
    seen = [lab(colour, VISION[vision]) for colour in (*COLOURS, "#000000", GREYS[1])]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 15
