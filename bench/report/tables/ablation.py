"""Content ablation: content models with shuffled, noise or constant features in place of the items' own.

A model that loses nothing owes its scores to its capacity, not to the content. Reads the stored lists, over whose
users the differences are tested; writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from bench.report import experiments
from bench.report.comparisons import (
    CONTRAST_FIELDS,
    METHOD,
    MIN_SEEDS,
    STAR,
    Pair,
    compare_pairs,
    contrast_values,
    shown_difference,
    star,
    untested,
)
from bench.report.figure import PAGE_WIDTH, TIP, Figure, plot_styles
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.scores import Scores
from bench.report.statistics import Contrast
from bench.report.table import Block, Cell, Column, CsvValue, Row, Table
from bench.report.tables.variation_forms import CSV_HEADER as SCORE_FIELDS
from bench.report.tables.variation_forms import Family, Variation, csv_rows, notes, scored_families, with_selection
from bench.report.wording import (
    data_headings,
    metric_name,
    metric_title,
    model_display,
    model_of,
    repetitions_sentence,
    score_cell,
    seeds,
)
from bench.runs.records import DataFacts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

KINDS = ("given", *experiments.CONTENT_ABLATIONS)
CSV_HEADER = (*SCORE_FIELDS, *CONTRAST_FIELDS)
TESTS = "every model with replaced content against itself with its own"
Contrasts = Mapping[tuple[str, Pair], Contrast]  # by metric and pair of labels
KIND_NAMES = {"shuffled": "other items' content", "noise": "noise", "constant": "one constant row"}
ROW_HEIGHT, FRAME = 0.2, 0.8  # inches per row, and around the rows of a panel


def build(material: Material) -> Table:
    """Build the content ablation of a call.

    Raises:
        ResultsError: stored lists are missing or damaged.
    """
    models = _named(material)
    return ablation_table(material.scores, material.facts, material.paper, _tests(material), models)


def build_figure(material: Material) -> Figure:
    """Build the forest plot of the content ablation of a call.

    Raises:
        ResultsError: stored lists are missing or damaged.
    """
    tests, metric = _tests(material), material.protocol.selection_metric
    table = ablation_table(material.scores, material.facts, material.paper, tests, _named(material))
    caption = (
        f"Change of test {metric_name(metric)} when a model is trained on replaced content instead of the items' "
        f"own, relative, with the 95% bootstrap interval over users ({seeds(material.n_seeds)}). Left of 0 the "
        f"content helps; an interval across 0 shows no effect."
    )
    headings = data_headings(material.facts)
    return Figure(
        "Is the content used?", caption, table.notes, CSV_HEADER, table.csv_rows,
        lambda: _draw(dict(zip(headings, tests, strict=True)), material.paper, metric, material.n_seeds),
    )  # fmt: skip


def _tests(material: Material) -> list[Contrasts]:
    metrics = with_selection(material.protocol.selection_metric)
    return [compare_pairs(material, facts, TESTS, ablation_pairs(), metrics).contrasts for facts in material.facts]


def _draw(by_heading: Mapping[str, Contrasts], paper: Paper, metric: str, n_seeds: int) -> Drawing:
    from matplotlib.figure import Figure as Drawing

    models = _compared(by_heading.values())
    n_rows = len(models) * len(KINDS)
    drawing = Drawing(figsize=(PAGE_WIDTH, FRAME + ROW_HEIGHT * n_rows), layout="constrained")
    panels = drawing.subplots(1, len(by_heading), squeeze=False, sharey=True).flat
    for axes, (heading, contrasts) in zip(panels, by_heading.items(), strict=True):
        _forest(axes, models, contrasts, paper, metric)
        axes.set_title(heading)
        axes.set_xlabel(
            f"change of test {metric_name(metric)}\n(95% interval over users, {seeds(n_seeds).removeprefix('n=')})"
        )
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:+.0%}" if round(value, 6) else "0%")
    return drawing


def _compared(tests: Iterable[Contrasts]) -> list[str]:
    """Return the models with a result on some data set; all models if none has one."""
    found = {given for contrasts in tests for _, (_, given) in contrasts}
    return [model for model in _models() if model in found] or _models()


def _forest(axes: Axes, models: Sequence[str], contrasts: Contrasts, paper: Paper, metric: str) -> None:
    """Draw a head per model and below it a row per kind of content, from top to bottom."""
    styles, ticks = plot_styles(models, paper), dict[int, str]()
    heads = {model: place * len(KINDS) for place, model in enumerate(models)}
    pairs = [pair for pair in ablation_pairs() if pair[1] in heads]
    for (other, given), place in zip(pairs, _places(heads), strict=True):
        contrast, style = contrasts.get((metric, (other, given))), styles[given]
        kind = other.partition("features=")[2]
        ticks[place] = KIND_NAMES[kind]
        if contrast is None or contrast.relative is None:
            axes.text(0.5, place, "no result", transform=axes.get_yaxis_transform(), va="center", fontsize=6)
            continue
        if contrast.relative_low is not None and contrast.relative_high is not None:
            span = [contrast.relative_low, contrast.relative_high]
            axes.plot(span, [place, place], color=style["color"], linewidth=1.2)
        (dot,) = axes.plot([contrast.relative], [place], marker=style["marker"], color=style["color"])
        dot.set_gid(f"{TIP}{model_display(given, paper)}, {KIND_NAMES[kind]}: {shown_difference(contrast)}")
    axes.axvline(0, color="black", linewidth=0.8, zorder=1)
    names = {place: model_display(model, paper) for model, place in heads.items()}
    axes.set_yticks([*names, *ticks], [*names.values(), *ticks.values()])
    for tick in axes.get_yticklabels():
        tick.set_fontweight("bold" if tick.get_text() in names.values() else "normal")
    axes.set_ylim(len(models) * len(KINDS) - 0.5, -0.5)


def _places(heads: Mapping[str, int]) -> list[int]:
    """Return the row of every pair of `ablation_pairs`: those of a model follow its head."""
    return [head + 1 + place for head in heads.values() for place in range(len(KINDS) - 1)]


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
    tested = (
        f"{STAR} marks p < 0.05. {METHOD.format(family=TESTS)}" if is_tested else untested(scores.n_asked or 1)
    )
    caption = (
        f"{metric_title(selection_metric)} with the items' content as given, with the content of other items "
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


def _named(material: Material) -> list[str]:
    """Return the content models of the call; no other one was trained."""
    named = {model_of(label) for label in material.labels}
    return [model for model in _models() if model in named]


def _models() -> list[str]:
    return list(dict.fromkeys(model for model, _ in experiments.ablation_rows()))


def _variations(facts: DataFacts, model: str, paper: Paper) -> list[Variation]:
    rows = experiments.ablation_rows()
    return [Variation(f"{model_display(model, paper)}, {kind}", rows[model, kind].label) for kind in KINDS]


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
