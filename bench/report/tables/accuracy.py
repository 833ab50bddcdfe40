"""The two first figures: accuracy of all models as a dot plot, and accuracy against the time of a run.

Reads stored lists for intervals over users; writes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bench.report.figure import COLUMN_WIDTH, PAGE_WIDTH, TIP, Figure, plot_styles
from bench.report.labels import Name, name_points
from bench.report.material import NO_MEAN, DataRuns, Material, runs_by_data
from bench.report.ranking import (
    Interval,
    Standing,
    interval_name,
    interval_over,
    intervals,
    second_metric,
    standings,
)
from bench.report.table import CsvValue
from bench.report.tables.cost import machines
from bench.report.wording import DATA_FIELDS, data_values, mean_over, metric_name, seeds
from bench.runs.controls import is_control

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

CSV_HEADER = (
    *DATA_FIELDS,
    *("protocol", "model", "kind", "place", "metric", "mean", "sd", "ci_low", "ci_high", "interval_over"),
    *("second_metric", "second_mean", "seconds", "on_front", "n_runs", "n_asked"),
)
NO_MODEL = "no model has all its runs"
N_COLUMNS = 2
DOT_HEIGHT, DOT_FRAME = 0.17, 0.75  # inches per model, and around the models of a panel
COST_HEIGHT = 3.1  # inches


@dataclass(frozen=True)
class Panel:
    """The models of one data set with what the figures draw of them.

    Attributes:
        same: the runs.
        ranked: models with all their runs, best first.
        bars: 95% intervals by label.
    """

    same: DataRuns
    ranked: Sequence[Standing]
    bars: Mapping[str, Interval]

    @property
    def best_baseline(self) -> Standing | None:
        """Return the best of the simple baselines; None without any."""
        return next((each for each in self.ranked if is_control(each.label)), None)

    @property
    def front(self) -> list[Standing]:
        """Return the models that no other model beats in both accuracy and time, by time."""
        timed = sorted((each for each in self.ranked if each.seconds), key=lambda each: (each.seconds, -each.mean))
        return [each for place, each in enumerate(timed) if all(each.mean > other.mean for other in timed[:place])]


def build(material: Material) -> Figure:
    """Build the dot plot of a call.

    Raises:
        ResultsError: stored lists are missing or damaged.
    """
    panels = panels_of(material)
    caption = (
        f"Test {metric_name(material.protocol.selection_metric)} of every model, best first: "
        f"{interval_name(material.n_seeds)}. Hollow grey points are simple baselines; the dashed line is the best "
        f"of them. Rows that do not depend on seeds have no interval over seeds. The axis does not begin at 0."
    )
    return _figure("Accuracy of all models", caption, panels, material, lambda: _draw_dots(panels, material))


def build_cost(material: Material) -> Figure:
    """Build accuracy against the time of a run.

    Raises:
        ResultsError: stored lists are missing or damaged.
    """
    panels = panels_of(material)
    caption = (
        f"Test {metric_name(material.protocol.selection_metric)} against the seconds of a whole run on a "
        f"logarithmic axis, {seeds(material.n_seeds)}. The line joins the models that no other beats in both "
        f"(Pareto front). Hollow grey points are simple baselines."
    )
    figure = _figure("Accuracy against cost", caption, panels, material, lambda: _draw_cost(panels, material))
    return replace(figure, notes=(*figure.notes, *machines([each.same for each in panels], material.paper)))


def panels_of(material: Material) -> list[Panel]:
    """Return one panel per data set of a call.

    Raises:
        ResultsError: stored lists are missing or damaged.
    """
    panels = []
    for same in runs_by_data(material):
        ranked = standings(material, same.facts)
        panels.append(Panel(same, ranked, intervals(material, same.facts, [each.label for each in ranked])))
    return panels


def _figure(name: str, caption: str, panels: Sequence[Panel], material: Material, draw: Any) -> Figure:
    rows = tuple(row for each in panels for row in _csv(each, material))
    return Figure(name, caption, notes_of(panels, material), CSV_HEADER, rows, draw)


def notes_of(panels: Sequence[Panel], material: Material) -> tuple[str, ...]:
    """Return the footnotes on the data sets and on models that lack runs."""
    return tuple(note for each in panels for note in each.same.notes(material.paper, NO_MEAN))


def _csv(panel: Panel, material: Material) -> list[tuple[CsvValue, ...]]:
    metric = material.protocol.selection_metric
    front = {each.label for each in panel.front}
    return [
        (
            *data_values(panel.same.facts),
            *(material.protocol.tag, each.label, each.kind, each.place, metric, each.mean, each.score.sd),
            *panel.bars.get(each.label, (None, None)),
            *(
                interval_over(material.n_seeds) if each.label in panel.bars else None,
                second_metric(metric),
                each.second.mean,
                each.seconds,
                each.label in front,
            ),
            *(each.score.n_runs, each.score.n_asked),
        )
        for each in panel.ranked
    ]


def _subplots(panels: Sequence[Panel], height: float) -> tuple[Drawing, list[Axes]]:
    """Return a drawing with one panel per data set; places without one are removed."""
    from matplotlib.figure import Figure as Drawing

    n_columns = min(N_COLUMNS, len(panels))
    n_rows = math.ceil(len(panels) / n_columns)
    width = PAGE_WIDTH if n_columns > 1 else 1.4 * COLUMN_WIDTH
    drawing = Drawing(figsize=(width, height * n_rows), layout="constrained")
    axes = list(drawing.subplots(n_rows, n_columns, squeeze=False).flat)
    for each in axes[len(panels) :]:
        each.remove()
    for each, panel in zip(axes, panels, strict=False):
        each.set_title(panel.same.heading)
        if not panel.ranked:
            each.text(0.5, 0.5, NO_MODEL, ha="center", va="center", transform=each.transAxes)
    return drawing, axes[: len(panels)]


def look(label: str, style: Mapping[str, Any]) -> dict[str, Any]:
    """Return the style of a single point: that of the model, hollow for a simple baseline."""
    own = {key: style[key] for key in ("color", "marker", "fillstyle", "zorder")}
    return own | {"linestyle": "none", **({"fillstyle": "none"} if is_control(label) else {})}


def _draw_dots(panels: Sequence[Panel], material: Material) -> Drawing:
    from matplotlib.ticker import MaxNLocator

    height = DOT_FRAME + DOT_HEIGHT * max(1, *(len(each.ranked) for each in panels))
    drawing, places = _subplots(panels, height)
    for axes, panel in zip(places, panels, strict=True):
        styles = plot_styles([each.label for each in panel.ranked], material.paper)
        if panel.best_baseline is not None:
            axes.axvline(panel.best_baseline.mean, color="grey", linestyle="--", linewidth=0.8, zorder=1)
        for place, each in enumerate(panel.ranked):
            draw_mean(axes, place, each, panel, styles[each.label])
        axes.set_yticks(range(len(panel.ranked)), [each.name for each in panel.ranked])
        axes.set_ylim(len(panel.ranked) - 0.5, -0.5)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10)))
        axes.set_xlabel(axis_title(material))
    return drawing


def axis_title(material: Material) -> str:
    """Return what the points and bars of a call are, for an axis."""
    return f"test {metric_name(material.protocol.selection_metric)}\n({interval_name(material.n_seeds)})"


def draw_mean(axes: Axes, row: int, each: Standing, panel: Panel, style: Mapping[str, Any]) -> None:
    """Draw a model's mean and interval in a row; who points at the mean in the SVG reads the numbers."""
    words = f"{each.name}: {each.mean:.4f}"
    if each.label in panel.bars:
        low, high = panel.bars[each.label]
        axes.plot([low, high], [row, row], color=style["color"], linewidth=1.0, zorder=2)
        words += f", {low:.4f} to {high:.4f}"
    (dot,) = axes.plot([each.mean], [row], **look(each.label, style))
    dot.set_gid(f"{TIP}{words}")


def _draw_cost(panels: Sequence[Panel], material: Material) -> Drawing:
    drawing, places = _subplots(panels, COST_HEIGHT)
    metric = metric_name(material.protocol.selection_metric)
    n_seeds = mean_over(material.n_seeds)
    names = []
    for axes, panel in zip(places, panels, strict=True):
        timed = [each for each in panel.ranked if each.seconds]
        styles = plot_styles([each.label for each in timed], material.paper)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.margins(0.22, 0.1)
        for each in timed:
            (dot,) = axes.plot([each.seconds or 0.0], [each.mean], **look(each.label, styles[each.label]))
            dot.set_gid(f"{TIP}{each.name}: {each.mean:.4f}, {each.seconds:,.1f} s")
        front = [(each.seconds or 0.0, each.mean) for each in panel.front]
        steps: dict[str, Any] = {"drawstyle": "steps-post", "color": "grey", "linewidth": 0.8, "zorder": 1}
        axes.plot([seconds for seconds, _ in front], [mean for _, mean in front], **steps)
        axes.set_xlabel(f"seconds of a run, log scale ({n_seeds})")
        axes.set_ylabel(f"test {metric} ({n_seeds})")
        names.append((axes, [Name(each.name, each.seconds or 0.0, each.mean) for each in timed]))
    name_points(drawing, names)
    return drawing
