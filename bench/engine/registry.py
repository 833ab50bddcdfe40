"""Every model by name: of `models/`, of plugins, and RecBole's as `recbole:NAME`. Reads their files.

Names are listed without importing anything; one broken model cannot take down the others.
"""

from __future__ import annotations

import pkgutil
from functools import cache
from typing import TYPE_CHECKING

import models
from bench.core.errors import UsageError, unknown_name
from bench.engine import plugins, recbole_catalogue
from bench.engine.code_hash import SHARED, shared_folder
from bench.engine.model_file import ModelEntry, entry_of
from bench.engine.plugins import Place
from bench.engine.tuned import with_tuned

if TYPE_CHECKING:
    from models.base import ModelCard

NOT_MODELS = ("base", "control")  # what models are made of
ADVICE = "A model is one file models/NAME.py with models/NAME.yaml; --plugin PATH adds those that lie elsewhere."


def names() -> list[str]:
    """Names of all models, sorted, but for RecBole's; nothing is imported."""
    return sorted({place.name for place in _places()})


def place_of(name: str) -> Place:
    """Where a model lies that is not RecBole's.

    Raises:
        UsageError: there is no such model, or there are two.
    """
    found = [place for place in _places() if place.name == name]
    if not found:
        broken = [f"Not usable: {problem}" for problem in plugins.problems()]
        raise unknown_name("model", name, names(), " ".join([ADVICE, *broken]))
    first, *others = found
    other = next((each for each in others if each.path.resolve() != first.path.resolve()), None)
    if other is not None:
        raise UsageError(
            f"Two models are called '{name}': {first.path} ({first.said}) and {other.path} ({other.said}). Rename "
            f"one of them with its YAML and its class, or leave out one of the two places."
        )
    return first


def check(name: str) -> None:
    """See that a model exists; nothing is imported.

    Raises:
        UsageError: there is none, or two, or it is one of RecBole's that cannot be run here.
    """
    if recbole_catalogue.is_recbole(name):
        recbole_catalogue.check(name)
    else:
        place_of(name)


def load(name: str) -> ModelEntry:
    """Import one model and check its contract.

    Raises:
        UsageError: there is no such model, or there are two.
        ConfigError: the file cannot be imported, does not hold exactly one recommender of the expected name with a
            card, its YAML does not give a value to exactly the parameters that the class declares, or its tuned
            values are damaged.
    """
    if recbole_catalogue.is_recbole(name):
        from bench.engine.recbole_catalogue import recbole_entry

        return recbole_entry(name)
    return with_tuned(_loaded(place_of(name)))


@cache
def _loaded(place: Place) -> ModelEntry:
    return entry_of(place.name, plugins.import_module(place), place.path.with_suffix(".yaml"))


def card_of(name: str) -> ModelCard | None:
    """Title and family of a model; None where there is none of that name any more."""
    try:
        check(name)
    except UsageError:
        return None
    return load(name).card


def code_hash(name: str) -> str:
    """Hash of a model's code with all that it imports from its package and `models`; comments do not count."""
    if recbole_catalogue.is_recbole(name):
        from bench.engine.recbole_catalogue import recbole_hash

        return recbole_hash(name)
    return place_of(name).code_hash()


def check_plugins() -> None:
    """See that no model of a plugin has the name of another.

    Raises:
        UsageError: one has; both places are named.
    """
    for place in plugins.places():
        place_of(place.name)


def said_places() -> list[tuple[str, str]]:
    """Every model with where it lies, for people."""
    return [(place.name, place.said) for place in sorted(_places(), key=lambda each: each.name)]


def _places() -> tuple[Place, ...]:
    return (*_built_in(), *plugins.places())


def built_in_names() -> set[str]:
    """Names of the models in `models/`."""
    return {place.name for place in _built_in()}


def _built_in() -> tuple[Place, ...]:
    folder = shared_folder()
    found = sorted(module.name for module in pkgutil.iter_modules(models.__path__) if not module.ispkg)
    return tuple(
        Place(name, folder / f"{name}.py", f"{SHARED}.{name}", folder, SHARED, f"models/{name}.py")
        for name in found
        if name not in NOT_MODELS and not name.startswith("_")
    )
