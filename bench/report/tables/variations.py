"""Tables and figures that show variations of LUDP: Figures 3, 5 and 6, Tables 4 and 5, and the readings. Pure.

`SPECS` describes each of them; `build_variations` makes any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bench.report import experiments
from bench.report.figure import Figure
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.scores import Scores
from bench.report.table import Table
from bench.report.tables.variation_forms import (
    ALL_METRICS,
    Variation,
    dot_figure,
    line_figure,
    scored_families,
    variation_table,
    with_selection,
)
from bench.report.wording import shows_published
from bench.runs.plan import Variant
from bench.runs.records import DataFacts

ALL = "all"
PART_NAMES = {
    "base": "base",
    "item graph": "base + item graph",
    "user preference": "base + user preference",
    "full": "full",
}
OWN_SETTING = (
    " Rows with their own setting are variants among the models of the call, with values that their own search "
    "chose. Without one they have the values of the full model, like the other rows, and these may suit "
    "the full model best."
)
FUSION_NAMES = {"attention": "attention", "sum": "sum", "concat_fc": "concatenation + FC"}


@dataclass(frozen=True)
class Spec:
    """One table or figure of variations.

    Attributes:
        title: its name as printed.
        caption: what varies; `{model}` stands for LUDP's name.
        variations: those of a data set, in order, with the paper's values where it printed any.
        form: `dot_figure`, `line_figure` or `variation_table`, with the arguments that are its own.
        metrics: the metrics to show, from the metric that selects.
        own: labels of variants that are these variations as models, by name; shown where the call names them.
    """

    title: str
    caption: str
    variations: Callable[[DataFacts, Paper], list[Variation]]
    form: Callable[..., Table | Figure]
    metrics: Callable[[str], Sequence[str]] = lambda _: ALL_METRICS
    own: Mapping[str, str] = field(default_factory=dict)


def build(name: str, material: Material) -> Table | Figure:
    """Build a table or figure of `SPECS` for a call.

    Raises:
        UsageError: there is no data set, or one is given twice.
    """
    return build_variations(name, material.scores, material.facts, material.paper, material.labels)


def build_variations(
    name: str, scores: Scores, facts: Sequence[DataFacts], paper: Paper, labels: Sequence[str] = ()
) -> Table | Figure:
    """Build a table or figure of `SPECS`.

    Args:
        name: key in `SPECS`.
        scores: of all runs.
        facts: the data sets, in order; any modalities under any names.
        paper: for names and colours, and for the published values.
        labels: models of the call; see `Spec.own`.

    Raises:
        UsageError: there is no data set, or one is given twice.
    """
    spec = SPECS[name]
    metrics = spec.metrics(scores.selection_metric)
    own = {name: label for name, label in spec.own.items() if label in labels}

    def variations(each: DataFacts) -> list[Variation]:
        shared = spec.variations(each, paper)
        return [row for one in shared for row in (one, *_at_own_setting(one, own.get(one.name)))]

    families = scored_families(scores, facts, variations, metrics)
    caption = spec.caption.format(model=paper.display(experiments.LUDP)) + (OWN_SETTING if own else "")
    return spec.form(spec.title, caption, families, scores, paper)


def _at_own_setting(shared: Variation, label: str | None) -> list[Variation]:
    """Return the variant of a label below its row at the shared setting, on data that has both."""
    name = f"{shared.name}, own setting"
    return [] if label is None or not shared.label else [Variation(name, label)]


def _rows_named(
    rows: Callable[[], Mapping[Any, Variant]], name: Callable[[Any], str]
) -> Callable[[DataFacts, Paper], list[Variation]]:
    """Return variations that are the same for every data set and that the paper printed no values of."""
    return lambda facts, paper: [Variation(name(key), row.label) for key, row in rows().items()]


def _readings(facts: DataFacts, paper: Paper) -> list[Variation]:
    return [
        Variation(
            name=name,
            label=row.label,
            detail=", ".join(f"{key}: {str(value).lower()}" for key, value in row.values.items()),  # as in YAML
        )
        for name, row in experiments.reading_rows().items()
    ]


def _modalities(facts: DataFacts, paper: Paper) -> list[Variation]:
    """List the paper's modalities in its order, then others that the data has or is known to lack, then all.

    A modality that the data lacks has no label, so that its row stays empty.
    """
    rows = experiments.modality_rows(facts)
    published = paper.table4[facts.card] if shows_published(facts, paper) else {}
    names = [name for name in dict.fromkeys([*published, *rows, *facts.missing]) if name != ALL]
    return [
        Variation(
            name=name,
            label=rows[name].label if name in rows else "",
            reason="" if name in rows else facts.missing.get(name, "this data does not have it"),
            published=published.get(name, {}),
        )
        for name in [*names, ALL]
    ]


def _layers(facts: DataFacts, paper: Paper) -> list[Variation]:
    published = paper.table5[facts.card] if shows_published(facts, paper) else {}
    return [
        Variation(name=str(n), label=row.label, published=published.get(n, {}))
        for n, row in experiments.layer_rows().items()
    ]


SPECS = {
    "fig3": Spec(
        "Parts of LUDP (the paper's Figure 3)",
        "Parts of {model}. The base is LightGCN with the readout that the full model has; the item graph, the "
        "user preference or both are added. The paper leaves out the base with the user preference alone.",
        _rows_named(experiments.part_rows, PART_NAMES.__getitem__),
        dot_figure,
        own={PART_NAMES[part]: label for part, label in experiments.own_part_labels().items()},
    ),
    "fig5": Spec(
        "Fusion of the modalities (the paper's Figure 5)",
        "Fusion of the modalities in {model}: attention, sum, or concatenation with a fully connected layer (FC).",
        _rows_named(experiments.fusion_rows, FUSION_NAMES.__getitem__),
        dot_figure,
        lambda selection_metric: (selection_metric,),
    ),
    "fig6": Spec(
        "Number of neighbours (the paper's Figure 6)",
        "{model} by number of neighbours k of an item in the item-item graphs.",
        _rows_named(experiments.neighbour_rows, "k={}".format),
        partial(line_figure, places=experiments.KNN_K, axis_title="neighbours k (log scale)"),
    ),
    "table4": Spec(
        "Modalities (the paper's Table 4)",
        "{model} on each modality alone and on all that the data has.",
        _modalities,
        partial(variation_table, name_title="Modality"),
        own=experiments.own_modality_labels(),
    ),
    "table5": Spec(
        "Layers of the item graph (the paper's Table 5)",
        "{model} by number of layers on the item-item graphs; the user-item graph has "
        f"{experiments.N_UI_LAYERS}.",
        _layers,
        partial(variation_table, name_title="Layers"),
    ),
    "readings": Spec(
        "Readings of LUDP's equations",
        "How the equations of {model} can be read. The first row takes every equation as printed; each other row "
        "changes one choice that the text leaves open. The row in the accuracy table is what the validation part "
        "chose; nothing is chosen here.",
        _readings,
        partial(
            variation_table,
            name_title="Reading",
            against=next(iter(experiments.READINGS)),
            detail_title="Parameter",
        ),
        with_selection,
    ),
}
