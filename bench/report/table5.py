"""Layer 8. Table 5: LUDP by number of layers on the item-item graphs, ours beside the paper's. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from bench import experiments
from bench.records import DataFacts
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.scores import Scores
from bench.report.table import Table
from bench.report.variation_table import variation_table
from bench.report.variations import Variation, families


def build(material: Material) -> Table:
    """Table 5 of a call."""
    return table5(material.scores, material.facts, material.paper)


def table5(scores: Scores, facts: Sequence[DataFacts], paper: Paper) -> Table:
    """LUDP by number of item-graph layers, one block a data set.

    Args:
        scores: of all runs.
        facts: the data sets, in order.
        paper: the published values.

    Raises:
        UsageError: there is no data set, or one is given twice.
    """
    found = families(scores, facts, partial(_variations, paper=paper))
    caption = (
        f"{paper.display(experiments.LUDP)} by number of layers on the item-item graphs; the user-item graph has "
        f"{experiments.N_UI_LAYERS}."
    )
    return variation_table("Table 5", caption, "Layers", found, scores, paper)


def _variations(facts: DataFacts, paper: Paper) -> list[Variation]:
    theirs = paper.table5[facts.card] if paper.has_dataset(facts.card) else {}
    return [
        Variation(name=str(n), label=row.label, published=theirs.get(n, {}))
        for n, row in experiments.layer_rows().items()
    ]
