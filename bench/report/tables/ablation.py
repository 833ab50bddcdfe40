"""Content models with content that says nothing: is a gain due to content or to capacity?

Pure but for the stored lists, whose users the differences are tested on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from bench.report import experiments
from bench.report.comparisons import (
    CONTRAST_FIELDS,
    METHOD,
    STAR,
    Pair,
    compared,
    contrast_values,
    shown_difference,
    star,
)
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.scores import Scores
from bench.report.statistics import Contrast
from bench.report.table import Block, Cell, Column, CsvValue, Row, Table
from bench.report.tables.variation_forms import CSV_HEADER as SCORE_FIELDS
from bench.report.tables.variation_forms import Family, Variation, csv_rows, families, notes, with_selection
from bench.report.wording import made_by, metric_title, model_display, score_cell
from bench.runs.records import DataFacts

KINDS = ("given", *experiments.FEATURE_CONTROLS)
CSV_HEADER = (*SCORE_FIELDS, *CONTRAST_FIELDS)
TESTS = "every model with other content against itself with its own"
Found = Mapping[tuple[str, Pair], Contrast]


def build(material: Material) -> Table:
    """The feature controls of a call.

    Raises:
        ResultsError: stored lists are missing or damaged.
    """
    metrics = with_selection(material.protocol.selection_metric)
    found = [compared(material, facts, TESTS, control_pairs(), metrics).found for facts in material.facts]
    return controls_table(material.scores, material.facts, material.paper, found)


def control_pairs() -> list[Pair]:
    """Labels of every model with other content, each before the model itself."""
    rows = experiments.control_rows()
    return [(rows[model, kind].label, rows[model, KINDS[0]].label) for model in _models() for kind in KINDS[1:]]


def controls_table(scores: Scores, facts: Sequence[DataFacts], paper: Paper, found: Sequence[Found]) -> Table:
    """A row a model, a column a kind of content, and what each kind loses; all metrics in the CSV.

    Args:
        scores: of all runs.
        facts: the data sets, in order.
        paper: for names.
        found: of every data set the contrasts of `control_pairs` by metric; incomplete rows have none.

    Raises:
        UsageError: there is no data set, or one is given twice.
    """
    chooses = scores.selection_metric
    metrics = with_selection(chooses)
    by_model = [
        families(scores, facts, partial(_variations, model=model, paper=paper), metrics) for model in _models()
    ]
    by_data = list(zip(*by_model, strict=True))
    title = metric_title(chooses)
    caption = (
        f"Content or capacity: {title} with the items' content as given, with the content of other items "
        f"(shuffled), with noise of the same mean and deviation, and with one constant row. {made_by(scores)} "
        f"Differences are relative to the content as given, between complete cells; {STAR} marks p < 0.05. "
        f"{METHOD.format(family=TESTS)} A model that loses nothing does not use what the content says. Bold is "
        f"the best of a row and underlined the second best."
    )
    flat = [family for same in by_data for family in same]
    return Table(
        name="Feature controls",
        caption=caption,
        blocks=tuple(_block(same, paper, each, chooses) for same, each in zip(by_data, found, strict=True)),
        notes=tuple(dict.fromkeys(notes(flat, paper))),
        csv_header=CSV_HEADER,
        csv_rows=tuple(
            (*row, *contrast_values(_against_given(row, each)))
            for same, each in zip(by_data, found, strict=True)
            for row in csv_rows(same, scores)
        ),
    )


def _models() -> list[str]:
    return list(dict.fromkeys(model for model, _ in experiments.control_rows()))


def _variations(facts: DataFacts, model: str, paper: Paper) -> list[Variation]:
    rows = experiments.control_rows()
    return [Variation(f"{model_display(model, paper)}, {kind}", rows[model, kind].label) for kind in KINDS]


def _against_given(row: Sequence[CsvValue], found: Found) -> Contrast | None:
    """The contrast of the label and metric of a tidy row."""
    label, metric = (str(row[SCORE_FIELDS.index(name)]) for name in ("model", "metric"))
    given = dict(control_pairs()).get(label)
    return None if given is None else found.get((metric, (label, given)))


def _block(same: Sequence[Family], paper: Paper, found: Found, metric: str) -> Block:
    heading = same[0].heading
    columns = (
        Column("Model", align="left"),
        *(Column(kind, group=heading) for kind in KINDS),
        *(Column(kind, group=f"{heading}, against given") for kind in KINDS[1:]),
    )
    rows = tuple(_row(model, family, paper, found, metric) for model, family in zip(_models(), same, strict=True))
    return Block(columns, rows)


def _row(model: str, family: Family, paper: Paper, found: Found, metric: str) -> Row:
    scores = family.scores[metric]
    cells = [score_cell(score, mark) for score, mark in zip(scores, family.marks(metric), strict=True)]
    given, *others = (one.label for one in family.variations)
    losses = [_difference(found.get((metric, (other, given)))) for other in others]
    return Row((Cell(words=model_display(model, paper)), *cells, *losses))


def _difference(contrast: Contrast | None) -> Cell:
    if contrast is None:
        return Cell()
    return Cell(words=shown_difference(contrast) + star(contrast))
