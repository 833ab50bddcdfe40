"""The critical-difference diagram: average ranks of the models over data sets and metrics. Pure.

Friedman's test checks whether the ranks differ at all, Nemenyi's test which models differ (Demsar 2006). A block
is one metric on one data set. The metrics of a data set rank the same lists, so the blocks are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.core.errors import listed
from bench.report.comparisons import COMPARED, shown_p
from bench.report.figure import PAGE_WIDTH, Figure, plot_styles
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.scores import data_key
from bench.report.statistics import LEVEL
from bench.report.table import CsvValue
from bench.report.wording import (
    DATA_FIELDS,
    data_headings,
    data_notes,
    data_values,
    model_display,
    random_split_counterparts,
    row_order,
)
from bench.runs.records import DataFacts

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

CSV_HEADER = (*DATA_FIELDS, "metric", "model", "mean", "rank", "average_rank")
MIN_BLOCKS, MIN_MODELS = 2, 3
ROW_HEIGHT = 0.2  # inches per model
BAR_HEIGHT = 2.5  # rows above the axis, clear of its numbers


@dataclass(frozen=True, eq=False)
class Ranking:
    """Scores and ranks of the models that are complete in every block.

    Attributes:
        means: `[n_blocks, n_models]`, one row per data set and metric.
        left_out: the other models.
    """

    means: pd.DataFrame
    left_out: tuple[str, ...]

    @property
    def ranks(self) -> pd.DataFrame:
        """Rank the models of each block, 1 for the best; equal scores share their average rank."""
        return self.means.rank(axis=1, ascending=False)

    @property
    def untestable(self) -> str:
        """Return why nothing can be tested, or ""."""
        n_blocks, n_models = self.means.shape
        if n_models < MIN_MODELS:
            return f"{n_models} complete models, at least {MIN_MODELS} are needed"
        if n_blocks < MIN_BLOCKS:
            return f"{n_blocks} block, at least {MIN_BLOCKS} are needed"
        if (self.ranks.nunique(axis=1) == 1).all():
            return "all models are tied everywhere"
        return ""

    def friedman(self) -> tuple[float, float]:
        """Return Friedman's chi-square and its p-value."""
        from scipy.stats import friedmanchisquare

        test = friedmanchisquare(*self.means.to_numpy().T)
        return float(test.statistic), float(test.pvalue)

    def nemenyi(self) -> pd.DataFrame:
        """Return the p-values of all pairs, `[n_models, n_models]`."""
        import scikit_posthocs

        p_values: pd.DataFrame = scikit_posthocs.posthoc_nemenyi_friedman(self.means.to_numpy())
        return p_values.set_axis(self.means.columns, axis=0).set_axis(self.means.columns, axis=1)

    def critical_difference(self) -> float:
        """Return the smallest difference of average ranks that Nemenyi's test finds significant."""
        from scipy.stats import studentized_range

        n_blocks, n_models = self.means.shape
        quantile = float(studentized_range.ppf(1 - LEVEL, n_models, math.inf)) / math.sqrt(2)
        return quantile * math.sqrt(n_models * (n_models + 1) / (6 * n_blocks))


def build(material: Material) -> Figure:
    """Build the diagram of a call."""
    paper, facts = material.paper, material.facts
    labels = row_order(material.labels, paper)
    beside = random_split_counterparts(facts)
    ranked = [each for each in facts if data_key(each) not in beside]
    blocks = [(each, metric) for each in ranked for metric in COMPARED]
    means = np.array(
        [[material.scores.get(each, label, metric).complete for label in labels] for each, metric in blocks],
        dtype=np.float64,
    )
    frame = pd.DataFrame(means, columns=labels)
    complete = [label for label in labels if not frame[label].isna().any()]
    ranking = Ranking(frame[complete], tuple(label for label in labels if label not in complete))
    notes = _notes(facts, ranking, paper)
    ranks, average = ranking.ranks, ranking.ranks.mean()
    rows: list[tuple[CsvValue, ...]] = [
        (
            *data_values(each),
            metric,
            label,
            *(float(x) for x in (frame[label][row], ranks[label][row], average[label])),
        )
        for row, (each, metric) in enumerate(blocks)
        for label in complete
    ]
    return Figure(
        "Critical differences",
        _caption(ranking, len(ranked)),
        tuple(notes),
        CSV_HEADER,
        tuple(rows),
        lambda: _draw(ranking, paper),
    )


def _notes(facts: Sequence[DataFacts], ranking: Ranking, paper: Paper) -> list[str]:
    """Return footnotes on the data, and on what is left out of the ranks."""
    beside, named = random_split_counterparts(facts), list(zip(facts, data_headings(facts), strict=True))
    notes = [note for each, head in named for note in data_notes(each, head, paper)]
    notes += [
        f"{head}: not among the blocks, since its random split is; two splits of the same data are not two data "
        f"sets."
        for each, head in named
        if data_key(each) in beside
    ]
    if ranking.left_out:
        names = listed(model_display(label, paper) for label in ranking.left_out)
        notes += [f"Left out, because runs are missing on some data set: {names}."]
    return notes


def _caption(ranking: Ranking, n_sets: int) -> str:
    sets = "one data set" if n_sets == 1 else f"{n_sets} data sets"
    start = (
        f"Average ranks of the models over {len(ranking.means)} blocks ({sets}, {len(COMPARED)} metrics each); 1 "
        f"is the best."
    )
    if ranking.untestable:
        return f"{start} Nothing is tested: {ranking.untestable}."
    statistic, p = ranking.friedman()
    return (
        f"{start} Friedman's chi-square is {statistic:.1f} (p {_equation(p)}). Bars join models that Nemenyi's "
        f"test does not tell apart at the 5% level; the critical difference (CD) is "
        f"{ranking.critical_difference():.2f}. The metrics of a data set rank the same lists: the blocks are not "
        f"independent, and differences look surer than they are."
    )


def _equation(p: float) -> str:
    shown = shown_p(p)
    return shown if shown.startswith("<") else f"= {shown}"


def _draw(ranking: Ranking, paper: Paper) -> Drawing:
    from matplotlib.figure import Figure as Drawing

    n_models = ranking.means.shape[1]
    drawing = Drawing(figsize=(PAGE_WIDTH, 1.0 + ROW_HEIGHT * n_models), layout="constrained")
    axes = drawing.subplots()
    axes.grid(False)
    if ranking.untestable:
        axes.set_axis_off()
        axes.text(0.5, 0.5, f"Nothing is tested: {ranking.untestable}.", ha="center", va="center")
        return drawing
    import scikit_posthocs

    labels: list[str] = ranking.means.columns.tolist()
    names = {label: model_display(label, paper) for label in labels}
    diagram = scikit_posthocs.critical_difference_diagram(
        ranking.ranks.mean().rename(names),
        ranking.nemenyi().rename(index=names, columns=names),
        ax=axes,
        label_fmt_left="{label} ({rank:.2f})",
        label_fmt_right="({rank:.2f}) {label}",
        color_palette={names[label]: style["color"] for label, style in plot_styles(labels, paper).items()},
        text_h_margin=0.02 * n_models,
    )
    for words in diagram["labels"]:
        words.set_color("black")  # light colours are readable in lines, not in letters
    axes.spines["top"].set_visible(True)
    axes.set_xticks(range(1, n_models + 1))
    # the bar of the critical difference starts at rank 1
    end = 1 + ranking.critical_difference()
    axes.plot([1, end], [BAR_HEIGHT] * 2, color="black", marker="|", markersize=6)
    axes.text(end, BAR_HEIGHT, f"  CD = {end - 1:.2f}", va="center")
    return drawing
