"""The claims ledger: every empirical claim of the paper's section 5 beside its printed numbers and ours.

A data set on which no claim is decided has a count in the caption and no rows; its contrasts are in the CSV.
Reads the stored lists and the file of claims; writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

from bench.core.errors import listed
from bench.core.protocol import short_metric
from bench.report.comparisons import (
    CONTRAST_FIELDS,
    MIN_SEEDS,
    contrast_values,
    read_user_scores,
    shown_difference,
    shown_p,
)
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.scores import data_key
from bench.report.statistics import Contrast, Weights, pair
from bench.report.table import Block, Cell, Column, CsvValue, Row, Table, Tone
from bench.report.tables.claim_rules import (
    SOURCES,
    Claim,
    Finding,
    Verdict,
    few_seeds,
    judge,
    load_claims,
    printed,
    printed_contrast,
    strongest,
)
from bench.report.wording import (
    DASH,
    DATA_FIELDS,
    PAPER_SPLIT,
    data_headings,
    data_notes,
    data_values,
    model_display,
    random_split_counterparts,
)
from bench.runs.records import DataFacts

CSV_HEADER = (
    *DATA_FIELDS,
    *("protocol", "hide_at_test", "claim_id", "claim", "place", "rule", "verdict", "reason", "paper"),
    *("metric", "contrast", "paper_difference"),
    *CONTRAST_FIELDS,
    *("n_seeds", "n_users"),
)
VERDICTS: dict[Verdict, tuple[str, Tone, str]] = {  # word of a row, tone, words of a count; in the order of rows
    "holds": ("holds", "good", "hold"),
    "does not hold": ("does not hold", "bad", "do not hold"),
    "not decidable here": ("open", "open", "are open"),
}
UNDECIDED = "not decidable here"


def paper_words(claim: Claim, dataset: str, paper: Paper) -> str:
    """Say what the printed numbers show, with a note where they contradict the text."""
    parts = [_printed_words(claim, dataset, paper), claim.note(dataset)]
    return "; ".join(part for part in parts if part) or DASH


def our_words(finding: Finding, paper: Paper) -> str:
    """Say what the runs show: differences with interval and corrected p; of many only the weakest."""
    if not finding.contrasts:
        return f"{DASH} ({finding.missing})" if finding.missing else DASH
    return "; ".join(part for part in (_compared_words(finding, paper), finding.missing) if part)


def _compared_words(finding: Finding, paper: Paper) -> str:
    if finding.claim.rule == "gain":
        return _by_metric(finding, paper, lambda contrasts: [strongest(contrasts)])
    if finding.claim.rule == "peak":
        return _by_metric(finding, paper, _highest)
    if finding.claim.rule == "differ":
        return _differ_words(finding, paper)
    if all(len(contrasts) == 1 for contrasts in finding.contrasts.values()):
        return _by_metric(finding, paper, lambda contrasts: contrasts)
    return _many_words(finding, paper)


def contrast_name(weights: Weights, paper: Paper) -> str:
    """Name a contrast, for example `LUDP vs. MF` or `k 10 vs. 50`; several rows on one side are a mean."""
    varied = {label.partition("=")[0] for label in weights if "=" in label}
    shared = len(varied) == 1 and all("=" in label for label in weights)
    sides = [
        [
            label.partition("=")[2] if shared else model_display(label, paper)
            for label, weight in weights.items()
            if weight * sign > 0
        ]
        for sign in (1, -1)
    ]
    words = " vs. ".join(names[0] if len(names) == 1 else f"mean of {listed(names)}" for names in sides)
    return f"{varied.pop().partition('@')[2]} {words}" if shared else words


def _printed_words(claim: Claim, dataset: str, paper: Paper) -> str:
    if claim.rule == "stated" or not paper.has_dataset(dataset):
        return ""
    if any(printed(paper, dataset, label, claim.metrics[0]) is None for label in claim.labels):
        return "drawn, no value printed"
    if claim.rule == "gain":
        return _gain_words(claim, dataset, paper)
    if claim.rule in {"mean_above", "close"}:
        return _mean_words(claim, dataset, paper)
    if claim.rule == "differ":
        values = [printed_contrast(paper, dataset, each, m) for m in claim.metrics for each in claim.contrasts()]
        return f"{sum(bool(value) for value in values)} of {len(values)} printed differences are not 0"
    return _counted(claim, dataset, claim.contrasts(), "printed differences", paper)


def _counted(claim: Claim, dataset: str, contrasts: list[Weights], what: str, paper: Paper) -> str:
    """Count the printed differences that are as claimed, and name those that are not."""
    by_pair: dict[str, list[str]] = {}
    for weights, metric in product(contrasts, claim.metrics):
        value = printed_contrast(paper, dataset, weights, metric)
        if value is not None and value <= 0:
            numbers = " and ".join(f"{printed(paper, dataset, label, metric):.4f}" for label in weights)
            by_pair.setdefault(contrast_name(weights, paper), []).append(f"{short_metric(metric)} {numbers}")
    n, n_against = len(claim.metrics) * len(contrasts), sum(map(len, by_pair.values()))
    named = [
        f"{name} in all" if len(shown) == len(claim.metrics) > 1 else f"{name} ({listed(shown)})"
        for name, shown in by_pair.items()
    ]
    words = f"{n - n_against} of {n} {what} as claimed"
    return f"{words}; not: {listed(named)}" if named else words


def _mean_words(claim: Claim, dataset: str, paper: Paper) -> str:
    """Give the relative difference of the means; for groups also the pairs that go the other way."""
    (weights,) = claim.contrasts()
    below = {label: weight for label, weight in weights.items() if weight < 0}
    shares = []
    for metric in claim.metrics:
        difference = printed_contrast(paper, dataset, weights, metric) or 0.0
        base = printed_contrast(paper, dataset, below, metric) or 0.0
        shares.append(f"{short_metric(metric)} {difference / -base:+.1%}")
    words = listed(shares)
    if len(weights) > 2 and claim.rule == "mean_above":
        singles = [pair(this, that) for this in claim.these for that in claim.those]
        words += f" in the mean; {_counted(claim, dataset, singles, 'single pairs', paper)}"
    return words


def _gain_words(claim: Claim, dataset: str, paper: Paper) -> str:
    shares = []
    for metric in claim.metrics:
        values = {label: printed(paper, dataset, label, metric) or 0.0 for label in claim.labels}
        best = max(claim.those, key=values.__getitem__)
        exact = values[claim.these[0]] / values[best] - 1
        given = paper.improvement(dataset, metric)
        differs = f", from its values {exact:.2%}" if f"{given:.2f}%" != f"{exact:.2%}" else ""
        shares.append(f"{short_metric(metric)} +{given:.2f}% over {model_display(best, paper)}{differs}")
    return "; ".join(shares)


def _by_metric(finding: Finding, paper: Paper, chosen: Callable[[list[Contrast]], list[Contrast]]) -> str:
    parts = []
    for metric, contrasts in finding.contrasts.items():
        words = [
            (f"{contrast_name(each.weights, paper)} " if len(contrasts) > 1 else "") + _shown(each)
            for each in chosen(contrasts)
        ]
        parts.append(f"{short_metric(metric)} {' and '.join(words)}")
    return "; ".join(parts)


def _shown(contrast: Contrast) -> str:
    return f"{shown_difference(contrast)}, p {shown_p(contrast.p_corrected)}"


def _highest(contrasts: list[Contrast]) -> list[Contrast]:
    """Return the two contrasts of the highest inner row, against both ends."""
    pairs = list(zip(contrasts[::2], contrasts[1::2], strict=True))
    return list(max(pairs, key=lambda both: sum(each.difference for each in both)))


def _differ_words(finding: Finding, paper: Paper) -> str:
    everything = [(metric, each) for metric, contrasts in finding.contrasts.items() for each in contrasts]
    n = sum(bool(each.sign) for _, each in everything)
    metric, surest = min(everything, key=lambda item: (item[1].p, -abs(item[1].effect or 0.0)))
    name = contrast_name(surest.weights, paper)
    return (
        f"{n} of {len(everything)} differences significant; surest: {short_metric(metric)} {name} {_shown(surest)}"
    )


def _many_words(finding: Finding, paper: Paper) -> str:
    everything = [(metric, each) for metric, contrasts in finding.contrasts.items() for each in contrasts]
    n_claimed = sum(each.difference > 0 for _, each in everything)
    n_sure, n_against = (sum(each.sign == sign for _, each in everything) for sign in (1, -1))
    metric, weakest = min(everything, key=lambda item: _support(item[1]))
    name = contrast_name(weakest.weights, paper)
    return (
        f"{n_claimed} of {len(everything)} differences as claimed, {n_sure} significantly, {n_against} "
        f"significantly the other way; weakest: {short_metric(metric)} {name} {_shown(weakest)}"
    )


def _support(contrast: Contrast) -> tuple[float, float]:
    """Return a sort key for contrasts, from surely negative to surely positive."""
    sureness = 1 - contrast.p_corrected
    return (sureness if contrast.difference > 0 else -sureness), contrast.effect or 0.0


def build(material: Material) -> Table:
    """Build the claims ledger of a call.

    Raises:
        ResultsError: stored lists are missing or damaged.
        ConfigError: the file of claims cannot be used.
    """
    return claims_table(material, load_claims(material.paper))


def claims_table(material: Material, claims: Sequence[Claim]) -> Table:
    """Tabulate claims: one block per data set with decided claims, by verdict; every contrast in the CSV.

    The paper splits at random, so its claims are decided on random splits, and each claim gets one verdict. If
    a call has the same data on another split too, a note says that this split has no block. If a call has the
    other split alone, its verdicts carry a note that the paper's split differs.

    Args:
        material: the records of a call; a claim about rows that are not among them is undecidable.
        claims: in order.

    Raises:
        ResultsError: stored lists are missing or damaged.
    """
    blocks, notes, counts = [], [], []
    csv_rows: list[tuple[CsvValue, ...]] = []
    # one claim gets one verdict: that of the random split, which is the paper's
    beside = random_split_counterparts(material.facts)
    for facts, heading in zip(material.facts, data_headings(material.facts), strict=True):
        if data_key(facts) in beside:
            notes.append(_elsewhere_note(heading, beside[data_key(facts)]))
            continue
        findings, n_users = _findings(material, facts, claims)
        counts.append(_count_sentence(findings, facts, heading, material.n_seeds))
        if any(each.verdict != UNDECIDED for each in findings):
            blocks += _blocks(findings, facts, heading, material)
        notes += [*data_notes(facts, heading, material.paper), *_split_note(facts, heading)]
        csv_rows += [row for each in findings for row in _csv_rows(each, facts, n_users, material)]
    caption = " ".join([*counts, *([_caption(material)] if blocks else [])])
    return Table("Claims of the paper", caption, tuple(blocks), tuple(notes), CSV_HEADER, tuple(csv_rows))


def _findings(material: Material, facts: DataFacts, claims: Sequence[Claim]) -> tuple[list[Finding], int]:
    """Decide every claim about this data set; return the findings and the number of users."""
    ours = [claim for claim in claims if claim.is_about(facts.card)]
    scores = read_user_scores(material, facts, [label for claim in ours for label in claim.labels])
    resamples = scores.resamples(max((len(claim.contrasts()) for claim in ours), default=1))
    return [judge(claim, scores, resamples, material.paper) for claim in ours], scores.n_users


def _blocks(findings: Sequence[Finding], facts: DataFacts, heading: str, material: Material) -> list[Block]:
    """Return one block of the decided claims, those that hold first, and one of the open claims."""
    order = list(VERDICTS)
    decided = sorted(
        (each for each in findings if each.verdict != UNDECIDED), key=lambda each: order.index(each.verdict)
    )
    undecided = [each for each in findings if each.verdict == UNDECIDED]
    return [_block(each, facts, heading, material) for each in (decided, undecided) if each]


def _block(findings: Sequence[Finding], facts: DataFacts, heading: str, material: Material) -> Block:
    columns = (
        Column("Verdict", group=heading, align="left", share=0.13),
        Column("Claim", group=heading, align="left", share=0.24),
        Column("Our runs", group=heading, align="left", share=0.25),
        Column("The paper's numbers", group=heading, align="left", share=0.22),
        Column("Section", group=heading, align="left", share=0.11),
    )
    rows = list[Row]()
    for each in findings:
        word, tone, _ = VERDICTS[each.verdict]
        is_new = bool(rows) and rows[-1].cells[0].tone != tone
        texts = (
            *(each.claim.claim, our_words(each, material.paper)),
            *(paper_words(each.claim, facts.card, material.paper), each.claim.place),
        )
        verdict = Cell(words=f"{word}: {each.reason}" if each.reason else word, tone=tone)
        rows.append(Row((verdict, *(Cell(words=words) for words in texts)), ruled=is_new))
    return Block(columns, tuple(rows))


def _caption(material: Material) -> str:
    return (
        f"Empirical claims of the paper's section 5, n={material.n_seeds} seeds. Differences are relative to the "
        "row or mean that is compared with; in brackets the 95% bootstrap interval over users; p of the paired "
        "permutation test over users, corrected by Holm's method over what a claim compares on one data set in "
        "one metric. A difference is significant if p < 0.05 and the 95% interval over users and seeds leaves out "
        "0, too. A claim holds if every difference it is made of is significant in every metric, and "
        "does not hold if one is significantly the other way; a size holds if the gain is significant and "
        "its interval over users and seeds holds the printed size, and not if it leaves that out; closeness holds "
        "if the interval over users and seeds lies within the margin; all else stays open. A verdict "
        "is about its data set alone. Explanations ('may be caused by') are left out: the paper tests none."
    )


def _count_sentence(findings: Sequence[Finding], facts: DataFacts, heading: str, n_seeds: int) -> str:
    """Count the verdicts on a data set, and say why if none is decided."""
    counts = [
        f"{sum(each.verdict == verdict for each in findings)} {words}"
        for verdict, (_, _, words) in VERDICTS.items()
    ]
    why = ""
    if all(each.verdict == UNDECIDED for each in findings):
        usual = few_seeds(n_seeds) if n_seeds < MIN_SEEDS else "no difference is significant, or runs are missing"
        why = f": {SOURCES.get(facts.source, usual)}"
    return f"{heading}: of {len(findings)} claims {', '.join(counts[:-1])} and {counts[-1]}{why}."


def _elsewhere_note(heading: str, decisive: DataFacts) -> str:
    return (
        f"{heading}: no verdicts. The paper splits at random (section 5.1.3), so its claims about this data are "
        f"decided on {decisive.label} alone; the accuracy table shows both splits."
    )


def _split_note(facts: DataFacts, heading: str) -> list[str]:
    """Note that verdicts on real data come from another split than the paper's, if they do."""
    if facts.split == PAPER_SPLIT or facts.source != "real":
        return []
    return [
        f"{heading}: the paper splits at random (section 5.1.3); these verdicts are those of the {facts.split} "
        f"split and may differ on the paper's. {facts.card}@{PAPER_SPLIT} decides its claims."
    ]


def _csv_rows(finding: Finding, facts: DataFacts, n_users: int, material: Material) -> list[tuple[CsvValue, ...]]:
    """Return one row per contrast, or one row without numbers if nothing was compared."""
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
        for metric, contrasts in finding.contrasts.items()
        for each in contrasts
    ]
    return rows or [(*start, None, "", None, *contrast_values(None), material.n_seeds, n_users)]
