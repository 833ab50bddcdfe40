"""Layer 8. Variations of a model as a table: one block a data set, the published values beside ours. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report.cells import NOTHING, made_by, score_cell
from bench.report.paper import Paper
from bench.report.scores import Scores
from bench.report.table import Block, Cell, Column, Row, Table, improvement, marks
from bench.report.variations import CSV_HEADER, Family, csv_rows, notes
from bench.report.wording import DASH, metric_title, paper_heading

MARKED = "Bold is the best of a column and underlined the second best, among complete cells."
PUBLISHED = "Columns headed 'paper' are the paper's numbers on its own data."


def variation_table(
    name: str,
    caption: str,
    title: str,
    found: Sequence[Family],
    scores: Scores,
    paper: Paper,
    against: str = "",
    detail_title: str = "",
) -> Table:
    """The scores of every variation on every data set.

    Args:
        name: of the table.
        caption: what varies; how it was made and marked is added.
        title: head of the column with the variations' names.
        found: variations and scores, one entry a data set.
        scores: where those are from.
        paper: for the head of published values.
        against: the variation whose score all others are set against in a column of its own, or "".
        detail_title: head of a column with the variations' details, or "".
    """
    blocks = []
    for family in found:
        columns = [
            _names(title, family),
            *([_details(detail_title, family)] if detail_title else []),
            *_ours(family),
            *([_difference(family, against, scores.selection_metric)] if against else []),
            *_published(family, paper),
        ]
        rows = zip(*(cells for _, cells in columns), strict=True)
        blocks.append(Block(tuple(column for column, _ in columns), tuple(Row(cells) for cells in rows)))
    has_paper = any(variation.published for family in found for variation in family.variations)
    words = (caption, made_by(scores), MARKED, *([PUBLISHED] if has_paper else []))
    return Table(name, " ".join(words), tuple(blocks), notes(found, paper), CSV_HEADER, csv_rows(found, scores))


def _names(title: str, family: Family) -> tuple[Column, list[Cell]]:
    return Column(title, align="left"), [Cell(words=variation.name) for variation in family.variations]


def _details(title: str, family: Family) -> tuple[Column, list[Cell]]:
    return Column(title, align="left"), [Cell(words=variation.detail or DASH) for variation in family.variations]


def _ours(family: Family) -> list[tuple[Column, list[Cell]]]:
    return [
        (
            Column(metric_title(metric), group=family.heading),
            [
                score_cell(score, mark) if variation.label else Cell(words=f"{DASH} (not in this data)")
                for variation, score, mark in zip(family.variations, across, family.marks(metric), strict=True)
            ],
        )
        for metric, across in family.scores.items()
    ]


def _difference(family: Family, against: str, metric: str) -> tuple[Column, list[Cell]]:
    """The relative difference of complete means in the metric that selects."""
    complete = [score.complete for score in family.scores[metric]]
    places = [place for place, variation in enumerate(family.variations) if variation.name == against]
    base = complete[places[0]]
    cells = [
        NOTHING if place in places else Cell(improvement(mean, [base]), form="+.1%")
        for place, mean in enumerate(complete)
    ]
    return Column(f"{metric_title(metric)} against '{against}'", group=family.heading), cells


def _published(family: Family, paper: Paper) -> list[tuple[Column, list[Cell]]]:
    """The paper's columns for the metrics that it has; none for data that it lacks."""
    columns = []
    for metric in family.scores:
        values = [variation.published.get(metric) for variation in family.variations]
        if any(value is not None for value in values):
            cells = [
                NOTHING if value is None else Cell(value, mark=mark)
                for value, mark in zip(values, marks(values), strict=True)
            ]
            columns.append((Column(metric_title(metric), group=paper_heading(family.facts.card, paper)), cells))
    return columns
