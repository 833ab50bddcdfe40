"""How much a call runs by default. Pure.

A row of results: a model, one of its variants, or a variation that an artifact asks for. Pure.

What to run: data sets x models x repetitions as a list of frozen specs. Pure.

Which runs of a plan their data has the content for; the others are left out by name. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.core.errors import ConfigError, UsageError, listed, nearest_hint, unknown_name
from bench.core.types import Features
from bench.data.cards import full_name
from bench.engine import registry
from bench.runs.records import RunSpec


@dataclass(frozen=True)
class Profile:
    """How much is run by default.

    Attributes:
        n_seeds: repetitions of every run.
        max_epochs: a lower bound on epochs than the protocol's, None to leave it at that. It saves time and is no
            choice of the evaluation: every caption counts the runs that it stopped.
        scale: size of a surrogate relative to the paper's data set.
        purpose: one line for `--list`.
    """

    n_seeds: int
    max_epochs: int | None
    scale: float
    purpose: str


PROFILES = {
    "quick": Profile(
        1, 30, 0.05, "one seed, 30 epochs at most, surrogates a twentieth of the size: minutes on a laptop"
    ),
    "smoke": Profile(1, 10, 0.01, "one seed, 10 epochs, tiny surrogates; with --check, its own data: a minute"),
    "full": Profile(5, None, 1.0, "five seeds, epochs up to the protocol's bound, surrogates at full size"),
}


def profile(name: str) -> Profile:
    """The profile of that name.

    Raises:
        UsageError: there is none.
    """
    if name == "paper":
        raise UsageError(
            "The profile 'paper' is called 'full' now, because 'paper' names a protocol: give --profile full, and "
            "--protocol paper beside it to stop and select as the paper does."
        )
    if name not in PROFILES:
        raise unknown_name("profile", name, PROFILES)
    return PROFILES[name]


@dataclass(frozen=True)
class Row:
    """One row, and what its runs differ in from the model's own.

    Attributes:
        model: name of the model file.
        variant: name of a variant in the model's YAML, or "".
        name: of a variation that the YAML does not have, or "".
        values: its parameters, over those of model and variant.
        features: what the model gets to see of the items' content.
    """

    model: str
    variant: str = ""
    name: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    features: Features = "given"

    @classmethod
    def of(cls, label: str) -> Row:
        """The row of a model or `model@variant`."""
        model, _, variant = label.partition("@")
        return cls(model, variant)

    @property
    def base(self) -> str:
        """The label whose values hold unless the row has its own."""
        return f"{self.model}@{self.variant}" if self.variant else self.model

    @property
    def shown(self) -> str:
        """What records call the variant."""
        return self.name or self.variant

    @property
    def label(self) -> str:
        """What tables find its runs by, for example `ludp@knn_k=20`."""
        return f"{self.model}@{self.shown}" if self.shown else self.model


MOST_SEEDS = 10_000  # a plan is a list of all its runs
Overrides = Mapping[str, Mapping[str, Any]]
Tuned = Mapping[tuple[str, str], Mapping[str, Any]]


def make_plan(
    datasets: Sequence[str],
    labels: Sequence[str | Row],
    n_seeds: int,
    max_epochs: int,
    base_seed: int,
    overrides: Overrides,
    tuned: Tuned | None = None,
    more: Mapping[str, Sequence[Row]] | None = None,
    everywhere: Mapping[str, Any] | None = None,
    named: Sequence[str] = (),
) -> list[RunSpec]:
    """All runs, data set by data set and repetition by repetition, so that early results cover all models.

    Args:
        datasets: names of cards.
        labels: model names, or `model@variant`, or rows.
        n_seeds: repetitions.
        max_epochs: upper bound on epochs.
        base_seed: root of all seeds.
        overrides: parameter values by model name.
        tuned: complete parameter values by data set and label, in place of those in the model's file.
        more: further rows by data set; of rows with one label the first counts.
        everywhere: values of all models that have such parameters; those of single models and rows win.
        named: further labels that `overrides` may speak of, such as models that are only searched.

    Raises:
        UsageError: a model, variant or parameter does not exist, or a count is not positive.
        ConfigError: a parameter value has a wrong type.
    """
    if n_seeds > MOST_SEEDS:
        raise UsageError(f"--seeds must be at most {MOST_SEEDS:,}, not {n_seeds:,}.")
    for name, value in (("--seeds", n_seeds), ("--epochs", max_epochs)):
        if value < 1:
            raise UsageError(f"{name} must be at least 1, not {value}.")
    rows = [label if isinstance(label, Row) else Row.of(label) for label in labels]
    every = [*rows, *(row for own in (more or {}).values() for row in own)]
    known = {row.model for row in every} | {label.partition("@")[0] for label in named}
    for model in overrides:
        if model not in known:
            raise unknown_name("model in --set", model, [row.label for row in rows])
    specs = []
    for dataset in datasets:
        own = {row.label: row for row in reversed([*rows, *(more or {}).get(dataset, ())])}
        for repetition in range(n_seeds):
            for row in reversed(own.values()):
                values = dict((tuned or {}).get((dataset, row.base), {}))
                values |= {**shared(row.model, everywhere or {}), **overrides.get(row.model, {})}
                specs.append(_spec(row, dataset, values, repetition, base_seed, max_epochs))
    return specs


def shared(model: str, everywhere: Mapping[str, Any]) -> dict[str, Any]:
    """Those values that belong to a parameter of this model."""
    fields = registry.load(model).model_class.Params.model_fields
    return {key: value for key, value in everywhere.items() if key in fields}


def with_shared(labels: Sequence[str], everywhere: Mapping[str, Any], overrides: Overrides) -> Overrides:
    """Values of all models as values of each, under those that it has of its own.

    Raises:
        UsageError: no model of the call has any of the parameters.
    """
    models = dict.fromkeys(label.partition("@")[0] for label in labels)
    found = {model: values for model in models if (values := shared(model, everywhere))}
    if everywhere and not found:
        given = listed(f"--{key} {value}" for key, value in everywhere.items())
        raise UsageError(f"{given} is for models with item content, and {listed(models)} have none. Leave it out.")
    return {model: {**found.get(model, {}), **overrides.get(model, {})} for model in {**found, **overrides}}


def _spec(
    row: Row, dataset: str, values: Mapping[str, Any], repetition: int, base_seed: int, max_epochs: int
) -> RunSpec:
    params = registry.load(row.model).params(full_name(dataset), row.variant, {**values, **row.values})
    return RunSpec(
        dataset=dataset,
        model=row.model,
        variant=row.shown,
        features=row.features,
        repetition=repetition,
        base_seed=base_seed,
        max_epochs=max_epochs,
        params=params.model_dump(),
    )


LeftOut = dict[tuple[str, str], str]
Content = Mapping[str, Sequence[str]]


def why_not(model: str, params: Mapping[str, Any], modalities: Sequence[str]) -> str | None:
    """Why a model cannot be trained on data with these modalities; None where it can.

    Args:
        model: its name.
        params: its parameter values, or those that were given.
        modalities: names of those that the data has.
    """
    if registry.load(model).card.uses_content and not modalities:
        return "it uses item content, and this data has none"
    lacking = _lacking(params, modalities)
    if lacking:
        return f"it is to use the modality {listed(lacking)}, and this data has {listed(modalities)}"
    return None


def suited(specs: Sequence[RunSpec], content: Content) -> tuple[list[RunSpec], LeftOut]:
    """The runs that their data has the content for, and why others are left out, by data set and label.

    Args:
        specs: the plan.
        content: names of the modalities of every data set.

    Raises:
        ConfigError: a run is to use a modality that no data set of the call has.
    """
    kept, left_out = [], LeftOut()
    every = sorted({name for names in content.values() for name in names})
    for spec in specs:
        reason = why_not(spec.model, spec.params, content[spec.dataset])
        if reason is None:
            kept.append(spec)
            continue
        unknown = _lacking(spec.params, every)
        if every and unknown:
            raise ConfigError(
                f"{spec.label} is to use the modality '{unknown[0]}', which no data set of the call has."
                f"{nearest_hint(unknown[0], every)} Available: {listed(every)}."
            )
        left_out[spec.dataset, spec.label] = reason
    return kept, left_out


def _lacking(params: Mapping[str, Any], modalities: Sequence[str]) -> list[str]:
    wanted = params.get("modalities", "all")
    return [name for name in wanted if name not in modalities] if isinstance(wanted, list) else []


def said(left_out: LeftOut) -> list[str]:
    """One sentence for every data set and reason, with the labels."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for (dataset, label), reason in left_out.items():
        by_reason.setdefault((dataset, reason), []).append(label)
    return [
        f"Left out on {dataset}: {listed(_named(labels))}; {reason}."
        for (dataset, reason), labels in by_reason.items()
    ]


def _named(labels: Sequence[str]) -> list[str]:
    """The labels, all variations of one model in few words."""
    by_model: dict[str, list[str]] = {}
    for label in dict.fromkeys(labels):
        by_model.setdefault(label.partition("@")[0], []).append(label)
    return [
        same[0] if len(same) == 1 else f"{model} with {len(same) - (model in same)} variations"
        for model, same in by_model.items()
    ]


def refuse_nothing(kept: Sequence[RunSpec], left_out: LeftOut) -> None:
    """Refuse a call that has no run left.

    Raises:
        UsageError: none is left although some were asked for.
    """
    if left_out and not kept:
        free = [name for name in registry.names() if not registry.load(name).card.uses_content]
        raise UsageError(
            f"{' '.join(said(left_out))} Nothing is left to run. Name models without content, such as "
            f"{listed(free[:4])}, or give the data item features, see datasets/README.md."
        )
