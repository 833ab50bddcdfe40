"""Layer 4. Finds models by file name: `models/NAME.py` with `models/NAME.yaml`. Reads those two files only.

Names are listed without importing anything; one broken model cannot take down the others.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

import models
from bench.digest import hash_value
from bench.errors import ConfigError, UsageError, listed, nearest_hint, unknown_name
from bench.validation import read_yaml, validated

if TYPE_CHECKING:
    from models.base import ModelCard, ModelParams, Recommender

Values = dict[str, Any]


class ModelFile(BaseModel):
    """The content of a model's YAML.

    Attributes:
        defaults: a value for every parameter.
        datasets: values that differ on a data set, by the card's name, or `name@variant` for a variant of it.
        variants: values of named variants, each shown as a row of its own when asked for as `model@variant`.
        search: candidate values for tuning, by parameter.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    defaults: Values
    datasets: dict[str, Values] = Field(default_factory=dict)
    variants: dict[str, Values] = Field(default_factory=dict)
    search: dict[str, list[Any]] = Field(default_factory=dict)


@dataclass(frozen=True)
class ModelEntry:
    """One model: its class, its card and its parameter file."""

    name: str
    model_class: type[Recommender]
    file: ModelFile
    path: Path

    @property
    def card(self) -> ModelCard:
        """Title, family and paper."""
        return self.model_class.CARD

    def params(self, dataset: str, variant: str = "", overrides: Values | None = None) -> ModelParams:
        """Parameters for a data set: defaults, the data set's, the variant's, the variant's on it, overrides.

        A later one wins.

        Raises:
            ConfigError: a value has a wrong type or a key does not exist.
            UsageError: the variant, or an overridden key, does not exist.
        """
        if variant and variant not in self.file.variants:
            raise unknown_name(f"variant of {self.name}", variant, self.file.variants, f"See {self.path}.")
        layers = [
            self.file.defaults,
            self.file.datasets.get(dataset, {}),
            self.file.variants.get(variant, {}),
            self.file.datasets.get(f"{dataset}@{variant}", {}),
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
        return validated(self.model_class.Params, {**merged, **(overrides or {})}, self.path)


def names() -> list[str]:
    """Names of all models, sorted; nothing is imported."""
    found = pkgutil.iter_modules(models.__path__)
    return sorted(m.name for m in found if m.name != "base" and not m.name.startswith("_"))


@cache
def load(name: str) -> ModelEntry:
    """Import one model and check its contract.

    Raises:
        UsageError: there is no such model.
        ConfigError: the file does not hold exactly one recommender of the expected name with a card, or its
            YAML does not give a value to exactly the parameters that the class declares.
    """
    if name not in names():
        raise unknown_name("model", name, names(), "A model is one file models/NAME.py with models/NAME.yaml.")
    from models.base import Recommender

    module = importlib.import_module(f"models.{name}")
    own = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Recommender) and value.__module__ == module.__name__
    ]
    source = Path(str(module.__file__))
    if len(own) != 1 or own[0].__name__.lower() != name:
        raise ConfigError(
            f"{source} must define exactly one recommender, a class whose lower-case name is '{name}'; "
            f"found: {listed(c.__name__ for c in own)}."
        )
    if not hasattr(own[0], "CARD"):
        raise ConfigError(f"{source}: the class {own[0].__name__} has no CARD. See models/mf.py for the form.")
    path = source.with_suffix(".yaml")
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


def code_hash(name: str) -> str:
    """Hash of a model's code with everything it imports from `models`; comments and docstrings do not count."""
    folder = Path(str(models.__file__)).parent
    pending, seen = [f"models.{name}"], dict[str, str]()
    while pending:
        module = pending.pop()
        if module in seen:
            continue
        tree = ast.parse((folder / f"{module.removeprefix('models.')}.py").read_text(encoding="utf-8"))
        pending += [
            node.module
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("models.")
        ]
        seen[module] = ast.dump(_without_docstrings(tree))
    return hash_value(seen)


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [  # type: ignore[attr-defined]
                part for part in body if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
            ]
    return tree
