"""YAML text -> validated models, for data cards and for models' parameters. Reads the file it is given.

Whatever pydantic refuses becomes one readable ConfigError that names the file, the field, what was given,
what is expected and the nearest key.
"""

from __future__ import annotations

import re
import reprlib
from collections import Counter
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from bench.core.errors import ConfigError, listed, nearest_hint
from bench.core.files import not_plain

FLOAT = r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?)|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"  # noqa: E501
MOST_TEXT = 1 << 20  # bytes; the longest file of this project has some thousands
MOST_VALUES, MOST_LEVELS = 100_000, 50
MOST_REASON = 400
MOST_PROBLEMS = 10

ModelT = TypeVar("ModelT", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """Safe YAML of few types, that refuses a key given twice, and values that grow out of their aliases.

    Of plain words only numbers, true, false and null are more than texts: dates, 1:30, 007, yes and no, which YAML
    1.1 takes for dates, numbers and truth values, stay as they are written, and 1e-3 is a number.
    """

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        if node is not None and self._size(node, {})[0] > MOST_VALUES:
            raise _problem_at(node, f"it holds more than {MOST_VALUES:,} values, its aliases written out")
        return node

    def _size(self, node: yaml.Node, known: dict[int, tuple[int, int]], depth: int = 0) -> tuple[int, int]:
        """Values below a node, those of an alias as often as it is used, and the levels that they lie on."""
        if id(node) not in known and depth <= MOST_LEVELS:
            _check_tag(self, node)
            inner: list[yaml.Node] = [] if isinstance(node, yaml.ScalarNode) else list(node.value)
            if isinstance(node, yaml.MappingNode):
                inner = [part for pair in node.value for part in pair]
            sizes = [self._size(part, known, depth + 1) for part in inner]
            known[id(node)] = (
                1 + sum(size for size, _ in sizes),
                1 + max((levels for _, levels in sizes), default=0),
            )
        if depth > MOST_LEVELS or known[id(node)][1] + depth > MOST_LEVELS:
            raise _problem_at(node, f"values lie more than {MOST_LEVELS} levels deep, or inside themselves")
        return known[id(node)]

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        given = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        twice = [key for key, count in given.items() if count > 1]
        if twice:
            raise _problem_at(node, f"the key '{min(twice)[:60]}' is given twice")
        return super().construct_mapping(node, deep=deep)


class _Dumper(yaml.SafeDumper):
    """Safe YAML without aliases; quotes texts that a reader of YAML 1.1 or 1.2 would take for something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _tag, _form, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]{0,300})", list("-+0123456789")),
    ("float", FLOAT, list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
):
    _expression = re.compile(rf"(?:{_form})\Z")
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _expression, _first)
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _expression, _first)


def _check_tag(loader: _Loader, node: yaml.Node) -> None:
    """Refuse a tag that the value would not have by itself; what others construct may fail in any way."""
    kind = node.tag.removeprefix("tag:yaml.org,2002:")
    plain = (
        "map" if isinstance(node, yaml.MappingNode) else "seq" if isinstance(node, yaml.SequenceNode) else "str"
    )
    fits = kind == plain
    if not fits and isinstance(node, yaml.ScalarNode):
        by_itself = loader.resolve(yaml.ScalarNode, node.value, (True, False))  # type: ignore[no-untyped-call]
        fits = node.tag == by_itself
    if not fits:
        raise _problem_at(node, f"'{node.tag[:60]}' is a tag that is not read here")


def _problem_at(node: yaml.Node, problem: str) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


class Frozen(BaseModel):
    """Immutable, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


def parse_yaml(text: str) -> Any:
    """A YAML text as plain values; no object is ever constructed.

    Raises:
        yaml.YAMLError: no valid YAML, or a key is given twice, or it is too large, too deep or full of aliases.
    """
    if len(text) > MOST_TEXT:
        raise yaml.YAMLError(f"it is longer than {MOST_TEXT:,} letters")
    try:
        return yaml.load(text, Loader=_Loader)
    except RecursionError:
        raise yaml.YAMLError(f"values lie more than {MOST_LEVELS} levels deep") from None


def dump_yaml(values: Any, width: int = 110) -> str:
    """Plain values as a YAML text that `parse_yaml` reads as the same values, whatever texts they hold."""

    def dumped(allow_unicode: bool) -> str:
        return str(yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=allow_unicode, width=width))

    text = dumped(allow_unicode=True)  # the library folds line breaks other than \n that it does not escape
    return dumped(allow_unicode=False) if any(sign in text for sign in "\x85\u2028\u2029\ufeff") else text


def read_yaml(file: Path) -> Any:
    """The plain values in a YAML file; no object is ever constructed.

    Raises:
        ConfigError: the file is missing, no file, or no valid YAML, or gives a key twice.
    """
    try:
        odd = not_plain(file, MOST_TEXT)
        if odd is None:
            return parse_yaml(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:MOST_REASON]
        raise ConfigError(f"{file} cannot be read as YAML: {reason}. Correct the file.") from error
    raise ConfigError(f"{file} {odd}. Put a YAML file there, or remove it.")


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
        found = error.errors()
        problems = "; ".join(_problem(model_class, dict(one)) for one in found[:MOST_PROBLEMS])
        problems += f"; and {len(found) - MOST_PROBLEMS:,} more" if len(found) > MOST_PROBLEMS else ""
        raise ConfigError(f"{source}: {problems}. {advice}") from error


def _problem(model_class: type[BaseModel], error: dict[str, Any]) -> str:
    """One pydantic error in words."""
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
