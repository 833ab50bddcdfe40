"""Contract checks that try other values of every declared parameter. Pure."""

from __future__ import annotations

import itertools
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from bench.checks.contract.toys import CPU, SETTINGS, build_model, random_data, require, scores, small, triples
from bench.core.errors import ConfigError, listed
from bench.core.hashing import hash_array, hash_value
from bench.core.types import BenchmarkData
from bench.engine import registry
from bench.engine.model_file import ModelEntry
from bench.engine.sampling import TripleSampler
from bench.engine.trainer import train

EXEMPT = "EFFECT_NOT_TESTED"  # class attribute of a model: reasons by parameter
EPOCHS = (1, 2, 5, 10, 20, 50, 100, 200, 500)  # at which the step size is compared; a decay may begin late
MOST_VALUES = 3  # of a parameter, under each other value of another one
# several steps in an epoch of the small data, and large ones
STEPS = {"train_batch_size": 16, "learning_rate": 0.05}

Values = Mapping[str, Any]


def every_parameter_has_an_effect(name: str) -> None:
    """Check that each parameter changes the initial state, the step size or the scores after two epochs.

    A parameter may act only under another one, such as a standard deviation under one kind of initial values. So
    one that seems to do nothing is tried again under each variant and under other values of every other parameter.
    """
    entry = registry.load(name)
    exempt = getattr(entry.model_class, EXEMPT, {})
    unknown = sorted(set(exempt) - set(entry.model_class.Params.model_fields))
    require(
        not unknown,
        f"{EXEMPT} names {listed(unknown)}, which Params does not declare.",
        "The name is misspelt, or the parameter was removed.",
        "Correct or remove the entry.",
    )
    trial = _Trial(name, entry)
    idle = [key for key in entry.model_class.Params.model_fields if key not in exempt and not trial.acts(key)]
    require(
        not idle,
        f"Other values of {listed(idle)} change nothing: not the initial state, not the step size, and not the "
        "scores after two epochs.",
        "The code never uses it, so a search would spend trials on it, and tables would report a value without "
        "meaning. Other values of every other parameter were tried with it.",
        "Use self.params.NAME in the code, or remove it from Params and the YAML. If it acts only later or on "
        f'larger data, say so in the class: {EXEMPT} = {{"NAME": "reason"}}.',
    )


def every_switch_is_scored_from_its_state(name: str) -> None:
    """Check for every switch that a state that is loaded into a model after other training scores the same."""
    trial = _Trial(name, registry.load(name))
    wrong = []
    for values in trial.switches():
        if not trial.scores_come_back(values):
            wrong.append(" ".join(f"{key}={value}" for key, value in values.items()) or "its default values")
            if not values:
                break  # most other values share this fault
    require(
        not wrong,
        f"With {listed(wrong)}, a model has other scores after its saved state is loaded than when it was saved.",
        "The test uses the state of the best epoch after later epochs were trained. Something that scores depend "
        "on is not in the state, or is left from those epochs.",
        "Compute scores from parameters and buffers alone, or build the rest from them in embed() if not "
        "self.training.",
    )


class _Trial:
    """Tries values of a model's parameters on small data, and remembers the outcomes."""

    def __init__(self, name: str, entry: ModelEntry) -> None:
        self.name, self.entry = name, entry
        self.data = random_data(absent=True)
        self.start = {**_declared(entry, STEPS), **small(name)}
        self.outcomes: dict[tuple[Look, str], str | None] = {}

    def acts(self, key: str) -> bool:
        """Return whether some value of a parameter changes the outcome, or whether no other value is known."""
        alone = self.values(key, {})
        if any(self._differs(look, {}, key, alone) for look in LOOKS):
            return True
        under = [(base, self.values(key, base)[:MOST_VALUES]) for base in self._bases(key)]
        if not alone and not any(values for _, values in under):
            return True
        return any(self._differs(look, base, key, values) for look in LOOKS for base, values in under)

    def values(self, key: str, base: Values) -> list[Any]:
        """Return other values of a parameter that are allowed beside those of `base`."""
        return list(_alternatives(self.entry, key, self.data, base))

    def switches(self) -> Iterator[Values]:
        """Yield the defaults, each variant, and each other value of each switch, with what that value needs."""
        yield from ({}, *self.entry.file.variants.values())
        for key in filter(partial(_is_switch, self.entry), self.entry.model_class.Params.model_fields):
            tried: list[Any] = []
            for base in ({}, *self._bases(key)):
                for value in self.values(key, base):
                    if value not in tried:
                        tried.append(value)
                        yield {**base, key: value}

    def scores_come_back(self, values: Values) -> bool:
        """Return whether a trained state gives its scores to a model that was trained from another seed."""
        own = {**values, **self.start}
        model = build_model(self.name, self.data, **own)
        found = _after_training(model, self.data)
        other = build_model(self.name, self.data, seed=99, **own)
        _after_training(other, self.data)
        other.load_state_dict(model.state_dict())
        return found == hash_array(scores(other).numpy())

    def _bases(self, key: str) -> Iterator[Values]:
        """Yield values under which a parameter is tried: of each variant, and of each other parameter."""
        yield from self.entry.file.variants.values()
        others = [other for other in self.entry.model_class.Params.model_fields if other != key]
        word = key.partition("_")[0]
        # the most likely ones first: of the same name, as init for init_std, then switches
        others.sort(key=lambda each: (each.partition("_")[0] != word, not _is_switch(self.entry, each)))
        for other in others:
            yield from ({other: value} for value in self.values(other, {}))

    def _differs(self, look: Look, base: Values, key: str, values: list[Any]) -> bool:
        own = {**base, **self.start}
        usual = self._outcome(look, {**own, key: own.get(key, self.entry.file.defaults[key])})
        others = (self._outcome(look, {**own, key: value}) for value in values)
        return usual is not None and any(other not in (None, usual) for other in others)

    def _outcome(self, look: Look, values: Values) -> str | None:
        """Return a hash of what a model with these values does; None if it cannot run with them."""
        key = look, hash_value(dict(values))
        if key not in self.outcomes:
            try:
                self.outcomes[key] = look(build_model(self.name, self.data, **values), self.data)
            except Exception:  # values that do not go together; the other checks report errors of the model's code
                self.outcomes[key] = None
        return self.outcomes[key]


def _at_start(model: Any, data: BenchmarkData) -> str:
    """Return a hash of a new model: its state, its step sizes, a loss and its scores."""
    facts: list[Any] = [[key, hash_array(value.numpy())] for key, value in model.state_dict().items()]
    facts.append(hash_array(scores(model).numpy()))
    if list(model.parameters()):
        facts += [model.learning_rate(epoch) for epoch in EPOCHS]
        facts += [loss.item() for loss in model.train().calculate_loss(triples(data))]
    return hash_value(facts)


def _after_training(model: Any, data: BenchmarkData) -> str:
    """Return a hash of the scores after two epochs."""
    if list(model.parameters()):
        better = itertools.count()  # the last epoch counts as the best
        sampler = TripleSampler(data.split.train, CPU)
        train(model, sampler, lambda: {SETTINGS.selection_metric: float(next(better))}, SETTINGS)
    return hash_array(scores(model.eval()).numpy())


Look = Callable[[Any, BenchmarkData], str]
LOOKS: tuple[Look, ...] = (_at_start, _after_training)  # the cheap one first


def _declared(entry: ModelEntry, values: Values) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key in entry.model_class.Params.model_fields}


def _is_switch(entry: ModelEntry, key: str) -> bool:
    """Return whether a parameter chooses between named ways rather than being a number."""
    return isinstance(entry.file.defaults[key], str | bool)


def _alternatives(entry: ModelEntry, key: str, data: BenchmarkData, base: Values) -> Iterator[Any]:
    """Yield values of a parameter other than its default, of its type, its search and its variants.

    A value is left out where it is not valid beside those of `base`.
    """
    default, seen = entry.file.defaults[key], []
    if key == "modalities":
        listed_values: list[Any] = [[data.modalities[0].name]]
    else:
        of_variants = [each[key] for each in entry.file.variants.values() if key in each]
        choices = _literals(entry.model_class.Params.model_fields[key].annotation)
        listed_values = [*choices, *_near(default), *entry.file.search.get(key, ()), *of_variants]
    for value in listed_values:
        if value in seen or (value == default and type(value) is type(default)):
            continue
        seen.append(value)
        try:
            entry.params(data.name, overrides={**base, key: value})
        except ConfigError:
            continue
        yield value


def _literals(annotation: Any) -> list[Any]:
    """Return the members of every Literal in a type."""
    inner = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return list(inner)
    return [value for each in inner for value in _literals(each)]


def _near(value: Any) -> list[Any]:
    """Return other values of the same type; some may be outside of the parameter's range."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, max(value // 2, 1), 1, 2, 0]
    if isinstance(value, float):
        return [value * 2, value / 2, 0.5, 1.0, 10.0]
    if isinstance(value, list) and value:
        return [value[:-1], *([other, *value[1:]] for other in _near(value[0]))]
    return []
