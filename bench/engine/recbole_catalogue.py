"""RecBole's general recommenders by name, and which of them run here.

Reads the files of RecBole's package without importing it. `recbole_unusable.yaml` lists the models that do not
run, with reasons; a slow test tries every model again.
"""

from __future__ import annotations

import ast
import importlib.util
from functools import cache
from pathlib import Path
from typing import Final

from bench.core.errors import UsageError, unknown_name
from bench.core.yaml_files import read_yaml

PREFIX = "recbole:"
FAMILY: Final = "recbole"  # in model cards
REASONS = Path(__file__).with_name("recbole_unusable.yaml")
# on Python 3.12 its dependency ray, which only its quick_start imports, has no wheel
NOT_INSTALLED = (
    "RecBole is not installed. Install it without its dependencies: pip install --no-deps recbole==1.2.1"
)


def is_recbole(name: str) -> bool:
    """Return whether a name is that of a RecBole model, `recbole:NAME`."""
    return name.startswith(PREFIX)


def title(name: str) -> str:
    """Return a model's title in tables, for example `EASE (RecBole)` for `recbole:EASE`."""
    return f"{name.removeprefix(PREFIX)} (RecBole)"


def usable() -> list[str]:
    """Return the names of the models that run, with their prefix."""
    return [f"{PREFIX}{name}" for name in shipped() if name not in unusable()]


@cache
def unusable() -> dict[str, str]:
    """Return the reasons why models do not run, by RecBole's name."""
    reasons: dict[str, str] = read_yaml(REASONS)
    return reasons


@cache
def shipped() -> tuple[str, ...]:
    """Return RecBole's names of all its general recommenders, sorted; read without importing RecBole."""
    source = (recbole_folder() / "model" / "general_recommender" / "__init__.py").read_text(encoding="utf-8")
    names = [
        alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    return tuple(sorted(names, key=str.lower))


def check(name: str) -> None:
    """Check that a model of RecBole's exists and runs.

    Raises:
        UsageError: it does not.
    """
    bare = name.removeprefix(PREFIX)
    if bare in unusable():
        raise UsageError(
            f"RecBole's {bare} cannot be run here. {unusable()[bare]} 'ludp-bench list-recbole' lists what can."
        )
    if bare not in shipped():
        raise unknown_name("model", name, usable(), "RecBole's general recommenders have this form: recbole:NAME.")


def recbole_folder() -> Path:
    """Return the folder of the package `recbole`.

    Raises:
        UsageError: it is not installed.
    """
    spec = importlib.util.find_spec("recbole")
    if spec is None or spec.origin is None:
        raise UsageError(NOT_INSTALLED)
    return Path(spec.origin).parent
