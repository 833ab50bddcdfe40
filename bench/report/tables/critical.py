"""The critical-difference diagram: average ranks of the models over data sets. Pure.

Friedman's test checks whether the ranks differ at all, Nemenyi's test which models differ (Demsar 2006). Both need
independent blocks: a block is one data set, in the metric that selects. Other splits of the same data, and other
metrics of the same lists, are not further blocks. Below `MIN_BLOCKS` data sets there is no diagram.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.core.errors import listed
from bench.core.text import counted
from bench.report.comparisons import shown_p
from bench.report.figure import PAGE_WIDTH, Figure, plot_styles
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.statistics import LEVEL
from bench.report.table import CsvValue
from bench.report.wording import (
    DATA_FIELDS,
    PAPER_SPLIT,
    data_headings,
    data_notes,
    data_values,
    metric_name,
    model_display,
    row_order,
)
from bench.runs.records import DataFacts

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

CSV_HEADER = (*DATA_FIELDS, "metric", "model", "mean", "rank", "average_rank")
MIN_BLOCKS, MIN_MODELS = 5, 3
ROW_HEIGHT = 0.2  # inches per model
BAR_HEIGHT = 2.5  # rows above the axis, clear of its numbers


@dataclass(frozen=True, eq=False)
class Ranking:
    """Scores and ranks of the models that are complete in every block.

    Attributes:
        means: `[n_blocks, n_models]`, one row per data set.
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
            return f"{counted(n_blocks, 'independent data set')}, at least {MIN_BLOCKS} are needed"
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


def independent(facts: Sequence[DataFacts]) -> list[DataFacts]:
    """Return the data sets that count as blocks: of each, one split, the paper's if it is there."""
    papers_last = sorted(facts, key=lambda each: each.split == PAPER_SPLIT)
    one_split = {(each.card, each.data_hash): each for each in papers_last}
    return [each for each in facts if one_split[each.card, each.data_hash] is each]


def has_enough_data(facts: Sequence[DataFacts]) -> bool:
    """Return whether there are data sets enough for the tests behind the diagram."""
    return len(independent(facts)) >= MIN_BLOCKS


def build(material: Material) -> Figure:
    """Build the diagram of a call."""
    paper, facts, metric = material.paper, material.facts, material.protocol.selection_metric
    labels = row_order(material.labels, paper)
    blocks = independent(facts)
    means = np.array(
        [[material.scores.get(each, label, metric).mean for label in labels] for each in blocks],
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
        for row, each in enumerate(blocks)
        for label in complete
    ]
    return Figure(
        "Critical differences",
        _caption(ranking, metric),
        tuple(notes),
        CSV_HEADER,
        tuple(rows),
        lambda: _draw(ranking, paper),
    )


def _notes(facts: Sequence[DataFacts], ranking: Ranking, paper: Paper) -> list[str]:
    """Return footnotes on the data, and on what is left out of the ranks."""
    counted, named = independent(facts), list(zip(facts, data_headings(facts), strict=True))
    notes = [note for each, head in named for note in data_notes(each, head, paper)]
    notes += [
        f"{head}: not counted, since another split of it is; two splits of the same data are not two data sets."
        for each, head in named
        if not any(each is one for one in counted)
    ]
    if ranking.left_out:
        names = listed(model_display(label, paper) for label in ranking.left_out)
        notes += [f"Left out, because runs are missing on some data set: {names}."]
    return notes


def _caption(ranking: Ranking, metric: str) -> str:
    n_sets = len(ranking.means)
    sets = "one data set" if n_sets == 1 else f"{n_sets} data sets"
    start = f"Average ranks of the models by test {metric_name(metric)} over {sets}; 1 is the best."
    if ranking.untestable:
        return f"{start} Nothing is tested: {ranking.untestable}."
    statistic, p = ranking.friedman()
    return (
        f"{start} Friedman's chi-square is {statistic:.1f} (p {_equation(p)}). Bars join models that Nemenyi's "
        f"test does not tell apart at the 5% level; the critical difference (CD) is "
        f"{ranking.critical_difference():.2f}."
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
    axes.text((1 + end) / 2, BAR_HEIGHT + 0.3, f"CD = {end - 1:.2f}", ha="center", va="bottom")
    return drawing
