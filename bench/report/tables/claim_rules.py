"""The paper's empirical claims as data, and the rules by which our runs decide them.

A claim of several differences holds if each is as claimed and significant: over users by the corrected test, and
with an interval over users and seeds that leaves out 0. It does not hold if one is significantly the other way
round. Everything between stays undecided, because the lack of a significant difference does not prove equality.
Fewer than `MIN_SEEDS` seeds decide nothing. Reads results/reference/claims.yaml; writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from bench.core.config import Frozen
from bench.core.errors import ConfigError, listed, unknown_name
from bench.core.files import os_errors
from bench.core.protocol import short_metric
from bench.core.text import counted
from bench.core.yaml_files import parse_yaml
from bench.report import experiments
from bench.report.comparisons import COMPARED, MIN_SEEDS, UserScores
from bench.report.paper import MODALITY_ROWS, PAPER_FILE, Paper
from bench.report.statistics import Contrast, Resamples, Weights
from bench.report.wording import model_display

CLAIMS_FILE = PAPER_FILE.with_name("claims.yaml")
ANY = "any"

Rule = Literal["above", "mean_above", "close", "differ", "peak", "gain", "stated"]
WITHIN_SEEDS = "within what other seeds could give"
BLIND = "the interval of a difference has no width"
SOURCES = {
    "surrogate": "synthetic data decides nothing",
    "embedded": "this data is not the paper's",
}


class Claim(Frozen):
    """One empirical sentence of the paper; the YAML file explains rules and fields."""

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
            # a gain is checked against the percentage that the paper prints for a data set
            **({"datasets": True} if self.rule == "gain" else {}),
        }
        for name, wanted in needs.items():
            if bool(getattr(self, name)) != wanted:
                raise ValueError(f"the claim '{self.id}' {'lacks' if wanted else 'does not take'} '{name}'")
        least = {"differ": 2, "peak": 3, "gain": 1}.get(self.rule, 0)
        if len(self.these) < least or (self.rule == "gain" and len(self.these) > 1):
            raise ValueError(
                f"the claim '{self.id}' lists {len(self.these)} rows in 'these', which does not fit the rule "
                f"'{self.rule}'"
            )
        return self

    @property
    def labels(self) -> list[str]:
        """Return the labels of all rows that the claim is about."""
        return [*self.these, *self.those]

    def is_about(self, dataset: str) -> bool:
        """Return whether the claim is about this data set, or about every one."""
        return not self.datasets or dataset in self.datasets

    def note(self, dataset: str) -> str:
        """Return what else the paper's numbers say on this data set, or ""."""
        return "; ".join(self.notes[name] for name in (ANY, dataset) if name in self.notes)

    def contrasts(self) -> list[Weights]:
        """Return the contrasts that are tested together in one metric, as weights of rows.

        The claim says that they are positive. Exceptions: `differ` and `gain` claim no sign, and `close` claims
        that they are small. `peak` compares every inner row with both ends.
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
        ConfigError: the file cannot be read or is not YAML, or a claim has too few or too many fields.
        UsageError: a claim names a row, data set or metric that does not exist.
    """
    failure, advice = f"The claims in '{path}' cannot be used", "Restore the file."
    with os_errors(failure, advice, ConfigError, UnicodeDecodeError, yaml.YAMLError, ValidationError):
        claims = TypeAdapter(list[Claim]).validate_python(parse_yaml(path.read_text(encoding="utf-8")))
    known = {"row": [*paper.models, *_variations()], "data set": [*paper.datasets], "metric": [*paper.metrics]}
    for claim in claims:
        named = {"row": claim.labels, "data set": claim.datasets, "metric": claim.metrics}
        named["data set"] = [*named["data set"], *(name for name in claim.notes if name != ANY)]
        for kind, names in named.items():
            for name in names:
                if name not in known[kind]:
                    raise unknown_name(f"{kind} of the claim '{claim.id}'", name, known[kind], f"Correct {path}.")
    for first, second in pairwise(sorted(claim.id for claim in claims)):
        if first == second:
            raise ConfigError(
                f"The claim id '{first}' occurs twice in '{path}'. Every id must be unique; rename one."
            )
    return claims


def printed(paper: Paper, dataset: str, label: str, metric: str) -> float | None:
    """Return the published value of a row; None if the paper lacks the data set or prints no value."""
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
    """Return a contrast of published values, rounded to their digits; None if one is not printed."""
    total = 0.0
    for label, weight in weights.items():
        value = printed(paper, dataset, label, metric)
        if value is None:
            return None
        total += weight * value
    return round(total, 10)  # removes the error of binary fractions, e.g. of 0.3 - 0.1


def _difference(these: Sequence[str], those: Sequence[str]) -> Weights:
    return {label: 1 / len(these) for label in these} | {label: -1 / len(those) for label in those}


def _modality_label(modality: str) -> str:
    return f"{experiments.LUDP}@modality={modality}"


def _variations() -> Iterator[str]:
    """Yield the labels of the rows that the experiments vary."""
    yield from map(_modality_label, MODALITY_ROWS)
    rows = (experiments.part_rows(), experiments.fusion_rows(), experiments.layer_rows())
    for family in (*rows, experiments.neighbour_rows()):
        yield from (row.label for row in family.values())


Verdict = Literal["holds", "does not hold", "not decidable here"]
Outcome = Literal["for", "against", "open"]


@dataclass(frozen=True, eq=False)
class Finding:
    """One claim on one data set.

    Attributes:
        claim: what was claimed.
        contrasts: by metric, those between complete rows; none where too many rows are missing.
        verdict: on this data.
        reason: why the claim is not decidable, or what speaks against it.
        missing: the claim's rows without all their runs, in words.
    """

    claim: Claim
    contrasts: dict[str, list[Contrast]]
    verdict: Verdict
    reason: str
    missing: str = ""


def judge(claim: Claim, scores: UserScores, resamples: Resamples | None, paper: Paper) -> Finding:
    """Decide one claim on one data set.

    Args:
        claim: the claim.
        scores: rows with and without all their repetitions, the claim's among them.
        resamples: of these rows; None where no row is complete.
        paper: for names and for the printed improvements.
    """
    if claim.rule == "stated":
        return Finding(claim, {}, "not decidable here", claim.reason)
    missing = [label for label in claim.labels if label in scores.incomplete]
    weights = [each for each in claim.contrasts() if not set(each) & set(missing)]
    # "above" can be refuted by a single difference; the other rules need all their rows
    if resamples is None or (missing and claim.rule != "above"):
        weights = []
    contrasts: dict[str, list[Contrast]] = {}
    if resamples is not None and weights:
        contrasts = {metric: resamples.family(metric, weights) for metric in claim.metrics}
    outcomes = {metric: _outcome(claim, tested, metric, scores, paper) for metric, tested in contrasts.items()}
    blind = [metric for metric, tested in contrasts.items() if any(each.is_blind for each in tested)]
    unclear = [each for metric, outcome in outcomes.items() if outcome == "open" for each in contrasts[metric]]
    verdict, reason = _verdict(claim, scores, outcomes, bool(missing), blind, unclear)
    return Finding(claim, contrasts, verdict, reason, _missing_words(missing, scores, paper))


def strongest(contrasts: list[Contrast]) -> Contrast:
    """Return, of one row's differences to others, the one to the best of them."""
    return min(contrasts, key=lambda each: each.difference)


def _verdict(
    claim: Claim,
    scores: UserScores,
    outcomes: dict[str, Outcome],
    is_partial: bool,
    blind: list[str],
    unclear: Sequence[Contrast],
) -> tuple[Verdict, str]:
    """Return verdict and reason from the outcomes by metric; `unclear` are the contrasts of open outcomes."""
    if scores.facts.source != "real":
        return "not decidable here", SOURCES[scores.facts.source]
    if outcomes and scores.n_seeds < MIN_SEEDS:
        return "not decidable here", few_seeds(scores.n_seeds)
    against, still_open = (
        listed(short_metric(metric) for metric, outcome in outcomes.items() if outcome == each)
        for each in ("against", "open")
    )
    if "against" in outcomes.values():
        return "does not hold", f"in {against}"
    if is_partial:
        return "not decidable here", "runs are missing"
    if "open" in outcomes.values() and blind:
        return "not decidable here", f"{listed(map(short_metric, blind))} cannot tell rows apart: {BLIND}"
    if "open" in outcomes.values():
        return "not decidable here", f"{_open_words(claim, unclear)} in {still_open}{_unseen(claim, unclear)}"
    return "holds", ""


def few_seeds(n_seeds: int) -> str:
    """Say that so few seeds decide no claim, for example `1 seed, 3 needed`."""
    return f"{counted(n_seeds, 'seed')}, {MIN_SEEDS} needed"


def _outcome(claim: Claim, tested: list[Contrast], metric: str, scores: UserScores, paper: Paper) -> Outcome:
    signs = [0 if each.is_blind else each.sign for each in tested]
    if claim.rule == "differ":
        return "for" if any(signs) else "open"
    if claim.rule == "close":
        return _closeness(tested[0], (claim.margin_percent or 0.0) / 100)
    if claim.rule == "gain":
        return _size(strongest(tested), paper.improvement(scores.facts.card, metric) / 100)
    if claim.rule == "peak":
        return _peak(signs)
    return "against" if min(signs) < 0 else "for" if min(signs) > 0 else "open"


def _relative_interval(contrast: Contrast) -> tuple[float | None, float | None]:
    """Return the relative interval that decides: over users and seeds, or over users for one seed."""
    wide = contrast.over_seeds or contrast
    return wide.relative_low, wide.relative_high


def _closeness(contrast: Contrast, margin: float) -> Outcome:
    """Return "for" if the interval lies within the margin, "against" if outside, "open" if across."""
    low, high = _relative_interval(contrast)
    if low is None or high is None or contrast.is_blind:
        return "open"
    if -margin <= low and high <= margin:
        return "for"
    return "against" if low > margin or high < -margin else "open"


def _size(contrast: Contrast, printed: float) -> Outcome:
    """Return "for" if there is a gain and its interval holds the printed one, "against" if it does not hold it.

    An interval that holds the printed gain and 0 as well confirms nothing.
    """
    low, high = _relative_interval(contrast)
    if low is None or high is None or contrast.is_blind:
        return "open"
    if not low <= printed <= high:
        return "against"
    return "for" if contrast.sign > 0 else "open"


def _peak(signs: list[int]) -> Outcome:
    """Return the outcome from the signs of every inner row against the first and the last one, in this order."""
    over_first, over_last = signs[::2], signs[1::2]  # the order of `Claim.contrasts`
    if any(first > 0 and last > 0 for first, last in zip(over_first, over_last, strict=True)):
        return "for"
    return "against" if max(over_first) < 0 or max(over_last) < 0 else "open"


def _open_words(claim: Claim, unclear: Sequence[Contrast]) -> str:
    if claim.rule == "close":
        return f"the interval reaches across the margin of {claim.margin_percent:g}%"
    undecided = [each.is_within_seeds for each in unclear if not each.sign]
    if undecided and all(undecided):
        return WITHIN_SEEDS
    words = "no difference is significant" if claim.rule == "differ" else "not every difference is significant"
    return f"{words} ({sum(undecided)} {WITHIN_SEEDS})" if any(undecided) else words


def _unseen(claim: Claim, unclear: Sequence[Contrast]) -> str:
    """Say how large a difference tests without a result could have missed; "" where it is not known."""
    sizes = [each.relative_detectable for each in unclear if not (each.sign or each.is_within_seeds)]
    largest = max((size for size in sizes if size is not None), default=None)
    if largest is None or claim.rule == "close":
        return ""
    return f"; differences below {largest:.1%} would often go unseen"


def _missing_words(missing: list[str], scores: UserScores, paper: Paper) -> str:
    """Say which runs are missing, for example `no finished run: VBPR, ACF; 1 of 2 seeds: GRCN`."""
    by_gap: dict[str, list[str]] = {}
    for label in dict.fromkeys(missing):
        modality = label.partition("modality=")[2]
        is_absent = modality in scores.facts.missing
        gap = f"no {modality} modality" if is_absent else scores.incomplete[label]
        by_gap.setdefault(gap, []).append(model_display(label, paper))
    return "; ".join(f"{gap}: {listed(names)}" for gap, names in by_gap.items())
