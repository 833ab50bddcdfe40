"""Figure 3: LUDP without its parts. Pure.

Figure 5: LUDP by kind of fusion. Pure.

Figure 6: LUDP by number of neighbours in the item-item graphs. Pure.

What the readings of LUDP's equations change that its text leaves open. Pure.

Table 4: LUDP on each modality alone and on all, ours beside the paper's. Pure.

Table 5: LUDP by number of layers on the item-item graphs, ours beside the paper's. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from bench.report import experiments
from bench.report.figure import Figure
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.scores import Scores
from bench.report.table import Table
from bench.report.tables.variation_forms import (
    Variation,
    dot_figure,
    families,
    line_figure,
    variation_table,
    with_selection,
)
from bench.runs.records import DataFacts

PART_NAMES = {
    "base": "base",
    "item graph": "base + item graph",
    "user preference": "base + user preference",
    "full": "full",
}


def build_fig3(material: Material) -> Figure:
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
    found = families(scores, facts, _fig3_variations)
    caption = (
        f"Parts of {paper.display(experiments.LUDP)}. The base is LightGCN with the readout that the full model "
        f"has; the item graph, the user preference or both are added. The paper leaves out the base with the user "
        f"preference alone."
    )
    return dot_figure("Figure 3", caption, found, scores, paper)


def _fig3_variations(facts: DataFacts) -> list[Variation]:
    return [Variation(PART_NAMES[part], row.label) for part, row in experiments.part_rows().items()]


FUSION_NAMES = {"attention": "attention", "sum": "sum", "concat_fc": "concatenation + FC"}


def build_fig5(material: Material) -> Figure:
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
    found = families(scores, facts, _fig5_variations, (scores.selection_metric,))
    caption = (
        f"Fusion of the modalities in {paper.display(experiments.LUDP)}: attention, sum, or concatenation with a "
        f"fully connected layer (FC)."
    )
    return dot_figure("Figure 5", caption, found, scores, paper)


def _fig5_variations(facts: DataFacts) -> list[Variation]:
    return [Variation(FUSION_NAMES[fusion], row.label) for fusion, row in experiments.fusion_rows().items()]


def build_fig6(material: Material) -> Figure:
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
    found = families(scores, facts, _fig6_variations)
    caption = f"{paper.display(experiments.LUDP)} by number of neighbours k of an item in the item-item graphs."
    places = list(experiments.neighbour_rows())
    return line_figure("Figure 6", caption, found, scores, paper, places, "neighbours k (log scale)")


def _fig6_variations(facts: DataFacts) -> list[Variation]:
    return [Variation(f"k={k}", row.label) for k, row in experiments.neighbour_rows().items()]


def build_readings(material: Material) -> Table:
    """The readings of a call."""
    return readings_table(material.scores, material.facts, material.paper)


def readings_table(scores: Scores, facts: Sequence[DataFacts], paper: Paper) -> Table:
    """LUDP by reading, one block a data set, each set against the equations as printed.

    Args:
        scores: of all runs.
        facts: the data sets, in order.
        paper: for names.

    Raises:
        UsageError: there is no data set, or one is given twice.
    """
    found = families(scores, facts, _readings_variations, with_selection(scores.selection_metric))
    caption = (
        f"How the equations of {paper.display(experiments.LUDP)} can be read. The first row takes every equation "
        f"as printed; each other row changes one choice that the text leaves open. The row in Table 3 is what the "
        f"validation part chose; nothing is chosen here."
    )
    first = next(iter(experiments.READINGS))
    return variation_table("Readings", caption, "Reading", found, scores, paper, first, "Parameter")


def _readings_variations(facts: DataFacts) -> list[Variation]:
    return [
        Variation(name=name, label=row.label, detail=_in_words(row.values))
        for name, row in experiments.reading_rows().items()
    ]


def _in_words(values: Mapping[str, Any]) -> str:
    """As a YAML file has them."""
    return ", ".join(f"{key}: {str(value).lower()}" for key, value in values.items())


ALL = "all"


def build_table4(material: Material) -> Table:
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
    found = families(scores, facts, partial(_table4_variations, paper=paper))
    caption = f"{paper.display(experiments.LUDP)} on each modality alone and on all that the data has."
    return variation_table("Table 4", caption, "Modality", found, scores, paper)


def _table4_variations(facts: DataFacts, paper: Paper) -> list[Variation]:
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


def build_table5(material: Material) -> Table:
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
    found = families(scores, facts, partial(_table5_variations, paper=paper))
    caption = (
        f"{paper.display(experiments.LUDP)} by number of layers on the item-item graphs; the user-item graph has "
        f"{experiments.N_UI_LAYERS}."
    )
    return variation_table("Table 5", caption, "Layers", found, scores, paper)


def _table5_variations(facts: DataFacts, paper: Paper) -> list[Variation]:
    theirs = paper.table5[facts.card] if paper.has_dataset(facts.card) else {}
    return [
        Variation(name=str(n), label=row.label, published=theirs.get(n, {}))
        for n, row in experiments.layer_rows().items()
    ]
