"""A model as the rest of the project sees it: class, card and parameter file. Reads that file."""

from __future__ import annotations

import math
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from bench.core.config import read_yaml, validated
from bench.core.errors import ConfigError, UsageError, listed, nearest_hint, unknown_name
from bench.core.names import base_name, checked_name

if TYPE_CHECKING:
    from types import ModuleType

    from models.base import ModelCard, ModelParams, Recommender

Values = dict[str, Any]


class TunedValues(Protocol):
    """What searches found for a model; see `bench.engine.tuned`."""

    def values(self, dataset: str, variant: str = "") -> Values:
        """Those for a data set and variant; empty where no search was made."""


class NothingTuned:
    """No search was made."""

    def values(self, dataset: str, variant: str = "") -> Values:
        """Nothing."""
        return {}


NOTHING = NothingTuned()


class ModelFile(BaseModel):
    """The content of a model's YAML.

    Attributes:
        defaults: a value for every parameter.
        datasets: values set by hand for a data set, whatever its split, by the card's name, or `name@variant` for
            a variant of the model; those that searches chose lie in another file, see `bench.engine.tuned`.
        variants: values of named variants, each shown as a row of its own when asked for as `model@variant`.
        search: candidate values for tuning, by parameter.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    defaults: Values
    datasets: dict[str, Values] = Field(default_factory=dict)
    variants: dict[Annotated[str, AfterValidator(checked_name)], Values] = Field(default_factory=dict)
    search: dict[str, list[Any]] = Field(default_factory=dict)


@dataclass(frozen=True)
class ModelEntry:
    """One model: its class, its card and its parameter file.

    Attributes:
        name: what it is asked for by.
        model_class: the recommender.
        file: its parameters' values.
        path: the file that those were read from.
        takes_values: whether tuning may write a file beside that one.
        tuned: what searches found.
    """

    name: str
    model_class: type[Recommender]
    file: ModelFile
    path: Path
    takes_values: bool = True
    tuned: TunedValues = NOTHING

    @property
    def card(self) -> ModelCard:
        """Title, family and paper."""
        return self.model_class.CARD

    def params(
        self, dataset: str, variant: str = "", overrides: Values | None = None, with_tuned: bool = True
    ) -> ModelParams:
        """Parameters for a data set: what people set, what searches found, and overrides; a later one wins.

        The order is: defaults, the data set's, those tuned for it; then the variant's, the variant's on the data
        set, those tuned for the variant; then overrides.

        Args:
            dataset: `NAME@SPLIT`; tuned values are left out for a `NAME` alone, and "" is no data set.
            variant: name of a variant, "" for the model's own row.
            overrides: values of the call.
            with_tuned: whether what searches found counts.

        Raises:
            ConfigError: a value has a wrong type or a key does not exist.
            UsageError: the variant, or an overridden key, does not exist.
        """
        if variant and variant not in self.file.variants:
            raise unknown_name(f"variant of {self.name}", variant, self.file.variants, f"See {self.path}.")
        tuned = self.tuned if with_tuned else NOTHING
        layers = [
            self.file.defaults,
            self.file.datasets.get(base_name(dataset), {}),
            tuned.values(dataset),
            self.file.variants.get(variant, {}),
            self.file.datasets.get(f"{base_name(dataset)}@{variant}", {}) if variant else {},
            tuned.values(dataset, variant) if variant else {},
        ]
        merged: Values = {}
        for layer in layers:
            merged.update(layer)
        allowed = self.model_class.Params.model_fields
        for key in overrides or {}:
            if key not in allowed:
                raise UsageError(
                    f"{self.name} has no parameter '{key}'.{nearest_hint(key, allowed)} "
                    f"Its parameters: {listed(allowed)}."
                )
        params = checked_params(self.model_class.Params, merged, str(self.path))
        if not overrides:
            return params
        given = listed(f"{self.name}.{key}={reprlib.repr(value)}" for key, value in overrides.items())
        source, advice = f"{given} in place of the values in {self.path}", "Correct what was given."
        return checked_params(self.model_class.Params, {**merged, **overrides}, source, advice)


def checked_params(
    kind: type[ModelParams], values: Values, source: str, advice: str = "Correct the file."
) -> ModelParams:
    """Values as parameters, with two rules that pydantic does not have: `true` is no 1, and no number is endless.

    Raises:
        ConfigError: a value has a wrong type or is not finite, or a key does not exist.
    """
    params = validated(kind, values, source, advice)
    for key, value in values.items():
        taken = getattr(params, key)
        for given, kept in zip(_leaves(value), _leaves(taken), strict=False):
            if isinstance(given, bool) and not isinstance(kept, bool):
                raise ConfigError(f"{source}: '{key}' is {str(given).lower()}, expected a number. {advice}")
            if isinstance(kept, float) and not math.isfinite(kept):
                raise ConfigError(f"{source}: '{key}' is {kept}, expected a finite number. {advice}")
    return params


def _leaves(value: Any) -> list[Any]:
    """A value, or the values of a list."""
    return [one for part in value for one in _leaves(part)] if isinstance(value, list) else [value]


def entry_of(name: str, module: ModuleType, path: Path) -> ModelEntry:
    """The model of an imported file, its contract checked.

    Args:
        name: of the model, and of the file.
        module: the file's module.
        path: its YAML.

    Raises:
        ConfigError: the file does not hold exactly one recommender of the expected name with a card, or its
            YAML does not give a value to exactly the parameters that the class declares.
    """
    from models.base import Recommender

    own = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Recommender) and value.__module__ == module.__name__
    ]
    if len(own) != 1 or own[0].__name__.lower() != name.replace("_", "").lower():
        raise ConfigError(
            f"{module.__file__} must define exactly one recommender, a class whose lower-case name is "
            f"'{name.replace('_', '').lower()}'; found: {listed(c.__name__ for c in own)}."
        )
    if not hasattr(own[0], "CARD"):
        raise ConfigError(
            f"{module.__file__}: the class {own[0].__name__} has no CARD. See models/mf.py for the form."
        )
    entry = ModelEntry(name, own[0], validated(ModelFile, read_yaml(path), path), path)
    _check_file(entry)
    return entry


def _check_file(entry: ModelEntry) -> None:
    """Defaults give every parameter, and search, variants and data sets name existing ones."""
    declared = set(entry.model_class.Params.model_fields)
    missing = sorted(declared - set(entry.file.defaults))
    if missing:
        raise ConfigError(f"{entry.path}: 'defaults' gives no value to {listed(missing)}. Add them.")
    sections = {"defaults": entry.file.defaults, "search": entry.file.search}
    sections |= {f"datasets.{key}": value for key, value in entry.file.datasets.items()}
    sections |= {f"variants.{key}": value for key, value in entry.file.variants.items()}
    for section, values in sections.items():
        for key in values:
            if key not in declared:
                raise ConfigError(
                    f"{entry.path}: '{section}' names '{key}', which {entry.name} does not have."
                    f"{nearest_hint(key, declared)} Its parameters: {listed(sorted(declared))}."
                )
