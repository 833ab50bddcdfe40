"""Hash the code that a model computes with, wherever it is defined. Reads source files only.

A definition is a function, a class, or a constant at a module's top level. Its hash is that of its tokens
(`bench.engine.code_tokens`), in which the names of other definitions of the counted packages are replaced by their
hashes. So the names of modules and helpers do not count, nor does unused code. Names of this project's package
`bench` count without their module, those of other packages with their full path. Side effects of a module's top
level count for every model that imports it. If a name is known only at run time, all definitions that it may refer
to count.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.core.hashing import hash_value
from bench.engine.code_tokens import Source, Use, source_of

OURS = "bench"  # the names of its modules do not count
ALL = "*"  # instead of a definition: all definitions of the module
AT_RUN_TIME = frozenset({"importlib.import_module", "__import__", "eval", "exec", "globals", "sys.modules"})
NAME = re.compile(r"\w+(\.\w+)*")
MAX_STEPS = 50  # length of a chain of imported names
EMPTY = Source({}, {}, (), [], frozenset(), frozenset())


class Node(NamedTuple):
    """A definition: dotted name of its module, and its name, `*` for all of the module, or an effect's number."""

    module: str
    name: str | int


def code_hash(module: str, packages: Mapping[str, Path]) -> str:
    """Hash the model of a module, with everything that it uses from some packages.

    Args:
        module: dotted name, its first part one of `packages`. The model is the class whose lower-case name is the
            module's without underscores.
        packages: folder of each counted package, by dotted name.

    Raises:
        SyntaxError: a file is not Python.
    """
    return hash_value(_library(packages).hash_of_model(module))


def module_hash(modules: Sequence[str], packages: Mapping[str, Path]) -> str:
    """Hash all definitions of some modules, except their names, with everything that they use from packages."""
    library = _library(packages)
    nodes = [Node(module, name) for module in modules for name in library.sources[module].definitions]
    return hash_value(sorted({library.hash_of(node) for node in nodes}))


def file_hash(path: Path) -> str:
    """Hash the definitions of one source file, with their names."""
    return _library({"folder": path.parent}).hash_of(Node(f"folder.{path.stem}", ALL))


_CACHE: dict[tuple[tuple[str, Path], ...], Library] = {}


def _library(packages: Mapping[str, Path]) -> Library:
    """Return the library of some packages, from the cache as long as the files that it read are unchanged."""
    key = tuple(sorted(packages.items()))
    if key not in _CACHE or not _CACHE[key].sources.is_current():
        _CACHE[key] = Library(Sources(dict(packages)))
    return _CACHE[key]


class Sources:
    """The modules of some packages, read on demand.

    Args:
        packages: folder of each package by dotted name; for a single module, the folder that holds it.
    """

    def __init__(self, packages: dict[str, Path]) -> None:
        self._packages = packages
        self._files: dict[Path, bytes | None] = {}
        self._sources: dict[str, Source] = {}

    def is_current(self) -> bool:
        """Return whether every file that was looked for is unchanged."""
        return all(_content(path) == known for path, known in self._files.items())

    def has(self, module: str) -> bool:
        """Return whether the module exists."""
        return self._find(module)[1] is not None

    def __getitem__(self, module: str) -> Source:
        """Return a module, or an empty one if it does not exist."""
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
        # a package that is a single file is in the given folder itself
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
        """Return the counted package that contains a dotted path, or None."""
        around = [each for each in self._packages if module == each or module.startswith(f"{each}.")]
        return max(around, key=len, default=None)

    def is_module(self, module: str) -> bool:
        """Return whether the module exists, also as a package without an `__init__.py`."""
        package = self.package_of(module)
        return self.has(module) or (package is not None and self._place(package, module).is_dir())

    def imported(self, module: str) -> list[str]:
        """Return a module with all modules that it imports, directly or not."""
        pending, seen = [module], set[str]()
        while pending:
            parts = pending.pop().split(".")
            for each in (".".join(parts[:n]) for n in range(1, len(parts) + 1)):
                if each not in seen and self.has(each):
                    seen.add(each)
                    pending += self[each].imported
        return sorted(seen)

    def beside(self, module: str) -> list[str]:
        """Return the modules in the same folder."""
        path, around = self._find(module)[0], module.rpartition(".")[0]
        return [] if path is None else sorted(f"{around}.{each.stem}" for each in path.parent.glob("*.py"))


class Library:
    """The definitions of some packages with their hashes, computed on demand."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self._resolved: dict[Node, list[str | Node]] = {}
        self._hashes: dict[Node, str] = {}

    def hash_of_model(self, module: str) -> list[object]:
        """Return the hash of a model's class, and those of the effects of all modules that it imports."""
        wanted = module.rpartition(".")[2].replace("_", "").lower()
        name = next((each for each in self.sources[module].definitions if each.lower() == wanted), ALL)
        effects = {
            self.hash_of(Node(each, number))
            for each in self.sources.imported(module)
            for number in range(len(self.sources[each].effects))
        }
        return [self.hash_of(Node(module, name)), sorted(effects)]

    def hash_of(self, node: Node) -> str:
        """Hash a definition. Definitions that use each other are hashed together, see `_hash_group`."""
        if node not in self._hashes:
            for group in _groups(node, self._parts, self._hashes):
                self._hashes |= _hash_group({each: self._parts(each) for each in group}, self._hashes)
        return self._hashes[node]

    def _parts(self, node: Node) -> list[str | Node]:
        """Return the tokens of a definition, with names of other definitions replaced by these."""
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
                yield from self._referent(node.module, token)

    def _all_of(self, module: str, source: Source) -> list[str | Node]:
        parts: list[str | Node] = ["module"]
        for name in sorted({*source.definitions, *source.aliases}):
            parts += [name, *self._referent(module, Use((name,), False))]
        for path in source.stars:
            parts += self._referent(module, Use(tuple(path.split(".")), True))
        return parts

    def _referent(self, module: str, use: Use) -> list[str | Node]:
        """Return the tokens of the definition that a name refers to, with the attributes that follow it."""
        name, *attributes = use.parts
        target = self._lookup_path(use.parts) if use.is_path else self._lookup_name(module, use.parts)
        if target is None:  # a module in the same folder, or a name of Python's builtins
            path = self.sources[module].aliases.get(name, "")
            target = self._lookup_path((*path.split("."), *attributes)) if path else (".".join(use.parts), ())
        start, rest = target
        parts: list[str | Node] = ["use", start, *(f".{name}" for name in rest)]
        if start in AT_RUN_TIME:
            parts += self._within_reach(module)
        elif isinstance(start, str) and start.startswith(f"{OURS}."):
            parts[1] = start.rpartition(".")[2]
        return parts

    def _lookup_name(
        self, module: str, parts: tuple[str, ...], steps: int = 0
    ) -> tuple[str | Node, tuple[str, ...]] | None:
        """Resolve a name at a module's top level; None if the module has no such name, as for builtins."""
        source, (name, *attributes) = self.sources[module], parts
        if steps > MAX_STEPS:
            return Node(module, ALL), parts
        if name in source.definitions:
            return Node(module, name), tuple(attributes)
        if name in source.aliases and source.aliases[name] != f"{module}.{name}":
            return self._lookup_path((*source.aliases[name].split("."), *attributes), steps + 1)
        for path in source.stars:
            if self.sources.has(path):
                target = self._lookup_name(path, parts, steps + 1)
                if target is not None:
                    return target
        return None

    def _lookup_path(self, parts: tuple[str, ...], steps: int = 0) -> tuple[str | Node, tuple[str, ...]]:
        """Resolve a dotted path to a definition with attributes, or to itself if its package does not count."""
        package = self.sources.package_of(".".join(parts))
        if package is None:
            return ".".join(parts), ()
        depth = package.count(".") + 1
        module, rest = package, parts[depth:]
        while rest:
            target = self._lookup_name(module, rest, steps)
            if target is not None:
                return target
            if not self.sources.is_module(f"{module}.{rest[0]}"):
                break
            module, rest = f"{module}.{rest[0]}", rest[1:]
        return (Node(module, ALL), rest) if self.sources.has(module) else (".".join(parts[depth:]), ())

    def _within_reach(self, module: str) -> Iterator[Node]:
        """Yield all that run-time names may refer to: the module, modules that it names, its neighbours."""
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


def _hash_group(parts: Mapping[Node, list[str | Node]], known: Mapping[Node, str]) -> dict[Node, str]:
    """Hash definitions that use each other, or a single one.

    Each hash starts from the definition's own tokens and takes in the others' hashes, in as many rounds as there
    are definitions. Two end equal only if their code is the same apart from names.
    """
    hashes = dict.fromkeys(parts, "")
    alone = not any(isinstance(each, Node) and each in parts for tokens in parts.values() for each in tokens)
    for _ in range(1 if alone else len(parts) + 1):
        hashes = {
            node: _digest(known.get(each) or hashes[each] if isinstance(each, Node) else each for each in tokens)
            for node, tokens in parts.items()
        }
    return hashes


def _digest(parts: Iterator[str]) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def _groups(
    start: Node, parts_of: Callable[[Node], list[str | Node]], done: Container[Node]
) -> Iterator[list[Node]]:
    """Yield the strongly connected components below a definition, each after those that it uses (Tarjan)."""
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
