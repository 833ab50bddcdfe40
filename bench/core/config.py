"""Read YAML and validate it, for data cards and model parameters. Reads the file it is given; writes nothing.

Every pydantic error becomes one readable ConfigError. It names the file, the field, the given value, the expected
value and the nearest key.
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
from bench.core.files import problem_with_file

FLOAT = r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?)|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"  # noqa: E501
MOST_TEXT = 1 << 20  # bytes; the longest file of this project has some thousands
MOST_VALUES, MOST_LEVELS = 100_000, 50
MOST_REASON = 400  # characters of a YAML error that are shown
MOST_PROBLEMS = 10  # validation errors that are shown

ModelT = TypeVar("ModelT", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """Loader of safe YAML with few types. It refuses duplicate keys and aliases that expand to many values."""

    # YAML 1.1 reads dates, 1:30, 007, yes and no as dates, numbers and truth values, and 1e-3 as a text. We want
    # the words as written and 1e-3 as a number, so we start without resolvers and add our own below.
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        if node is not None and self._size(node, {})[0] > MOST_VALUES:
            raise _problem_at(node, f"it holds more than {MOST_VALUES:,} values, its aliases written out")
        return node

    def _size(self, node: yaml.Node, known: dict[int, tuple[int, int]], depth: int = 0) -> tuple[int, int]:
        """Return the number of values below a node, counting an alias at each use, and the depth of the tree."""
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
    """Dumper of safe YAML without aliases. It quotes texts that YAML 1.1 or 1.2 would read as another type."""

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
    """Refuse an explicit tag that the value would not have by itself, as its constructor may fail in any way."""
    kind = node.tag.removeprefix("tag:yaml.org,2002:")
    plain = (
        "map" if isinstance(node, yaml.MappingNode) else "seq" if isinstance(node, yaml.SequenceNode) else "str"
    )
    fits = kind == plain
    if not fits and isinstance(node, yaml.ScalarNode):
        implicit = loader.resolve(yaml.ScalarNode, node.value, (True, False))  # type: ignore[no-untyped-call]
        fits = node.tag == implicit
    if not fits:
        raise _problem_at(node, f"'{node.tag[:60]}' is a tag that is not read here")


def _problem_at(node: yaml.Node, problem: str) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


class Frozen(BaseModel):
    """Base of immutable models that refuse unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


def parse_yaml(text: str) -> Any:
    """Parse a YAML text into plain values; no object is ever constructed.

    Raises:
        yaml.YAMLError: it is not valid YAML, gives a key twice, or is too large, too deep or full of aliases.
    """
    if len(text) > MOST_TEXT:
        raise yaml.YAMLError(f"it is longer than {MOST_TEXT:,} characters")
    try:
        return yaml.load(text, Loader=_Loader)
    except RecursionError:
        raise yaml.YAMLError(f"values lie more than {MOST_LEVELS} levels deep") from None


def dump_yaml(values: Any, width: int = 110) -> str:
    """Write plain values as a YAML text from which `parse_yaml` reads exactly the same values."""

    def dump(allow_unicode: bool) -> str:
        return str(yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=allow_unicode, width=width))

    text = dump(allow_unicode=True)
    # PyYAML leaves these line breaks unescaped and then folds them, so they would not survive reading
    return dump(allow_unicode=False) if any(sign in text for sign in "\x85\u2028\u2029\ufeff") else text


def read_yaml(file: Path) -> Any:
    """Read the plain values in a YAML file; no object is ever constructed.

    Raises:
        ConfigError: the file is missing, is not a regular file, is not valid YAML, or gives a key twice.
    """
    try:
        problem = problem_with_file(file, MOST_TEXT)
        if problem is None:
            return parse_yaml(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:MOST_REASON]
        raise ConfigError(f"{file} cannot be read as YAML: {reason}. Correct the file.") from error
    raise ConfigError(f"{file} {problem}. Put a YAML file there, or remove it.")


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
        raise ConfigError(f"{source}: {problems}. {advice}") from error


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
    return f"'{where or 'the file'}' is{given or ' empty'}: {message}{hint}"


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
