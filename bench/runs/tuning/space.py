"""The search space of a model: the lists in its YAML, as distributions of Optuna and back. Pure.

A variant is tuned over the parameters that it does not fix itself, and so is a model over those that the user
did not set. The model's default is always among the candidates, for it is the first trial.
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
    """What may vary in a study, and what does not.

    Attributes:
        fixed: values of all parameters, those of the default trial.
        candidates: values to choose from by parameter; numbers ascending.
    """

    fixed: Mapping[str, Any]
    candidates: Mapping[str, tuple[Any, ...]]

    @property
    def size(self) -> int:
        """Number of different parameter settings."""
        return math.prod(len(values) for values in self.candidates.values())

    def default(self) -> Values:
        """The candidates' values in the default trial."""
        return {name: self.fixed[name] for name in self.candidates}

    def setting(self, index: int) -> Values:
        """The setting of that number, below `size`."""
        chosen = {}
        for name, values in self.candidates.items():
            index, place = divmod(index, len(values))
            chosen[name] = values[place]
        return chosen

    def distributions(self) -> dict[str, BaseDistribution]:
        """One a parameter: positions in the ascending list where all its values are numbers, else a choice.

        TPE takes neighbouring positions for alike. A position and not the value itself, so that 0, 0.001 and 0.01
        are as far apart as they stand in the list.
        """
        from optuna.distributions import CategoricalDistribution, IntDistribution

        return {
            name: IntDistribution(0, len(values) - 1)
            if _ordered(values)
            else CategoricalDistribution(tuple(range(len(values))))
            for name, values in self.candidates.items()
        }

    def positions(self, values: Mapping[str, Any]) -> dict[str, int]:
        """The place of each value in its list."""
        return {name: self.candidates[name].index(values[name]) for name in self.candidates}

    def values(self, positions: Mapping[str, int]) -> Values:
        """The inverse of `positions`."""
        return {name: self.candidates[name][positions[name]] for name in self.candidates}


def search_space(
    entry: ModelEntry, variant: str = "", pinned: Mapping[str, Any] | None = None, dataset: str = ""
) -> SearchSpace:
    """The search space of a model or of one of its variants.

    Values that an earlier search chose play no part: a search does not begin at the end of another. Those that
    people set for the data set do, as they hold for its reported runs, too.

    Args:
        entry: the model.
        variant: name of a variant, "" for the model's own row.
        pinned: values that the user fixed.
        dataset: that it is tuned for, "" for none.

    Raises:
        ConfigError: a candidate has a wrong type or is given twice.
        UsageError: the variant or a pinned parameter does not exist.
    """
    pinned = dict(pinned or {})
    fixed = entry.params(dataset, variant, pinned, with_tuned=False).model_dump()
    left_out = {*pinned, *entry.file.variants.get(variant, {})}
    candidates = {}
    for name, listed in entry.file.search.items():
        if name in left_out:
            continue
        values = [
            entry.params(dataset, variant, {**pinned, name: value}, with_tuned=False).model_dump()[name]
            for value in listed
        ]
        if any(value in values[:place] for place, value in enumerate(values)):
            raise ConfigError(f"{entry.path}: 'search.{name}' gives a value twice. Give each once.")
        if fixed[name] not in values:
            values.append(fixed[name])
        candidates[name] = tuple(sorted(values) if _ordered(values) else values)
    return SearchSpace(fixed, candidates)


def _ordered(values: tuple[Any, ...] | list[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
