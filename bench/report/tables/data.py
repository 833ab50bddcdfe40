"""Tables on the data of a call: Table 2, its statistics beside the paper's, and the audit of its splits. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bench.data.split_audit import (
    LIMIT,
    N_DRAWS,
    TITLES,
    USER_COUNTS,
    Measure,
    SplitAudit,
    audit,
    counts,
    form,
    remarks,
    verdict,
    warnings,
)
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.table import Block, Cell, Column, CsvValue, Row, Table
from bench.report.wording import (
    DASH,
    DATA_FIELDS,
    SHORT_HASH,
    data_headings,
    data_notes,
    data_values,
    is_about_paper,
    paper_heading,
    shows_published,
)
from bench.runs.records import DataFacts, ModalityFacts

CSV_HEADER = (*DATA_FIELDS, "quantity", "value", "paper_value")
OF_THE_PAPER = " (the paper's Table 2)"
PUBLISHED = " Rows headed 'paper' are the paper's own data, which is not public."
COUNTS = ("n_interactions", "n_items", "n_users")
SIZES = ("n_train", "n_valid", "n_test")
AUDIT_CSV_HEADER = (
    *DATA_FIELDS,
    *("measure", "part", "n", "value", "expected", "standard_error", "deviation", "verdict"),
)
AUDIT_CAPTION = (
    "Is the split what it says? Each measure of the split, beside mean and standard deviation over random splits "
    "that hold out as many interactions of every user; for numbers of users, over random splits of all "
    "interactions. The deviation is in standard errors, of one pair, item or user at least. A measure is called "
    f"random up to {LIMIT} of them. The first two measures are exact, the next three come from {N_DRAWS} random "
    "splits."
)


def build_audit(material: Material) -> Table:
    """Build the split audit of a call."""
    return audit_table(material.facts, [audit(each.split) for each in material.data.values()])


def audit_table(facts: Sequence[DataFacts], audits: Sequence[SplitAudit]) -> Table:
    """Tabulate the audits, one block per data set, one row per measure and part.

    Args:
        facts: the data sets.
        audits: of the split of each data set.

    Raises:
        UsageError: there is no data set, or one is given twice.
    """
    headings = data_headings(facts)
    each = list(zip(headings, facts, audits, strict=True))
    return Table(
        name="Split audit",
        caption=AUDIT_CAPTION,
        blocks=tuple(_audit_block(heading, result) for heading, _, result in each),
        notes=tuple(
            f"{heading}: {note}"
            for heading, _, result in each
            for note in (*warnings(result), *remarks(result), *counts(result))
        ),
        csv_header=AUDIT_CSV_HEADER,
        csv_rows=tuple(_audit_csv_row(data, result, one) for _, data, result in each for one in result.measures),
    )


def _audit_block(heading: str, result: SplitAudit) -> Block:
    columns = (
        Column("Measure", align="left"),
        Column("Part", align="left"),
        Column("This split", group=heading),
        Column("A random split", group=heading),
        Column("Deviation", group=heading),
        Column("Verdict", group=heading, align="left"),
    )
    rows = [_audit_row(result, each) for name in TITLES for each in result.of(name)]
    return Block(columns, tuple(rows))


def _audit_row(result: SplitAudit, each: Measure) -> Row:
    value_form = ",.0f" if each.name in USER_COUNTS else form(each)
    return Row(
        (
            Cell(words=TITLES[each.name]),
            Cell(words=each.part),
            Cell(each.value, form=value_form),
            Cell(each.expected, sd=each.error, form=form(each)),
            Cell(each.deviation, form="+.1f"),
            Cell(words=verdict(result, each)),
        )
    )


def _audit_csv_row(facts: DataFacts, result: SplitAudit, each: Measure) -> tuple[CsvValue, ...]:
    return (
        *data_values(facts),
        *(each.name, each.part, each.n, each.value, each.expected, each.error, each.deviation),
        verdict(result, each),
    )


def build(material: Material) -> Table:
    """Build Table 2 of a call."""
    return table2(material.facts, material.paper, is_about_paper(material.labels, material.paper))


def table2(facts: Sequence[DataFacts], paper: Paper, has_paper: bool = True) -> Table:
    """Tabulate the statistics of the data; the paper's row follows the last split of a data set that it has.

    Args:
        facts: the data sets, in the order of the rows; any modalities under any names.
        paper: the published values.
        has_paper: whether the call runs the paper's model; only then, and beside real data, they are shown.

    Raises:
        UsageError: there is no data set, or one is given twice.
    """
    headings = data_headings(facts)
    published = [each.card for each in facts if has_paper and shows_published(each, paper)]
    modalities = _modality_names(facts, published, paper)
    columns = (
        Column("Data set", align="left"),
        *(Column(title) for title in ("#Interactions", "#Items", "#Users", "Sparsity")),
        *(Column(name, group="Dimension (share of the items, if not all)") for name in modalities),
        Column("Split", align="left"),
        *(Column(title) for title in ("Training", "Validation", "Test")),
        Column("Data hash", align="left"),
    )
    rows: list[Row] = []
    notes: list[str] = []
    csv_rows: list[tuple[CsvValue, ...]] = []
    for place, (each, heading) in enumerate(zip(facts, headings, strict=True), start=1):
        rows.append(_data_row(each, heading, modalities))
        if each.card in published and each.card not in {later.card for later in facts[place:]}:
            rows.append(_paper_data_row(each.card, modalities, paper))
        notes += data_notes(each, heading, paper)
        notes += [f"{heading}: {one.name} is {one.origin}." for one in each.modalities]
        notes += [f"{heading}: {note}" for note in each.notes]
        csv_rows += _data_csv(each, modalities, each.card in published, paper)
    return Table(
        name=f"Data{OF_THE_PAPER if has_paper else ''}",
        caption=f"Data sets.{PUBLISHED if published else ''}",
        blocks=(Block(columns, tuple(rows)),),
        notes=tuple(notes),
        csv_header=CSV_HEADER,
        csv_rows=tuple(csv_rows),
    )


def _modality_names(facts: Sequence[DataFacts], published: Sequence[str], paper: Paper) -> list[str]:
    """List the modalities of the paper's rows in its order, then the others as they occur."""
    theirs = [name for dataset in published for name in paper.table2[dataset].dims]
    ours = [name for each in facts for name in (*(m.name for m in each.modalities), *each.missing)]
    return list(dict.fromkeys(theirs + ours))


def _sparsity(facts: DataFacts) -> float:
    return 1 - facts.n_interactions / (facts.n_users * facts.n_items)


def _data_row(facts: DataFacts, heading: str, modalities: Sequence[str]) -> Row:
    present = {modality.name: modality for modality in facts.modalities}
    return Row(
        (
            Cell(words=heading),
            *(Cell(getattr(facts, name), form=",") for name in COUNTS),
            Cell(_sparsity(facts), form=".2%"),
            *(_modality_cell(present.get(name), name in facts.missing) for name in modalities),
            Cell(words=facts.split),
            *(Cell(getattr(facts, name), form=",") for name in SIZES),
            Cell(words=facts.data_hash[:SHORT_HASH]),
        )
    )


def _modality_cell(modality: ModalityFacts | None, missing: bool) -> Cell:
    if modality is None:
        return Cell(words="missing" if missing else DASH)
    return Cell(modality.dim, form="d", words="" if modality.coverage == 1 else f"({modality.coverage:.2%})")


def _paper_data_row(dataset: str, modalities: Sequence[str], paper: Paper) -> Row:
    published = paper.statistics(dataset)
    return Row(
        (
            Cell(words=paper_heading(dataset, paper)),
            *(Cell(getattr(published, name), form=",") for name in COUNTS),
            Cell(published.sparsity_percent / 100, form=".2%"),
            *(Cell(published.dims[m], form="d") if m in published.dims else Cell(words=DASH) for m in modalities),
            *(Cell(words=DASH) for _ in ("split", *SIZES, "hash")),
        )
    )


def _data_csv(
    facts: DataFacts, modalities: Sequence[str], is_published: bool, paper: Paper
) -> list[tuple[CsvValue, ...]]:
    ours: dict[str, CsvValue] = {name: getattr(facts, name) for name in COUNTS + SIZES}
    ours["sparsity_percent"] = 100 * _sparsity(facts)
    present = {modality.name: modality for modality in facts.modalities}
    for name in modalities:
        ours[f"dim:{name}"] = present[name].dim if name in present else None
        ours[f"coverage:{name}"] = present[name].coverage if name in present else None
    published: dict[str, CsvValue] = {}
    if is_published:
        row = paper.statistics(facts.card)
        published = {name: getattr(row, name) for name in (*COUNTS, "sparsity_percent")}
        published |= {f"dim:{name}": dim for name, dim in row.dims.items()}
    return [(*data_values(facts), name, value, published.get(name)) for name, value in ours.items()]
