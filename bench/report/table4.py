"""Layer 8. Table 4: LUDP on each modality alone and on all, ours beside the paper's. Pure."""

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

ALL = "all"


def build(material: Material) -> Table:
    """Table 4 of a call."""
    return table4(material.scores, material.facts, material.paper)


def table4(scores: Scores, facts: Sequence[DataFacts], paper: Paper) -> Table:
    """LUDP by modality, one block a data set; a modality that the data lacks keeps an empty row.

    Args:
        scores: of all runs.
        facts: the data sets, in order; any modalities under any names.
        paper: the published values.

    Raises:
        UsageError: there is no data set, or one is given twice.
    """
    found = families(scores, facts, partial(_variations, paper=paper))
    caption = f"{paper.display(experiments.LUDP)} on each modality alone and on all that the data has."
    return variation_table("Table 4", caption, "Modality", found, scores, paper)


def _variations(facts: DataFacts, paper: Paper) -> list[Variation]:
    """The paper's modalities in its order, then what else the data has or is known to lack, then all."""
    rows = experiments.modality_rows(facts)
    has_paper = paper.has_dataset(facts.card)
    theirs = paper.table4[facts.card] if has_paper else {}
    names = [name for name in dict.fromkeys([*theirs, *rows, *facts.missing]) if name != ALL]
    return [
        Variation(
            name=name,
            label=rows[name].label if name in rows else "",
            reason="" if name in rows else facts.missing.get(name, "this data does not have it"),
            published=theirs.get(name, {}),
        )
        for name in [*names, ALL]
    ]
