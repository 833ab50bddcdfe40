"""Table 3: the test scores of all models, ours beside the paper's. Reads stored lists; writes nothing.

Marks and %Improv. compare unrounded means of complete cells only, that is of cells with every repetition.
%Improv. compares the paper's model with the best other model, and in a row of its own with the best control; the
model's own variants do not count as others. A star marks a row that differs significantly from the paper's model.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from bench.core.errors import listed
from bench.core.protocol import METRICS, PRIMARY_CUTOFF, metric_key
from bench.engine.recbole_catalogue import is_recbole
from bench.report.comparisons import STAR, Comparisons, compare_with_proposed
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.scores import Score, Scores
from bench.report.stops import Stops, sign_notes, sign_sentence, stops_of
from bench.report.table import Block, Cell, Column, CsvValue, Row, Table, improvement, marks
from bench.report.wording import (
    DATA_FIELDS,
    NOTHING,
    data_headings,
    data_notes,
    data_values,
    is_control,
    list_incomplete,
    metric_title,
    model_display,
    model_of,
    paper_heading,
    repetitions_sentence,
    row_order,
    score_cell,
)
from bench.runs.records import DataFacts

CSV_HEADER = (
    *DATA_FIELDS,
    *("protocol", "hide_at_test", "model", "metric", "mean", "sd"),
    *("n_runs", "n_failed", "n_asked", "mark", "paper_value"),
    *("p_holm", "ci_low", "ci_high"),  # of the proposed model minus the row's
    *("n_stopped_by_cap", "n_best_at_start"),
)
CONTROLS = (
    "simple methods that are fitted in one go and tuned by the same rule. A model that does not beat the best of "
    "them has not earned its complexity."
)
RECBOLES = (
    " Rows marked (RecBole) are RecBole's own implementations with its parameters, under the same data, split, "
    "budget and evaluator."
)
CsvRow = tuple[CsvValue, ...]


def build(material: Material) -> Table:
    """Build Table 3 of a call.

    Raises:
        ResultsError: stored lists are missing or damaged.
    """
    tests = [compare_with_proposed(material, facts) for facts in material.facts]
    stops = [
        {label: stops_of(material.runs(facts, label)) for label in material.labels} for facts in material.facts
    ]
    return table3(material.scores, material.labels, material.facts, material.paper, tests=tests, stops=stops)


def table3(
    scores: Scores,
    model_labels: Sequence[str],
    facts: Sequence[DataFacts],
    paper: Paper,
    cutoff: int = PRIMARY_CUTOFF,
    tests: Sequence[Comparisons] = (),
    stops: Sequence[Mapping[str, Stops]] = (),
) -> Table:
    """Tabulate test scores of all models, one block per data set, the published values beside ours.

    Args:
        scores: of all runs.
        model_labels: models to show, with or without runs; shown in the paper's order, then the others.
        facts: data sets to show, in order; only runs on exactly this data and split are used.
        paper: the published values; shown where the paper has the data set and the metric.
        cutoff: length of the recommended list.
        tests: the proposed model against the other rows, data set by data set like `facts`; without them nothing
            is starred.
        stops: how the rows' trainings ended, by label, data set by data set; without them no name is marked.

    Raises:
        UsageError: no data set or model is given, one is given twice, or no run has this cut-off.
    """
    headings, labels = data_headings(facts), row_order(model_labels, paper)
    metrics = [metric_key(metric, cutoff) for metric in METRICS]
    scores.require(metrics)
    blocks: list[Block] = []
    notes: list[str] = []
    csv_rows: list[CsvRow] = []
    by_data: Sequence[Comparisons | None] = tests or [None] * len(facts)
    for each, heading, tested, ends in zip(facts, headings, by_data, stops or [{}] * len(facts), strict=True):
        names = {label: model_display(label, paper) for label in labels}
        by_metric = {metric: [scores.get(each, label, metric) for label in labels] for metric in metrics}
        marked = {label: name + ends.get(label, Stops()).signs for label, name in names.items()}
        blocks.append(_score_block(each.card, heading, marked, by_metric, tested, paper))
        notes += data_notes(each, heading, paper) + _incomplete_notes(heading, labels, by_metric, paper)
        notes += sign_notes(heading, {names[label]: ends[label] for label in labels if label in ends})
        for metric in metrics:
            csv_rows += _score_csv(each, labels, metric, by_metric[metric], scores, tested, ends, paper)
    caption = _score_caption(scores, labels, any(tested.contrasts for tested in tests), paper)
    signs = sign_sentence(each for ends in stops for each in ends.values())
    caption = f"{caption} {signs}" if signs else caption
    return Table("Table 3", caption, tuple(blocks), tuple(notes), CSV_HEADER, tuple(csv_rows))


def _score_block(
    dataset: str,
    heading: str,
    names: Mapping[str, str],
    by_metric: Mapping[str, Sequence[Score]],
    tested: Comparisons | None,
    paper: Paper,
) -> Block:
    """Build the block of a data set: one column per metric, and one per metric that the paper published."""
    labels = list(names)
    columns = [Column(metric_title(metric), group=heading) for metric in by_metric]
    cells = [_our_column(labels, scores, _starred(metric, tested), paper) for metric, scores in by_metric.items()]
    if paper.has_dataset(dataset):
        shared = [metric for metric in by_metric if metric in paper.metrics]
        columns += [Column(metric_title(metric), group=paper_heading(dataset, paper)) for metric in shared]
        cells += [_paper_column(dataset, labels, metric, paper) for metric in shared]
    n_models = sum(not is_control(label) for label in labels)
    n_ours = n_models - sum(is_recbole(label) for label in labels)
    stubs = [*names.values(), "%Improv."]
    stubs += ["%Improv. over controls"] if n_models < len(labels) else []
    rows = [
        Row((Cell(words=stub), *across), ruled=position in {n_ours, n_models, len(labels)} - {0})
        for position, (stub, across) in enumerate(zip(stubs, zip(*cells, strict=True), strict=True))
    ]
    return Block((Column("Model", align="left"), *columns), tuple(rows))


def _our_column(
    labels: Sequence[str], scores: Sequence[Score], starred: Collection[str], paper: Paper
) -> list[Cell]:
    complete = [score.complete for score in scores]
    means = dict(zip(labels, complete, strict=True))
    others = [label for label in labels if model_of(label) != paper.proposed]
    controls = [label for label in others if is_control(label)]
    rivals = [[label for label in others if label not in controls], *([controls] if controls else [])]
    gains = [improvement(means.get(paper.proposed), [means[label] for label in each]) for each in rivals]
    cells = [score_cell(score, mark) for score, mark in zip(scores, marks(complete), strict=True)]
    cells = [
        replace(cell, words=STAR) if label in starred else cell for label, cell in zip(labels, cells, strict=True)
    ]
    return [*cells, *(Cell(gain, form="+.2%") for gain in gains)]


def _starred(metric: str, tested: Comparisons | None) -> set[str]:
    """Return the rows that differ significantly from the proposed model in a metric."""
    contrasts = tested.contrasts if tested else {}
    return {label for (name, (_, label)), contrast in contrasts.items() if name == metric and contrast.sign}


def _paper_column(dataset: str, labels: Sequence[str], metric: str, paper: Paper) -> list[Cell]:
    """Return the published values of a metric with their marks, and the published %Improv."""
    # marks compare all published rows, also those that this call does not show
    values = {model: paper.score(dataset, model, metric) for model in paper.models}
    given = dict(zip(values, marks(list(values.values())), strict=True))
    cells = [Cell(values[label], mark=given[label]) if label in values else NOTHING for label in labels]
    gain = Cell(paper.improvement(dataset, metric) / 100, form=".2%")
    return [*cells, gain, *([NOTHING] if any(is_control(label) for label in labels) else [])]


def _incomplete_notes(
    heading: str, labels: Sequence[str], by_metric: Mapping[str, Sequence[Score]], paper: Paper
) -> list[str]:
    """Name the models that are not compared: left out silently, a strong model would flatter the others."""
    named = list_incomplete(
        (model_display(label, paper), score)
        for across in by_metric.values()
        for label, score in zip(labels, across, strict=True)
    )
    return [f"{heading}: incomplete, hence not compared in marks and %Improv.: {named}."] if named else []


def _score_caption(scores: Scores, labels: Sequence[str], is_tested: bool, paper: Paper) -> str:
    name = paper.display(paper.proposed)
    controls = [model_display(label, paper) for label in labels if is_control(label)]
    apart = " and the controls" if controls else ""
    explained = f" Controls ({listed(controls)}) are {CONTROLS}" if controls else ""
    stars = (
        f" {STAR} marks a score that differs from {name}'s (p < 0.05, paired permutation test over users, all "
        f"seeds together, corrected by Holm's method within a data set and metric); p-values and 95% bootstrap "
        f"intervals of {name}'s lead are in the CSV."
        if is_tested
        else ""
    )
    explained += RECBOLES if any(is_recbole(label) for label in labels) else ""
    return (
        f"Test scores. {repetitions_sentence(scores)} Bold is the best of a column and underlined the second "
        f"best, among complete cells. %Improv. is {name} against the best other model, its own variants{apart} "
        f"aside. Columns headed 'paper' are the paper's numbers on its own data.{stars}{explained}"
    )


def _score_csv(
    facts: DataFacts,
    labels: Sequence[str],
    metric: str,
    cells: Sequence[Score],
    scores: Scores,
    tested: Comparisons | None,
    ends: Mapping[str, Stops],
    paper: Paper,
) -> list[CsvRow]:
    given = marks([score.complete for score in cells])
    return [
        (
            *data_values(facts),
            *(scores.protocol, scores.hide_at_test, label, metric, score.mean, score.sd),
            *(score.n_runs, score.n_failed, score.n_asked, mark, _published(facts.card, label, metric, paper)),
            *_lead(label, metric, tested, paper),
            *((ends[label].n_cap, ends[label].n_start) if label in ends else (None, None)),
        )
        for label, score, mark in zip(labels, cells, given, strict=True)
    ]


def _lead(label: str, metric: str, tested: Comparisons | None, paper: Paper) -> CsvRow:
    """Return corrected p-value and interval of the proposed model's lead; None each if it was not tested."""
    contrast = tested.contrasts.get((metric, (paper.proposed, label))) if tested else None
    return (None, None, None) if contrast is None else (contrast.p_holm, contrast.low, contrast.high)


def _published(dataset: str, label: str, metric: str, paper: Paper) -> float | None:
    """Return the paper's value; None if it lacks the data set, the model (or variant) or the metric."""
    known = paper.has_dataset(dataset) and paper.has_model(label) and metric in paper.metrics
    return paper.score(dataset, label, metric) if known else None
