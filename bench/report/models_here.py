"""Look up models of records among those that are here, RecBole's included. Reads the models' files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.core.errors import UsageError
from bench.engine import registry

if TYPE_CHECKING:
    from bench.engine.model_file import ModelEntry


def entry_of(model: str) -> ModelEntry | None:
    """Return a model's entry; None if its files are not here, as of a plugin that is not given.

    `registry.names()` does not tell that: it leaves out the models of RecBole.

    Raises:
        ConfigError: its files are here but broken, see `registry.load`.
    """
    try:
        registry.check(model)
    except UsageError:
        return None
    return registry.load(model)
