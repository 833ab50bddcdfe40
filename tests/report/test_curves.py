"""Learning curves: what is drawn is what the CSV says; means, gaps and levels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.core.types import EpochFacts
from bench.report.figure import Figure, plot_styles, styled, write_figure
from bench.report.material import DataRuns
from bench.report.paper import Paper
from bench.report.tables.curves import CSV_HEADER, curves_figure


def drawn(figure: Figure) -> list[Any]:
    """Its panels."""
    with styled():
        return figure.draw().axes


def drawn_parts(figure: Figure) -> list[Any]:
    """The halves of its data sets: by epoch, and by second."""
    with styled():
        return list(figure.draw().subfigs)


def epochs(*pairs: tuple[float, float], loss: float | None = 0.5) -> list[EpochFacts]:
    """An epoch a pair of seconds and validation score; a fifth of the seconds is validation."""
    return [
        EpochFacts(
            epoch=place, loss=loss, train_seconds=0.8 * took, valid_seconds=0.2 * took, valid={"recall@20": score}
        )
        for place, (took, score) in enumerate(pairs, 1)
    ]


@pytest.fixture
def learning(make_facts: Any, make_record: Any) -> DataRuns:
    """Two seeds: a model whose runs differ in length, one with a run missing, a control, and one without runs."""
    facts = make_facts()

    def run(label: str, repetition: int, best: int, curve: list[EpochFacts]) -> Any:
        return make_record(label, repetition, facts=facts, curve=curve, best_epoch=best)

    return DataRuns(
        facts,
        facts.label,
        {
            "mf": [
                run("mf", 0, 2, epochs((1.0, 0.1), (1.0, 0.3), (2.0, 0.2))),
                run("mf", 1, 1, epochs((3.0, 0.2), (1.0, 0.1))),
            ],
            "ludp": [run("ludp", 1, 2, epochs((5.0, 0.1), (5.0, 0.4)))],
            "acf": [],
            "popularity": [run("popularity", seed, 1, epochs((0.1, 0.05), loss=None)) for seed in (0, 1)],
        },
        n_asked=2,
    )


def test_curves_draw_runs_and_their_mean(learning: DataRuns, paper: Paper) -> None:
    figure = curves_figure([learning], paper)
    rows = [dict(zip(CSV_HEADER, row, strict=True)) for row in figure.csv_rows]
    mf = {key: [row for row in rows if (row["model"], row["repetition"]) == ("mf", key)] for key in (0, 1, "mean")}
    assert [row["seconds"] for row in mf[0]] == pytest.approx([1.0, 2.0, 4.0])
    assert [row["is_best"] for row in mf[0]] == [False, True, False]
    mean = [(row["epoch"], row["seconds"], row["valid"]) for row in mf["mean"]]
    assert mean == [pytest.approx((1, 2.0, 0.15)), pytest.approx((2, 3.0, 0.2))]  # as far as both runs went
    assert {row["repetition"] for row in rows if row["model"] == "ludp"} == {1}
    mf_by_epoch, ludp_by_epoch, by_second = drawn(figure)
    colour = plot_styles(list(learning.by_label), paper)["mf"]["color"]
    own = [line for line in mf_by_epoch.lines if line.get_color() == colour]
    for line, repetition in zip(own, (0, 1, "mean"), strict=True):
        assert list(line.get_xdata()) == [row["epoch"] for row in mf[repetition]]
        assert list(line.get_ydata()) == [row["valid"] for row in mf[repetition]]
    assert [line.get_markevery() for line in own[:2]] == [[1], [0]]
    assert own[0].get_linewidth() < own[2].get_linewidth()
    (line,) = [line for line in by_second.lines if line.get_color() == colour]
    assert list(line.get_xdata()) == [row["seconds"] for row in mf["mean"]]
    assert list(line.get_ydata()) == [row["valid"] for row in mf["mean"]]
    assert line.get_markevery() == own[2].get_markevery() == [1]  # the mean of the epochs 2 and 1, on the line
    assert [axes.get_title() for axes in (mf_by_epoch, ludp_by_epoch)] == ["MF ‡", "LUDP (1 of 2)"]
    assert by_second.get_ylabel() == "validation Recall@20"
    assert by_second.get_xlabel().endswith("(mean of 2 seeds)")


def test_curves_show_gaps_and_levels(learning: DataRuns, paper: Paper) -> None:
    figure = curves_figure([learning], paper)
    (upper, _), panels = drawn_parts(figure), drawn(figure)
    assert upper.get_suptitle() == "tiktok [real, random split]"
    for axes in panels:
        levels = [line for line in axes.lines if list(line.get_ydata()) == [0.05, 0.05]]
        assert [list(level.get_xdata()) for level in levels] == [[0, 1]]  # across the panel
    for axes in panels[1:]:
        own = [line for line in axes.lines if line.get_color() == "#000000" and len(line.get_xdata())]
        assert len(own) == 1  # of an incomplete model the run, and no mean
    names = {text.get_text(): text.xy[1] for text in panels[-1].texts}
    ends = {"MF ‡": 0.2, "LUDP (1 of 2)": 0.4, "Popularity (best baseline)": 0.05}
    assert names == pytest.approx(ends)  # each at the height where its line ends
    assert panels[-1].get_legend() is None
    assert panels[-1].get_title(loc="left") == "‡ best at the start: 2 of 3 runs"
    (note,) = [note for note in figure.notes if "no mean is drawn" in note]
    assert note.endswith("LUDP (1 of 2 seeds), ACF (0 of 2 seeds).")


def test_only_the_best_baseline_is_drawn(make_record: Any, make_facts: Any, paper: Paper) -> None:
    facts = make_facts()
    runs = {
        label: [make_record(label, 0, facts=facts, curve=epochs((0.1, level), loss=None), best_epoch=1)]
        for label, level in {"popularity": 0.05, "ease": 0.2, "itemknn": 0.1}.items()
    }
    runs["mf"] = [make_record("mf", 0, facts=facts, curve=epochs((1.0, 0.1), (1.0, 0.3)), best_epoch=2)]
    for axes in drawn(curves_figure([DataRuns(facts, facts.label, runs, n_asked=1)], paper)):
        levels = [line.get_ydata() for line in axes.lines if list(line.get_xdata()) == [0, 1]]
        assert [list(level) for level in levels] == [[0.2, 0.2]]


def test_panels_are_as_many_as_models_and_fill_rows(make_record: Any, make_facts: Any, paper: Paper) -> None:
    facts, curve = make_facts(), epochs((1.0, 0.1), (1.0, 0.3))
    labels = ["mf", "vbpr", "acf", "ngcf", "mmgcn", "lightgcn"]
    runs = {label: [make_record(label, 0, facts=facts, curve=curve, best_epoch=2)] for label in labels}
    figure = curves_figure([DataRuns(facts, facts.label, runs, n_asked=1)] * 2, paper)
    titles = [axes.get_title() for axes in drawn(figure)]
    assert titles == [*["MF", "VBPR", "ACF", "NGCF", "MMGCN", "LightGCN", ""]] * 2


def test_the_same_numbers_give_the_same_bytes(learning: DataRuns, paper: Paper, tmp_path: Path) -> None:
    first, again = (write_figure(curves_figure([learning], paper), tmp_path / folder, "curves") for folder in "ab")
    assert all(one.read_bytes() == other.read_bytes() for one, other in zip(first, again, strict=True))


def test_one_seed_is_one_line(learning: DataRuns, paper: Paper) -> None:
    one = DataRuns(learning.facts, learning.heading, {"mf": learning.by_label["mf"][:1]}, n_asked=1)
    figure = curves_figure([one], paper)
    assert "One run per model (n=1 seed)" in figure.caption
    assert len(figure.csv_rows) == 3
    for axes in drawn(figure):
        line = axes.lines[0]
        assert line.get_linewidth() == plot_styles(["mf"], paper)["mf"]["linewidth"]
        assert line.get_alpha() is None
