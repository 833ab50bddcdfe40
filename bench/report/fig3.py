"""Layer 8. Figure 3: LUDP without its parts. Pure."""

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

NAMES = {
    "base": "base",
    "item graph": "base + item graph",
    "user preference": "base + user preference",
    "full": "full",
}


def build(material: Material) -> Figure:
    """Figure 3 of a call."""
    return figure3(material.scores, material.facts, material.paper)


def figure3(scores: Scores, facts: Sequence[DataFacts], paper: Paper) -> Figure:
    """LUDP by its parts in all metrics, a row of panels a data set.

    Args:
        scores: of all runs.
        facts: the data sets, in order.
        paper: for names and colours.

    Raises:
        UsageError: there is no data set, or one is given twice.
    """
    found = families(scores, facts, _variations)
    caption = (
        f"Parts of {paper.display(experiments.LUDP)}. The base is LightGCN with the readout that the full model "
        f"has; the item graph, the user preference or both are added. The paper leaves out the base with the user "
        f"preference alone."
    )
    return dot_figure("Figure 3", caption, found, scores, paper)


def _variations(facts: DataFacts) -> list[Variation]:
    return [Variation(NAMES[part], row.label) for part, row in experiments.part_rows().items()]
