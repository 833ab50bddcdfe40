"""The entries of RecBole's models in the registry, and the hashes of their code. Imports RecBole.

Parameters and their values come from RecBole's YAML of the model. Trained models also get RecBole's general
learning rate and batch size. Reads RecBole's files.
"""

from __future__ import annotations

import importlib
import re
from functools import cache
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt, create_model

from bench.core.hashing import hash_value
from bench.core.yaml_files import read_yaml
from bench.engine.code_hash import file_hash, module_hash
from bench.engine.model_file import ModelEntry, ModelFile
from bench.engine.recbole_catalogue import FAMILY, PREFIX, check, recbole_folder, title

PACKAGE = "recbole.model.general_recommender"
FITTED = ("NCEPLRec",)  # RecBole declares them as trained, but their constructor fits them
OURS = "recbole_models"  # the module here that the numbers of a run depend on
SEARCH = Path(__file__).with_name("recbole_search.yaml")


class RecBoleParams(BaseModel):
    """Base of the parameters of RecBole's models; RecBole's documentation explains them."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


@cache
def recbole_entry(name: str) -> ModelEntry:
    """Build the registry entry of the model `recbole:NAME`.

    Raises:
        UsageError: RecBole has no such general recommender, or it cannot run here.
    """
    check(name)
    return entry_of_class(name.removeprefix(PREFIX))


def entry_of_class(bare: str) -> ModelEntry:
    """Build the registry entry of a model by RecBole's name, whether it runs or not."""
    from recbole.utils import ModelType

    from bench.engine.recbole_models import Fitted, Trained

    recbole_class = getattr(importlib.import_module(PACKAGE), bare)
    is_trained = recbole_class.type != ModelType.TRADITIONAL and bare not in FITTED
    path = recbole_folder() / "properties" / "model" / f"{bare}.yaml"
    values = _values(path) | (_general() if is_trained else {})
    base: Any = Trained if is_trained else Fitted
    members = {
        "RECBOLE_CLASS": recbole_class,
        "Params": _params(bare, values),
        "CARD": _card(bare, recbole_class),
        "__module__": __name__,
    }
    file = ModelFile(defaults=values, search=_search(bare, is_trained))
    return ModelEntry(f"{PREFIX}{bare}", type(bare, (base,), members), file, path, takes_values=False)


@cache
def recbole_hash(name: str) -> str:
    """Hash RecBole's version, the model's source file, and the code here that runs it."""
    import recbole

    check(name)
    source = file_hash(
        recbole_folder() / "model" / "general_recommender" / f"{name.removeprefix(PREFIX).lower()}.py"
    )
    here = __name__.rpartition(".")[0]
    ours = module_hash([f"{here}.{OURS}"], {here: Path(__file__).parent})
    return hash_value([recbole.__version__, source, ours])


def _general() -> dict[str, Any]:
    overall = read_yaml(recbole_folder() / "properties" / "overall.yaml")
    return {key: overall[key] for key in ("learning_rate", "train_batch_size")}


def _search(bare: str, is_trained: bool) -> dict[str, list[Any]]:
    """Return candidate values for tuning: those shared by trained models, and the model's own."""
    lists = read_yaml(SEARCH)
    return {**(lists["trained"] if is_trained else {}), **lists["models"].get(bare, {})}


def _values(path: Path) -> dict[str, Any]:
    return (read_yaml(path) if path.is_file() else None) or {}


def _params(bare: str, values: dict[str, Any]) -> type[BaseModel]:
    """Create a typed class of parameters from RecBole's values."""
    exact: dict[str, Any] = {"learning_rate": (PositiveFloat, ...), "train_batch_size": (PositiveInt, ...)}
    fields = {key: exact.get(key, (_type_of(value), ...)) for key, value in values.items()}
    return create_model(f"{bare}Params", __base__=RecBoleParams, **cast(Any, fields))


def _type_of(value: Any) -> Any:
    """Return the type of a parameter, judged by RecBole's value."""
    if value is None:
        return str | int | float | bool | None
    if isinstance(value, list):
        if any(isinstance(each, float) for each in value):
            return list[float]
        return list[int] | list[float] if all(isinstance(each, int) for each in value) else list[str]
    if isinstance(value, bool | str | float):
        return type(value)
    return int | float  # where RecBole gives a whole number, a fraction may be valid as well


def _card(bare: str, recbole_class: type) -> Any:
    from models.base import ModelCard

    text = importlib.import_module(recbole_class.__module__).__doc__ or ""
    reference = re.search(r"Reference:\s*\n(.+?)(?:\n\s*\n|$)", text, re.DOTALL)
    paper = " ".join(reference.group(1).split()) if reference else "RecBole: Zhao et al., CIKM 2021"
    return ModelCard(title=title(bare), family=FAMILY, paper=paper, uses_content=False)
