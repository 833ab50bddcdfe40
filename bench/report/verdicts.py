"""Layer 8. What runs say about a claim: holds, does not hold, or not decidable here, and why. Pure.

A claim of several differences holds if each is there and significant, and does not hold if one is significantly
the other way round. Everything between is not decided: no significant difference is no proof of equality.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.errors import listed
from bench.report.ledger import Claim
from bench.report.paper import Paper
from bench.report.resampling import Contrast, Resamples
from bench.report.user_scores import UserScores
from bench.report.wording import metric_title, model_display

Verdict = Literal["holds", "does not hold", "not decidable here"]
Outcome = Literal["for", "against", "open"]
BLIND = "the interval of a difference has no width"
SOURCES = {
    "surrogate": "generated data tell nothing of real users",
    "embedded": "these data stand in for the paper's",
}


@dataclass(frozen=True, eq=False)
class Finding:
    """One claim on one data set.

    Attributes:
        claim: what was claimed.
        contrasts: by metric, those of complete rows; none where too many rows are missing.
        verdict: on this data.
        reason: why it is not decidable, or what speaks against it.
        missing: the claim's rows without all their runs, in words.
    """

    claim: Claim
    contrasts: dict[str, list[Contrast]]
    verdict: Verdict
    reason: str
    missing: str = ""


def judge(claim: Claim, scores: UserScores, resamples: Resamples | None, paper: Paper) -> Finding:
    """Weigh one claim on one data set.

    Args:
        claim: the claim.
        scores: rows with and without all their repetitions, the claim's among them.
        resamples: of these rows; None where no row is complete.
        paper: for names and for the printed improvements.
    """
    if claim.rule == "stated":
        return Finding(claim, {}, "not decidable here", claim.reason)
    missing = [label for label in claim.labels if label in scores.gaps]
    weights = [each for each in claim.contrasts() if not set(each) & set(missing)]
    if resamples is None or (missing and claim.rule != "above"):  # of many differences one can refute a claim
        weights = []
    contrasts: dict[str, list[Contrast]] = {}
    if resamples is not None and weights:
        contrasts = {metric: resamples.family(metric, weights) for metric in claim.metrics}
    outcomes = {metric: _outcome(claim, found, metric, scores, paper) for metric, found in contrasts.items()}
    blind = [metric for metric, found in contrasts.items() if any(map(_is_blind, found))]
    verdict, reason = _verdict(claim, scores, outcomes, bool(missing), blind)
    return Finding(claim, contrasts, verdict, reason, _missing_words(missing, scores, paper))


def strongest(contrasts: list[Contrast]) -> Contrast:
    """Of one row's differences to others, that to the best of them."""
    return min(contrasts, key=lambda each: each.difference)


def _verdict(
    claim: Claim, scores: UserScores, outcomes: dict[str, Outcome], is_partial: bool, blind: list[str]
) -> tuple[Verdict, str]:
    """Verdict and reason from the outcomes by metric."""
    if scores.facts.source != "real":
        return "not decidable here", SOURCES[scores.facts.source]
    against, still_open = (
        listed(metric_title(metric) for metric, outcome in outcomes.items() if outcome == each)
        for each in ("against", "open")
    )
    if "against" in outcomes.values():
        return "does not hold", f"in {against}"
    if is_partial:
        return "not decidable here", "runs are missing"
    if "open" in outcomes.values() and blind:
        return "not decidable here", f"{listed(map(metric_title, blind))} cannot tell rows apart: {BLIND}"
    if "open" in outcomes.values():
        return "not decidable here", f"{_open_words(claim)} in {still_open}"
    return "holds", ""


def _outcome(claim: Claim, found: list[Contrast], metric: str, scores: UserScores, paper: Paper) -> Outcome:
    signs = [0 if _is_blind(each) else each.sign for each in found]
    if claim.rule == "differ":
        return "for" if any(signs) else "open"
    if claim.rule == "close":
        return _closeness(found[0], (claim.margin_percent or 0.0) / 100)
    if claim.rule == "gain":
        return _size(strongest(found), paper.improvement(scores.facts.card, metric) / 100)
    if claim.rule == "peak":
        return _peak(signs)
    return "against" if min(signs) < 0 else "for" if min(signs) > 0 else "open"


def _is_blind(contrast: Contrast) -> bool:
    """Whether the metric cannot tell the rows apart: no resample of the users gives another difference.

    So it is where a list holds all candidates, and every user has the same score whatever the model.
    """
    return contrast.low == contrast.high


def _closeness(contrast: Contrast, margin: float) -> Outcome:
    """Whether the interval of the relative difference lies within the margin, outside, or across."""
    low, high = contrast.relative_low, contrast.relative_high
    if low is None or high is None or _is_blind(contrast):
        return "open"
    if -margin <= low and high <= margin:
        return "for"
    return "against" if low > margin or high < -margin else "open"


def _size(contrast: Contrast, printed: float) -> Outcome:
    """Whether the printed improvement is one that the interval allows."""
    low, high = contrast.relative_low, contrast.relative_high
    if low is None or high is None or _is_blind(contrast):
        return "open"
    return "for" if low <= printed <= high else "against"


def _peak(signs: list[int]) -> Outcome:
    """From the signs of every inner row against the first and the last one, in this order."""
    over_first, over_last = signs[::2], signs[1::2]
    if any(first > 0 and last > 0 for first, last in zip(over_first, over_last, strict=True)):
        return "for"
    return "against" if max(over_first) < 0 or max(over_last) < 0 else "open"


def _open_words(claim: Claim) -> str:
    if claim.rule == "close":
        return f"the interval reaches across the margin of {claim.margin_percent:g}%"
    return "no difference is significant" if claim.rule == "differ" else "not every difference is significant"


def _missing_words(missing: list[str], scores: UserScores, paper: Paper) -> str:
    """Which runs are missing, for example `no finished run: VBPR, ACF; 1 of 2 seeds: GRCN`."""
    by_gap: dict[str, list[str]] = {}
    for label in dict.fromkeys(missing):
        modality = label.partition("modality=")[2]
        lacks = modality in scores.facts.missing
        gap = f"no {modality} modality" if lacks else scores.gaps[label]
        by_gap.setdefault(gap, []).append(model_display(label, paper))
    return "; ".join(f"{gap}: {listed(names)}" for gap, names in by_gap.items())
