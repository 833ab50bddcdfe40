"""The forms in which variations of a model are shown: dot figures, line figures and tables. Pure.

All forms share the scores, notes and CSV rows, so that a table and a figure of the same variations agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.core.names import model_of
from bench.core.protocol import METRICS, PRIMARY_CUTOFF, metric_key, metric_parts, short_metric
from bench.report.figure import COLUMN_WIDTH, PAGE_WIDTH, TIP, Figure, plot_styles, spread_name
from bench.report.paper import Paper
from bench.report.scores import Score, Scores
from bench.report.table import Block, Cell, Column, CsvValue, Mark, Row, Table, improvement, marks
from bench.report.wording import (
    DASH,
    DATA_FIELDS,
    MARKED,
    NOTHING,
    PUBLISHED,
    data_headings,
    data_notes,
    data_values,
    list_incomplete,
    metric_name,
    paper_heading,
    repetitions_sentence,
    score_cell,
    seeds,
)
from bench.runs.records import DataFacts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

ALL_METRICS = tuple(metric_key(metric, PRIMARY_CUTOFF) for metric in METRICS)
SAME_SHAPE = 1e-9  # two metrics whose ratio varies by less show one picture
CSV_HEADER = (
    *DATA_FIELDS,
    *("protocol", "hide_at_test", "model", "variation", "metric", "mean", "sd"),
    *("n_runs", "n_failed", "n_asked", "mark", "paper_value", "reason"),
)
MAX_COLUMNS = 3
LINE_HEIGHT = 2.1  # inches per panel
DOT_HEIGHT, DOT_FRAME = 0.24, 0.7  # inches per dot, and around the dots of a panel
STEPS = (1, 2, 5, 10)  # distances between ticks, times a power of ten
NO_RUN = "no finished run"
DrawPanel = Callable[["Axes", "Family", str, Mapping[str, Any]], None]


@dataclass(frozen=True)
class Variation:
    """One variation of a model.

    Attributes:
        name: what tables and axes call it.
        label: label of its runs; "" where it cannot be made.
        reason: why it cannot be made.
        detail: its parameters in words, for tables that show them.
        published: the paper's values by metric.
    """

    name: str
    label: str = ""
    reason: str = ""
    detail: str = ""
    published: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """The variations of a model on one data set.

    Attributes:
        facts: the data set.
        heading: its name with its source.
        variations: in order.
        scores: by metric, one score per variation.
    """

    facts: DataFacts
    heading: str
    variations: Sequence[Variation]
    scores: Mapping[str, Sequence[Score]]

    def marks(self, metric: str) -> list[Mark]:
        """Mark the best and second best mean."""
        return marks([score.mean for score in self.scores[metric]])

    def distinct_metrics(self) -> list[str]:
        """Return the metrics that a figure needs: Precision only where it is not Recall times a constant.

        With one test item per user, Precision@K is Recall@K / K, and both panels would show the same picture.
        """
        return [metric for metric in self.scores if not self._repeats_recall(metric)]

    def _repeats_recall(self, metric: str) -> bool:
        name, cutoff = metric_parts(metric)
        recall = self.scores.get(f"recall@{cutoff}")
        if name != "precision" or recall is None:
            return False
        pairs = zip(self.scores[metric], recall, strict=True)
        ratios = [one.mean / other.mean for one, other in pairs if one.mean and other.mean]
        return len(ratios) > 1 and max(ratios) - min(ratios) < SAME_SHAPE * max(ratios)


def with_selection(selection_metric: str) -> tuple[str, ...]:
    """Return the metrics of the paper's tables, and the metric that selects if it is not among them."""
    return tuple(dict.fromkeys((*ALL_METRICS, selection_metric)))


def scored_families(
    scores: Scores,
    facts: Sequence[DataFacts],
    variations: Callable[[DataFacts], Sequence[Variation]],
    metrics: Sequence[str] = ALL_METRICS,
) -> list[Family]:
    """Look up the scores of the variations on every data set.

    Args:
        scores: of all runs.
        facts: data sets, in order.
        variations: of a data set.
        metrics: keys like `recall@10`.

    Raises:
        UsageError: there is no data set, one is given twice, or no run has a metric.
    """
    scores.require(metrics)
    families = []
    for each, heading in zip(facts, data_headings(facts), strict=True):
        ours = variations(each)
        by_metric = {
            m: [scores.get(each, one.label, m) if one.label else Score() for one in ours] for m in metrics
        }
        families.append(Family(each, heading, ours, by_metric))
    return families


def notes(families: Sequence[Family], paper: Paper) -> tuple[str, ...]:
    """Note what the data is, and which variations are not compared because runs are missing."""
    return tuple(
        note
        for family in families
        for note in (*data_notes(family.facts, family.heading, paper), *_incomplete_notes(family))
    )


def _incomplete_notes(family: Family) -> Iterator[str]:
    """Name the variations without all their runs: left out silently, they would flatter the others."""
    possible = [
        (one.name, score)
        for across in family.scores.values()
        for one, score in zip(family.variations, across, strict=True)
        if one.label
    ]
    named = list_incomplete(possible)
    if named:
        yield f"{family.heading}: incomplete, hence not compared: {named}."


def csv_rows(families: Sequence[Family], scores: Scores) -> tuple[tuple[CsvValue, ...], ...]:
    """Return one row per data set, metric and variation, with the columns `CSV_HEADER`."""
    return tuple(
        (
            *data_values(family.facts),
            *(scores.protocol, scores.hide_at_test, one.label, one.name, metric, score.mean, score.sd),
            *(score.n_runs, score.n_failed, score.n_asked, mark, one.published.get(metric), one.reason or None),
        )
        for family in families
        for metric, across in family.scores.items()
        for one, score, mark in zip(family.variations, across, family.marks(metric), strict=True)
    )


def dot_figure(name: str, caption: str, families: Sequence[Family], scores: Scores, paper: Paper) -> Figure:
    """Draw variations without an order, one below the other; one panel per data set and metric.

    A variation that lacks runs leaves a labelled gap.

    Args:
        name: of the figure.
        caption: what varies; how the runs were made is added.
        families: the same variations on every data set.
        scores: of all runs.
        paper: for colours.
    """
    height = DOT_FRAME + DOT_HEIGHT * len(families[0].variations)
    draw = _drawer(families, scores, paper, _dots, height, share=True)
    return _figure(name, f"{caption} The dotted line is the first row.", families, scores, paper, draw)


def line_figure(
    name: str,
    caption: str,
    families: Sequence[Family],
    scores: Scores,
    paper: Paper,
    places: Sequence[float],
    axis_title: str,
) -> Figure:
    """Draw variations by a number, on a logarithmic axis; one panel per data set and metric.

    A variation that lacks runs looks as in `dot_figure`. The line joins means only where there are several seeds:
    one seed shows no trend.

    Args:
        name: of the figure.
        caption: what varies; how the runs were made is added.
        families: the same variations on every data set.
        scores: of all runs.
        paper: for colours.
        places: the number of each variation.
        axis_title: what the number is.
    """

    def panel(axes: Axes, family: Family, metric: str, style: Mapping[str, Any]) -> None:
        _line(axes, family.scores[metric], places, style, has_line=(scores.n_asked or 1) > 1)
        axes.set_xscale("log")
        axes.set_xticks(places, [f"{place:g}" for place in places])
        axes.minorticks_off()
        axes.set_xlabel(axis_title)

    return _figure(
        name, caption, families, scores, paper, _drawer(families, scores, paper, panel, LINE_HEIGHT, share=False)
    )


def _figure(
    name: str, caption: str, families: Sequence[Family], scores: Scores, paper: Paper, draw: Callable[[], Drawing]
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
    return Figure(name, words, notes(families, paper), CSV_HEADER, csv_rows(families, scores), draw)


def _drawer(
    families: Sequence[Family], scores: Scores, paper: Paper, panel: DrawPanel, height: float, share: bool
) -> Callable[[], Drawing]:
    """Return a function that draws the panels: one row per data set, or all data sets in rows if one metric."""
    rows = [[(family, metric) for metric in family.distinct_metrics()] for family in families]
    if max(map(len, rows)) == 1:
        flat = [pair for row in rows for pair in row]
        rows = [flat[start : start + MAX_COLUMNS] for start in range(0, len(flat), MAX_COLUMNS)]
    n_columns = max(map(len, rows))
    (style,) = plot_styles([model_of(families[0].variations[0].label)], paper).values()

    def draw() -> Drawing:
        from matplotlib.figure import Figure as Drawing

        size = (PAGE_WIDTH if n_columns > 1 else COLUMN_WIDTH, height * len(rows))
        drawing = Drawing(figsize=size, layout="constrained")
        grid = drawing.subplots(len(rows), n_columns, squeeze=False, sharey=share)
        for line, row in zip(grid, rows, strict=True):
            for axes, (family, metric) in zip(line, row, strict=False):
                panel(axes, family, metric, style)
                is_first = axes is line[0] or family is not row[0][0]
                axes.set_title(family.heading if is_first else "", loc="left" if len(row) > 1 else "center")
                set_score = axes.set_xlabel if share else axes.set_ylabel
                set_score(f"{metric_name(metric)}\n({spread_name(scores.n_asked)})")
            for axes in line[len(row) :]:
                axes.set_axis_off()
        return drawing

    return draw


def _dots(axes: Axes, family: Family, metric: str, style: Mapping[str, Any]) -> None:
    """Draw one dot per variation, the first one on top and with a line through it to compare with."""
    from matplotlib.ticker import MaxNLocator

    base = family.scores[metric][0].mean
    if base is not None:
        axes.axvline(base, color="grey", linestyle=":", linewidth=0.8, zorder=1)
    for place, score in enumerate(family.scores[metric]):
        if score.mean is None:
            axes.text(0.04, place, _gap(score), transform=axes.get_yaxis_transform(), va="center", fontsize=6)
            continue
        _point(axes, score, {"x": score.mean, "y": place, "xerr": score.sd}, style)
    names = [variation.name for variation in family.variations]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=STEPS))
    axes.margins(x=0.12)


def _line(
    axes: Axes, across: Sequence[Score], places: Sequence[float], style: Mapping[str, Any], has_line: bool
) -> None:
    from matplotlib.ticker import MaxNLocator

    if has_line:
        # nan breaks the line where a mean is missing
        means = [float("nan") if score.mean is None else score.mean for score in across]
        axes.plot(places, means, color=style["color"], linestyle="-", linewidth=1.0, zorder=style["zorder"])
    for place, score in zip(places, across, strict=True):
        if score.mean is None:
            upright: dict[str, Any] = {"rotation": 90, "ha": "center", "va": "bottom"}
            axes.text(place, 0.03, _gap(score), transform=axes.get_xaxis_transform(), fontsize=6, **upright)
        else:
            _point(axes, score, {"x": place, "y": score.mean, "yerr": score.sd}, style)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=STEPS))
    axes.margins(x=0.12, y=0.12)


def _point(axes: Axes, score: Score, at: dict[str, Any], style: Mapping[str, Any]) -> None:
    drawn = axes.errorbar(
        **at, fmt=style["marker"], color=style["color"], capsize=2, elinewidth=0.9, zorder=style["zorder"]
    )
    drawn[0].set_gid(f"{TIP}{score.mean:.4f}" + ("" if score.sd is None else f", SD {score.sd:.4f}"))


def _gap(score: Score) -> str:
    """Return what stands in place of a mean: how many runs there are."""
    return f"{score.progress} seeds" if score.n_runs else NO_RUN


def variation_table(
    name: str,
    caption: str,
    families: Sequence[Family],
    scores: Scores,
    paper: Paper,
    name_title: str,
    against: str = "",
    detail_title: str = "",
) -> Table:
    """Tabulate the scores of every variation, one block per data set, the published values beside ours.

    Args:
        name: of the table.
        caption: what varies; how the runs were made and how cells are marked is added.
        families: the variations with their scores, one entry per data set.
        scores: of all runs.
        paper: for the head of published values.
        name_title: head of the column with the variations' names.
        against: variation that all others are compared with in a column of its own, or "".
        detail_title: head of a column with the variations' details, or "".
    """
    blocks = []
    for family in families:
        columns = [
            _text_column(name_title, [variation.name for variation in family.variations]),
            *([_text_column(detail_title, [each.detail for each in family.variations])] if detail_title else []),
            *_ours(family),
            *([_difference(family, against, scores.selection_metric)] if against else []),
            *_published(family, paper),
        ]
        rows = zip(*(cells for _, cells in columns), strict=True)
        blocks.append(Block(tuple(column for column, _ in columns), tuple(Row(cells) for cells in rows)))
    has_paper = any(variation.published for family in families for variation in family.variations)
    words = (caption, repetitions_sentence(scores), MARKED, *([PUBLISHED] if has_paper else []))
    return Table(
        name, " ".join(words), tuple(blocks), notes(families, paper), CSV_HEADER, csv_rows(families, scores)
    )


def _text_column(title: str, words: Sequence[str]) -> tuple[Column, list[Cell]]:
    return Column(title, align="left"), [Cell(words=each or DASH) for each in words]


def _ours(family: Family) -> list[tuple[Column, list[Cell]]]:
    return [
        (
            Column(short_metric(metric), group=family.heading),
            [
                score_cell(score, mark) if variation.label else Cell(words=f"{DASH} (not in this data)")
                for variation, score, mark in zip(family.variations, across, family.marks(metric), strict=True)
            ],
        )
        for metric, across in family.scores.items()
    ]


def _difference(family: Family, against: str, metric: str) -> tuple[Column, list[Cell]]:
    """Return the column of relative differences of means in the metric that selects."""
    means = [score.mean for score in family.scores[metric]]
    places = [place for place, variation in enumerate(family.variations) if variation.name == against]
    base = means[places[0]]
    cells = [
        NOTHING if place in places else Cell(improvement(mean, [base]), form="+.1%")
        for place, mean in enumerate(means)
    ]
    return Column(f"{short_metric(metric)} against '{against}'", group=family.heading), cells


def _published(family: Family, paper: Paper) -> list[tuple[Column, list[Cell]]]:
    """Return the paper's columns for the metrics that it prints; none for data that it does not have."""
    columns = []
    for metric in family.scores:
        values = [variation.published.get(metric) for variation in family.variations]
        if any(value is not None for value in values):
            cells = [
                NOTHING if value is None else Cell(value, mark=mark)
                for value, mark in zip(values, marks(values), strict=True)
            ]
            columns.append((Column(short_metric(metric), group=paper_heading(family.facts.card, paper)), cells))
    return columns
