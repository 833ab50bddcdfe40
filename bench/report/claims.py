"""Layer 8. The claims ledger: every empirical claim of the paper's section 5 beside its numbers and ours.

Pure but for the stored lists and the file of claims.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.records import DataFacts
from bench.report.aggregate import data_key
from bench.report.claim_words import contrast_name, our_words, paper_words
from bench.report.comparisons import CONTRAST_FIELDS, contrast_values
from bench.report.ledger import Claim, load_claims, printed_contrast
from bench.report.material import Material
from bench.report.table import Block, Cell, Column, CsvValue, Row, Table
from bench.report.user_scores import read_user_scores
from bench.report.verdicts import Finding, judge
from bench.report.wording import (
    DATA_FIELDS,
    PAPER_SPLIT,
    beside_random,
    data_headings,
    data_notes,
    data_values,
)

CSV_HEADER = (
    *DATA_FIELDS,
    *("protocol", "hide_at_test", "claim_id", "claim", "place", "rule", "verdict", "reason", "paper"),
    *("metric", "contrast", "paper_difference"),
    *CONTRAST_FIELDS,
    *("n_seeds", "n_users"),
)


def build(material: Material) -> Table:
    """The ledger of a call.

    Raises:
        ResultsError: stored lists are missing or damaged.
        ConfigError: the file of claims cannot be used.
    """
    return claims_table(material, load_claims(material.paper))


def claims_table(material: Material, claims: Sequence[Claim]) -> Table:
    """The named claims, a block a data set, a row a claim that is made of it; every contrast in the CSV.

    The paper splits at random, so that its claims are decided on that split. Where the call has the same data on
    another split too, that has no block, and a note says so: one claim gets one verdict. Where the call has the
    other split alone, its verdicts stand with a note that the paper's split is another.

    Args:
        material: the records of a call; rows that are not among them make a claim undecidable.
        claims: in order.

    Raises:
        ResultsError: stored lists are missing or damaged.
    """
    blocks, notes = [], []
    csv_rows: list[tuple[CsvValue, ...]] = []
    beside = beside_random(material.facts)
    for facts, heading in zip(material.facts, data_headings(material.facts), strict=True):
        if data_key(facts) in beside:
            notes.append(_elsewhere_note(heading, beside[data_key(facts)]))
            continue
        findings, n_users = _findings(material, facts, claims)
        blocks.append(_block(findings, facts, heading, material))
        notes += [*data_notes(facts, heading, material.paper), _count_note(findings, heading)]
        notes += _split_note(facts, heading)
        csv_rows += [row for each in findings for row in _csv_rows(each, facts, n_users, material)]
    return Table("Claims", _caption(material), tuple(blocks), tuple(notes), CSV_HEADER, tuple(csv_rows))


def _findings(material: Material, facts: DataFacts, claims: Sequence[Claim]) -> tuple[list[Finding], int]:
    """Every claim about this data set, weighed, and the number of users."""
    mine = [claim for claim in claims if claim.is_about(facts.card)]
    scores = read_user_scores(material, facts, [label for claim in mine for label in claim.labels])
    resamples = scores.resamples(max((len(claim.contrasts()) for claim in mine), default=1))
    return [judge(claim, scores, resamples, material.paper) for claim in mine], scores.n_users


def _block(findings: Sequence[Finding], facts: DataFacts, heading: str, material: Material) -> Block:
    columns = (
        Column("Claim", align="left", share=0.24),
        Column("Section", align="left", share=0.11),
        Column("The paper's numbers", align="left", share=0.22),
        Column("Our runs", group=heading, align="left", share=0.25),
        Column("Verdict", group=heading, align="left", share=0.13),
    )
    rows = [
        (
            each.claim.claim,
            each.claim.place,
            paper_words(each.claim, facts.card, material.paper),
            our_words(each, material.paper),
            f"{each.verdict}: {each.reason}" if each.reason else each.verdict,
        )
        for each in findings
    ]
    return Block(columns, tuple(Row(tuple(Cell(words=words) for words in row)) for row in rows))


def _caption(material: Material) -> str:
    n_seeds = material.n_seeds
    seeds = "one seed (n=1)" if n_seeds == 1 else f"n={n_seeds} seeds"
    return (
        f"The empirical claims of the paper's section 5, {seeds}. Differences are relative to the row or mean "
        "that is compared with; in brackets the 95% bootstrap interval over users; p of the paired permutation "
        "test over users, corrected by Holm's method over what a claim compares on one data set in one metric. "
        "A claim holds if every difference it is made of is significant at 5% in every metric, and does not "
        "hold if one is significantly the other way; a size holds if it lies in the interval, closeness if the "
        "interval lies within the margin. What is not significant is not decided. A verdict speaks of the data "
        "set above it; generated data and stand-ins decide nothing. Explanations ('may be caused by') are left "
        "out: the paper tests none."
    )


def _count_note(findings: Sequence[Finding], heading: str) -> str:
    counts = [
        f"{sum(each.verdict == verdict for each in findings)} {words}"
        for verdict, words in (
            ("holds", "hold"),
            ("does not hold", "do not hold"),
            ("not decidable here", "are not decidable here"),
        )
    ]
    return f"{heading}: of {len(findings)} claims {', '.join(counts)}."


def _elsewhere_note(heading: str, decisive: DataFacts) -> str:
    return (
        f"{heading}: no verdicts. The paper splits at random (section 5.1.3), so its claims about this data are "
        f"decided on {decisive.label} alone; Table 3 shows both splits."
    )


def _split_note(facts: DataFacts, heading: str) -> list[str]:
    """Say of verdicts on real data that another split than the paper's decides them."""
    if facts.split == PAPER_SPLIT or facts.source != "real":
        return []
    return [
        f"{heading}: the paper splits at random (section 5.1.3); these verdicts are those of the {facts.split} "
        f"split and may differ on the paper's. {facts.card}@{PAPER_SPLIT} decides its claims."
    ]


def _csv_rows(finding: Finding, facts: DataFacts, n_users: int, material: Material) -> list[tuple[CsvValue, ...]]:
    """One row a contrast; one without numbers where nothing was compared."""
    claim, paper = finding.claim, material.paper
    start = (
        *data_values(facts),
        *(material.scores.protocol, material.scores.hide_at_test),
        *(claim.id, claim.claim, claim.place, claim.rule, finding.verdict, finding.reason),
        paper_words(claim, facts.card, paper),
    )
    rows: list[tuple[CsvValue, ...]] = [
        (
            *start,
            *(metric, contrast_name(each.weights, paper)),
            printed_contrast(paper, facts.card, each.weights, metric),
            *contrast_values(each),
            *(material.n_seeds, n_users),
        )
        for metric, found in finding.contrasts.items()
        for each in found
    ]
    nothing = (*start, None, "", None, *contrast_values(None), material.n_seeds, n_users)
    return rows or [nothing]
