"""Layer 8. Figure 5: LUDP by kind of fusion. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bench import experiments
from bench.records import DataFacts
from bench.report.figure import Figure
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.scores import Scores
from bench.report.variation_figure import dot_figure
from bench.report.variations import Variation, families

NAMES = {"attention": "attention", "sum": "sum", "concat_fc": "concatenation + FC"}


def build(material: Material) -> Figure:
    """Figure 5 of a call."""
    return figure5(material.scores, material.facts, material.paper)


def figure5(scores: Scores, facts: Sequence[DataFacts], paper: Paper) -> Figure:
    """LUDP by fusion of the modalities in the metric that selects, a panel a data set.

    Args:
        scores: of all runs.
        facts: the data sets, in order.
        paper: for names and colours.

    Raises:
        UsageError: there is no data set, or one is given twice.
    """
    found = families(scores, facts, _variations, (scores.selection_metric,))
    caption = (
        f"Fusion of the modalities in {paper.display(experiments.LUDP)}: attention, sum, or concatenation with a "
        f"fully connected layer (FC)."
    )
    return dot_figure("Figure 5", caption, found, scores, paper)


def _variations(facts: DataFacts) -> list[Variation]:
    return [Variation(NAMES[fusion], row.label) for fusion, row in experiments.fusion_rows().items()]
