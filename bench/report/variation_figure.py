"""Layer 8. Variations of a model as a figure: a dot or a point of a line each, with its deviation. Pure.

A mean of fewer repetitions than were asked for is pale and says so; where no run finished there is a gap that
says so. Neither is joined to a line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.report.figure import COLUMN_WIDTH, PAGE_WIDTH, Figure, look
from bench.report.paper import Paper
from bench.report.scores import Score, Scores
from bench.report.variations import CSV_HEADER, Family, csv_rows, notes
from bench.report.wording import metric_name, seeds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

MAX_COLUMNS = 3
LINE_HEIGHT = 2.1  # inches, of a panel
DOT_HEIGHT, DOT_FRAME = 0.24, 0.7  # inches, a dot and what is around them
PALE = 0.4
STEPS = (1, 2, 5, 10)  # between ticks, times a power of ten
NO_RUN = "no finished run"
DrawPanel = Callable[["Axes", Family, str, Mapping[str, Any]], None]


def dot_figure(name: str, caption: str, found: Sequence[Family], scores: Scores, paper: Paper) -> Figure:
    """Variations without an order, one below the other; a panel a data set and metric.

    Args:
        name: of the figure.
        caption: what varies; how it was made is added.
        found: the same variations on every data set.
        scores: where theirs are from.
        paper: for colours.
    """
    height = DOT_FRAME + DOT_HEIGHT * len(found[0].variations)
    draw = _drawer(found, scores, paper, _dots, height, share=True)
    return _figure(name, caption, found, scores, paper, draw)


def line_figure(
    name: str,
    caption: str,
    found: Sequence[Family],
    scores: Scores,
    paper: Paper,
    places: Sequence[float],
    title: str,
) -> Figure:
    """Variations by a number, on a logarithmic axis; a panel a data set and metric.

    Args:
        name: of the figure.
        caption: what varies; how it was made is added.
        found: the same variations on every data set.
        scores: where theirs are from.
        paper: for colours.
        places: the number of each variation.
        title: what the number is.
    """

    def panel(axes: Axes, family: Family, metric: str, style: Mapping[str, Any]) -> None:
        _line(axes, family.scores[metric], places, style)
        axes.set_xscale("log")
        axes.set_xticks(places, [f"{place:g}" for place in places])
        axes.minorticks_off()
        axes.set_xlabel(title)

    return _figure(
        name, caption, found, scores, paper, _drawer(found, scores, paper, panel, LINE_HEIGHT, share=False)
    )


def _figure(
    name: str, caption: str, found: Sequence[Family], scores: Scores, paper: Paper, draw: Callable[[], Drawing]
) -> Figure:
    if scores.n_asked is None:
        made = "No run has been made yet."
    else:
        n = seeds(scores.n_asked)
        spread = (
            f"{n}, hence no error bars" if scores.n_asked == 1 else f"mean ± sample standard deviation over {n}"
        )
        made = f"Test scores, {spread}."
    words = f"{caption} {made} The axes do not begin at 0. The paper prints no values for its figure."
    return Figure(name, words, notes(found, paper), CSV_HEADER, csv_rows(found, scores), draw)


def _drawer(
    found: Sequence[Family], scores: Scores, paper: Paper, panel: DrawPanel, height: float, share: bool
) -> Callable[[], Drawing]:
    """What draws the panels: a row a data set, or of data sets where there is one metric."""
    pairs = [(family, metric) for family in found for metric in family.scores]
    n_metrics = len(found[0].scores)
    n_columns = n_metrics if n_metrics > 1 else min(MAX_COLUMNS, len(found))
    (style,) = look([found[0].variations[0].label.partition("@")[0]], paper).values()

    def draw() -> Drawing:
        from matplotlib.figure import Figure as Drawing

        n_rows = -(-len(pairs) // n_columns)
        size = (PAGE_WIDTH if n_columns > 1 else COLUMN_WIDTH, height * n_rows)
        drawing = Drawing(figsize=size, layout="constrained")
        panels = drawing.subplots(n_rows, n_columns, squeeze=False, sharey=share).flat
        for axes, (family, metric) in zip(panels, pairs, strict=False):
            panel(axes, family, metric, style)
            axes.set_title(family.heading)
            set_score = axes.set_xlabel if share else axes.set_ylabel
            set_score(f"{metric_name(metric)} ({seeds(scores.n_asked)})")
        for axes in panels:
            axes.set_axis_off()
        return drawing

    return draw


def _dots(axes: Axes, family: Family, metric: str, style: Mapping[str, Any]) -> None:
    """From above in the order of the variations."""
    from matplotlib.ticker import MaxNLocator

    for place, score in enumerate(family.scores[metric]):
        if score.mean is None:
            axes.text(0.04, place, NO_RUN, transform=axes.get_yaxis_transform(), va="center", fontsize=6)
            continue
        _point(axes, score, {"x": score.mean, "y": place, "xerr": _spread(score)}, style)
    names = [variation.name for variation in family.variations]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=STEPS))
    axes.margins(x=0.12)


def _line(axes: Axes, across: Sequence[Score], places: Sequence[float], style: Mapping[str, Any]) -> None:
    from matplotlib.ticker import MaxNLocator

    means = [float("nan") if score.complete is None else score.complete for score in across]
    axes.plot(places, means, color=style["color"], linestyle="-", linewidth=1.0, zorder=style["zorder"])
    for place, score in zip(places, across, strict=True):
        if score.mean is None:
            upright: dict[str, Any] = {
                "transform": axes.get_xaxis_transform(),
                "rotation": 90,
                "ha": "center",
                "va": "bottom",
            }
            axes.text(place, 0.03, NO_RUN, fontsize=6, **upright)
        else:
            _point(axes, score, {"x": place, "y": score.mean, "yerr": _spread(score)}, style)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=STEPS))
    axes.margins(x=0.12, y=0.12)


def _point(axes: Axes, score: Score, at: dict[str, Any], style: Mapping[str, Any]) -> None:
    is_complete = score.complete is not None
    axes.errorbar(
        **at,
        fmt=style["marker"],
        color=style["color"],
        capsize=2,
        elinewidth=0.9,
        alpha=None if is_complete else PALE,
        zorder=style["zorder"],
    )
    if not is_complete:
        words = f"{score.n_runs} of {score.n_asked}"
        axes.annotate(words, (at["x"], at["y"]), (0, 4), textcoords="offset points", ha="center", fontsize=6)


def _spread(score: Score) -> float | None:
    """The deviation of complete means; that of fewer runs would be taken for the whole."""
    return None if score.complete is None else score.sd
