"""Layer 2. The general recommenders that RecBole ships, and which of them run here. Imports nothing of RecBole.

Names are read from the source of RecBole's package; `unusable.yaml` says of those that do not run why not. Its
reasons were found by trying every one, which a slow test does again.
"""

from __future__ import annotations

import ast
import importlib.util
from functools import cache
from pathlib import Path
from typing import Final

from bench.errors import UsageError, unknown_name
from bench.validation import read_yaml

PREFIX = "recbole:"
FAMILY: Final = "recbole"  # of their cards
REASONS = Path(__file__).with_name("unusable.yaml")


def is_recbole(name: str) -> bool:
    """Whether a name asks for a model of RecBole's."""
    return name.startswith(PREFIX)


def title(name: str) -> str:
    """How tables call a model, for example `EASE (RecBole)` for `recbole:EASE`."""
    return f"{name.removeprefix(PREFIX)} (RecBole)"


def usable() -> list[str]:
    """Names of the models that run, with their prefix."""
    return [f"{PREFIX}{name}" for name in shipped() if name not in unusable()]


@cache
def unusable() -> dict[str, str]:
    """Why a model does not run, by RecBole's name."""
    reasons: dict[str, str] = read_yaml(REASONS)
    return reasons


@cache
def shipped() -> tuple[str, ...]:
    """RecBole's names of all its general recommenders, sorted."""
    source = (recbole_folder() / "model" / "general_recommender" / "__init__.py").read_text(encoding="utf-8")
    found = [
        alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    return tuple(sorted(found, key=str.lower))


def check(name: str) -> None:
    """See that a model of RecBole's exists and runs.

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
    """Where the package lies.

    Raises:
        UsageError: it is not installed.
    """
    spec = importlib.util.find_spec("recbole")
    if spec is None or spec.origin is None:
        raise UsageError("RecBole is not installed. Install this project's requirements: make setup.")
    return Path(spec.origin).parent
