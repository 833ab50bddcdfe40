"""Layer 8. Learning curves: validation scores of all models by epoch and by second. Pure.

A model's mean is taken over its runs, as far as all of them went. A control is fitted in one go and is a level.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from bench.records import RunRecord
from bench.report.figure import Figure
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.runs import NO_MEAN, DataRuns, runs_by_data
from bench.report.stops import sign_notes, sign_sentence, stops_of
from bench.report.table import CsvValue
from bench.report.wording import DATA_FIELDS, data_values, metric_name, model_display, seeds

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

CSV_HEADER = (*DATA_FIELDS, "protocol", "model", "repetition", "epoch", "seconds", "metric", "valid", "is_best")
MEAN = "mean"


class Point(NamedTuple):
    """The end of an epoch; seconds are those of training and validation since the first."""

    epoch: int
    seconds: float
    score: float


def build(material: Material) -> Figure:
    """The curves of a call."""
    return curves_figure(runs_by_data(material), material.paper)


def curves_figure(by_data: Sequence[DataRuns], paper: Paper) -> Figure:
    """Validation scores by epoch, a panel a model, and by second, all models in one; data set by data set.

    Args:
        by_data: the runs, data set by data set.
        paper: for names and colours.
    """
    n_asked, used = by_data[0].n_asked, by_data[0].protocol
    lines = (
        f"Thin lines are single runs ({seeds(n_asked)}) with markers at the epochs whose parameters were kept, "
        f"thick ones their mean as far as all of them went. By seconds only means are drawn; a marker is the "
        f"mean time and score of the kept epochs."
        if n_asked > 1
        else f"One run a model ({seeds(n_asked)}); markers are the epochs whose parameters were kept."
    )
    caption = (
        f"{metric_name(used.selection_metric)} on the validation part by epoch, model by model, and by seconds of "
        f"training and validation. {lines} Controls have no epochs; their levels are grey."
    )
    signs = sign_sentence(stops_of(runs) for same in by_data for runs in same.by_label.values())
    caption = f"{caption} {signs}" if signs else caption
    notes = [note for same in by_data for note in (*same.notes(paper, NO_MEAN), *_end_notes(same, paper))]
    rows = [
        (*data_values(same.facts), used.tag, label, *row)
        for same in by_data
        for label, runs in same.by_label.items()
        for row in _rows(runs, same.n_asked)
    ]
    return Figure("Learning curves", caption, tuple(notes), CSV_HEADER, tuple(rows), lambda: _draw(by_data, paper))


def points(run: RunRecord) -> list[Point]:
    """The curve of a finished run."""
    seconds = accumulate(epoch.train_seconds + epoch.valid_seconds for epoch in run.curve)
    return [
        Point(epoch.epoch, at, epoch.valid[run.protocol.selection_metric])
        for epoch, at in zip(run.curve, seconds, strict=True)
    ]


def mean_points(runs: Sequence[RunRecord]) -> list[Point]:
    """The mean of the runs, epoch by epoch, as far as all of them went."""
    by_epoch = zip(*(points(run) for run in runs), strict=False)
    return [
        Point(
            same[0].epoch,
            statistics.fmean(point.seconds for point in same),
            statistics.fmean(point.score for point in same),
        )
        for same in by_epoch
    ]


def kept_point(runs: Sequence[RunRecord]) -> tuple[float, float]:
    """Mean seconds until, and mean score at, the epochs whose parameters were kept."""
    kept = [next(point for point in points(run) if point.epoch == run.best_epoch) for run in runs]
    return statistics.fmean(point.seconds for point in kept), statistics.fmean(point.score for point in kept)


def is_level(runs: Sequence[RunRecord]) -> bool:
    """Whether nothing was trained."""
    return all(epoch.loss is None for run in runs for epoch in run.curve)


def has_mean(runs: Sequence[RunRecord], n_asked: int) -> bool:
    """Whether there are several runs and none is missing."""
    return len(runs) == n_asked > 1


def _end_notes(same: DataRuns, paper: Paper) -> list[str]:
    """What the signs behind the models' names say."""
    ends = {model_display(label, paper): stops_of(runs) for label, runs in same.by_label.items()}
    return sign_notes(same.heading, ends)


def _rows(runs: Sequence[RunRecord], n_asked: int) -> list[tuple[CsvValue, ...]]:
    """What is drawn of a model: its runs and their mean."""

    def row(repetition: CsvValue, point: Point, is_best: CsvValue) -> tuple[CsvValue, ...]:
        metric = runs[0].protocol.selection_metric
        return repetition, point.epoch, point.seconds, metric, point.score, is_best

    rows = [row(run.spec.repetition, each, each.epoch == run.best_epoch) for run in runs for each in points(run)]
    if has_mean(runs, n_asked):
        rows += [row(MEAN, each, None) for each in mean_points(runs)]
    return rows


def _draw(by_data: Sequence[DataRuns], paper: Paper) -> Drawing:
    from bench.report.curves_drawing import draw_curves

    return draw_curves(by_data, paper)
