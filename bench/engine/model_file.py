"""A model as the other packages see it: class, card and parameter file. Reads that file; writes nothing."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from bench.core.config import validated
from bench.core.errors import ConfigError, UsageError, listed, nearest_hint, unknown_name
from bench.core.names import base_name, checked_name
from bench.core.yaml_files import read_yaml

if TYPE_CHECKING:
    from types import ModuleType

    from models.base import ModelCard, ModelParams, Recommender

Values = dict[str, Any]


class TunedValues(Protocol):
    """The values that searches found for a model; see `bench.engine.tuned`."""

    def values(self, dataset: str, split_hash: str, variant: str = "") -> Values:
        """Return the values for a data set, its split and a variant; empty without a search on it."""


class NothingTuned:
    """The tuned values of a model without a search: none."""

    def values(self, dataset: str, split_hash: str, variant: str = "") -> Values:
        """Return no values."""
        return {}


NOTHING = NothingTuned()


class ModelFile(BaseModel):
    """The content of a model's YAML.

    Attributes:
        defaults: a value for every parameter.
        datasets: values set by hand for a data set with any split, by the card's name, or `name@variant` for a
            variant of the model. Values from searches are in another file, see `bench.engine.tuned`.
        variants: values of named variants; `model@variant` makes one a row of its own.
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
        name: as in `--models`.
        model_class: the recommender.
        file: the values of its parameters.
        path: the file that these were read from.
        takes_values: whether tuning may write a file beside `path`.
        tuned: the values that searches found.
    """

    name: str
    model_class: type[Recommender]
    file: ModelFile
    path: Path
    takes_values: bool = True
    tuned: TunedValues = NOTHING

    @property
    def card(self) -> ModelCard:
        """Return title, family and paper."""
        return self.model_class.CARD

    def params(
        self,
        dataset: str,
        variant: str = "",
        overrides: Values | None = None,
        split_hash: str | None = None,
    ) -> ModelParams:
        """Merge the parameters for a data set from the YAML, from searches and from overrides; later values win.

        The order is: defaults, values for the data set, values tuned for it; then the variant's values, its values
        for the data set, values tuned for the variant; then overrides.

        Args:
            dataset: `NAME@SPLIT`; tuned values are left out for a `NAME` alone, and "" means no data set.
            variant: name of a variant, "" for the model's own row.
            overrides: values of the call.
            split_hash: of the data's split; the values that searches found on it are taken. None leaves all out.

        Raises:
            ConfigError: a value has a wrong type or a key does not exist.
            UsageError: the variant, or an overridden key, does not exist.
        """
        if variant and variant not in self.file.variants:
            raise unknown_name(f"variant of {self.name}", variant, self.file.variants, f"See {self.path}.")
        layers = [
            self.file.defaults,
            self.file.datasets.get(base_name(dataset), {}),
            self.tuned.values(dataset, split_hash) if split_hash else {},
            self.file.variants.get(variant, {}),
            self.file.datasets.get(f"{base_name(dataset)}@{variant}", {}) if variant else {},
            self.tuned.values(dataset, split_hash, variant) if split_hash and variant else {},
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
        if not overrides:
            return checked_params(self.model_class.Params, merged, str(self.path))
        given = listed(f"{self.name}.{key}={reprlib.repr(value)}" for key, value in overrides.items())
        origin, advice = f"{given} in place of the values in {self.path}", "Correct the given value."
        try:
            return checked_params(self.model_class.Params, {**merged, **overrides}, origin, advice)
        except ConfigError:
            checked_params(self.model_class.Params, merged, str(self.path))  # an error of the file names the file
            raise

    def checked_before(self, values: Mapping[str, Any]) -> ModelParams:
        """Return values that `params` has checked, such as those of a run spec, without checking them again."""
        return self.model_class.Params.model_construct(**values)


def checked_params(
    kind: type[ModelParams], values: Values, source: str, advice: str = "Correct the file."
) -> ModelParams:
    """Validate values as parameters; unlike pydantic, refuse `true` for 1 and numbers that are not finite.

    Raises:
        ConfigError: a value has a wrong type or is not finite, or a key does not exist.
    """
    params = validated(kind, values, source, advice)
    for key, value in values.items():
        validated_value = getattr(params, key)
        for given, kept in zip(_leaves(value), _leaves(validated_value), strict=False):
            if isinstance(given, bool) and not isinstance(kept, bool):
                raise ConfigError(f"{source}: '{key}' is {str(given).lower()}, expected a number. {advice}")
            if isinstance(kept, float) and not math.isfinite(kept):
                raise ConfigError(f"{source}: '{key}' is {kept}, expected a finite number. {advice}")
    return params


def _leaves(value: Any) -> list[Any]:
    """Return a value as a list, or the values of a nested list."""
    return [leaf for part in value for leaf in _leaves(part)] if isinstance(value, list) else [value]


def entry_of(name: str, module: ModuleType, path: Path) -> ModelEntry:
    """Build the entry of an imported model file, and check its contract.

    Args:
        name: of the model, and of the file.
        module: the module of the file.
        path: the YAML of the model.

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
    """Check that defaults give every parameter, and that all sections name existing parameters."""
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
