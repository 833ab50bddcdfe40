"""The patience figure: validation score kept and epochs trained under less patience, model by model. Pure.

The curve of a run that stopped after P epochs without a better validation score shows exactly where every smaller
patience would have stopped: training is the same until then.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from bench.report.figure import PAGE_WIDTH, Figure, plot_styles
from bench.report.labels import Name, name_line_ends
from bench.report.material import NO_MEAN, DataRuns, Material, runs_by_data
from bench.report.paper import Paper
from bench.report.tables.curves import is_level
from bench.report.wording import DATA_FIELDS, data_values, mean_over, metric_name, model_display, seeds
from bench.runs.records import RunRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

CSV_HEADER = (*DATA_FIELDS, "protocol", "model", "patience", "n_runs", "metric", "valid", "epochs")
PANEL_HEIGHT = 2.6
N_TICKS = 8


class Stop(NamedTuple):
    """Where a training ends: the validation score that it keeps, and the epochs that it has made."""

    score: float
    n_epochs: int


class Mean(NamedTuple):
    """The mean of a model's runs at one patience."""

    patience: int
    score: float
    n_epochs: float


Lines = dict[str, list[Mean]]  # by label


def build(material: Material) -> Figure:
    """Build the figure of a call."""
    return patience_figure(runs_by_data(material), material.paper)


def patience_figure(by_data: Sequence[DataRuns], paper: Paper) -> Figure:
    """Draw kept validation score and epochs made by patience, one row of two panels per data set.

    Args:
        by_data: the runs, data set by data set.
        paper: for names and colours.
    """
    used = by_data[0].protocol
    caption = (
        f"Validation {metric_name(used.selection_metric)} that training would have kept (left), and the epochs "
        f"that it would have made (right), had it stopped after fewer epochs without a better score. Means over "
        f"{seeds(by_data[0].n_asked)}, computed from the curves of the runs. A line that still rises at its right "
        f"end belongs to a model that would gain from more patience. Baselines have no epochs."
    )
    notes = [note for same in by_data for note in same.notes(paper, NO_MEAN)]
    by_patience = [(same, _lines(same)) for same in by_data]
    rows = [
        (*data_values(same.facts), used.tag, label, mean.patience, same.n_asked, used.selection_metric, *mean[1:])
        for same, lines in by_patience
        for label, line in lines.items()
        for mean in line
    ]
    return Figure("Patience", caption, tuple(notes), CSV_HEADER, tuple(rows), lambda: _draw(by_patience, paper))


def stopped(scores: Sequence[float], patience: int) -> Stop:
    """Return where the rule of `bench.engine.trainer` ends a training with these scores.

    Args:
        scores: validation scores, epoch by epoch.
        patience: epochs without a better score after which it stops, at least 1.
    """
    best = 0
    for place, score in enumerate(scores):
        if score > scores[best]:
            best = place
        if place - best >= patience:
            return Stop(scores[best], place + 1)
    return Stop(scores[best], len(scores))


def means(runs: Sequence[RunRecord]) -> list[Mean]:
    """Return the mean over the runs at every patience, up to the smallest that a run was made with."""
    curves = [[epoch.valid[run.protocol.selection_metric] for epoch in run.curve] for run in runs]
    by_patience = []
    # beyond the patience of a run its curve ends, so that larger values are unknown
    for patience in range(1, min(run.protocol.patience for run in runs) + 1):
        ends = [stopped(scores, patience) for scores in curves]
        score, n_epochs = (statistics.fmean(values) for values in zip(*ends, strict=True))
        by_patience.append(Mean(patience, score, n_epochs))
    return by_patience


def _lines(same: DataRuns) -> Lines:
    """Return the means of the models that have epochs and all their runs, by label."""
    return {
        label: means(runs)
        for label, runs in same.by_label.items()
        if len(runs) == same.n_asked and not is_level(runs)
    }


def _draw(by_patience: Sequence[tuple[DataRuns, Lines]], paper: Paper) -> Drawing:
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(PAGE_WIDTH, PANEL_HEIGHT * len(by_patience)), layout="constrained")
    panels = drawing.subplots(len(by_patience), 2, squeeze=False)
    named = []
    for (left, right), (same, lines) in zip(panels, by_patience, strict=True):
        ends: tuple[list[Name], list[Name]] = [], []
        for label, style in plot_styles(list(lines), paper).items():
            patience, scores, n_epochs = zip(*lines[label], strict=True)
            shared = {"markevery": max(1, len(patience) // N_TICKS), **style}
            for axes, values, names in zip((left, right), (scores, n_epochs), ends, strict=True):
                axes.plot(patience, values, **shared)
                names.append(Name(model_display(label, paper), patience[-1], values[-1], style["color"]))
        _label_axes(left, same, f"validation {metric_name(same.protocol.selection_metric)}")
        _label_axes(right, same, "epochs trained")
        named += [(left, ends[0]), (right, ends[1])]
    name_line_ends(drawing, named)
    return drawing


def _label_axes(axes: Axes, same: DataRuns, y_label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(same.heading)
    axes.set_xlabel(f"patience, epochs ({mean_over(same.n_asked)})")
    axes.set_ylabel(y_label)
    axes.xaxis.set_major_locator(MaxNLocator(N_TICKS, integer=True))
