"""Layer 8. Content models with content that says nothing: is a gain due to content or to capacity? Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from bench import experiments
from bench.protocol import SELECTION_METRIC
from bench.records import DataFacts
from bench.report.cells import made_by, score_cell
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.scores import Scores
from bench.report.table import Block, Cell, Column, Row, Table, improvement
from bench.report.variations import CSV_HEADER, Family, Variation, csv_rows, families, notes
from bench.report.wording import metric_title, model_display

KINDS = ("given", *experiments.FEATURE_CONTROLS)


def build(material: Material) -> Table:
    """The feature controls of a call."""
    return controls_table(material.scores, material.facts, material.paper)


def controls_table(scores: Scores, facts: Sequence[DataFacts], paper: Paper) -> Table:
    """A row a model, a column a kind of content, and what each kind loses; all metrics in the CSV.

    Args:
        scores: of all runs.
        facts: the data sets, in order.
        paper: for names.

    Raises:
        UsageError: there is no data set, or one is given twice.
    """
    by_model = [families(scores, facts, partial(_variations, model=model, paper=paper)) for model in _models()]
    by_data = list(zip(*by_model, strict=True))
    title = metric_title(SELECTION_METRIC)
    caption = (
        f"Content or capacity: {title} with the items' content as given, with the content of other items "
        f"(shuffled), with noise of the same mean and deviation, and with one constant row. {made_by(scores)} "
        f"Differences are relative to the content as given, between complete cells. A model that loses nothing "
        f"does not use what the content says. Bold is the best of a row and underlined the second best."
    )
    flat = [family for same in by_data for family in same]
    return Table(
        name="Feature controls",
        caption=caption,
        blocks=tuple(_block(same, paper) for same in by_data),
        notes=tuple(dict.fromkeys(notes(flat, paper))),
        csv_header=CSV_HEADER,
        csv_rows=csv_rows(flat, scores),
    )


def _models() -> list[str]:
    return list(dict.fromkeys(model for model, _ in experiments.control_rows()))


def _variations(facts: DataFacts, model: str, paper: Paper) -> list[Variation]:
    rows = experiments.control_rows()
    return [Variation(f"{model_display(model, paper)}, {kind}", rows[model, kind].label) for kind in KINDS]


def _block(same: Sequence[Family], paper: Paper) -> Block:
    heading = same[0].heading
    columns = (
        Column("Model", align="left"),
        *(Column(kind, group=heading) for kind in KINDS),
        *(Column(kind, group=f"{heading}, against given") for kind in KINDS[1:]),
    )
    return Block(columns, tuple(_row(model, family, paper) for model, family in zip(_models(), same, strict=True)))


def _row(model: str, family: Family, paper: Paper) -> Row:
    scores = family.scores[SELECTION_METRIC]
    given, *others = (score.complete for score in scores)
    cells = [score_cell(score, mark) for score, mark in zip(scores, family.marks(SELECTION_METRIC), strict=True)]
    losses = [Cell(improvement(mean, [given]), form="+.1%") for mean in others]
    return Row((Cell(words=model_display(model, paper)), *cells, *losses))
