"""Table 3: the test scores of all models, ours beside the paper's. Reads stored lists; writes nothing.

Marks and %Improv. compare unrounded means of complete cells only, that is of cells with every repetition.
%Improv. compares the reference row with the best other model, and in a row of its own with the best baseline;
variants of its model do not count as others. A star marks a row that differs significantly from the reference row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from bench.core.errors import listed
from bench.core.names import model_of
from bench.core.protocol import METRICS, PRIMARY_CUTOFF, metric_key, short_metric
from bench.engine.recbole_catalogue import is_recbole
from bench.report.comparisons import MIN_SEEDS, STAR, Comparisons, compare_with_reference, untested
from bench.report.material import Material, default_reference
from bench.report.paper import Paper
from bench.report.scores import Score, Scores
from bench.report.stops import Stops, sign_notes, sign_sentence, stops_of
from bench.report.table import Block, Cell, Column, CsvValue, Row, Table, improvement, marks
from bench.report.wording import (
    DATA_FIELDS,
    MARKED,
    NOTHING,
    PUBLISHED,
    data_headings,
    data_notes,
    data_values,
    is_about_paper,
    list_incomplete,
    model_display,
    paper_heading,
    repetitions_sentence,
    row_order,
    score_cell,
    shows_published,
)
from bench.runs.controls import is_control
from bench.runs.records import DataFacts

CSV_HEADER = (
    *DATA_FIELDS,
    *("protocol", "hide_at_test", "model", "metric", "mean", "sd"),
    *("n_runs", "n_failed", "n_asked", "mark", "paper_value"),
    *("p_holm", "ci_low", "ci_high"),  # of the reference row minus this one
    *("n_stopped_by_cap", "n_best_at_start"),
)
BASELINES = (
    "simple methods that are fitted in one go and tuned by the same rule. A model that does not beat the best of "
    "them has not earned its complexity."
)
RECBOLES = (
    "Rows marked (RecBole) are RecBole's own implementations with its parameters, under the same data, split, "
    "budget and evaluator."
)
NAME, OF_THE_PAPER = "Accuracy", " (the paper's Table 3)"
IMPROVEMENT, OVER_BASELINES = "%Improv.", "%Improv. over baselines"
CsvRow = tuple[CsvValue, ...]


def build(material: Material) -> Table:
    """Build Table 3 of a call.

    Raises:
        ResultsError: stored lists are missing or damaged.
    """
    can_be_tested = material.n_seeds >= MIN_SEEDS
    tests = [compare_with_reference(material, facts) for facts in material.facts] if can_be_tested else []
    stops = [
        {label: stops_of(material.runs(facts, label)) for label in material.labels} for facts in material.facts
    ]
    return table3(
        material.scores,
        material.labels,
        material.facts,
        material.paper,
        tests=tests,
        stops=stops,
        reference=material.reference,
    )


def table3(
    scores: Scores,
    model_labels: Sequence[str],
    facts: Sequence[DataFacts],
    paper: Paper,
    tests: Sequence[Comparisons] = (),
    stops: Sequence[Mapping[str, Stops]] = (),
    reference: str = "",
) -> Table:
    """Tabulate test scores of all models, one block per data set, the published values beside ours.

    Args:
        scores: of all runs.
        model_labels: models to show, with or without runs; shown in the paper's order, then the others.
        facts: data sets to show, in order; only runs on exactly this data and split are used.
        paper: the published values; shown beside real data that the paper reports, if its model is a row.
        tests: the reference row against the others, data set by data set like `facts`; without them nothing is
            starred.
        stops: how the rows' trainings ended, by label, data set by data set; without them no name is marked.
        reference: label of the row that the others are compared with; "" for the default.

    Raises:
        UsageError: no data set or model is given, or one is given twice.
    """
    headings, labels = data_headings(facts), row_order(model_labels, paper)
    metrics = [metric_key(metric, PRIMARY_CUTOFF) for metric in METRICS]
    scores.require(metrics)
    reference = reference or default_reference(model_labels, paper)
    is_published = {each.name: is_about_paper(labels, paper) and shows_published(each, paper) for each in facts}
    blocks: list[Block] = []
    notes: list[str] = []
    csv_rows: list[CsvRow] = []
    by_data: Sequence[Comparisons | None] = tests or [None] * len(facts)
    for each, heading, tested, ends in zip(facts, headings, by_data, stops or [{}] * len(facts), strict=True):
        names = {label: model_display(label, paper) for label in labels}
        by_metric = {metric: [scores.get(each, label, metric) for label in labels] for metric in metrics}
        marked = {label: name + ends.get(label, Stops()).signs for label, name in names.items()}
        published = each.card if is_published[each.name] else ""
        blocks.append(_score_block(heading, marked, by_metric, tested, reference, published, paper))
        notes += data_notes(each, heading, paper) + _incomplete_notes(heading, labels, by_metric, paper)
        notes += sign_notes(heading, {names[label]: ends[label] for label in labels if label in ends})
        for metric in metrics:
            csv_rows += _score_csv(each, labels, metric, by_metric[metric], scores, tested, ends, reference, paper)
    parts = (
        *_caption(scores, labels, reference, any(tested.contrasts for tested in tests), paper),
        PUBLISHED if any(is_published.values()) else "",
        *_explained(labels, paper),
        sign_sentence(each for ends in stops for each in ends.values()),
    )
    name = NAME + (OF_THE_PAPER if is_about_paper(labels, paper) else "")
    return Table(name, " ".join(filter(None, parts)), tuple(blocks), tuple(notes), CSV_HEADER, tuple(csv_rows))


def _score_block(
    heading: str,
    names: Mapping[str, str],
    by_metric: Mapping[str, Sequence[Score]],
    tested: Comparisons | None,
    reference: str,
    published: str,
    paper: Paper,
) -> Block:
    """Build the block of a data set: one column per metric, and one per metric that the paper published.

    Args:
        heading: name of the data set with its source.
        names: displayed name of every row, by label.
        by_metric: scores of the rows.
        tested: the tests of the reference row; None without tests.
        reference: label of that row.
        published: data set of the paper whose values stand beside ours; "" for none.
        paper: the published values.
    """
    labels = list(names)
    columns = [Column(short_metric(metric), group=heading) for metric in by_metric]
    cells = [
        _our_column(labels, scores, _starred(metric, tested), reference) for metric, scores in by_metric.items()
    ]
    if published:
        shared = [metric for metric in by_metric if metric in paper.metrics]
        columns += [Column(short_metric(metric), group=paper_heading(published, paper)) for metric in shared]
        cells += [_paper_column(published, labels, metric, reference, paper) for metric in shared]
    n_models = sum(not is_control(label) for label in labels)
    n_ours = n_models - sum(is_recbole(label) for label in labels)
    stubs = [*names.values(), *_rivals(labels, reference)]
    rows = [
        Row((Cell(words=stub), *across), ruled=position in {n_ours, n_models, len(labels)} - {0})
        for position, (stub, across) in enumerate(zip(stubs, zip(*cells, strict=True), strict=True))
    ]
    return Block((Column("Model", align="left"), *columns), tuple(rows))


def _rivals(labels: Sequence[str], reference: str) -> dict[str, list[str]]:
    """Return the rows that the reference row is compared with, by the head of the comparison."""
    others = [label for label in labels if model_of(label) != model_of(reference)]
    controls = [label for label in others if is_control(label)]
    rivals = {IMPROVEMENT: [label for label in others if label not in controls], OVER_BASELINES: controls}
    return {head: rows for head, rows in rivals.items() if rows}


def _our_column(
    labels: Sequence[str], scores: Sequence[Score], starred: Collection[str], reference: str
) -> list[Cell]:
    complete = [score.mean for score in scores]
    means = dict(zip(labels, complete, strict=True))
    rivals = _rivals(labels, reference).values()
    gains = [improvement(means.get(reference), [means[label] for label in each]) for each in rivals]
    cells = [score_cell(score, mark) for score, mark in zip(scores, marks(complete), strict=True)]
    cells = [
        replace(cell, words=STAR) if label in starred else cell for label, cell in zip(labels, cells, strict=True)
    ]
    return [*cells, *(Cell(gain, form="+.2%") for gain in gains)]


def _starred(metric: str, tested: Comparisons | None) -> set[str]:
    """Return the rows that differ significantly from the reference row in a metric."""
    contrasts = tested.contrasts if tested else {}
    return {label for (name, (_, label)), contrast in contrasts.items() if name == metric and contrast.sign}


def _paper_column(dataset: str, labels: Sequence[str], metric: str, reference: str, paper: Paper) -> list[Cell]:
    """Return the published values of a metric with their marks, and the published %Improv."""
    # marks compare all published rows, also those that this call does not show
    values = {model: paper.score(dataset, model, metric) for model in paper.models}
    given = dict(zip(values, marks(list(values.values())), strict=True))
    cells = [Cell(values[label], mark=given[label]) if label in values else NOTHING for label in labels]
    gain = Cell(paper.improvement(dataset, metric) / 100, form=".2%") if reference == paper.proposed else NOTHING
    return [*cells, *(gain if head == IMPROVEMENT else NOTHING for head in _rivals(labels, reference))]


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


def _caption(
    scores: Scores, labels: Sequence[str], reference: str, is_tested: bool, paper: Paper
) -> Iterator[str]:
    """Yield the sentences on the repetitions, the marks, and what the reference row is compared with."""
    name, rivals = model_display(reference, paper), _rivals(labels, reference)
    yield f"Test scores. {repetitions_sentence(scores)}"
    yield MARKED
    if IMPROVEMENT in rivals:
        variants = [label for label in labels if label != reference and model_of(label) == model_of(reference)]
        aside = [
            *(["its own variants"] if variants else []),
            *(["the simple baselines"] if OVER_BASELINES in rivals else []),
        ]
        without = f", {' and '.join(aside)} aside" if aside else ""
        yield f"{IMPROVEMENT} is {name} against the best other model{without}."
    elif rivals:
        yield f"{OVER_BASELINES} is {name} against the best simple baseline."
    if is_tested:
        yield (
            f"{STAR} marks a score that differs from {name}'s (p < 0.05, paired permutation test over users, all "
            f"seeds together, corrected by Holm's method within a data set and metric, and a 95% interval over "
            f"users and seeds that leaves out 0); p-values and 95% bootstrap intervals over users of {name}'s "
            f"lead are in the CSV."
        )
    elif len(labels) > 1 and scores.n_asked is not None:
        yield untested(scores.n_asked)


def _explained(labels: Sequence[str], paper: Paper) -> Iterator[str]:
    """Yield what kinds of rows are, as far as there are such rows."""
    controls = [model_display(label, paper) for label in labels if is_control(label)]
    if controls:
        yield f"Baselines ({listed(controls)}) are {BASELINES}"
    if any(is_recbole(label) for label in labels):
        yield RECBOLES


def _score_csv(
    facts: DataFacts,
    labels: Sequence[str],
    metric: str,
    cells: Sequence[Score],
    scores: Scores,
    tested: Comparisons | None,
    ends: Mapping[str, Stops],
    reference: str,
    paper: Paper,
) -> list[CsvRow]:
    given = marks([score.mean for score in cells])
    return [
        (
            *data_values(facts),
            *(scores.protocol, scores.hide_at_test, label, metric, score.mean, score.sd),
            *(score.n_runs, score.n_failed, score.n_asked, mark, _published(facts, label, metric, paper)),
            *_lead(label, metric, tested, reference),
            *((ends[label].n_cap, ends[label].n_start) if label in ends else (None, None)),
        )
        for label, score, mark in zip(labels, cells, given, strict=True)
    ]


def _lead(label: str, metric: str, tested: Comparisons | None, reference: str) -> CsvRow:
    """Return corrected p-value and interval of the reference row's lead; None each if it was not tested."""
    contrast = tested.contrasts.get((metric, (reference, label))) if tested else None
    return (None, None, None) if contrast is None else (contrast.p_corrected, contrast.low, contrast.high)


def _published(facts: DataFacts, label: str, metric: str, paper: Paper) -> float | None:
    """Return the paper's value; None beside other data, and if it lacks the model (or variant) or the metric."""
    known = shows_published(facts, paper) and paper.has_model(label) and metric in paper.metrics
    return paper.score(facts.card, label, metric) if known else None
