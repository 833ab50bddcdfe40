"""Hash of what a model computes, wherever its pieces lie. Reads source files only.

A definition (a function, a class, a constant of a module's top level) is known by its content: the hash of its
tokens (`bench.engine.code_tokens`), in which every name of another definition of the counted packages is replaced
by that definition's hash. So the names of modules and helpers and the way they are imported do not enter, and what
a model does not use does not count. Names of this project's package `bench` count without their module, those of
other packages with their full path. What a module does besides defining names, such as setting something, counts
for every model that imports it. Where a name is only known at run time, all definitions that it may mean count.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.core.hashing import hash_value
from bench.engine.code_tokens import Source, Use, source_of

SHARED = "models"  # every model may import from here
OURS = "bench"  # its modules' names do not count
ALL = "*"  # in place of a definition: all of the module
AT_RUN_TIME = frozenset({"importlib.import_module", "__import__", "eval", "exec", "globals", "sys.modules"})
NAME = re.compile(r"\w+(\.\w+)*")
MAX_STEPS = 50  # of names imported from one another


class Node(NamedTuple):
    """A definition, by its module's dotted name and its own; `*` for all of a module, a number for an effect."""

    module: str
    name: str | int


def shared_folder() -> Path:
    """Where the package `models` lies."""
    import models

    return Path(str(models.__file__)).parent


def code_hash(module: str, packages: Mapping[str, Path]) -> str:
    """Hash of the model of a module, with all it uses from some packages.

    Args:
        module: dotted name, its first part one of `packages`; its model is the class of the same name in lower
            case, without underscores.
        packages: folder of each package that counts, by dotted name.

    Raises:
        SyntaxError: a file is not Python.
    """
    return hash_value(_library(packages).hash_of_model(module))


def module_hash(modules: Sequence[str], packages: Mapping[str, Path]) -> str:
    """Hash of all definitions of some modules, with all they use from some packages; their names do not count."""
    library = _library(packages)
    nodes = [Node(module, name) for module in modules for name in library.sources[module].definitions]
    return hash_value(sorted({library.hash_of(node) for node in nodes}))


def file_hash(path: Path) -> str:
    """Hash of what one source file defines, under which names."""
    return _library({"folder": path.parent}).hash_of(Node(f"folder.{path.stem}", ALL))


EMPTY = Source({}, {}, (), [], frozenset(), frozenset())
_KEPT: dict[tuple[tuple[str, Path], ...], Library] = {}


def _library(packages: Mapping[str, Path]) -> Library:
    """The packages as they are now; what was found earlier is kept while the files that it was found in stay."""
    key = tuple(sorted(packages.items()))
    if key not in _KEPT or not _KEPT[key].sources.is_current():
        _KEPT[key] = Library(Sources(dict(packages)))
    return _KEPT[key]


class Sources:
    """The modules of some packages, read as they are asked for.

    Args:
        packages: folder of each package by dotted name; a name that is a single module's has its folder.
    """

    def __init__(self, packages: dict[str, Path]) -> None:
        self._packages = packages
        self._files: dict[Path, bytes | None] = {}
        self._sources: dict[str, Source] = {}

    def is_current(self) -> bool:
        """Whether every file that was looked for is as it was."""
        return all(_content(path) == known for path, known in self._files.items())

    def has(self, module: str) -> bool:
        """Whether there is such a module."""
        return self._find(module)[1] is not None

    def __getitem__(self, module: str) -> Source:
        """A module; an empty one where there is none."""
        if module not in self._sources:
            path, text = self._find(module)
            is_package = path is not None and path.name == "__init__.py"
            around = module if is_package else module.rpartition(".")[0]
            self._sources[module] = EMPTY if text is None else source_of(text.decode("utf-8-sig"), around)
        return self._sources[module]

    def _find(self, module: str) -> tuple[Path | None, bytes | None]:
        package = self.package_of(module)
        if package is None:
            return None, None
        place = self._place(package, module)
        # a package that is one file lies in the folder beside others
        files = [
            place / "__init__.py",
            place / f"{package}.py" if module == package else place.with_name(f"{place.name}.py"),
        ]
        for path in files:
            if path not in self._files:
                self._files[path] = _content(path)
            if self._files[path] is not None:
                return path, self._files[path]
        return None, None

    def _place(self, package: str, module: str) -> Path:
        return self._packages[package].joinpath(*module.removeprefix(package).split(".")[1:])

    def package_of(self, module: str) -> str | None:
        """The package that a dotted path lies in; None where it does not count."""
        around = [each for each in self._packages if module == each or module.startswith(f"{each}.")]
        return max(around, key=len, default=None)

    def is_module(self, module: str) -> bool:
        """Whether there is such a module, or a package without an `__init__.py`."""
        package = self.package_of(module)
        return self.has(module) or (package is not None and self._place(package, module).is_dir())

    def imported(self, module: str) -> list[str]:
        """A module with all modules that importing it imports."""
        pending, seen = [module], set[str]()
        while pending:
            parts = pending.pop().split(".")
            for each in (".".join(parts[:n]) for n in range(1, len(parts) + 1)):
                if each not in seen and self.has(each):
                    seen.add(each)
                    pending += self[each].imported
        return sorted(seen)

    def beside(self, module: str) -> list[str]:
        """The modules of its folder."""
        path, around = self._find(module)[0], module.rpartition(".")[0]
        return [] if path is None else sorted(f"{around}.{each.stem}" for each in path.parent.glob("*.py"))


class Library:
    """The definitions of some packages with their hashes, found as they are asked for."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self._resolved: dict[Node, list[str | Node]] = {}
        self._hashes: dict[Node, str] = {}

    def hash_of_model(self, module: str) -> list[object]:
        """What a model's hash is made of: that of its class, and the effects of all modules it imports."""
        wanted = module.rpartition(".")[2].replace("_", "").lower()
        name = next((each for each in self.sources[module].definitions if each.lower() == wanted), ALL)
        effects = {
            self.hash_of(Node(each, number))
            for each in self.sources.imported(module)
            for number in range(len(self.sources[each].effects))
        }
        return [self.hash_of(Node(module, name)), sorted(effects)]

    def hash_of(self, node: Node) -> str:
        """Hash of a definition. Those that use each other are hashed together, see `_cycle`."""
        if node not in self._hashes:
            for group in _groups(node, self._parts, self._hashes):
                self._hashes |= _cycle({each: self._parts(each) for each in group}, self._hashes)
        return self._hashes[node]

    def _parts(self, node: Node) -> list[str | Node]:
        """The tokens of a definition, with other definitions in place of their names."""
        if node not in self._resolved:
            self._resolved[node] = list(self._resolve(node))
        return self._resolved[node]

    def _resolve(self, node: Node) -> Iterator[str | Node]:
        source = self.sources[node.module]
        if node.name == ALL:
            yield from self._all_of(node.module, source)
            return
        tokens = source.effects[node.name] if isinstance(node.name, int) else source.definitions[node.name]
        for token in tokens:
            if isinstance(token, str):
                yield token
            else:
                yield from self._meaning(node.module, token)

    def _all_of(self, module: str, source: Source) -> list[str | Node]:
        parts: list[str | Node] = ["module"]
        for name in sorted({*source.definitions, *source.aliases}):
            parts += [name, *self._meaning(module, Use((name,), False))]
        for path in source.stars:
            parts += self._meaning(module, Use(tuple(path.split(".")), True))
        return parts

    def _meaning(self, module: str, use: Use) -> list[str | Node]:
        """What a name stands for, with the attributes that follow it."""
        name, *attributes = use.parts
        found = self._at(use.parts) if use.is_path else self._named(module, use.parts)
        if found is None:  # a module beside it, or one of Python's own names
            path = self.sources[module].aliases.get(name, "")
            found = self._at((*path.split("."), *attributes)) if path else (".".join(use.parts), ())
        start, rest = found
        parts: list[str | Node] = ["use", start, *(f".{name}" for name in rest)]
        if start in AT_RUN_TIME:
            parts += self._within_reach(module)
        elif isinstance(start, str) and start.startswith(f"{OURS}."):
            parts[1] = start.rpartition(".")[2]
        return parts

    def _named(
        self, module: str, parts: tuple[str, ...], steps: int = 0
    ) -> tuple[str | Node, tuple[str, ...]] | None:
        """What a name of a module's top level is; None where it has no such name, as with Python's own."""
        source, (name, *attributes) = self.sources[module], parts
        if steps > MAX_STEPS:
            return Node(module, ALL), parts
        if name in source.definitions:
            return Node(module, name), tuple(attributes)
        if name in source.aliases and source.aliases[name] != f"{module}.{name}":
            return self._at((*source.aliases[name].split("."), *attributes), steps + 1)
        for path in source.stars:
            if self.sources.has(path):
                found = self._named(path, parts, steps + 1)
                if found is not None:
                    return found
        return None

    def _at(self, parts: tuple[str, ...], steps: int = 0) -> tuple[str | Node, tuple[str, ...]]:
        """What a dotted path is: a definition with attributes; itself where its package does not count."""
        package = self.sources.package_of(".".join(parts))
        if package is None:
            return ".".join(parts), ()
        depth = package.count(".") + 1
        module, rest = package, parts[depth:]
        while rest:
            found = self._named(module, rest, steps)
            if found is not None:
                return found
            if not self.sources.is_module(f"{module}.{rest[0]}"):
                break
            module, rest = f"{module}.{rest[0]}", rest[1:]
        return (Node(module, ALL), rest) if self.sources.has(module) else (".".join(parts[depth:]), ())

    def _within_reach(self, module: str) -> Iterator[Node]:
        """All that names made at run time may mean: the module itself, those that it names, those beside it."""
        yield Node(module, ALL)
        strings, around = self.sources[module].strings, module.rpartition(".")[0]
        named = {text.lstrip(".") for text in strings} | {f"{around}.{text.lstrip('.')}" for text in strings}
        if strings:
            named |= set(self.sources.beside(module))
        for name in sorted(named - {module}):
            if NAME.fullmatch(name) and self.sources.has(name):
                yield Node(name, ALL)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _cycle(parts: Mapping[Node, list[str | Node]], known: Mapping[Node, str]) -> dict[Node, str]:
    """Hashes of definitions that use each other, or of one alone.

    Each starts as its own tokens and takes in the others' hashes as often as there are definitions, so that two
    end equal only if what they compute is written in the same way, whatever they are called.
    """
    found = dict.fromkeys(parts, "")
    alone = not any(isinstance(each, Node) and each in parts for some in parts.values() for each in some)
    for _ in range(1 if alone else len(parts) + 1):
        found = {
            node: _digest(known.get(each) or found[each] if isinstance(each, Node) else each for each in some)
            for node, some in parts.items()
        }
    return found


def _digest(parts: Iterator[str]) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def _groups(
    start: Node, parts_of: Callable[[Node], list[str | Node]], done: Container[Node]
) -> Iterator[list[Node]]:
    """All that a definition uses, in groups that use each other, each after those that it uses (Tarjan)."""
    order: dict[Node, int] = {}
    low: dict[Node, int] = {}
    open_nodes: list[Node] = []
    waiting: list[tuple[Node, Iterator[Node]]] = []

    def enter(node: Node) -> None:
        order[node] = low[node] = len(order)
        open_nodes.append(node)
        waiting.append((node, iter([each for each in parts_of(node) if isinstance(each, Node)])))

    enter(start)
    while waiting:
        node, others = waiting[-1]
        other = next((each for each in others if each not in done), None)
        if other is None:
            waiting.pop()
            if waiting:
                low[waiting[-1][0]] = min(low[waiting[-1][0]], low[node])
            if low[node] == order[node]:
                place = open_nodes.index(node)
                yield open_nodes[place:]
                del open_nodes[place:]
        elif other not in order:
            enter(other)
        elif other in open_nodes:
            low[node] = min(low[node], order[other])
