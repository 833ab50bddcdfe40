"""Convert the source of a module to tokens: what each of its definitions computes and refers to. Pure.

The tokens leave out everything that computes nothing: comments, docstrings, `pass`, import statements, layout, the
arguments of a raised exception, and a model's `CARD`. They also leave out type hints of variables outside classes
and of functions without a decorator (a decorator may read them), and the definition's own name. A name that is not
local to the definition becomes a `Use`, which `bench.engine.code_hash` resolves. Scopes are Python's.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

CARD = "CARD"  # names the paper; see `models.base.ModelCard`
LOCAL, GLOBAL = None, ""  # kinds of a name in a scope; a dotted path means that the name was imported there
SKIPPED = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
PURE = frozenset(
    {  # decorators without side effects, which only change the function below them
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
    """A use of a name, followed by attributes.

    Attributes:
        parts: a name at the module's top level, or a dotted path, with the attributes that follow it.
        is_path: whether it is a dotted path.
    """

    parts: tuple[str, ...]
    is_path: bool


Tokens = list[str | Use]


@dataclass(frozen=True)
class Source:
    """The tokens of a module.

    Attributes:
        definitions: the tokens of every name that its top level defines other than by an import alone.
        aliases: dotted path of every other name that its top level imports.
        stars: dotted paths of the modules from which it imports all names.
        effects: the tokens of each top-level statement that does more than define names.
        imported: dotted paths of everything that is imported anywhere; some are modules.
        strings: all strings of a module with dynamic imports, as one may name the imported module.
    """

    definitions: dict[str, Tokens]
    aliases: dict[str, str]
    stars: tuple[str, ...]
    effects: list[Tokens]
    imported: frozenset[str]
    strings: frozenset[str]


@lru_cache(maxsize=1024)
def source_of(text: str, package: str) -> Source:
    """Convert a module's text to tokens.

    Args:
        text: of the file.
        package: dotted name of its package, from which relative imports start.

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
    texts = frozenset(each for each in strings if isinstance(each, str))
    return Source(definitions, aliases, stars, effects, imported, texts)


@dataclass
class _Scope:
    """The names of a function, a class, a comprehension, or of the module (no parent)."""

    parent: _Scope | None
    names: Names
    package: str
    is_class: bool = False

    def find(self, name: str) -> str | None:
        """Return the kind of a name in this scope."""
        # as in Python, functions of a class do not see the names of the class
        scope, inner = self, True
        while scope.parent is not None:
            if name in scope.names and (inner or not scope.is_class):
                return scope.names[name]
            scope, inner = scope.parent, False
        return GLOBAL


@dataclass
class _Writer:
    """A writer of syntax nodes as tokens. `own` is the top-level name being defined, which does not count."""

    own: str
    tokens: Tokens = field(default_factory=list)
    trying: bool = False

    def write(self, node: ast.AST, scope: _Scope) -> None:
        """Add a node, with special treatment of some types."""
        special = SPECIAL.get(type(node))
        if special is not None:
            special(self, node, scope)
        else:
            self.plain(node, scope)

    def plain(self, node: ast.AST, scope: _Scope, left_out: frozenset[str] = SKIPPED) -> None:
        """Add a node field by field; empty fields differ between versions of Python and are left out."""
        self.tokens.append(f"{type(node).__name__}(")
        for name in node._fields:
            value = getattr(node, name, None)
            if value is not None and value != [] and name not in left_out:
                self.tokens.append(f"{name}=")
                self.value(value, scope)
        self.tokens.append(")")

    def value(self, value: object, scope: _Scope) -> None:
        """Add the value of a field."""
        if isinstance(value, ast.AST):
            self.write(value, scope)
        elif isinstance(value, list):
            self.tokens.append("[")
            for each in _computing(value):
                self.value(each, scope)
            self.tokens.append("]")
        else:
            self.tokens.append(f"{type(value).__name__} {value!r}")

    def name(self, name: str, scope: _Scope) -> None:
        """Add a name that is bound; at the top level, only whether it is the one being defined."""
        if scope.parent is None:
            self.tokens.append("own" if name == self.own else "other")
        elif scope.names.get(name, LOCAL) == GLOBAL:  # by a `global` statement
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
    """Write a name with attributes, `a.b.c`, in the same way however its module was imported."""
    attributes: list[str] = []
    root: ast.expr = node
    while isinstance(root, ast.Attribute):
        attributes.append(root.attr)
        root = root.value
    kind = scope.find(root.id) if isinstance(root, ast.Name) else LOCAL
    if isinstance(root, ast.Name) and kind is not LOCAL:
        start = tuple(kind.split(".")) if kind else (root.id,)
        writer.tokens.append(Use((*start, *reversed(attributes)), kind != GLOBAL))
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
    """Write a function's arguments and their defaults, and return the scope of its body."""
    kinds = {
        "posonly": given.posonlyargs,
        "args": given.args,
        "vararg": [given.vararg] if given.vararg else [],
        "kwonly": given.kwonlyargs,
        "kwarg": [given.kwarg] if given.kwarg else [],
    }
    for kind, arguments in kinds.items():
        writer.tokens.append(f"{kind}:")
        for each in arguments:
            writer.tokens.append(each.arg)
            if typed and each.annotation is not None:
                writer.write(each.annotation, scope)
    writer.value(given.defaults, scope)  # evaluated in the enclosing scope
    writer.value(given.kw_defaults, scope)
    names: Names = {each.arg: LOCAL for arguments in kinds.values() for each in arguments}
    bound = _bound(body, scope.package)
    inner = {name: LOCAL if name in names else target for name, target in bound.items()}
    return _Scope(scope, names | inner, scope.package)


def _class(writer: _Writer, node: ast.ClassDef, scope: _Scope) -> None:
    """Write a class."""
    writer.tokens.append("ClassDef(")
    writer.name(node.name, scope)
    for part in (node.decorator_list, node.bases, node.keywords):
        writer.value(part, scope)
    inner = _Scope(scope, {}, scope.package, is_class=True)
    for statement in _computing(node.body):
        bound = _bound([statement], scope.package)
        if list(bound) != [CARD]:
            writer.write(statement, inner)
            inner.names |= bound  # as in Python, a name is visible only after the statement that binds it
    writer.tokens.append(")")


def _comprehension(
    writer: _Writer, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp, scope: _Scope
) -> None:
    """Write a comprehension; its first iterable belongs to the enclosing scope."""
    writer.tokens.append(f"{type(node).__name__}(")
    inner = _Scope(scope, _bound([each.target for each in node.generators], scope.package), scope.package)
    for number, each in enumerate(node.generators):
        writer.tokens.append("async for" if each.is_async else "for")
        writer.write(each.iter, scope if number == 0 else inner)
        writer.write(each.target, inner)
        writer.value(each.ifs, inner)
    for part in ("key", "value", "elt"):
        if hasattr(node, part):
            writer.write(getattr(node, part), inner)
    writer.tokens.append(")")


def _assigned(writer: _Writer, node: ast.AnnAssign, scope: _Scope) -> None:
    """Write `name: type = value`; the type counts in a class, where dataclasses and pydantic read it."""
    if scope.is_class:
        writer.plain(node, scope)
    elif node.value is not None:
        writer.plain(ast.Assign(targets=[node.target], value=node.value), scope)


def _try(writer: _Writer, node: ast.Try, scope: _Scope) -> None:
    """Write `try`; an import that may fail counts, because the code tests for it."""
    writer.tokens.append(f"{type(node).__name__}(")
    before, writer.trying = writer.trying, True
    writer.value(node.body, scope)
    writer.trying = before
    for part in (node.handlers, node.orelse, node.finalbody):
        writer.value(part, scope)
    writer.tokens.append(")")


def _import(writer: _Writer, node: ast.Import | ast.ImportFrom, scope: _Scope) -> None:
    """Write an import if its name is also bound otherwise, as uses of the name do not show which is meant."""
    for name, path in _paths(node, scope.package):
        if writer.trying or (name != "*" and scope.names.get(name) != path):
            writer.tokens += ["import", Use(tuple(path.split(".")), True)]


def _raise(writer: _Writer, node: ast.Raise, scope: _Scope) -> None:
    """Write `raise` with the class of the exception only, as the text of a message computes nothing."""
    exc = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    writer.tokens.append("Raise(")
    if exc is not None:
        writer.write(exc, scope)
    writer.tokens.append(")")


def _declaration(writer: _Writer, node: ast.AST, scope: _Scope) -> None:
    """Write nothing: `global` and `nonlocal` show in the kinds of the names."""


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


def _computing(nodes: Sequence[T]) -> Iterator[T]:
    """Yield nodes other than docstrings and `pass`."""
    for node in nodes:
        if not isinstance(node, ast.Pass) and not (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            yield node


def _bound(nodes: Iterable[ast.AST], package: str) -> Names:
    """Return the names that statements bind in their own scope, with the kind of each.

    The kind of a name with a single import is its dotted path. Any other is local, unless declared otherwise.
    """
    names: Names = {}
    declared: Names = {}
    pending = list(nodes)
    while pending:
        node = pending.pop()
        kind = type(node)
        binds = BINDS.get(kind)
        if binds is not None:
            for name, target in binds(node, package):
                names[name] = target if names.get(name, target) == target else LOCAL
        if isinstance(node, ast.Global | ast.Nonlocal):
            declared |= dict.fromkeys(node.names, GLOBAL if kind is ast.Global else LOCAL)
        if kind in COMPREHENSIONS:  # only its names bound by := belong to the enclosing scope
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
    """Yield all import statements, including those in functions."""
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
    """Yield the names that an import binds, each with its dotted path; `*` with the module's path."""
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
    """Return whether a top-level statement does more than define names, for example registers an object."""
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
