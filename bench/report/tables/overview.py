"""One figure of a whole call: trained models on every data set, baselines as lines, the paper's places beside.

The rows are the same in all panels, so that a model can be followed from data set to data set. Reads stored lists
for intervals over users; writes nothing.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.report.figure import COLUMN_WIDTH, GREYS, LINES, PAGE_WIDTH, TIP, Figure, plot_styles
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.ranking import Standing, interval_name, interval_over, kind_of, places
from bench.report.table import CsvValue
from bench.report.tables.accuracy import NO_MODEL, Panel, axis_title, draw_mean, notes_of, panels_of
from bench.report.wording import DATA_FIELDS, data_values, metric_name, model_display, shows_published
from bench.runs.controls import is_control
from bench.runs.records import DataFacts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

CSV_HEADER = (
    *DATA_FIELDS,
    *("protocol", "model", "kind", "drawn_as", "place", "paper_place", "metric", "mean", "sd"),
    *("ci_low", "ci_high", "interval_over", "n_runs", "n_asked"),
)
PAPER_METRIC = "recall@10"  # of Table 3, whose order is shown; it has no other cut-off than 10
MAX_COLUMNS = 3  # more data sets stand in a square
ROW_HEIGHT, FRAME, FOOT = 0.19, 0.75, 0.5  # inches per model, around the models of a panel, and below all panels
NAME_WIDTH = 1.1  # inches, of a baseline in the legend
AXIS_SIZE = 8  # points
FAR_HEIGHT = 0.6  # rows, of the number of a far baseline
FAR = 1 / 3  # of the range of the trained models: how far below them a baseline's line would squeeze the points
FIRST_COLUMN, COLUMN_STEP = 10, 20  # points from a panel to the columns of places, and between them


def build(material: Material) -> Figure:
    """Build the overview of a call.

    Raises:
        ResultsError: stored lists are missing or damaged.
    """
    panels, metric = panels_of(material), metric_name(material.protocol.selection_metric)
    printed = [each for each in panels if shows_published(each.same.facts, material.paper)]
    paper = (
        f"Beside the points: a model's place among the trained ones here, and its place in the paper's Table 3 "
        f"({metric_name(PAPER_METRIC)}, {len(material.paper.models)} models, the paper's own data)."
        if printed
        else "Beside the points: a model's place among the trained ones."
    )
    caption = (
        f"Test {metric} of every trained model on every data set: {interval_name(material.n_seeds)}. Models are "
        f"in the order of their mean place. Lines are simple baselines; those far below have their number at the "
        f"left. {paper} The axes do not begin at 0. An interval is that of one model; tables say "
        f"whether two models differ."
    )
    rows = tuple(row for each in panels for row in _csv(each, material))
    notes = notes_of(panels, material)
    n_columns = len(panels) if len(panels) <= MAX_COLUMNS else math.ceil(math.sqrt(len(panels)))
    wide, narrow = (
        functools.partial(_draw, panels, material, *form) for form in ((PAGE_WIDTH, n_columns), (COLUMN_WIDTH, 1))
    )
    return Figure("Overview", caption, notes, CSV_HEADER, rows, wide, narrow)


def places_among_trained(panel: Panel) -> dict[str, int]:
    """Return each trained model's place among the trained ones, by label."""
    return places({each.label: each.mean for each in panel.ranked if not is_control(each.label)})


def common_order(panels: Sequence[Panel], labels: Sequence[str]) -> list[str]:
    """Return the trained models, the one with the best mean place first; those that lack a data set come last.

    A mean over fewer data sets is not comparable: a model could lead by missing where it would do badly.

    Args:
        panels: the data sets.
        labels: all models of the call.
    """
    found = [places_among_trained(panel) for panel in panels]
    by_label = {
        label: [each[label] for each in found if label in each] for label in labels if not is_control(label)
    }
    return sorted(
        by_label, key=lambda label: (-len(by_label[label]), statistics.fmean(by_label[label] or [float("inf")]))
    )


def paper_places(facts: DataFacts, paper: Paper) -> dict[str, int]:
    """Return the place of each of the paper's models in its Table 3; empty where it may not stand beside ours."""
    if not shows_published(facts, paper):
        return {}
    return places({model: paper.score(facts.card, model, PAPER_METRIC) for model in paper.models})


def _csv(panel: Panel, material: Material) -> list[tuple[CsvValue, ...]]:
    here, printed = places_among_trained(panel), paper_places(panel.same.facts, material.paper)
    return [
        (
            *data_values(panel.same.facts),
            *(material.protocol.tag, each.label, kind_of(each.label)),
            "line" if is_control(each.label) else "point",
            *(here.get(each.label), printed.get(each.label), material.protocol.selection_metric),
            *(each.mean, each.score.sd, *panel.bars.get(each.label, (None, None))),
            *(
                interval_over(material.n_seeds) if each.label in panel.bars else None,
                each.score.n_runs,
                each.score.n_asked,
            ),
        )
        for each in panel.ranked
    ]


def _draw(panels: Sequence[Panel], material: Material, width: float, n_columns: int) -> Drawing:
    """Draw all panels in `n_columns` columns on `width` inches."""
    from matplotlib.figure import Figure as Drawing

    order = common_order(panels, material.labels)
    n_rows = math.ceil(len(panels) / n_columns)
    n_names = max(1, int(width / NAME_WIDTH))  # of baselines in a row of the legend
    height = FOOT + n_rows * (FRAME + ROW_HEIGHT * max(1, len(order)))
    drawing = Drawing(figsize=(width, height), layout="constrained")
    styles = plot_styles(order, material.paper)
    controls = sorted(label for label in material.labels if is_control(label))
    lines = {label: LINES[place % len(LINES)] for place, label in enumerate(controls)}
    drawn: dict[str, Any] = {}
    all_axes = list(drawing.subplots(n_rows, n_columns, squeeze=False, sharey=True).flat)
    for axes in all_axes[len(panels) :]:
        axes.remove()
    for axes, panel in zip(all_axes, panels, strict=False):
        axes.set_title(_title(panel))
        drawn |= _baselines(axes, panel, lines)
        _points(axes, panel, order, styles, material)
        _places(axes, panel, order, material.paper)
    first = drawing.axes[0]
    first.set_yticks(range(len(order)), [model_display(label, material.paper) for label in order])
    # the numbers of far baselines stand above the first row
    first.set_ylim(max(1, len(order)) - 0.5, -0.5 - FAR_HEIGHT * max(len(far_baselines(each)) for each in panels))
    title = axis_title(material).replace("\n", " ")
    if drawn:
        style: dict[str, Any] = {"loc": "outside lower center", "title_fontsize": AXIS_SIZE}
        drawing.legend(list(drawn.values()), list(drawn), title=title, ncols=min(n_names, len(drawn)), **style)
    else:
        drawing.supxlabel(title, fontsize=AXIS_SIZE)
    return drawing


def _title(panel: Panel) -> str:
    """Return the heading of a panel with the number of users, in several lines, because panels are narrow."""
    name, _, rest = panel.same.heading.partition(" [")
    source, _, difference = rest.partition("], ")  # only where two data sets have equal labels
    lines = [f"{name}, {panel.same.facts.n_users:,} users", f"[{source.rstrip(']')}]", difference]
    return "\n".join(filter(None, lines))


def far_baselines(panel: Panel) -> list[Standing]:
    """Return the baselines that are so far below the trained models that their lines would squeeze the points."""
    points = [each for each in panel.ranked if not is_control(each.label)]
    ends = [end for each in points for end in (each.mean, *panel.bars.get(each.label, ()))]
    if len(points) < 2:
        return []
    nearest = min(ends) - FAR * (max(ends) - min(ends))
    return [each for each in panel.ranked if is_control(each.label) and each.mean < nearest]


def _baselines(axes: Axes, panel: Panel, lines: Mapping[str, Any]) -> dict[str, Any]:
    """Draw a line per baseline, or its number if it is far; return the lines by name for the legend."""
    drawn, far = {}, far_baselines(panel)
    if far:
        words = "\n".join(f"\u25c2 {each.name} {each.mean:.3f}" for each in far)
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
        style: dict[str, Any] = {"fontsize": 6, "color": GREYS[0], "va": "top", "bbox": box}
        axes.text(0.01, 0.98, words, transform=axes.transAxes, **style)
    for each in panel.ranked:
        if is_control(each.label) and each not in far:
            style = lines[each.label]
            drawn[each.name] = axes.axvline(each.mean, color=GREYS[0], linestyle=style, linewidth=0.9, zorder=1)
            drawn[each.name].set_gid(f"{TIP}{each.name}: {each.mean:.4f}")
    return drawn


def _points(
    axes: Axes, panel: Panel, order: Sequence[str], styles: Mapping[str, Mapping[str, Any]], material: Material
) -> None:
    """Draw a point and its interval in the row of each trained model, and say where a model has no mean."""
    from matplotlib.ticker import MaxNLocator

    by_label = {each.label: each for each in panel.ranked}
    for row, label in enumerate(order):
        if label in by_label:
            draw_mean(axes, row, by_label[label], panel, styles[label])
        else:
            style: dict[str, Any] = {"fontsize": 6, "ha": "center", "va": "center"}
            score = material.scores.get(panel.same.facts, label, material.protocol.selection_metric)
            words = "runs missing" if score.n_runs + score.n_failed else "not run"
            axes.text(0.5, row, words, transform=axes.get_yaxis_transform(), **style)
    if not by_label:
        axes.set_title(f"{_title(panel)}\n{NO_MODEL}")
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=(1, 2, 5, 10)))


def _places(axes: Axes, panel: Panel, order: Sequence[str], paper: Paper) -> None:
    """Write each model's place here, and in Table 3 where the paper has this data set, to the right of its row."""
    columns = [("here", places_among_trained(panel))]
    if printed := paper_places(panel.same.facts, paper):
        columns.append(("paper", printed))
    style: dict[str, Any] = {"fontsize": 6, "color": "#444444", "ha": "center", "textcoords": "offset points"}
    for column, (head, found) in enumerate(columns):
        right = FIRST_COLUMN + column * COLUMN_STEP
        axes.annotate(head, (1, 1), (right, 3), xycoords="axes fraction", va="bottom", **style)
        for row, label in enumerate(order):
            words, at = str(found.get(label, "-")), axes.get_yaxis_transform()
            axes.annotate(words, (1, row), (right, 0), xycoords=at, va="center", **style)
