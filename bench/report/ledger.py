"""Layer 8. The paper's empirical claims, typed and checked. Reads results/reference/claims.yaml."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from bench import experiments
from bench.errors import ConfigError, unknown_name
from bench.report.paper import MODALITY_ROWS, PAPER_FILE, Paper
from bench.report.resampling import Weights
from bench.report.user_scores import COMPARED
from bench.validation import Frozen, parse_yaml

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
