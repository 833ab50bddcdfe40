"""Layer 1. Hash of a model's code with what it imports from its package and `models`. Reads source files only."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.digest import hash_value

SHARED = "models"  # every model may import from here


def shared_folder() -> Path:
    """Where the package `models` lies."""
    import models

    return Path(str(models.__file__)).parent


def code_hash(module: str, packages: Mapping[str, Path]) -> str:
    """Hash of a module and of all it imports from some packages; comments and docstrings do not count.

    Args:
        module: dotted name, its first part one of `packages`.
        packages: folder of each package that counts, by name; imports from elsewhere are left out.
    """
    pending, seen = [module], dict[str, str]()
    while pending:
        name = pending.pop()
        path = file_of(name, packages)
        if name in seen or path is None:  # an imported name is often no module
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        pending += _imported(tree, name if path.name == "__init__.py" else name.rpartition(".")[0])
        seen[name] = ast.dump(_without_docstrings(tree))
    return hash_value(seen)


def file_hash(path: Path) -> str:
    """Hash of one source file; comments and docstrings do not count."""
    return hash_value(ast.dump(_without_docstrings(ast.parse(path.read_text(encoding="utf-8")))))


def file_of(module: str, packages: Mapping[str, Path]) -> Path | None:
    """The file of a module of one of the packages; None where there is none."""
    top, *inner = module.split(".")
    if top not in packages or (top == SHARED and not inner):
        return None
    place = packages[top].joinpath(*inner)
    candidates = [place / "__init__.py", *([place.with_name(f"{place.name}.py")] if inner else [])]
    return next((path for path in candidates if path.is_file()), None)


def _imported(tree: ast.Module, package: str) -> Iterator[str]:
    """Every module that is imported, with the packages around it, and every name that may be one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = parts[: len(parts) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from _with_parents(base)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _with_parents(module: str) -> Iterator[str]:
    parts = module.split(".")
    yield from (".".join(parts[:n]) for n in range(1, len(parts) + 1))


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [  # type: ignore[attr-defined]
                part for part in body if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
            ]
    return tree
