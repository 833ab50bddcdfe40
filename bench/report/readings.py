"""Layer 8. What the readings of LUDP's equations change that its text leaves open. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench import experiments
from bench.records import DataFacts
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.scores import Scores
from bench.report.table import Table
from bench.report.variation_table import variation_table
from bench.report.variations import Variation, families, with_selection


def build(material: Material) -> Table:
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
    found = families(scores, facts, _variations, with_selection(scores.selection_metric))
    caption = (
        f"How the equations of {paper.display(experiments.LUDP)} can be read. The first row takes every equation "
        f"as printed; each other row changes one choice that the text leaves open. The row in Table 3 is what the "
        f"validation part chose; nothing is chosen here."
    )
    first = next(iter(experiments.READINGS))
    return variation_table("Readings", caption, "Reading", found, scores, paper, first, "Parameter")


def _variations(facts: DataFacts) -> list[Variation]:
    return [
        Variation(name=name, label=row.label, detail=_in_words(row.values))
        for name, row in experiments.reading_rows().items()
    ]


def _in_words(values: Mapping[str, Any]) -> str:
    """As a YAML file has them."""
    return ", ".join(f"{key}: {str(value).lower()}" for key, value in values.items())
