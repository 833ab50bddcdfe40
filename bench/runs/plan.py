"""The plan: data sets x models x repetitions as a list of frozen specs. Pure.

Also the profiles, which set how much a call runs by default, and the rule that leaves out models whose content the
data does not have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.core.errors import ConfigError, UsageError, listed, nearest_hint, unknown_name
from bench.core.names import join_label, model_of, split_label
from bench.engine import registry

if TYPE_CHECKING:
    from bench.core.types import Features
    from bench.runs.records import RunSpec

MOST_SEEDS = 10_000  # a plan is a list of all its runs
# the other three would add 60 % to the time of `make run`
FAST_CONTENT_MODELS = ("ludp", "lattice", "vbpr")


@dataclass(frozen=True)
class Profile:
    """How much a call runs by default.

    Attributes:
        n_seeds: repetitions of every run.
        max_epochs: a lower limit of epochs than the protocol's; None keeps the protocol's. It saves time and is
            not part of the evaluation protocol: every caption counts the runs that it stopped.
        scale: size of a surrogate relative to the paper's data set.
        purpose: one line for `--list`.
        content_models: models whose content the content ablation replaces; None for all multimodal ones.
    """

    n_seeds: int
    max_epochs: int | None
    scale: float
    purpose: str
    content_models: tuple[str, ...] | None = FAST_CONTENT_MODELS


PROFILES = {
    # as much as every table and figure needs in minutes; the cap ends most trainings, as their captions say
    "quick": Profile(1, 10, 0.02, "one seed, at most 10 epochs, synthetic data of 2 % of the size: minutes"),
    # few epochs, so that all models on MovieLens-100K take two minutes on two cores
    "demo": Profile(1, 5, 0.02, "one seed, at most 5 epochs, for a first look: two minutes for `make demo`"),
    "smoke": Profile(
        1, 10, 0.01, "one seed, 10 epochs, tiny synthetic data; with --check, its own data: a minute"
    ),
    "full": Profile(
        5,
        None,
        1.0,
        "five seeds, epochs up to the protocol's bound, synthetic data at full size: hours to days",
        content_models=None,
    ),
}


def profile(name: str) -> Profile:
    """Return the profile of a name.

    Raises:
        UsageError: the name is unknown.
    """
    if name == "paper":
        raise UsageError(
            "The profile 'paper' is now called 'full', because 'paper' is the name of a protocol. Give --profile "
            "full, and add --protocol paper to stop and select as the paper does."
        )
    if name not in PROFILES:
        raise unknown_name("profile", name, PROFILES)
    return PROFILES[name]


@dataclass(frozen=True)
class Variant:
    """A configuration of a model that is compared as one row of results.

    Attributes:
        model: name of the model file.
        variant: name of a variant in the model's YAML, or "".
        name: name of a variation that an artifact defines and the YAML does not have, or "".
        values: parameter values that replace those of model and variant.
        features: the item content that the model sees.
    """

    model: str
    variant: str = ""
    name: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    features: Features = "given"

    @classmethod
    def of(cls, label: str) -> Variant:
        """Return the variant of a label: a model or `model@variant`."""
        return cls(*split_label(label))

    @property
    def base(self) -> str:
        """Return the label whose values hold unless `values` replaces them."""
        return join_label(self.model, self.variant)

    @property
    def recorded_variant(self) -> str:
        """Return the name of the variant in records."""
        return self.name or self.variant

    @property
    def label(self) -> str:
        """Return the label by which tables find its runs, for example `ludp@knn_k=20`."""
        return join_label(self.model, self.recorded_variant)


Overrides = Mapping[str, Mapping[str, Any]]
Tuned = Mapping[tuple[str, str], Mapping[str, Any]]


def make_plan(
    datasets: Sequence[str],
    labels: Sequence[str | Variant],
    n_seeds: int,
    max_epochs: int,
    base_seed: int,
    overrides: Overrides,
    tuned: Tuned | None = None,
    more: Mapping[str, Sequence[Variant]] | None = None,
    everywhere: Mapping[str, Any] | None = None,
    named: Sequence[str] = (),
    splits: Mapping[str, str] | None = None,
) -> list[RunSpec]:
    """Plan all runs, one data set and one repetition after another, so that early results cover all models.

    Args:
        datasets: names of data sets.
        labels: model names, or `model@variant`, or variants.
        n_seeds: repetitions.
        max_epochs: upper bound on epochs.
        base_seed: root of all seeds.
        overrides: parameter values by model name.
        tuned: complete parameter values by data set and label, in place of those in the model's file.
        more: further variants by data set; of several with one label the first counts.
        everywhere: values for all models with such parameters; values of single models and variants win.
        named: further labels that `overrides` may name, such as models that are only searched.
        splits: hash of each data set's split. Values that earlier searches found on it are taken, no others.

    Raises:
        UsageError: a model, variant or parameter does not exist, or a count is not positive.
        ConfigError: a parameter value has a wrong type.
    """
    if n_seeds > MOST_SEEDS:
        raise UsageError(f"--seeds must be at most {MOST_SEEDS:,}, not {n_seeds:,}.")
    for name, value in (("--seeds", n_seeds), ("--epochs", max_epochs)):
        if value < 1:
            raise UsageError(f"{name} must be at least 1, not {value}.")
    variants = [label if isinstance(label, Variant) else Variant.of(label) for label in labels]
    every = [*variants, *(one for own in (more or {}).values() for one in own)]
    known = {one.model for one in every} | {model_of(label) for label in named}
    for model in overrides:
        if model not in known:
            raise unknown_name("model in --set", model, [one.label for one in variants])
    specs = []
    for dataset in datasets:
        own: dict[str, Variant] = {}
        for one in (*variants, *(more or {}).get(dataset, ())):
            own.setdefault(one.label, one)  # of equal labels the first counts
        for repetition in range(n_seeds):
            for one in own.values():
                values = dict((tuned or {}).get((dataset, one.base), {}))
                values |= {**known_values(one.model, everywhere or {}), **overrides.get(one.model, {})}
                split_hash = (splits or {}).get(dataset)
                specs.append(_spec(one, dataset, split_hash, values, repetition, base_seed, max_epochs))
    return specs


def known_values(model: str, everywhere: Mapping[str, Any]) -> dict[str, Any]:
    """Select the values whose parameter a model has."""
    fields = registry.load(model).model_class.Params.model_fields
    return {key: value for key, value in everywhere.items() if key in fields}


def merge_overrides(labels: Sequence[str], everywhere: Mapping[str, Any], overrides: Overrides) -> Overrides:
    """Give every model the values for all models that it has a parameter for; its own values win.

    Raises:
        UsageError: no model of the call has any of the parameters.
    """
    models = dict.fromkeys(map(model_of, labels))
    common = {model: values for model in models if (values := known_values(model, everywhere))}
    if everywhere and not common:
        given = listed(f"--{key} {value}" for key, value in everywhere.items())
        raise UsageError(f"{given} is for models with item content, and {listed(models)} have none. Leave it out.")
    return {model: {**common.get(model, {}), **overrides.get(model, {})} for model in {**common, **overrides}}


def _spec(
    one: Variant,
    dataset: str,
    split_hash: str | None,
    values: Mapping[str, Any],
    repetition: int,
    base_seed: int,
    max_epochs: int,
) -> RunSpec:
    from bench.data.cards import full_name  # heavy, like the next
    from bench.runs.records import RunSpec

    asked = {**values, **one.values}
    params = registry.load(one.model).params(full_name(dataset), one.variant, asked, split_hash)
    return RunSpec(
        dataset=dataset,
        model=one.model,
        variant=one.recorded_variant,
        features=one.features,
        repetition=repetition,
        base_seed=base_seed,
        max_epochs=max_epochs,
        params=params.model_dump(),
    )


LeftOut = dict[tuple[str, str], str]  # reasons by data set and label
ModalityNames = Mapping[str, Sequence[str]]  # by data set


def content_problem(model: str, params: Mapping[str, Any], modalities: Sequence[str]) -> str | None:
    """Return why a model cannot be trained on data with these modalities; None if it can.

    Args:
        model: name of the model.
        params: its parameter values, or those that the user gave.
        modalities: names of the data's modalities.
    """
    if registry.load(model).card.uses_content and not modalities:
        return "it uses item content, and this data has none"
    missing = _missing_modalities(params, modalities)
    if missing:
        return f"it is set to use the modality {listed(missing)}, and this data has {listed(modalities)}"
    return None


def split_by_content(specs: Sequence[RunSpec], content: ModalityNames) -> tuple[list[RunSpec], LeftOut]:
    """Split a plan into the runs whose data has the content they need, and the reasons why others are left out.

    Args:
        specs: the plan.
        content: names of the modalities of every data set.

    Raises:
        ConfigError: a run is set to use a modality that no data set of the call has.
    """
    kept, left_out = [], LeftOut()
    every = sorted({name for names in content.values() for name in names})
    for spec in specs:
        reason = content_problem(spec.model, spec.params, content[spec.dataset])
        if reason is None:
            kept.append(spec)
            continue
        unknown = _missing_modalities(spec.params, every)
        if every and unknown:
            raise ConfigError(
                f"{spec.label} is set to use the modality '{unknown[0]}', which no data set of the call has."
                f"{nearest_hint(unknown[0], every)} Available: {listed(every)}."
            )
        left_out[spec.dataset, spec.label] = reason
    return kept, left_out


def _missing_modalities(params: Mapping[str, Any], modalities: Sequence[str]) -> list[str]:
    wanted = params.get("modalities", "all")
    return [name for name in wanted if name not in modalities] if isinstance(wanted, list) else []


def left_out_sentences(left_out: LeftOut) -> list[str]:
    """Write one sentence for every data set and reason, with the labels."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for (dataset, label), reason in left_out.items():
        by_reason.setdefault((dataset, reason), []).append(label)
    return [
        f"Left out on {dataset}: {listed(_short_labels(labels))}; {reason}."
        for (dataset, reason), labels in by_reason.items()
    ]


def _short_labels(labels: Sequence[str]) -> list[str]:
    """Shorten the labels: several variations of one model become a count."""
    by_model: dict[str, list[str]] = {}
    for label in dict.fromkeys(labels):
        by_model.setdefault(model_of(label), []).append(label)
    return [
        same[0] if len(same) == 1 else f"{model} with {len(same) - (model in same)} variations"
        for model, same in by_model.items()
    ]


def check_runs_remain(kept: Sequence[RunSpec], left_out: LeftOut) -> None:
    """Check that the call still has a run.

    Raises:
        UsageError: all requested runs are left out.
    """
    if left_out and not kept:
        free = [name for name in registry.names() if not registry.load(name).card.uses_content]
        raise UsageError(
            f"{' '.join(left_out_sentences(left_out))} Nothing is left to run. Choose models without content, "
            f"such as {listed(free[:4])}, or give the data item features, see datasets/README.md."
        )
