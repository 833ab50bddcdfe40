"""The paper's empirical claims, typed and checked. Reads results/reference/claims.yaml.

What runs say about a claim: holds, does not hold, or not decidable here, and why. Pure.

A claim of several differences holds if each is there and significant, and does not hold if one is significantly
the other way round. Everything between is not decided: no significant difference is no proof of equality.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from bench.core.config import Frozen, parse_yaml
from bench.core.errors import ConfigError, listed, unknown_name
from bench.report import experiments
from bench.report.comparisons import COMPARED, UserScores
from bench.report.paper import MODALITY_ROWS, PAPER_FILE, Paper
from bench.report.statistics import Contrast, Resamples, Weights
from bench.report.wording import metric_title, model_display

CLAIMS_FILE = PAPER_FILE.with_name("claims.yaml")
ANY = "any"

Rule = Literal["above", "mean_above", "close", "differ", "peak", "gain", "stated"]


class Claim(Frozen):
    """One empirical sentence; the YAML file explains rules and fields."""

    id: str
    claim: str
    place: str
    rule: Rule
    datasets: list[str] = Field(default_factory=list)
    metrics: list[str] = Field(default_factory=lambda: list(COMPARED))
    these: list[str] = Field(default_factory=list)
    those: list[str] = Field(default_factory=list)
    margin_percent: float | None = Field(default=None, gt=0)
    notes: dict[str, str] = Field(default_factory=dict)
    reason: str = ""

    @model_validator(mode="after")
    def _fits_its_rule(self) -> Claim:
        needs = {
            "these": self.rule != "stated",
            "those": self.rule in {"above", "mean_above", "close", "gain"},
            "margin_percent": self.rule == "close",
            "reason": self.rule == "stated",
            **({"datasets": True} if self.rule == "gain" else {}),  # whose printed percentage
        }
        for name, wanted in needs.items():
            if bool(getattr(self, name)) != wanted:
                raise ValueError(f"the claim '{self.id}' {'lacks' if wanted else 'has no use for'} '{name}'")
        least = {"differ": 2, "peak": 3, "gain": 1}.get(self.rule, 0)
        if len(self.these) < least or (self.rule == "gain" and len(self.these) > 1):
            raise ValueError(f"the claim '{self.id}' names {len(self.these)} of 'these'")
        return self

    @property
    def labels(self) -> list[str]:
        """All rows that the claim is about."""
        return [*self.these, *self.those]

    def is_about(self, dataset: str) -> bool:
        """Whether the claim is made of that data set, or of any."""
        return not self.datasets or dataset in self.datasets

    def note(self, dataset: str) -> str:
        """What else the paper's numbers say."""
        return "; ".join(self.notes[name] for name in (ANY, dataset) if name in self.notes)

    def contrasts(self) -> list[Weights]:
        """What is tested together in one metric: differences that the claim says are positive.

        Those of `differ` and `gain` have no sign; those of `close` are to be small. Of `peak` they are every inner
        row against both ends.
        """
        if self.rule == "stated":
            return []
        if self.rule == "differ":
            return [_difference([first], [second]) for first, second in combinations(self.these, 2)]
        if self.rule == "peak":
            ends = (self.these[0], self.these[-1])
            return [_difference([inner], [end]) for inner in self.these[1:-1] for end in ends]
        if self.rule in {"mean_above", "close"}:
            return [_difference(self.these, self.those)]
        return [_difference([this], [that]) for this in self.these for that in self.those]


def load_claims(paper: Paper, path: Path = CLAIMS_FILE) -> list[Claim]:
    """Read and check the claims.

    Args:
        paper: for the names of models, data sets and metrics.
        path: the YAML file.

    Raises:
        ConfigError: the file cannot be read, is no YAML, or a claim lacks or adds a field.
        UsageError: a claim names a row, data set or metric that does not exist.
    """
    try:
        claims = TypeAdapter(list[Claim]).validate_python(parse_yaml(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise ConfigError(f"The claims in '{path}' cannot be used: {error}. Restore the file.") from error
    known = {"row": [*paper.models, *_variations()], "data set": [*paper.datasets], "metric": [*paper.metrics]}
    for claim in claims:
        named = {"row": claim.labels, "data set": claim.datasets, "metric": claim.metrics}
        named["data set"] = [*named["data set"], *(name for name in claim.notes if name != ANY)]
        for kind, names in named.items():
            for name in names:
                if name not in known[kind]:
                    raise unknown_name(f"{kind} of the claim '{claim.id}'", name, known[kind], f"Mend {path}.")
    for first, second in pairwise(sorted(claim.id for claim in claims)):
        if first == second:
            raise ConfigError(f"The claim '{first}' stands twice in '{path}'. Every id is there once; rename one.")
    return claims


def printed(paper: Paper, dataset: str, label: str, metric: str) -> float | None:
    """The published value of a row; None where the paper has no such data set or prints no value."""
    if not paper.has_dataset(dataset):
        return None
    if paper.has_model(label):
        return paper.score(dataset, label, metric)
    for modality in MODALITY_ROWS:
        if label == _modality_label(modality):
            return paper.modality_score(dataset, modality, metric)
    for n_layers, row in experiments.layer_rows().items():
        if label == row.label:
            return paper.layer_score(dataset, n_layers, metric)
    return None


def printed_contrast(paper: Paper, dataset: str, weights: Weights, metric: str) -> float | None:
    """A contrast of published values, to the digits that they have; None where one is not printed."""
    total = 0.0
    for label, weight in weights.items():
        value = printed(paper, dataset, label, metric)
        if value is None:
            return None
        total += weight * value
    return round(total, 10)


def _difference(these: Sequence[str], those: Sequence[str]) -> Weights:
    return {label: 1 / len(these) for label in these} | {label: -1 / len(those) for label in those}


def _modality_label(modality: str) -> str:
    return f"{experiments.LUDP}@modality={modality}"


def _variations() -> Iterator[str]:
    """Labels of the rows that the experiments vary."""
    yield from map(_modality_label, MODALITY_ROWS)
    rows = (experiments.part_rows(), experiments.fusion_rows(), experiments.layer_rows())
    for family in (*rows, experiments.neighbour_rows()):
        yield from (row.label for row in family.values())


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
