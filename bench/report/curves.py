"""Layer 8. Learning curves: validation scores of all models by epoch and by second. Pure.

A thin line is a run; the line of a model is the mean of its runs, as far as all of them went. A control is fitted
in one go and is a level.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.protocol import SELECTION_METRIC
from bench.records import RunRecord
from bench.report.figure import PAGE_WIDTH, Figure, look
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.runs import DataRuns, runs_by_data
from bench.report.table import CsvValue
from bench.report.wording import DATA_FIELDS, data_notes, data_values, metric_name, model_display, seeds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

CSV_HEADER = (*DATA_FIELDS, "model", "repetition", "epoch", "seconds", f"valid_{SELECTION_METRIC}", "is_best")
MEAN = "mean"
PANEL_HEIGHT = 2.5  # inches
MANY = 200  # times the fewest seconds, from where powers of ten are ticks enough


class Point(NamedTuple):
    """The end of an epoch; seconds are those of training and validation since the first."""

    epoch: int
    seconds: float
    score: float


def build(material: Material) -> Figure:
    """The curves of a call."""
    return curves_figure(runs_by_data(material), material.paper)


def curves_figure(by_data: Sequence[DataRuns], paper: Paper) -> Figure:
    """Validation Recall@10 by epoch and by second, a row of two panels a data set.

    Args:
        by_data: the runs, data set by data set.
        paper: for names and colours.
    """
    n_asked = by_data[0].n_asked
    lines = (
        f"Thin lines are single runs ({seeds(n_asked)}), thick ones their mean as far as all of them went."
        if n_asked > 1
        else f"One run a model ({seeds(n_asked)})."
    )
    caption = (
        f"{metric_name(SELECTION_METRIC)} on the validation part by epoch and by seconds of training and "
        f"validation. {lines} Markers are the epochs whose parameters were kept. Controls have no epochs; their "
        f"levels are grey."
    )
    notes = [
        note for same in by_data for note in (*data_notes(same.facts, same.heading, paper), *_gaps(same, paper))
    ]
    rows = [
        (*data_values(same.facts), label, *row)
        for same in by_data
        for label, runs in same.by_label.items()
        for row in _rows(runs, same.n_asked)
    ]
    return Figure("Learning curves", caption, tuple(notes), CSV_HEADER, tuple(rows), lambda: _draw(by_data, paper))


def points(run: RunRecord) -> list[Point]:
    """The curve of a finished run."""
    seconds = accumulate(epoch.train_seconds + epoch.valid_seconds for epoch in run.curve)
    return [
        Point(epoch.epoch, at, epoch.valid[SELECTION_METRIC]) for epoch, at in zip(run.curve, seconds, strict=True)
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


def _gaps(same: DataRuns, paper: Paper) -> list[str]:
    named = same.gaps(paper)
    return [f"{same.heading}: not all runs are there, and no mean is drawn: {named}."] if named else []


def _is_level(runs: Sequence[RunRecord]) -> bool:
    """Whether nothing was trained."""
    return all(epoch.loss is None for run in runs for epoch in run.curve)


def _has_mean(runs: Sequence[RunRecord], n_asked: int) -> bool:
    return len(runs) == n_asked > 1


def _rows(runs: Sequence[RunRecord], n_asked: int) -> list[tuple[CsvValue, ...]]:
    """What is drawn of a model: its runs and their mean."""
    rows: list[tuple[CsvValue, ...]] = [
        (run.spec.repetition, *point, point.epoch == run.best_epoch) for run in runs for point in points(run)
    ]
    if _has_mean(runs, n_asked):
        rows += [(MEAN, *point, None) for point in mean_points(runs)]
    return rows


def _draw(by_data: Sequence[DataRuns], paper: Paper) -> Drawing:
    from matplotlib.figure import Figure as Drawing
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    drawing = Drawing(figsize=(PAGE_WIDTH, PANEL_HEIGHT * len(by_data)), layout="constrained")
    panels = drawing.subplots(len(by_data), 2, squeeze=False, sharey="row")
    for (left, right), same in zip(panels, by_data, strict=True):
        for axes in (left, right):
            for label, style in look(list(same.by_label), paper).items():
                _model(axes, same, label, style, model_display(label, paper), by_seconds=axes is right)
            axes.set_title(same.heading)
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
        left.set_xlabel("epoch")
        left.set_ylabel(f"validation {metric_name(SELECTION_METRIC)} ({seeds(same.n_asked)})")
        right.set_xscale("log")
        low, high = right.get_xlim()
        right.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < MANY * low else (1,)))
        right.xaxis.set_major_formatter("{x:g}")
        right.xaxis.set_minor_locator(NullLocator())
        right.set_xlabel("seconds (log scale)")
        right.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return drawing


def _model(axes: Axes, same: DataRuns, label: str, style: Mapping[str, Any], name: str, by_seconds: bool) -> None:
    """The lines of one model; only its first carries the name, so that the legend has it once."""
    runs, n_asked = same.by_label[label], same.n_asked
    if not runs:
        return
    if len(runs) < n_asked:
        name = f"{name} ({len(runs)} of {n_asked})"
    if _is_level(runs):
        level = statistics.fmean(points(run)[-1].score for run in runs)
        axes.axhline(
            level, label=name, **{key: style[key] for key in ("color", "linestyle", "linewidth", "zorder")}
        )
        return
    plain = {key: value for key, value in style.items() if key != "marker"}
    thin = {"linewidth": 0.5, "alpha": 0.5} if n_asked > 1 else {}
    for run in runs:
        best = [point.epoch == run.best_epoch for point in points(run)].index(True)
        axes.plot(*_along(points(run), by_seconds), marker=style["marker"], markevery=[best], **plain | thin)
    mean = mean_points(runs) if _has_mean(runs, n_asked) else []
    axes.plot(*_along(mean, by_seconds), **plain)
    axes.plot([], [], label=name, **style)


def _along(curve: Sequence[Point], by_seconds: bool) -> tuple[list[float], list[float]]:
    return [point.seconds if by_seconds else point.epoch for point in curve], [point.score for point in curve]
