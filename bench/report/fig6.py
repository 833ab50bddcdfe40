"""Layer 8. Figure 6: LUDP by number of neighbours in the item-item graphs. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bench import experiments
from bench.records import DataFacts
from bench.report.figure import Figure
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.scores import Scores
from bench.report.variation_figure import line_figure
from bench.report.variations import Variation, families


def build(material: Material) -> Figure:
    """Figure 6 of a call."""
    return figure6(material.scores, material.facts, material.paper)


def figure6(scores: Scores, facts: Sequence[DataFacts], paper: Paper) -> Figure:
    """LUDP by k in all metrics, a row of panels a data set.

    Args:
        scores: of all runs.
        facts: the data sets, in order.
        paper: for names and colours.

    Raises:
        UsageError: there is no data set, or one is given twice.
    """
    found = families(scores, facts, _variations)
    caption = f"{paper.display(experiments.LUDP)} by number of neighbours k of an item in the item-item graphs."
    places = list(experiments.neighbour_rows())
    return line_figure("Figure 6", caption, found, scores, paper, places, "neighbours k (log scale)")


def _variations(facts: DataFacts) -> list[Variation]:
    return [Variation(f"k={k}", row.label) for k, row in experiments.neighbour_rows().items()]
