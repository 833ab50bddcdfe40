"""The significance table: which differences between models exceed chance. Reads stored lists; writes nothing."""

from __future__ import annotations

from bench.core.protocol import short_metric
from bench.report.comparisons import (
    COMPARED,
    CONTRAST_FIELDS,
    METHOD,
    MIN_SEEDS,
    Comparisons,
    compare_all,
    contrast_values,
    family_name,
    shown_detectable,
    shown_difference,
    shown_over_seeds,
    shown_p,
    star,
    untested,
)
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.statistics import Contrast
from bench.report.table import Block, Cell, Column, CsvValue, Row, Table
from bench.report.wording import DASH, DATA_FIELDS, data_headings, data_notes, data_values, model_display

CSV_HEADER = (
    *DATA_FIELDS,
    *("protocol", "hide_at_test", "family", "family_size", "metric", "first", "second"),
    *CONTRAST_FIELDS,
    *("n_seeds", "n_users", "not_compared"),
)
MORE = (
    "Users and seeds: the interval for further trainings of these models, with what other seeds could give; all "
    "else but the star concerns the models as trained with these seeds. d: Cohen's d of paired differences. "
    "Detectable: the smallest true difference that this test finds with a power of 80%; a smaller one may exist "
    "unseen."
)


def build(material: Material) -> Table:
    """Build the table of a call: pairs with the reference row; the CSV has all pairs.

    Below `MIN_SEEDS` seeds nothing is tested, and the caption alone says so.

    Raises:
        ResultsError: stored lists are missing or damaged.
    """
    if material.n_seeds < MIN_SEEDS:
        return Table("Significance", untested(material.n_seeds), (), (), CSV_HEADER, ())
    blocks, notes = [], []
    csv_rows: list[tuple[CsvValue, ...]] = []
    for facts, heading in zip(material.facts, data_headings(material.facts), strict=True):
        families = compare_all(material, facts)
        blocks += [_block(families[0], metric, heading, material.paper) for metric in COMPARED]
        notes += [*data_notes(facts, heading, material.paper), _count_note(families[-1], heading)]
        csv_rows += [row for family in families for row in _csv_rows(family, material)]
    return Table("Significance", _caption(material), tuple(blocks), tuple(notes), CSV_HEADER, tuple(csv_rows))


def _block(family: Comparisons, metric: str, heading: str, paper: Paper) -> Block:
    """Build the block of a data set and a metric: one row per pair."""
    group = f"{heading}, {short_metric(metric)}"
    columns = [Column("First", align="left"), Column("Second", align="left")]
    columns += [Column(head, group=group) for head in ("difference", "users and seeds", "p", "d", "detectable")]
    rows = []
    for pair in family.pairs:
        contrast = family.contrasts.get((metric, pair))
        gap = Cell(words=f"{DASH} ({family.gap(pair, paper)})")
        cells = _cells(contrast) if contrast else [gap, *[Cell(words=DASH)] * (len(columns) - 3)]
        rows.append(Row((*(Cell(words=model_display(label, paper)) for label in pair), *cells)))
    return Block(tuple(columns), tuple(rows))


def _cells(contrast: Contrast) -> list[Cell]:
    effect = Cell(words=DASH) if contrast.effect is None else Cell(contrast.effect, form="+.3f")
    return [
        Cell(words=shown_difference(contrast)),
        Cell(words=shown_over_seeds(contrast) or DASH),
        Cell(words=shown_p(contrast.p_corrected) + star(contrast)),
        effect,
        Cell(words=shown_detectable(contrast) or DASH),
    ]


def _caption(material: Material) -> str:
    return (
        f"Differences between models over the same users, n={material.n_seeds} seeds: the first minus the second, "
        f"relative to the second. {METHOD.format(family=family_name(material))} {MORE} "
        f"The CSV has every pair, corrected over all pairs."
    )


def _count_note(everything: Comparisons, heading: str) -> str:
    """Count the pairs that differ significantly."""
    n_users, parts = everything.scores.n_users, []
    for metric in COMPARED:
        differ = sum(bool(each.sign) for (name, _), each in everything.contrasts.items() if name == metric)
        parts.append(f"{differ} in {short_metric(metric)}")
    return (
        f"{heading}: {n_users:,} users. Of {everything.size} pairs, corrected together, these differ: "
        f"{', '.join(parts)}."
    )


def _csv_rows(family: Comparisons, material: Material) -> list[tuple[CsvValue, ...]]:
    scores = material.scores
    return [
        (
            *data_values(family.scores.facts),
            *(scores.protocol, scores.hide_at_test, family.family, family.size, metric, *pair),
            *contrast_values(family.contrasts.get((metric, pair))),
            *(material.n_seeds, family.scores.n_users, family.gap(pair, material.paper)),
        )
        for metric in COMPARED
        for pair in family.pairs
    ]
