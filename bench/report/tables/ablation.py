"""Content ablation: content models with shuffled, noise or constant features in place of the items' own.

A model that loses nothing owes its scores to its capacity, not to the content. Reads the stored lists, over whose
users the differences are tested; writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from bench.core.errors import listed
from bench.core.names import model_of
from bench.core.protocol import short_metric
from bench.report import experiments
from bench.report.comparisons import (
    CONTRAST_FIELDS,
    METHOD,
    MIN_SEEDS,
    Comparisons,
    Pair,
    compare_pairs,
    contrast_values,
    shown_difference,
    star,
    untested,
)
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.scores import Scores
from bench.report.statistics import Contrast
from bench.report.table import Block, Cell, Column, CsvValue, Row, Table
from bench.report.tables.variation_forms import CSV_HEADER as SCORE_FIELDS
from bench.report.tables.variation_forms import Family, Variation, csv_rows, notes, scored_families, with_selection
from bench.report.wording import model_display, repetitions_sentence, score_cell
from bench.runs.records import DataFacts

KINDS = ("given", *experiments.CONTENT_ABLATIONS)
CSV_HEADER = (*SCORE_FIELDS, *CONTRAST_FIELDS)
TESTS = "every model with replaced content against itself with its own"
Contrasts = Mapping[tuple[str, Pair], Contrast]  # by metric and pair of labels


def build(material: Material) -> Table:
    """Build the content ablation of a call.

    Raises:
        ResultsError: stored lists are missing or damaged.
    """
    models = shown_models(material)
    contrasts = [each.contrasts for each in tests_of(material)]
    table = ablation_table(material.scores, material.facts, material.paper, contrasts, models)
    return replace(table, notes=(*table.notes, *not_varied(material)))


def tests_of(material: Material) -> list[Comparisons]:
    """Test every kind of replaced content against the content as given, one family per data set.

    Raises:
        ResultsError: stored lists are missing or damaged.
    """
    metrics = with_selection(material.protocol.selection_metric)
    return [compare_pairs(material, facts, TESTS, ablation_pairs(), metrics) for facts in material.facts]


def ablation_pairs() -> list[Pair]:
    """Return pairs of labels: a model with replaced content, and the same model with its own."""
    rows = experiments.ablation_rows()
    return [(rows[model, kind].label, rows[model, KINDS[0]].label) for model in _models() for kind in KINDS[1:]]


def ablation_table(
    scores: Scores,
    facts: Sequence[DataFacts],
    paper: Paper,
    tests: Sequence[Contrasts],
    models: Sequence[str] = experiments.CONTENT_MODELS,
) -> Table:
    """Tabulate one row per model, one column per kind of content, and what each kind loses.

    The table shows the metric that selects; the CSV has all metrics.

    Args:
        scores: of all runs.
        facts: the data sets, in order.
        paper: for names.
        tests: contrasts of `ablation_pairs`, one mapping per data set; incomplete rows have none.
        models: content models to show, one row each.

    Raises:
        UsageError: there is no data set, or one is given twice.
    """
    selection_metric = scores.selection_metric
    metrics = with_selection(selection_metric)
    by_model = [
        scored_families(scores, facts, partial(_variations, model=model, paper=paper), metrics) for model in models
    ]
    by_data = list(zip(*by_model, strict=True))
    is_tested = (scores.n_asked or MIN_SEEDS) >= MIN_SEEDS
    tested = METHOD.format(family=TESTS) if is_tested else untested(scores.n_asked or 1)
    caption = (
        f"{short_metric(selection_metric)} with the items' content as given, with the content of other items "
        f"(shuffled), with noise of the same mean and deviation, and with one constant row. "
        f"{repetitions_sentence(scores)} Differences are relative to the content as given, between complete "
        f"cells. {tested} A model that loses nothing does not use "
        f"what the content says. Bold is the best of a row and underlined the second best."
    )
    flat = [family for same in by_data for family in same]
    return Table(
        name="Content ablation",
        caption=caption,
        blocks=tuple(
            _block(same, models, paper, contrasts, selection_metric)
            for same, contrasts in zip(by_data, tests, strict=True)
        ),
        notes=tuple(dict.fromkeys(notes(flat, paper))),
        csv_header=CSV_HEADER,
        csv_rows=tuple(
            (*row, *contrast_values(_against_given(row, contrasts)))
            for same, contrasts in zip(by_data, tests, strict=True)
            for row in csv_rows(same, scores)
        ),
    )


def shown_models(material: Material) -> list[str]:
    """Return the content models of the call that it varies; all content models of the call if it varies none."""
    named = _named(material)
    planned = {record.spec.label for record in material.records}
    varied = {given for other, given in ablation_pairs() if other in planned}
    return [model for model in named if model in varied] or named


def _models() -> list[str]:
    return list(dict.fromkeys(model for model, _ in experiments.ablation_rows()))


def _variations(facts: DataFacts, model: str, paper: Paper) -> list[Variation]:
    rows = experiments.ablation_rows()
    return [Variation(f"{model_display(model, paper)}, {kind}", rows[model, kind].label) for kind in KINDS]


def not_varied(material: Material) -> list[str]:
    """Return a note on the content models of the call that the ablation leaves out, if it does."""
    shown = shown_models(material)
    names = [model_display(model, material.paper) for model in _named(material) if model not in shown]
    more = "--artifacts content or --profile full varies all content models of the call"
    return [f"Without {listed(names)}, to save time: {more}."] if names else []


def _named(material: Material) -> list[str]:
    """Return the content models of the call; no other one was trained."""
    called = {model_of(label) for label in material.labels}
    return [model for model in _models() if model in called]


def content_of(label: str) -> str:
    """Return the kind of content of a label of `ablation_pairs`."""
    return label.partition("features=")[2] or KINDS[0]


def _against_given(row: Sequence[CsvValue], contrasts: Contrasts) -> Contrast | None:
    """Look up the contrast of the label and metric of a CSV row; None for a model with its own content."""
    label, metric = (str(row[SCORE_FIELDS.index(name)]) for name in ("model", "metric"))
    given = dict(ablation_pairs()).get(label)
    return None if given is None else contrasts.get((metric, (label, given)))


def _block(
    same: Sequence[Family], models: Sequence[str], paper: Paper, contrasts: Contrasts, metric: str
) -> Block:
    heading = same[0].heading
    columns = (
        Column("Model", align="left"),
        *(Column(kind, group=heading) for kind in KINDS),
        *(Column(kind, group=f"{heading}, against given") for kind in KINDS[1:]),
    )
    rows = tuple(_row(model, family, paper, contrasts, metric) for model, family in zip(models, same, strict=True))
    return Block(columns, rows)


def _row(model: str, family: Family, paper: Paper, contrasts: Contrasts, metric: str) -> Row:
    scores = family.scores[metric]
    cells = [score_cell(score, mark) for score, mark in zip(scores, family.marks(metric), strict=True)]
    given, *others = (one.label for one in family.variations)
    losses = [_difference(contrasts.get((metric, (other, given)))) for other in others]
    return Row((Cell(words=model_display(model, paper)), *cells, *losses))


def _difference(contrast: Contrast | None) -> Cell:
    if contrast is None:
        return Cell()
    return Cell(words=shown_difference(contrast) + star(contrast))
