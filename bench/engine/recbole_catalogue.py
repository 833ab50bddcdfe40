"""The general recommenders that RecBole ships, and which of them run here. Imports nothing of RecBole.

Names are read from the source of RecBole's package; `unusable.yaml` says of those that do not run why not. Its
reasons were found by trying every one, which a slow test does again.

A model of RecBole's as an entry of the registry: class, parameters, card, code hash. Reads its files.

Parameters and their values are those of RecBole's YAML of that model; one that is trained gets RecBole's general
step size and batch size with them. All are recorded like those of any model.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt, create_model

from bench.core.config import read_yaml
from bench.core.errors import UsageError, unknown_name
from bench.core.hashing import hash_value
from bench.engine.code_hash import file_hash, module_hash
from bench.engine.model_file import ModelEntry, ModelFile

PREFIX = "recbole:"
FAMILY: Final = "recbole"  # of their cards
REASONS = Path(__file__).with_name("recbole_unusable.yaml")


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


SEARCH = Path(__file__).with_name("recbole_search.yaml")
PACKAGE = "recbole.model.general_recommender"
FITTED = ("NCEPLRec",)  # whose type says that they are trained, and whose constructor fits them
OURS = "recbole_models"  # the file here that a run's numbers depend on


class TheirParams(BaseModel):
    """Base of the parameters of RecBole's models; their meaning is explained in RecBole's documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


@cache
def recbole_entry(name: str) -> ModelEntry:
    """The model `recbole:NAME`.

    Raises:
        UsageError: RecBole has no such general recommender, or it cannot be run here.
    """
    check(name)
    return entry_of_class(name.removeprefix(PREFIX))


def entry_of_class(bare: str) -> ModelEntry:
    """The same by RecBole's name, whether it runs or not."""
    from recbole.utils import ModelType

    from bench.engine.recbole_models import Fitted, Trained

    theirs = getattr(importlib.import_module(PACKAGE), bare)
    is_trained = theirs.type != ModelType.TRADITIONAL and bare not in FITTED
    path = recbole_folder() / "properties" / "model" / f"{bare}.yaml"
    values = _values(path) | (_general() if is_trained else {})
    base: Any = Trained if is_trained else Fitted
    members = {
        "THEIRS": theirs,
        "Params": _params(bare, values),
        "CARD": _card(bare, theirs),
        "__module__": __name__,
    }
    file = ModelFile(defaults=values, search=_search(bare, is_trained))
    return ModelEntry(f"{PREFIX}{bare}", type(bare, (base,), members), file, path, takes_values=False)


@cache
def recbole_hash(name: str) -> str:
    """Hash of RecBole's version, the model's own source file, and the code here that runs it."""
    import recbole

    check(name)
    theirs = file_hash(
        recbole_folder() / "model" / "general_recommender" / f"{name.removeprefix(PREFIX).lower()}.py"
    )
    here = __name__.rpartition(".")[0]
    ours = module_hash([f"{here}.{OURS}"], {here: Path(__file__).parent})
    return hash_value([recbole.__version__, theirs, ours])


def _general() -> dict[str, Any]:
    overall = read_yaml(recbole_folder() / "properties" / "overall.yaml")
    return {key: overall[key] for key in ("learning_rate", "train_batch_size")}


def _search(bare: str, is_trained: bool) -> dict[str, list[Any]]:
    """Candidates for tuning: those of training for all that are trained, and a model's own."""
    lists = read_yaml(SEARCH)
    return {**(lists["trained"] if is_trained else {}), **lists["models"].get(bare, {})}


def _values(path: Path) -> dict[str, Any]:
    return (read_yaml(path) if path.is_file() else None) or {}


def _params(bare: str, values: dict[str, Any]) -> type[BaseModel]:
    """A typed class of parameters, from the values that RecBole gives them."""
    exact: dict[str, Any] = {"learning_rate": (PositiveFloat, ...), "train_batch_size": (PositiveInt, ...)}
    fields = {key: exact.get(key, (_type_of(value), ...)) for key, value in values.items()}
    return create_model(f"{bare}Params", __base__=TheirParams, **cast(Any, fields))


def _type_of(value: Any) -> Any:
    """What a parameter may be, by RecBole's value; where that is a whole number, others may be meant as well."""
    if value is None:
        return str | int | float | bool | None
    if isinstance(value, list):
        if any(isinstance(each, float) for each in value):
            return list[float]
        return list[int] | list[float] if all(isinstance(each, int) for each in value) else list[str]
    if isinstance(value, bool | str | float):
        return type(value)
    return int | float


def _card(bare: str, theirs: type) -> Any:
    from models.base import ModelCard

    text = importlib.import_module(theirs.__module__).__doc__ or ""
    found = re.search(r"Reference:\s*\n(.+?)(?:\n\s*\n|$)", text, re.DOTALL)
    paper = " ".join(found.group(1).split()) if found else "RecBole: Zhao et al., CIKM 2021"
    return ModelCard(title=title(bare), family=FAMILY, paper=paper, uses_content=False)
