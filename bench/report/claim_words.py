"""Layer 8. A claim in words: what the paper's printed numbers say of it, and what our runs do. Pure."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from bench.errors import listed
from bench.report.comparisons import shown_difference, shown_p
from bench.report.ledger import Claim, printed, printed_contrast
from bench.report.paper import Paper
from bench.report.resampling import Contrast, Weights, pair
from bench.report.verdicts import Finding, strongest
from bench.report.wording import DASH, metric_title, model_display


def paper_words(claim: Claim, dataset: str, paper: Paper) -> str:
    """What the printed numbers say, with what they say against the text."""
    parts = [_printed_words(claim, dataset, paper), claim.note(dataset)]
    return "; ".join(part for part in parts if part) or DASH


def our_words(finding: Finding, paper: Paper) -> str:
    """What the runs say: differences with interval and corrected p-value, the weakest one where there are many."""
    if not finding.contrasts:
        return f"{DASH} ({finding.missing})" if finding.missing else DASH
    return "; ".join(part for part in (_compared_words(finding, paper), finding.missing) if part)


def _compared_words(finding: Finding, paper: Paper) -> str:
    if finding.claim.rule == "gain":
        return _by_metric(finding, paper, lambda found: [strongest(found)])
    if finding.claim.rule == "peak":
        return _by_metric(finding, paper, _highest)
    if finding.claim.rule == "differ":
        return _differ_words(finding, paper)
    if all(len(found) == 1 for found in finding.contrasts.values()):
        return _by_metric(finding, paper, lambda found: found)
    return _many_words(finding, paper)


def contrast_name(weights: Weights, paper: Paper) -> str:
    """A contrast in names, for example `LUDP vs. MF` or `k 10 vs. 50`; several rows on one side are a mean."""
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
    """How many printed differences are as claimed, and which are not."""
    by_pair: dict[str, list[str]] = {}
    for weights, metric in product(contrasts, claim.metrics):
        value = printed_contrast(paper, dataset, weights, metric)
        if value is not None and value <= 0:
            numbers = " and ".join(f"{printed(paper, dataset, label, metric):.4f}" for label in weights)
            by_pair.setdefault(contrast_name(weights, paper), []).append(f"{metric_title(metric)} {numbers}")
    n, n_against = len(claim.metrics) * len(contrasts), sum(map(len, by_pair.values()))
    named = [
        f"{name} in all" if len(found) == len(claim.metrics) > 1 else f"{name} ({listed(found)})"
        for name, found in by_pair.items()
    ]
    words = f"{n - n_against} of {n} {what} as claimed"
    return f"{words}; not: {listed(named)}" if named else words


def _mean_words(claim: Claim, dataset: str, paper: Paper) -> str:
    """The relative difference of the means; for groups also the single pairs that go the other way."""
    (weights,) = claim.contrasts()
    below = {label: weight for label, weight in weights.items() if weight < 0}
    shares = []
    for metric in claim.metrics:
        difference = printed_contrast(paper, dataset, weights, metric) or 0.0
        base = printed_contrast(paper, dataset, below, metric) or 0.0
        shares.append(f"{metric_title(metric)} {difference / -base:+.1%}")
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
        shares.append(f"{metric_title(metric)} +{given:.2f}% over {model_display(best, paper)}{differs}")
    return "; ".join(shares)


def _by_metric(finding: Finding, paper: Paper, chosen: Callable[[list[Contrast]], list[Contrast]]) -> str:
    parts = []
    for metric, found in finding.contrasts.items():
        words = [
            (f"{contrast_name(each.weights, paper)} " if len(found) > 1 else "") + _shown(each)
            for each in chosen(found)
        ]
        parts.append(f"{metric_title(metric)} {' and '.join(words)}")
    return "; ".join(parts)


def _shown(contrast: Contrast) -> str:
    return f"{shown_difference(contrast)}, p {shown_p(contrast.p_holm)}"


def _highest(found: list[Contrast]) -> list[Contrast]:
    """Of the inner rows against both ends, the two contrasts of the highest inner row."""
    pairs = list(zip(found[::2], found[1::2], strict=True))
    return list(max(pairs, key=lambda both: sum(each.difference for each in both)))


def _differ_words(finding: Finding, paper: Paper) -> str:
    everything = [(metric, each) for metric, found in finding.contrasts.items() for each in found]
    n = sum(bool(each.sign) for _, each in everything)
    metric, surest = min(everything, key=lambda item: (item[1].p, -abs(item[1].effect or 0.0)))
    name = contrast_name(surest.weights, paper)
    return (
        f"{n} of {len(everything)} differences significant; surest: {metric_title(metric)} {name} {_shown(surest)}"
    )


def _many_words(finding: Finding, paper: Paper) -> str:
    everything = [(metric, each) for metric, found in finding.contrasts.items() for each in found]
    n_claimed = sum(each.difference > 0 for _, each in everything)
    n_sure, n_against = (sum(each.sign == sign for _, each in everything) for sign in (1, -1))
    metric, weakest = min(everything, key=lambda item: _support(item[1]))
    name = contrast_name(weakest.weights, paper)
    return (
        f"{n_claimed} of {len(everything)} differences as claimed, {n_sure} significantly, {n_against} "
        f"significantly the other way; weakest: {metric_title(metric)} {name} {_shown(weakest)}"
    )


def _support(contrast: Contrast) -> tuple[float, float]:
    """How much a contrast speaks for its sign: from surely negative to surely positive."""
    sureness = 1 - contrast.p_holm
    return (sureness if contrast.difference > 0 else -sureness), contrast.effect or 0.0
