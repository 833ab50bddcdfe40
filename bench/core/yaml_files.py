"""Read and write YAML as plain values, without constructing objects. Reads the file it is given; writes nothing.

This module imports no pydantic, so that commands that only list names start fast. `bench.core.config` validates.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from bench.core.errors import ConfigError
from bench.core.files import os_errors, problem_with_file

FLOAT = r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?)|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"  # noqa: E501
MOST_TEXT = 1 << 20  # bytes; the longest file of this project has some thousands
MOST_VALUES, MOST_LEVELS = 100_000, 50
WIDTH = 110  # characters of a line that is written


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


def dump_yaml(values: Any) -> str:
    """Write plain values as a YAML text from which `parse_yaml` reads exactly the same values."""

    def dump(allow_unicode: bool) -> str:
        return str(yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=allow_unicode, width=WIDTH))

    text = dump(allow_unicode=True)
    # PyYAML leaves these line breaks unescaped and then folds them, so they would not survive reading
    return dump(allow_unicode=False) if any(sign in text for sign in "\x85\u2028\u2029\ufeff") else text


def read_yaml(file: Path) -> Any:
    """Read the plain values in a YAML file; no object is ever constructed.

    Raises:
        ConfigError: the file is missing, is not a regular file, is not valid YAML, or gives a key twice.
    """
    failure, advice = f"{file} cannot be read as YAML", "Correct the file."
    with os_errors(failure, advice, ConfigError, UnicodeDecodeError, yaml.YAMLError):
        problem = problem_with_file(file, MOST_TEXT)
        if problem is None:
            return parse_yaml(file.read_text(encoding="utf-8"))
    raise ConfigError(f"{file} {problem}. Put a YAML file there, or remove it.")
