"""The search space of a model: the lists in its YAML, converted to Optuna's distributions and back. Pure.

A variant is tuned over the parameters that it does not fix itself, and a model over those that the user did not
set. The model's default is always among the candidates, because it is the first trial.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.core.errors import ConfigError
from bench.engine.model_file import ModelEntry

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Values = dict[str, Any]


@dataclass(frozen=True)
class SearchSpace:
    """The parameters that vary in a study, with their candidates, and the values of all others.

    Attributes:
        fixed: values of all parameters in the default trial.
        candidates: candidate values by parameter; numbers ascending.
    """

    fixed: Mapping[str, Any]
    candidates: Mapping[str, tuple[Any, ...]]

    @property
    def size(self) -> int:
        """Return the number of different settings."""
        return math.prod(len(values) for values in self.candidates.values())

    def default(self) -> Values:
        """Return the setting of the default trial."""
        return {name: self.fixed[name] for name in self.candidates}

    def setting(self, index: int) -> Values:
        """Return the setting of a number below `size`."""
        chosen = {}
        for name, values in self.candidates.items():
            index, position = divmod(index, len(values))
            chosen[name] = values[position]
        return chosen

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return one distribution per parameter over the positions in its list.

        The positions are ordered if all values are numbers, else categories.
        """
        from optuna.distributions import CategoricalDistribution, IntDistribution

        # TPE treats neighbours as similar; by positions instead of values, 0, 0.001 and 0.01 are equally far apart
        return {
            name: IntDistribution(0, len(values) - 1)
            if self.is_ordered(name)
            else CategoricalDistribution(tuple(range(len(values))))
            for name, values in self.candidates.items()
        }

    def is_ordered(self, name: str) -> bool:
        """Return whether the values of a parameter are numbers, which have neighbours."""
        return _ordered(self.candidates[name])

    def positions(self, values: Mapping[str, Any]) -> dict[str, int]:
        """Return the position of each value in its list."""
        return {name: self.candidates[name].index(values[name]) for name in self.candidates}

    def values(self, positions: Mapping[str, int]) -> Values:
        """Return the values at the given positions."""
        return {name: self.candidates[name][positions[name]] for name in self.candidates}


def search_space(
    entry: ModelEntry, variant: str = "", pinned: Mapping[str, Any] | None = None, dataset: str = ""
) -> SearchSpace:
    """Build the search space of a model or of one of its variants.

    Values that an earlier search chose are not used, so that a search does not start from the result of another.
    Values that the model's YAML sets for the data set are used, because they also hold for its reported runs.

    Args:
        entry: the model.
        variant: name of a variant, "" for the model itself.
        pinned: values that the user fixed.
        dataset: name of the data set that it is tuned for, "" for none.

    Raises:
        ConfigError: a candidate has a wrong type or is given twice.
        UsageError: the variant or a pinned parameter does not exist.
    """
    pinned = dict(pinned or {})
    fixed = entry.params(dataset, variant, pinned).model_dump()
    left_out = {*pinned, *entry.file.variants.get(variant, {})}
    candidates = {}
    for name, listed in entry.file.search.items():
        if name in left_out:
            continue
        values = [entry.params(dataset, variant, {**pinned, name: value}).model_dump()[name] for value in listed]
        if any(value in values[:position] for position, value in enumerate(values)):
            raise ConfigError(f"{entry.path}: 'search.{name}' gives a value twice. Give each once.")
        if fixed[name] not in values:
            values.append(fixed[name])
        candidates[name] = tuple(sorted(values) if _ordered(values) else values)
    return SearchSpace(fixed, candidates)


def _ordered(values: tuple[Any, ...] | list[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
