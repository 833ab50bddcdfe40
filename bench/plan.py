"""Layer 6. What to run: data sets x models x repetitions as a list of frozen specs. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench import registry
from bench.errors import UsageError, listed, unknown_name
from bench.records import RunSpec
from bench.rows import Row

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
    params = registry.load(row.model).params(dataset, row.variant, {**values, **row.values})
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
