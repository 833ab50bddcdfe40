"""Find and load every model by name: of `models/`, of plugins, and RecBole's as `recbole:NAME`.

Reads the models' files. Names are listed without importing any model, so a broken model cannot affect others.
"""

from __future__ import annotations

import pkgutil
from functools import cache
from typing import TYPE_CHECKING

import models
from bench.core.errors import UsageError, unknown_name
from bench.core.places import SHARED, shared_folder
from bench.engine import plugins, recbole_catalogue
from bench.engine.plugins import ModelLocation

if TYPE_CHECKING:
    from bench.engine.model_file import ModelEntry
    from models.base import ModelCard

NOT_MODELS = ("base", "control")  # modules with base classes
ADVICE = "A model is one file models/NAME.py with models/NAME.yaml; --plugin PATH adds models from elsewhere."


def names() -> list[str]:
    """Return the names of all models except RecBole's, sorted; nothing is imported."""
    return sorted({place.name for place in _places()})


def location_of(name: str) -> ModelLocation:
    """Return the location of a model that is not RecBole's.

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
            f"Two models are called '{name}': {first.path} ({first.label}) and {other.path} ({other.label}). "
            f"Rename one of them with its YAML and its class, or leave out one of the two locations."
        )
    return first


def check(name: str) -> None:
    """Check that a model exists; nothing is imported.

    Raises:
        UsageError: there is no such model, there are two, or it is one of RecBole's that cannot run here.
    """
    if recbole_catalogue.is_recbole(name):
        recbole_catalogue.check(name)
    else:
        location_of(name)


def load(name: str) -> ModelEntry:
    """Import one model and check its contract.

    Raises:
        UsageError: there is no such model, or there are two.
        ConfigError: the file cannot be imported, does not hold exactly one recommender of the expected name with a
            card, its YAML does not give a value to exactly the parameters that the class declares, or its tuned
            values are damaged.
    """
    if recbole_catalogue.is_recbole(name):
        from bench.engine.recbole_entries import recbole_entry

        return recbole_entry(name)
    from bench.engine.tuned import with_tuned  # heavy

    return with_tuned(_loaded(location_of(name)))


@cache
def _loaded(place: ModelLocation) -> ModelEntry:
    from bench.engine.model_file import entry_of  # heavy

    return entry_of(place.name, plugins.import_module(place), place.path.with_suffix(".yaml"))


def find(name: str) -> ModelEntry | None:
    """Return a model's entry, RecBole's models included; None if it is not here, as a plugin that is not given.

    Raises:
        ConfigError: its files are here but broken, see `load`.
    """
    try:
        check(name)
    except UsageError:
        return None
    return load(name)


def card_of(name: str) -> ModelCard | None:
    """Return title and family of a model, or None if there is no such model any more."""
    entry = find(name)
    return None if entry is None else entry.card


def code_hash(name: str) -> str:
    """Hash a model's code with everything that it imports from its package and `models`, except comments."""
    if recbole_catalogue.is_recbole(name):
        from bench.engine.recbole_entries import recbole_hash

        return recbole_hash(name)
    return location_of(name).code_hash()


def check_plugins() -> None:
    """Check that no two models have the same name.

    Raises:
        UsageError: two have; the message names both locations.
    """
    for place in plugins.model_locations():
        location_of(place.name)


def labelled_models() -> list[tuple[str, str]]:
    """Return the name of every model with a label of its location."""
    return [(place.name, place.label) for place in sorted(_places(), key=lambda each: each.name)]


def _places() -> tuple[ModelLocation, ...]:
    return (*_built_in(), *plugins.model_locations())


def built_in_names() -> set[str]:
    """Return the names of the models in `models/`."""
    return {place.name for place in _built_in()}


def _built_in() -> tuple[ModelLocation, ...]:
    folder = shared_folder()
    modules = sorted(module.name for module in pkgutil.iter_modules(models.__path__) if not module.ispkg)
    return tuple(
        ModelLocation(name, folder / f"{name}.py", f"{SHARED}.{name}", folder, SHARED, f"models/{name}.py")
        for name in modules
        if name not in NOT_MODELS and not name.startswith("_")
    )
