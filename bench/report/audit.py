"""Layer 8. Split audit: how far the splits of a call are from random ones. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bench.records import DataFacts
from bench.report.material import Material
from bench.report.table import Block, Cell, Column, CsvValue, Row, Table
from bench.report.wording import DATA_FIELDS, data_headings, data_values
from bench.split_audit import (
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

CSV_HEADER = (
    *DATA_FIELDS,
    *("measure", "part", "n", "value", "expected", "standard_error", "deviation", "verdict"),
)
CAPTION = (
    "Is the split what it says? Each measure of the split, beside mean and standard deviation over random splits "
    "that hold out as many interactions of every user; for numbers of users, over random splits of all "
    "interactions. The deviation is in standard errors, of one pair, item or user at least. A measure is called "
    f"random up to {LIMIT} of them. The first two measures are exact, the next three come from {N_DRAWS} random "
    "splits."
)


def build(material: Material) -> Table:
    """The audit of the data sets of a call."""
    return audit_table(material.facts, [audit(each.split) for each in material.data.values()])


def audit_table(facts: Sequence[DataFacts], audits: Sequence[SplitAudit]) -> Table:
    """One block a data set, one row a measure and part.

    Args:
        facts: the data sets.
        audits: what was found about the split of each.

    Raises:
        UsageError: there is no data set, or one is given twice.
    """
    headings = data_headings(facts)
    each = list(zip(headings, facts, audits, strict=True))
    return Table(
        name="Split audit",
        caption=CAPTION,
        blocks=tuple(_block(heading, found) for heading, _, found in each),
        notes=tuple(
            f"{heading}: {note}"
            for heading, _, found in each
            for note in (*warnings(found), *remarks(found), *counts(found))
        ),
        csv_header=CSV_HEADER,
        csv_rows=tuple(_csv_row(data, found, one) for _, data, found in each for one in found.measures),
    )


def _block(heading: str, found: SplitAudit) -> Block:
    columns = (
        Column("Measure", align="left"),
        Column("Part", align="left"),
        Column("This split", group=heading),
        Column("A random split", group=heading),
        Column("Deviation", group=heading),
        Column("Verdict", group=heading, align="left"),
    )
    rows = [_row(found, each) for name in TITLES for each in found.of(name)]
    return Block(columns, tuple(rows))


def _row(found: SplitAudit, each: Measure) -> Row:
    value_form = ",.0f" if each.name in USER_COUNTS else form(each)
    return Row(
        (
            Cell(words=TITLES[each.name]),
            Cell(words=each.part),
            Cell(each.value, form=value_form),
            Cell(each.expected, sd=each.error, form=form(each)),
            Cell(each.deviation, form="+.1f"),
            Cell(words=verdict(found, each)),
        )
    )


def _csv_row(facts: DataFacts, found: SplitAudit, each: Measure) -> tuple[CsvValue, ...]:
    return (
        *data_values(facts),
        *(each.name, each.part, each.n, each.value, each.expected, each.error, each.deviation),
        verdict(found, each),
    )
