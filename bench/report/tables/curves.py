"""Learning curves: validation scores by epoch, one panel per model, and by second, all models in one panel. Pure.

A model's mean curve ends with the shortest of its runs. Simple baselines are fitted in one go: the best of them is
drawn, as a level.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.report.figure import PAGE_WIDTH, Figure, plot_styles
from bench.report.labels import Name, name_line_ends
from bench.report.material import NO_MEAN, DataRuns, Material, runs_by_data
from bench.report.paper import Paper
from bench.report.stops import sign_legend, sign_notes, sign_sentence, stops_of
from bench.report.table import CsvValue
from bench.report.wording import DATA_FIELDS, data_values, mean_over, metric_name, model_display, seeds
from bench.runs.records import RunRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing
    from matplotlib.figure import SubFigure

CSV_HEADER = (*DATA_FIELDS, "protocol", "model", "repetition", "epoch", "seconds", "metric", "valid", "is_best")
MEAN = "mean"
N_COLUMNS = 5
ROW_HEIGHT, WIDE_HEIGHT, NAME_HEIGHT = 1.2, 2.6, 0.14  # inches: of panels, and of a name at the end of a line
WIDE_RANGE = 200  # largest by smallest seconds, from where ticks at powers of ten suffice
THIN: dict[str, Any] = {"linewidth": 0.5, "alpha": 0.6}
LEVEL_STYLE = ("color", "linewidth", "zorder")  # keys of a model's style that its level takes

Style = dict[str, Any]


class Point(NamedTuple):
    """The end of an epoch; seconds count training and validation since the run's start."""

    epoch: int
    seconds: float
    score: float


def build(material: Material) -> Figure:
    """Build the learning curves of a call."""
    return curves_figure(runs_by_data(material), material.paper)


def curves_figure(by_data: Sequence[DataRuns], paper: Paper) -> Figure:
    """Draw validation scores by epoch, one panel per model, and by second, all models in one panel.

    Args:
        by_data: the runs, data set by data set.
        paper: for names and colours.
    """
    n_asked, used = by_data[0].n_asked, by_data[0].protocol
    lines = (
        f"Thin lines are single runs ({seeds(n_asked)}) with markers at the epochs whose parameters were kept, "
        f"thick ones their mean as far as all of them went, with a marker at the mean of the kept epochs. By "
        f"seconds only means are drawn."
        if n_asked > 1
        else f"One run per model ({seeds(n_asked)}); markers are the epochs whose parameters were kept."
    )
    caption = (
        f"{metric_name(used.selection_metric)} on the validation part by epoch, model by model, and by seconds of "
        f"training and validation. {lines} Simple baselines have no epochs; the level of the best one is grey."
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
    """Return the curve of a finished run."""
    seconds = accumulate(epoch.train_seconds + epoch.valid_seconds for epoch in run.curve)
    return [
        Point(epoch.epoch, at, epoch.valid[run.protocol.selection_metric])
        for epoch, at in zip(run.curve, seconds, strict=True)
    ]


def mean_points(runs: Sequence[RunRecord]) -> list[Point]:
    """Return the mean of the runs, epoch by epoch, up to the last epoch of the shortest run."""
    by_epoch = zip(*(points(run) for run in runs), strict=False)  # ends with the shortest run
    return [
        Point(
            same[0].epoch,
            statistics.fmean(point.seconds for point in same),
            statistics.fmean(point.score for point in same),
        )
        for same in by_epoch
    ]


def kept_place(runs: Sequence[RunRecord]) -> int:
    """Return the place, on the mean curve, of the mean epoch whose parameters were kept; the last one at most."""
    mean_epoch = round(statistics.fmean(run.best_epoch or 1 for run in runs))
    return min(mean_epoch, len(mean_points(runs))) - 1


def is_level(runs: Sequence[RunRecord]) -> bool:
    """Return whether the runs trained nothing, so that their curve is one level."""
    return all(epoch.loss is None for run in runs for epoch in run.curve)


def has_mean(runs: Sequence[RunRecord], n_asked: int) -> bool:
    """Return whether several runs were planned and none is missing."""
    return len(runs) == n_asked > 1


def _end_notes(same: DataRuns, paper: Paper) -> list[str]:
    """Explain the signs behind the models' names."""
    ends = {model_display(label, paper): stops_of(runs) for label, runs in same.by_label.items()}
    return sign_notes(same.heading, ends)


def _rows(runs: Sequence[RunRecord], n_asked: int) -> list[tuple[CsvValue, ...]]:
    """Return the CSV rows of a model: its runs and their mean."""

    def row(repetition: CsvValue, point: Point, is_best: CsvValue) -> tuple[CsvValue, ...]:
        metric = runs[0].protocol.selection_metric
        return repetition, point.epoch, point.seconds, metric, point.score, is_best

    rows = [row(run.spec.repetition, each, each.epoch == run.best_epoch) for run in runs for each in points(run)]
    if has_mean(runs, n_asked):
        rows += [row(MEAN, each, None) for each in mean_points(runs)]
    return rows


def _draw(by_data: Sequence[DataRuns], paper: Paper) -> Drawing:
    from matplotlib.figure import Figure as Drawing

    heights = [
        (ROW_HEIGHT * _n_rows(same), max(WIDE_HEIGHT, 0.7 + NAME_HEIGHT * len(same.by_label))) for same in by_data
    ]
    drawing = Drawing(figsize=(PAGE_WIDTH, sum(map(sum, heights))), layout="constrained")
    ratios = [part for pair in heights for part in pair]
    parts = drawing.subfigures(len(ratios), 1, squeeze=False, height_ratios=ratios)[:, 0]
    named = []
    for upper, lower, same in zip(parts[::2], parts[1::2], by_data, strict=True):
        styles = plot_styles(list(same.by_label), paper)
        _by_epoch(upper, same, styles, paper)
        named.append(_by_second(lower, same, styles, paper))
    name_line_ends(drawing, named)
    return drawing


def _n_rows(same: DataRuns) -> int:
    return max(1, math.ceil(len(_trained(same)) / N_COLUMNS))


def _trained(same: DataRuns) -> list[str]:
    return [label for label, runs in same.by_label.items() if runs and not is_level(runs)]


def _best_level(same: DataRuns) -> dict[str, float]:
    """Return the level of the best simple baseline by its label; empty without baselines."""
    levels = {
        label: statistics.fmean(points(run)[-1].score for run in runs)
        for label, runs in same.by_label.items()
        if runs and is_level(runs)
    }
    best = max(levels, key=levels.__getitem__, default=None)
    return {} if best is None else {best: levels[best]}


def _by_epoch(part: SubFigure, same: DataRuns, styles: Mapping[str, Style], paper: Paper) -> None:
    from matplotlib.ticker import MaxNLocator

    part.suptitle(same.heading, fontsize=8)
    part.supylabel(f"validation {metric_name(same.protocol.selection_metric)}", fontsize=8)
    part.supxlabel("epoch", fontsize=8)
    panels = list(part.subplots(_n_rows(same), N_COLUMNS, squeeze=False, sharex=True, sharey=True).flat)
    for axes, label in zip(panels, _trained(same), strict=False):
        runs, style = same.by_label[label], styles[label]
        _draw_level(axes, same, styles, {"linewidth": 0.7})
        _draw_runs(axes, runs, style, same.n_asked, by_seconds=False)
        if has_mean(runs, same.n_asked):
            _draw_mean(axes, runs, style, by_seconds=False)
        axes.set_title(_name(label, same, paper))
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    n_drawn = len(_trained(same))
    for axes in panels[max(0, n_drawn - N_COLUMNS) : n_drawn]:  # the lowest panel of every column
        axes.tick_params(labelbottom=True)
    for axes in panels[n_drawn:]:
        axes.remove()


def _by_second(
    part: SubFigure, same: DataRuns, styles: Mapping[str, Style], paper: Paper
) -> tuple[Axes, list[Name]]:
    """Draw all models in one panel; return it with the names and ends of its lines."""
    from matplotlib.ticker import LogLocator, NullLocator

    axes, names = part.subplots(), list[Name]()
    for label in _trained(same):
        end = _draw_model(axes, same, label, styles[label])
        names.append(Name(_name(label, same, paper), end.seconds, end.score, styles[label]["color"]))
    for label, level in _draw_level(axes, same, styles, {}).items():
        last = max((name.x for name in names), default=1.0)
        names.append(Name(f"{_name(label, same, paper)} (best baseline)", last, level, styles[label]["color"]))
    words = "; ".join(sign_legend(map(stops_of, same.by_label.values())))
    axes.set_title(words, fontsize=7, loc="left")
    axes.set_ylabel(f"validation {metric_name(same.protocol.selection_metric)}")
    axes.set_xlabel(f"seconds of training and validation, log scale ({mean_over(same.n_asked)})")
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < WIDE_RANGE * low else (1,)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    return axes, names


def _draw_model(axes: Axes, same: DataRuns, label: str, style: Style) -> Point:
    """Draw the mean curve, or single runs if some are missing; return the point where the line ends."""
    runs = same.by_label[label]
    if has_mean(runs, same.n_asked):
        _draw_mean(axes, runs, style, by_seconds=True)
        return mean_points(runs)[-1]
    _draw_runs(axes, runs, style, same.n_asked, by_seconds=True)
    return max((points(run)[-1] for run in runs), key=lambda point: point.seconds)


def _draw_mean(axes: Axes, runs: Sequence[RunRecord], style: Style, by_seconds: bool) -> None:
    """Draw the mean curve with a marker on it at the mean kept epoch."""
    curve = mean_points(runs)
    axes.plot(*_along(curve, by_seconds), **style | {"markevery": [kept_place(runs)], "markersize": 5})


def _draw_runs(axes: Axes, runs: Sequence[RunRecord], style: Style, n_asked: int, by_seconds: bool) -> None:
    thin = THIN if n_asked > 1 else {}
    for run in runs:
        best = [point.epoch == run.best_epoch for point in points(run)].index(True)
        marks = {"marker": style["marker"], "fillstyle": style["fillstyle"], "markevery": [best]}
        axes.plot(*_along(points(run), by_seconds), **_line(style) | thin | marks)


def _draw_level(axes: Axes, same: DataRuns, styles: Mapping[str, Style], other: Style) -> dict[str, float]:
    """Draw the level of the best simple baseline and return it by label."""
    best = _best_level(same)
    for label, level in best.items():
        axes.axhline(level, **{key: styles[label][key] for key in LEVEL_STYLE} | {"linestyle": "--"} | other)
    return best


def _name(label: str, same: DataRuns, paper: Paper) -> str:
    runs = same.by_label[label]
    name, n = model_display(label, paper) + stops_of(runs).signs, len(runs)
    return name if n == same.n_asked else f"{name} ({n} of {same.n_asked})"


def _line(style: Style) -> dict[str, Any]:
    return {key: value for key, value in style.items() if key not in {"marker", "fillstyle"}}


def _along(curve: Sequence[Point], by_seconds: bool) -> tuple[list[float], list[float]]:
    return [point.seconds if by_seconds else point.epoch for point in curve], [point.score for point in curve]
