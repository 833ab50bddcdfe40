"""Layer 8. Table 3: the test scores of all models, ours beside the paper's. Pure.

Marks and %Improv. compare unrounded means of complete cells only, that is of cells with every repetition.
%Improv. sets the paper's model against the best other model; its own variants are no others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from bench.errors import listed
from bench.protocol import METRICS, PRIMARY_CUTOFF, metric_key
from bench.records import DataFacts
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.scores import Score, Scores
from bench.report.table import Block, Cell, Column, CsvValue, Mark, Row, Table, improvement, marks
from bench.report.wording import (
    DASH,
    DATA_FIELDS,
    data_headings,
    data_notes,
    data_values,
    metric_title,
    model_display,
    paper_heading,
    row_order,
)

CSV_HEADER = (
    *DATA_FIELDS,
    *("protocol", "hide_at_test", "model", "metric", "mean", "sd"),
    *("n_runs", "n_failed", "n_asked", "mark", "paper_value"),
)
NO_RUN = Cell(words=f"{DASH} (no finished run)")
NOTHING = Cell(words=DASH)
CsvRow = tuple[CsvValue, ...]


def build(material: Material) -> Table:
    """Table 3 of a call."""
    return table3(material.frame, material.labels, material.facts, material.paper)


def table3(
    frame: pd.DataFrame,
    model_labels: Sequence[str],
    facts: Sequence[DataFacts],
    paper: Paper,
    cutoff: int = PRIMARY_CUTOFF,
) -> Table:
    """Test scores of all models, one block a data set, the published values beside ours.

    Args:
        frame: result of `aggregate.tidy` under one protocol.
        model_labels: models to show, with or without runs; shown in the paper's order, then the others.
        facts: data sets to show, in order; only runs on exactly this data and split count.
        paper: the published values; shown where the paper has the data set and the metric.
        cutoff: length of the recommended list.

    Raises:
        ResultsError: the frame mixes protocols or numbers of repetitions, or holds a cell twice.
        UsageError: no data set or model is given, one is given twice, or nobody computed this cut-off.
    """
    headings, labels = data_headings(facts), row_order(model_labels, paper)
    scores = Scores(frame)
    metrics = [metric_key(metric, cutoff) for metric in METRICS]
    scores.require(metrics)
    blocks: list[Block] = []
    notes: list[str] = []
    csv_rows: list[CsvRow] = []
    for each, heading in zip(facts, headings, strict=True):
        found = {metric: [scores.get(each, label, metric) for label in labels] for metric in metrics}
        blocks.append(_score_block(each.name, heading, labels, found, paper))
        notes += data_notes(each, heading, paper) + _gap_notes(heading, labels, found, paper)
        for metric in metrics:
            csv_rows += _score_csv(each, labels, metric, found[metric], scores, paper)
    caption = _score_caption(scores, paper)
    return Table("Table 3", caption, tuple(blocks), tuple(notes), CSV_HEADER, tuple(csv_rows))


def _score_block(
    dataset: str, heading: str, labels: Sequence[str], found: Mapping[str, Sequence[Score]], paper: Paper
) -> Block:
    """One data set: a column a metric of ours, and one of the paper's for each that it published."""
    columns = [Column(metric_title(metric), group=heading) for metric in found]
    cells = [_our_column(labels, scores, paper) for scores in found.values()]
    if paper.has_dataset(dataset):
        shared = [metric for metric in found if metric in paper.metrics]
        columns += [Column(metric_title(metric), group=paper_heading(dataset, paper)) for metric in shared]
        cells += [_paper_column(dataset, labels, metric, paper) for metric in shared]
    stubs = [*(model_display(label, paper) for label in labels), "%Improv."]
    rows = [
        Row((Cell(words=stub), *across), ruled=position == len(labels))
        for position, (stub, across) in enumerate(zip(stubs, zip(*cells, strict=True), strict=True))
    ]
    return Block((Column("Model", align="left"), *columns), tuple(rows))


def _our_column(labels: Sequence[str], scores: Sequence[Score], paper: Paper) -> list[Cell]:
    complete = [score.complete for score in scores]
    proposed = {label: mean for label, mean in zip(labels, complete, strict=True) if label == paper.proposed}
    others = [
        mean for label, mean in zip(labels, complete, strict=True) if label.partition("@")[0] != paper.proposed
    ]
    gain = improvement(proposed.get(paper.proposed), others)
    cells = [_score_cell(score, mark) for score, mark in zip(scores, marks(complete), strict=True)]
    return [*cells, Cell(gain, form="+.2%")]


def _score_cell(score: Score, mark: Mark) -> Cell:
    if score.mean is None:
        return NO_RUN
    if score.complete is None:
        return Cell(score.mean, words=f"({score.n_runs} of {score.n_asked} seeds)")
    return Cell(score.mean, score.sd, mark=mark)


def _paper_column(dataset: str, labels: Sequence[str], metric: str, paper: Paper) -> list[Cell]:
    """Published values with their marks, which compare all published rows, shown here or not."""
    values = {model: paper.score(dataset, model, metric) for model in paper.models}
    given = dict(zip(values, marks(list(values.values())), strict=True))
    cells = [Cell(values[label], mark=given[label]) if label in values else NOTHING for label in labels]
    return [*cells, Cell(paper.improvement(dataset, metric) / 100, form=".2%")]


def _gap_notes(
    heading: str, labels: Sequence[str], found: Mapping[str, Sequence[Score]], paper: Paper
) -> list[str]:
    """Who is not compared: a strong model without all its runs would otherwise flatter the others."""
    gaps = {
        label: score
        for scores in found.values()
        for label, score in zip(labels, scores, strict=True)
        if score.complete is None
    }
    if not gaps:
        return []
    named = listed(
        f"{model_display(label, paper)} ({score.n_runs} of {score.n_asked or '?'} seeds, {score.n_failed} failed)"
        for label, score in gaps.items()
    )
    return [f"{heading}: incomplete, hence not compared in marks and %Improv.: {named}."]


def _score_caption(scores: Scores, paper: Paper) -> str:
    name = paper.display(paper.proposed)
    if scores.n_asked is None:
        made = "No run has been made yet."
    else:
        spread = (
            "one seed a cell (n=1), hence no standard deviation"
            if scores.n_asked == 1
            else f"mean ± sample standard deviation over n={scores.n_asked} seeds"
        )
        made = f"Protocol {scores.protocol}, hidden at test: {scores.hide_at_test} items; {spread}."
    return (
        f"Test scores. {made} Bold is the best of a column and underlined the second best, among complete cells. "
        f"%Improv. is {name} against the best other model, its own variants aside. Columns headed 'paper' "
        f"are the paper's numbers on its own data."
    )


def _score_csv(
    facts: DataFacts, labels: Sequence[str], metric: str, found: Sequence[Score], scores: Scores, paper: Paper
) -> list[CsvRow]:
    given = marks([score.complete for score in found])
    return [
        (
            *data_values(facts),
            *(scores.protocol, scores.hide_at_test, label, metric, score.mean, score.sd),
            *(score.n_runs, score.n_failed, score.n_asked, mark, _published(facts.name, label, metric, paper)),
        )
        for label, score, mark in zip(labels, found, given, strict=True)
    ]


def _published(dataset: str, label: str, metric: str, paper: Paper) -> float | None:
    """The paper's value, None where the paper has no such data set, model (or variant) or metric."""
    known = paper.has_dataset(dataset) and paper.has_model(label) and metric in paper.metrics
    return paper.score(dataset, label, metric) if known else None
