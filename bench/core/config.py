"""Validate plain values, such as those of a data card or of a model's parameters. Touches nothing.

Every pydantic error becomes one readable ConfigError. It names the file, the field, the given value, the expected
value and the nearest key.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.core.errors import ConfigError, listed, nearest_hint

MOST_PROBLEMS = 10  # validation errors that are shown

ModelT = TypeVar("ModelT", bound=BaseModel)


class Frozen(BaseModel):
    """Base of immutable models that refuse unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


def validated(
    model_class: type[ModelT], raw: Any, source: Path | str, advice: str = "Correct the file."
) -> ModelT:
    """Validate `raw` and return it as an instance of `model_class`.

    Args:
        model_class: the pydantic model.
        raw: plain values.
        source: the file that the values were read from, or a description of their origin.
        advice: what to do about an error.

    Raises:
        ConfigError: the values do not fit; the first problems are listed.
    """
    try:
        return model_class.model_validate(raw)
    except ValidationError as error:
        errors = error.errors()
        problems = "; ".join(_problem(model_class, dict(each)) for each in errors[:MOST_PROBLEMS])
        problems += f"; and {len(errors) - MOST_PROBLEMS:,} more" if len(errors) > MOST_PROBLEMS else ""
        end = "" if problems.endswith("?") else "."
        raise ConfigError(f"{source}: {problems}{end} {advice}") from error


def first_problem(error: ValidationError) -> str:
    """Return the first problem of values that no user wrote, such as those of a record: `FIELD: reason`."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"


def _problem(model_class: type[BaseModel], error: dict[str, Any]) -> str:
    """Describe one pydantic error in words."""
    where, level = _locate(model_class, error["loc"])
    kind, message, context = error["type"], str(error["msg"]), error.get("ctx", {})
    given = "" if error["input"] is None else f" {reprlib.repr(error['input'])}"
    if kind == "extra_forbidden":
        key, allowed = str(error["loc"][-1])[:60], [name for model in level for name in model.model_fields]
        return f"'{where}' is an unknown key.{nearest_hint(key, allowed)} Allowed: {listed(allowed)}"
    if kind == "missing":
        return f"'{where}' is missing"
    if kind == "union_tag_not_found":
        return f"'{where}' lacks the key {context['discriminator']}"
    if kind == "union_tag_invalid":
        hint = nearest_hint(str(context["tag"]), re.findall(r"'([^']*)'", context["expected_tags"]))
        name = str(context["discriminator"]).strip("'")
        return f"'{where}.{name}' is '{context['tag']}', expected one of {context['expected_tags']}.{hint}"
    hint = nearest_hint(
        reprlib.repr(error["input"]).strip("'"), re.findall(r"'([^']*)'", str(context.get("expected", "")))
    )
    message = message.removeprefix("Value error, ").replace("Input should be", "expected")
    if kind == "string_type" and isinstance(error["input"], int | float):
        message += "; put it in quotes if it is a name"
    return f"'{where or 'the file'}' is{given or ' empty'}: {message}{'.' * bool(hint)}{hint}"


def _locate(model_class: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[str, list[type[BaseModel]]]:
    """Return the readable path of an error and the models at the level where it happened."""
    level, where = [model_class], ""
    for step in loc:
        if isinstance(step, int):
            where += f"[{step}]"
            continue
        # a discriminated union puts the tag of the chosen model into the path; the user did not write that step
        tagged = [model for model in level if step in _tags(model)]
        if len(level) > 1 and tagged:
            level = tagged
            continue
        where += f".{step}" if where else step
        annotations = [model.model_fields[step].annotation for model in level if step in model.model_fields]
        inner = [model for annotation in annotations for model in _models_in(annotation)]
        level = inner or level
    return where, level


def _tags(model: type[BaseModel]) -> set[str]:
    """Return every literal value that a field of the model can have; a discriminator's value is among them."""
    annotations = [field.annotation for field in model.model_fields.values()]
    return {value for each in annotations if get_origin(each) is Literal for value in get_args(each)}


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models anywhere in a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
