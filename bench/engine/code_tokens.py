"""The source of a module as tokens: what each of its definitions computes, and what it refers to. Pure.

Left out is what computes nothing: comments, docstrings, `pass`, import statements, layout, the arguments of a
raised exception, type hints of functions that have no decorator (a decorator may read them) and of variables
outside classes, and a model's `CARD`. A definition's own name is left out too. A name that does not belong to
the definition itself becomes a `Use`, which `bench.engine.code_hash` replaces by what the name stands for.
Scopes are Python's, so that a local name is no `Use`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

CARD = "CARD"  # names the paper; see `models.base.ModelCard`
LOCAL, GLOBAL = None, ""  # what a name is in a scope; a dotted path means that it was imported there
SKIPPED = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
PURE = frozenset(
    {  # decorators that do nothing but change the function under them
        "cache", "contextmanager", "dataclass", "final", "inference_mode", "jit", "lru_cache", "njit", "no_grad",
        "overload", "override", "runtime_checkable", "script", "singledispatch", "total_ordering", "wraps",
    }
)  # fmt: skip
COMPOUND = (
    *(ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match),
    *(ast.ExceptHandler, ast.match_case),
)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
CLOSED = frozenset({*FUNCTIONS, ast.ClassDef, ast.Lambda, ast.Constant, ast.Load, ast.Store})
Names = dict[str, str | None]
T = TypeVar("T")


class Use(NamedTuple):
    """A name that is used, followed by attributes.

    Attributes:
        parts: a name of the module's top level, or a dotted path, with the attributes taken of it.
        is_path: whether it is a dotted path.
    """

    parts: tuple[str, ...]
    is_path: bool


Tokens = list[str | Use]


@dataclass(frozen=True)
class Source:
    """A module.

    Attributes:
        definitions: the tokens of every name that its top level defines, and not by an import alone.
        aliases: dotted path of every other name that its top level imports.
        stars: dotted paths of the modules of which it imports all names.
        effects: the tokens of each statement of the top level that does more than define names.
        imported: dotted paths of all that is imported anywhere, which may be modules.
        strings: those in a module that imports by a name that it makes; one may be that name.
    """

    definitions: dict[str, Tokens]
    aliases: dict[str, str]
    stars: tuple[str, ...]
    effects: list[Tokens]
    imported: frozenset[str]
    strings: frozenset[str]


@lru_cache(maxsize=1024)
def source_of(text: str, package: str) -> Source:
    """What a module's text holds.

    Args:
        text: of the file.
        package: dotted name of the package around it, which relative imports start from.

    Raises:
        SyntaxError: the text is not Python.
    """
    tree = ast.parse(text)
    typing_only = [part for each in tree.body if _is_type_checking(each) for part in ast.iter_child_nodes(each)]
    body = [each for each in tree.body if not _is_type_checking(each) and not _is_main(each)]
    names = _bound(typing_only, package) | _bound(body, package)
    top = _Scope(None, names, package)
    definitions: dict[str, Tokens] = {}
    effects: list[Tokens] = []
    for statement in body:
        for name in _bound([statement], package):
            if names[name] is LOCAL:
                definitions.setdefault(name, []).extend(_written(statement, top, name))
        if _has_effect(statement):
            effects.append(_written(statement, top, ""))
    aliases = {name: path for name, path in names.items() if path}
    froms = [node for node in body if isinstance(node, ast.ImportFrom)]
    stars = tuple(path for node in froms for name, path in _paths(node, package) if name == "*")
    imported = frozenset(path for node in _imports(body) for _, path in _paths(node, package, in_full=True))
    is_dynamic = "import_module" in text or "__import__" in text
    nodes = ast.walk(tree) if is_dynamic else ()
    strings = (node.value for node in nodes if isinstance(node, ast.Constant))
    found = frozenset(each for each in strings if isinstance(each, str))
    return Source(definitions, aliases, stars, effects, imported, found)


@dataclass
class _Scope:
    """Names of a function, a class, a comprehension, or of the module (no parent)."""

    parent: _Scope | None
    names: Names
    package: str
    is_class: bool = False

    def find(self, name: str) -> str | None:
        """What a name is here; Python leaves out a class's names in the functions of the class."""
        scope, inner = self, True
        while scope.parent is not None:
            if name in scope.names and (inner or not scope.is_class):
                return scope.names[name]
            scope, inner = scope.parent, False
        return GLOBAL


@dataclass
class _Writer:
    """Writes nodes as tokens. `own` is the top-level name that is defined: its name does not count."""

    own: str
    tokens: Tokens = field(default_factory=list)
    trying: bool = False

    def write(self, node: ast.AST, scope: _Scope) -> None:
        """Add a node."""
        special = SPECIAL.get(type(node))
        if special is not None:
            special(self, node, scope)
        else:
            self.plain(node, scope)

    def plain(self, node: ast.AST, scope: _Scope, left_out: frozenset[str] = SKIPPED) -> None:
        """Add a node field by field; empty fields are left out, as they differ between versions of Python."""
        self.tokens.append(f"{type(node).__name__}(")
        for name in node._fields:
            value = getattr(node, name, None)
            if value is not None and value != [] and name not in left_out:
                self.tokens.append(f"{name}=")
                self.value(value, scope)
        self.tokens.append(")")

    def value(self, value: object, scope: _Scope) -> None:
        """Add what a field holds."""
        if isinstance(value, ast.AST):
            self.write(value, scope)
        elif isinstance(value, list):
            self.tokens.append("[")
            for each in _that_compute(value):
                self.value(each, scope)
            self.tokens.append("]")
        else:
            self.tokens.append(f"{type(value).__name__} {value!r}")

    def name(self, name: str, scope: _Scope) -> None:
        """Add the name of what is bound: at the top level whether it is the one that is defined."""
        if scope.parent is None:
            self.tokens.append("own" if name == self.own else "other")
        elif scope.names.get(name, LOCAL) == GLOBAL:  # declared so
            self.tokens.append(Use((name,), False))
        else:
            self.tokens.append(name)


def _written(node: ast.AST, scope: _Scope, own: str) -> Tokens:
    writer = _Writer(own)
    writer.write(node, scope)
    return writer.tokens


def _name(writer: _Writer, node: ast.Name, scope: _Scope) -> None:
    if isinstance(node.ctx, ast.Load):
        _attribute(writer, node, scope)
    else:
        writer.name(node.id, scope)


def _attribute(writer: _Writer, node: ast.Name | ast.Attribute, scope: _Scope) -> None:
    """A name with attributes, `a.b.c`, so that a name of a module reads the same however it was imported."""
    attributes: list[str] = []
    root: ast.expr = node
    while isinstance(root, ast.Attribute):
        attributes.append(root.attr)
        root = root.value
    found = scope.find(root.id) if isinstance(root, ast.Name) else LOCAL
    if isinstance(root, ast.Name) and found is not LOCAL:
        start = tuple(found.split(".")) if found else (root.id,)
        writer.tokens.append(Use((*start, *reversed(attributes)), found != GLOBAL))
    elif isinstance(node, ast.Name):
        writer.tokens.append(f"local {node.id}")
    else:
        writer.plain(node, scope)


def _function(writer: _Writer, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: _Scope) -> None:
    writer.tokens.append(f"{type(node).__name__}(")
    writer.name(node.name, scope)
    writer.value(node.decorator_list, scope)
    inner = _arguments(writer, node.args, node.body, scope, typed=bool(node.decorator_list))
    if node.decorator_list and node.returns is not None:
        writer.write(node.returns, scope)
    writer.value(node.body, inner)
    writer.tokens.append(")")


def _lambda(writer: _Writer, node: ast.Lambda, scope: _Scope) -> None:
    writer.tokens.append("Lambda(")
    writer.write(node.body, _arguments(writer, node.args, [node.body], scope, typed=False))
    writer.tokens.append(")")


def _arguments(
    writer: _Writer, given: ast.arguments, body: Sequence[ast.AST], scope: _Scope, typed: bool
) -> _Scope:
    """Add a function's arguments and their defaults, which belong to the scope around it; the scope inside."""
    kinds = {
        "posonly": given.posonlyargs,
        "args": given.args,
        "vararg": [given.vararg] if given.vararg else [],
        "kwonly": given.kwonlyargs,
        "kwarg": [given.kwarg] if given.kwarg else [],
    }
    for kind, some in kinds.items():
        writer.tokens.append(f"{kind}:")
        for each in some:
            writer.tokens.append(each.arg)
            if typed and each.annotation is not None:
                writer.write(each.annotation, scope)
    writer.value(given.defaults, scope)
    writer.value(given.kw_defaults, scope)
    names: Names = {each.arg: LOCAL for some in kinds.values() for each in some}
    bound = _bound(body, scope.package)
    inner = {name: LOCAL if name in names else what for name, what in bound.items()}
    return _Scope(scope, names | inner, scope.package)


def _class(writer: _Writer, node: ast.ClassDef, scope: _Scope) -> None:
    """A class; a name is looked up in its body only after the statement that binds it, as Python does."""
    writer.tokens.append("ClassDef(")
    writer.name(node.name, scope)
    for part in (node.decorator_list, node.bases, node.keywords):
        writer.value(part, scope)
    inner = _Scope(scope, {}, scope.package, is_class=True)
    for statement in _that_compute(node.body):
        bound = _bound([statement], scope.package)
        if list(bound) != [CARD]:
            writer.write(statement, inner)
            inner.names |= bound
    writer.tokens.append(")")


def _comprehension(
    writer: _Writer, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp, scope: _Scope
) -> None:
    """A comprehension; its first iterable belongs to the scope around it."""
    writer.tokens.append(f"{type(node).__name__}(")
    inner = _Scope(scope, _bound([each.target for each in node.generators], scope.package), scope.package)
    for place, each in enumerate(node.generators):
        writer.tokens.append("async for" if each.is_async else "for")
        writer.write(each.iter, scope if place == 0 else inner)
        writer.write(each.target, inner)
        writer.value(each.ifs, inner)
    for part in ("key", "value", "elt"):
        if hasattr(node, part):
            writer.write(getattr(node, part), inner)
    writer.tokens.append(")")


def _assigned(writer: _Writer, node: ast.AnnAssign, scope: _Scope) -> None:
    """`name: type = value`; the type counts in a class, where dataclasses and pydantic read it."""
    if scope.is_class:
        writer.plain(node, scope)
    elif node.value is not None:
        writer.plain(ast.Assign(targets=[node.target], value=node.value), scope)


def _try(writer: _Writer, node: ast.Try, scope: _Scope) -> None:
    """`try`; an import that may fail counts, as the code asks for it."""
    writer.tokens.append(f"{type(node).__name__}(")
    before, writer.trying = writer.trying, True
    writer.value(node.body, scope)
    writer.trying = before
    for part in (node.handlers, node.orelse, node.finalbody):
        writer.value(part, scope)
    writer.tokens.append(")")


def _import(writer: _Writer, node: ast.Import | ast.ImportFrom, scope: _Scope) -> None:
    """An import counts where the name has other meanings as well, and uses of the name do not say which."""
    for name, path in _paths(node, scope.package):
        if writer.trying or (name != "*" and scope.names.get(name) != path):
            writer.tokens += ["import", Use(tuple(path.split(".")), True)]


def _raise(writer: _Writer, node: ast.Raise, scope: _Scope) -> None:
    """Write `raise` with the class of the exception: the words of a message compute nothing."""
    exc = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    writer.tokens.append("Raise(")
    if exc is not None:
        writer.write(exc, scope)
    writer.tokens.append(")")


def _declaration(writer: _Writer, node: ast.AST, scope: _Scope) -> None:
    """`global` and `nonlocal` show in what the names mean."""


SPECIAL: dict[type, Callable[[_Writer, Any, _Scope], None]] = {
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Lambda: _lambda,
    ast.ClassDef: _class,
    ast.AnnAssign: _assigned,
    ast.Try: _try,
    ast.TryStar: _try,
    ast.Import: _import,
    ast.ImportFrom: _import,
    ast.Raise: _raise,
    ast.Global: _declaration,
    ast.Nonlocal: _declaration,
    **dict.fromkeys(FUNCTIONS, _function),
    **dict.fromkeys(COMPREHENSIONS, _comprehension),
}


def _that_compute(nodes: Sequence[T]) -> Iterator[T]:
    """Without docstrings and `pass`."""
    for node in nodes:
        if not isinstance(node, ast.Pass) and not (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            yield node


def _bound(nodes: Iterable[ast.AST], package: str) -> Names:
    """The names that statements bind in their own scope, and what each then is.

    A name that is imported from one place only is that place; any other is local, unless declared otherwise.
    """
    names: Names = {}
    declared: Names = {}
    pending = list(nodes)
    while pending:
        node = pending.pop()
        kind = type(node)
        binds = BINDS.get(kind)
        if binds is not None:
            for name, what in binds(node, package):
                names[name] = what if names.get(name, what) == what else LOCAL
        if isinstance(node, ast.Global | ast.Nonlocal):
            declared |= dict.fromkeys(node.names, GLOBAL if kind is ast.Global else LOCAL)
        if kind in COMPREHENSIONS:  # of its names only those of := belong to the scope around it
            pending += [each for each in ast.walk(node) if isinstance(each, ast.NamedExpr)]
        elif kind not in CLOSED:
            pending += _children(node)
    return names | declared


def _children(node: ast.AST) -> Iterator[ast.AST]:
    for name in node._fields:
        value = getattr(node, name, None)
        if type(value) is list:
            yield from (each for each in value if isinstance(each, ast.AST))
        elif isinstance(value, ast.AST):
            yield value


def _imports(nodes: Iterable[ast.AST]) -> Iterator[ast.Import | ast.ImportFrom]:
    """All import statements, those in functions included."""
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, part, None)
            if type(inner) is list:
                yield from _imports(inner)


def _binds_name(node: ast.Name, package: str) -> Iterator[tuple[str, str | None]]:
    if not isinstance(node.ctx, ast.Load):
        yield node.id, LOCAL


def _binds_own(node: Any, package: str) -> Iterator[tuple[str, str | None]]:
    name = node.rest if isinstance(node, ast.MatchMapping) else node.name
    if name:
        yield name, LOCAL


def _binds_imported(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[tuple[str, str | None]]:
    yield from ((name, path) for name, path in _paths(node, package) if name != "*")


BINDS: dict[type, Callable[[Any, str], Iterator[tuple[str, str | None]]]] = {
    ast.Name: _binds_name,
    ast.Import: _binds_imported,
    ast.ImportFrom: _binds_imported,
    **dict.fromkeys(
        (*FUNCTIONS, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar, ast.MatchMapping), _binds_own
    ),
}


def _paths(node: ast.Import | ast.ImportFrom, package: str, in_full: bool = False) -> Iterator[tuple[str, str]]:
    """The names that an import binds, with the dotted path that each stands for; `*` with the module's."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            first = alias.name.partition(".")[0]
            yield alias.asname or first, alias.name if alias.asname or in_full else first
        return
    around = package.split(".")
    above = around[: len(around) - node.level + 1] if node.level else []
    base = ".".join([*above, *([node.module] if node.module else [])])
    for alias in node.names:
        yield (alias.asname or alias.name), base if alias.name == "*" else f"{base}.{alias.name}"


def _has_effect(node: ast.AST) -> bool:
    """Whether a statement of the top level does more than define names, for example register or set something."""
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Constant)
    if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        return any(_last_name(each) not in PURE for each in node.decorator_list)
    if isinstance(node, COMPOUND):
        return any(_has_effect(each) for each in ast.iter_child_nodes(node))
    if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return any(isinstance(part, ast.Attribute | ast.Subscript) for each in targets for part in ast.walk(each))
    return isinstance(node, ast.Delete | ast.Assert | ast.Raise)


def _last_name(node: ast.expr) -> str:
    while isinstance(node, ast.Call):
        node = node.func
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and not node.orelse and _last_name(node.test) == "TYPE_CHECKING"


def _is_main(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"
