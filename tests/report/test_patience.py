"""What less patience would have kept is what the training loop does with it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.types import EpochFacts
from bench.engine.trainer import TrainResult, TrainSettings, _is_over
from bench.report.figure import Figure, styled
from bench.report.material import DataRuns
from bench.report.paper import Paper
from bench.report.tables.patience import CSV_HEADER, means, patience_figure, stopped


def curve(*scores: float, loss: float | None = 0.5) -> list[EpochFacts]:
    return [
        EpochFacts(epoch=place, loss=loss, train_seconds=1.0, valid_seconds=0.1, valid={"recall@20": score})
        for place, score in enumerate(scores, 1)
    ]


def looped(scores: list[float], patience: int) -> tuple[float, int]:
    """The rule of `bench.engine.trainer`, epoch by epoch."""
    result = TrainResult(best_epoch=0, best_score=float("-inf"), best_state={}, curve=[])
    settings = TrainSettings(max_epochs=len(scores), patience=patience, triples_seed=1, model_seed=1)
    while not _is_over(result, settings):
        score = scores[len(result.curve)]
        result.curve += curve(score)
        if score > result.best_score:
            result.best_epoch, result.best_score = len(result.curve), score
    return result.best_score, len(result.curve)


@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4]), min_size=1, max_size=30), st.integers(1, 12))
def test_a_shorter_wait_ends_where_the_loop_would(scores: list[float], patience: int) -> None:
    assert stopped(scores, patience) == looped(scores, patience)


def test_a_plateau_is_left_by_patience_alone() -> None:
    scores = [0.2, 0.1, 0.1, 0.3, 0.2, 0.2, 0.2]
    assert [stopped(scores, patience) for patience in (1, 2, 3)] == [(0.2, 2), (0.2, 3), (0.3, 7)]


@pytest.fixture
def runs(make_facts: Any, make_record: Any) -> DataRuns:
    facts = make_facts()

    def run(label: str, repetition: int, *scores: float, loss: float | None = 0.5) -> Any:
        best = scores.index(max(scores)) + 1
        return make_record(
            label, repetition, facts=facts, curve=curve(*scores, loss=loss), best_epoch=best, patience=3
        )

    by_label = {
        "mf": [run("mf", 0, 0.2, 0.1, 0.1, 0.3, 0.2, 0.2, 0.2), run("mf", 1, 0.1, 0.2, 0.3, 0.2, 0.2, 0.2)],
        "ludp": [run("ludp", 1, 0.1, 0.4, 0.4, 0.4, 0.4)],
        "acf": [],
        "popularity": [run("popularity", seed, 0.05, loss=None) for seed in (0, 1)],
    }
    return DataRuns(facts, facts.label, by_label, n_asked=2)


def rows_of(figure: Figure) -> list[dict[str, Any]]:
    return [dict(zip(CSV_HEADER, row, strict=True)) for row in figure.csv_rows]


def test_means_are_over_all_runs_at_every_patience(runs: DataRuns) -> None:
    found = means(runs.by_label["mf"])
    assert [mean.patience for mean in found] == [1, 2, 3]
    assert [mean.score for mean in found] == pytest.approx([0.25, 0.25, 0.3])
    assert [mean.n_epochs for mean in found] == pytest.approx([(2 + 4) / 2, (3 + 5) / 2, (7 + 6) / 2])


def test_what_is_drawn_is_what_the_csv_says(runs: DataRuns, paper: Paper) -> None:
    figure = patience_figure([runs], paper)
    rows = rows_of(figure)
    assert {row["model"] for row in rows} == {"mf"}  # neither a control nor what lacks a run
    with styled():
        left, right = figure.draw().axes
    for axes, key in ((left, "valid"), (right, "epochs")):
        (line,) = axes.lines
        assert list(line.get_xdata()) == [row["patience"] for row in rows]
        assert list(line.get_ydata()) == [row[key] for row in rows]
    assert left.get_ylabel() == "validation Recall@20"
    assert left.get_xlabel() == "patience, epochs (mean of 2 seeds)"
    assert [text.get_text() for text in left.texts] == [text.get_text() for text in right.texts] == ["MF"]
    (note,) = [note for note in figure.notes if "no mean is drawn" in note]
    assert note.endswith("LUDP (1 of 2 seeds), ACF (0 of 2 seeds).")


def test_without_any_whole_model_the_panels_are_empty(runs: DataRuns, paper: Paper) -> None:
    figure = patience_figure([DataRuns(runs.facts, runs.heading, {"acf": []}, n_asked=2)], paper)
    assert figure.csv_rows == ()
    with styled():
        assert all(not axes.lines for axes in figure.draw().axes)
