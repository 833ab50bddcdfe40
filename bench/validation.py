"""Layer 1. YAML text -> validated models, for data cards and for models' parameters. Reads the file it is given.

Whatever pydantic refuses becomes one readable ConfigError that names the file, the field, what was given,
what is expected and the nearest key.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from bench.errors import ConfigError, listed, nearest_hint

FLOAT_WITHOUT_DOT = re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+")

ModelT = TypeVar("ModelT", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice and reads 1e-3, a string in YAML 1.1, as a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        given = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = {key for key in given if given.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key '{min(twice)}' is given twice", node.start_mark
            )
        return super().construct_mapping(node, deep=deep)

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> Any:
        if kind is yaml.ScalarNode and implicit[0] and FLOAT_WITHOUT_DOT.fullmatch(value):
            return "tag:yaml.org,2002:float"
        return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]


class Frozen(BaseModel):
    """Immutable, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


def parse_yaml(text: str) -> Any:
    """A YAML text as plain values; no object is ever constructed.

    Raises:
        yaml.YAMLError: no valid YAML, or a key is given twice.
    """
    return yaml.load(text, Loader=_Loader)


def read_yaml(file: Path) -> Any:
    """The plain values in a YAML file; no object is ever constructed.

    Raises:
        ConfigError: the file is missing, or no valid YAML, or gives a key twice.
    """
    try:
        return parse_yaml(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{file} cannot be read as YAML: {reason}. Correct the file.") from error


def validated(
    model_class: type[ModelT], raw: Any, source: Path | str, advice: str = "Correct the file."
) -> ModelT:
    """`raw` as an instance of `model_class`.

    Args:
        model_class: what it must fit.
        raw: plain values.
        source: the file that they were read from, or who gave them otherwise.
        advice: what to do about an error.

    Raises:
        ConfigError: it does not fit; every problem is listed.
    """
    try:
        return model_class.model_validate(raw)
    except ValidationError as error:
        problems = "; ".join(_problem(model_class, dict(one)) for one in error.errors())
        raise ConfigError(f"{source}: {problems}. {advice}") from error


def _problem(model_class: type[BaseModel], error: dict[str, Any]) -> str:
    """One pydantic error in words."""
    where, level = _locate(model_class, error["loc"])
    kind, message, context = error["type"], str(error["msg"]), error.get("ctx", {})
    given = "" if error["input"] is None else f" {reprlib.repr(error['input'])}"
    if kind == "extra_forbidden":
        key, allowed = str(error["loc"][-1]), [name for model in level for name in model.model_fields]
        return f"'{where}' is an unknown key.{nearest_hint(key, allowed)} Allowed: {listed(allowed)}"
    if kind == "missing":
        return f"'{where}' is missing"
    if kind == "union_tag_not_found":
        return f"'{where}' lacks the key {context['discriminator']}"
    if kind == "union_tag_invalid":
        hint = nearest_hint(str(context["tag"]), re.findall(r"'([^']*)'", context["expected_tags"]))
        name = str(context["discriminator"]).strip("'")
        return f"'{where}.{name}' is '{context['tag']}', expected one of {context['expected_tags']}.{hint}"
    hint = nearest_hint(str(error["input"]), re.findall(r"'([^']*)'", str(context.get("expected", ""))))
    message = message.removeprefix("Value error, ").replace("Input should be", "expected")
    return f"'{where or 'the file'}' is{given or ' empty'}: {message}{hint}"


def _locate(model_class: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[str, list[type[BaseModel]]]:
    """The readable path of an error and the models at the level where it happened."""
    level, where = [model_class], ""
    for step in loc:
        if isinstance(step, int):
            where += f"[{step}]"
            continue
        tagged = [model for model in level if step in _tags(model)]
        if len(level) > 1 and tagged:
            level = tagged
            continue
        where += f".{step}" if where else step
        found = [model.model_fields[step].annotation for model in level if step in model.model_fields]
        inner = [model for annotation in found for model in _models_in(annotation)]
        level = inner or level
    return where, level


def _tags(model: type[BaseModel]) -> set[str]:
    """Every literal value that a field of the model can have; a discriminator's value is among them."""
    annotations = [field.annotation for field in model.model_fields.values()]
    return {value for one in annotations if get_origin(one) is Literal for value in get_args(one)}


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Models anywhere in a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
