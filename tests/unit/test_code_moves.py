"""Refactorings of copies of all models, really made: they keep every code hash, and changes do not."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.core.places import shared_folder
from bench.engine import registry
from bench.engine.code_hash import code_hash

HELPERS = [f"_{path.stem}" for path in sorted((shared_folder() / "layers").glob("[a-z]*.py"))]
MODELS = sorted(registry.built_in_names())
MOVABLE = [*HELPERS, "base", "control"]
DEFINITIONS = (ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A copy of all models, what they share as files of one folder (`layers/graph.py` as `_graph.py`); hashes."""
    folder = tmp_path_factory.mktemp("flat") / "models"
    shutil.copytree(shared_folder(), folder, ignore=shutil.ignore_patterns("__pycache__"))
    before = hashes(folder)
    for path in (folder / "layers").glob("[a-z]*.py"):
        path.rename(folder / f"_{path.name}")
    shutil.rmtree(folder / "layers")
    for path in folder.glob("*.py"):
        text = re.sub(r"\bmodels\.layers\.(\w+)", r"models._\1", path.read_text(encoding="utf-8"))
        path.write_text(text, encoding="utf-8")
    assert hashes(folder) == before
    return folder, before


def hashes(folder: Path) -> dict[str, str]:
    return {name: code_hash(f"models.{name}", {"models": folder}) for name in MODELS}


def trees(folder: Path) -> dict[str, ast.Module]:
    return {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.py"))}


def written(folder: Path, files: dict[str, ast.Module]) -> None:
    """In place of what the folder held."""
    for path in folder.glob("*.py"):
        path.unlink()
    for name, tree in files.items():
        (folder / f"{name}.py").write_text(ast.unparse(ast.fix_missing_locations(tree)), encoding="utf-8")


def names_of(statement: ast.stmt) -> list[str]:
    """What a definition of the top level is called."""
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return [node.id for each in targets for node in ast.walk(each) if isinstance(node, ast.Name)]
    return [statement.name] if isinstance(statement, ast.FunctionDef | ast.ClassDef) else []


def other_remarks(folder: Path) -> None:
    """No comments, other docstrings, another layout."""
    files = trees(folder)
    for tree in files.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                if ast.get_docstring(node):
                    node.body = node.body[1:]
                if not (node.body and isinstance(node.body[0], ast.ImportFrom)):
                    node.body.insert(0, ast.Expr(ast.Constant("Say it in other words.")))
    written(folder, files)


def other_files(folder: Path) -> None:
    """Every helper's file has another name."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.py")}
    for name, text in texts.items():
        for moved in HELPERS:
            text = re.sub(rf"\bmodels\.{moved}\b", f"models._parts{moved}", text)
        (folder / f"{name}.py").unlink()
        target = f"_parts{name}" if name in HELPERS else name
        (folder / f"{target}.py").write_text(text, encoding="utf-8")


def other_names(folder: Path) -> None:
    """Every helper has another name, where that is no other thing's name as well."""
    files = trees(folder)
    own = {name for stem in HELPERS for each in files[stem].body for name in names_of(each)}
    taken = set(files)
    for tree in files.values():
        top = {id(node) for each in tree.body if isinstance(each, DEFINITIONS[2:]) for node in ast.walk(each)}
        for node in ast.walk(tree):
            taken |= {str(getattr(node, part)) for part in ("attr", "arg", "asname") if getattr(node, part, None)}
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in top:
                taken.add(node.id)
            if isinstance(node, ast.ClassDef):
                taken |= {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                taken.add(node.value)
    renamed = sorted(own - taken)
    assert len(renamed) > 50
    pattern = re.compile(rf"\b({'|'.join(renamed)})\b")
    for name, tree in files.items():
        (folder / f"{name}.py").write_text(pattern.sub(r"other_\1", ast.unparse(tree)), encoding="utf-8")


class Split(ast.NodeTransformer):
    """Imports each name from the file that it went to."""

    def __init__(self, places: dict[str, dict[str, str]]) -> None:
        self.places = places

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom | list[ast.ImportFrom]:
        if node.module not in self.places:
            return node
        places = self.places[node.module]
        return [ast.ImportFrom(places.get(each.name, node.module), [each], 0) for each in node.names]


def one_file_each(folder: Path) -> None:
    """Every definition of the helpers and of the base in a file of its own."""
    files, places = trees(folder), {}
    for module in MOVABLE:
        parts = [each for each in files[module].body if isinstance(each, DEFINITIONS)]
        places[f"models.{module}"] = {
            name: f"models.{module}_{n}" for n, each in enumerate(parts) for name in names_of(each)
        }

    made: dict[str, ast.Module] = {}
    for name, tree in files.items():
        Split(places).visit(tree)
        if name not in MOVABLE:
            made[name] = tree
            continue
        imports = [each for each in tree.body if isinstance(each, ast.Import | ast.ImportFrom)]
        own = places[f"models.{name}"]
        for each in tree.body:
            if isinstance(each, DEFINITIONS):
                place = own[names_of(each)[0]]
                beside = [
                    ast.ImportFrom(other, [ast.alias(what)], 0) for what, other in own.items() if other != place
                ]
                made[place.removeprefix("models.")] = ast.Module([*imports, *beside, each], [])
    written(folder, made)


class Qualified(ast.NodeTransformer):
    """Writes the path of each name that has one."""

    def __init__(self, paths: dict[str, str]) -> None:
        self.paths = paths

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.parse(self.paths[node.id], mode="eval").body if node.id in self.paths else node


def by_module(folder: Path) -> None:
    """Helpers are imported by module, `models.layers.graph.spmm`, where no other name of the file is the same."""
    files, n_changed = trees(folder), 0
    for tree in files.values():
        taken = {
            node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        taken |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        paths: dict[str, str] = {}
        for statement in [each for each in tree.body if isinstance(each, ast.ImportFrom)]:
            if not (statement.module or "").startswith("models."):
                continue
            moved = [each for each in statement.names if each.name not in taken]
            statement.names = [each for each in statement.names if each not in moved]
            paths |= {each.name: f"{statement.module}.{each.name}" for each in moved}
            if not statement.names:
                tree.body.remove(statement)

        Qualified(paths).visit(tree)
        n_changed += len(paths)
        modules = sorted({path.rpartition(".")[0] for path in paths.values()})
        start = 1 + (len(tree.body) > 1 and isinstance(tree.body[1], ast.ImportFrom))  # docstring, __future__
        tree.body[start:start] = [ast.Import([ast.alias(each)]) for each in modules]
    assert n_changed > 100
    written(folder, files)


@pytest.mark.parametrize("edit", [other_remarks, other_files, other_names, one_file_each, by_module])
def test_moves_keep_every_hash(
    flat: tuple[Path, dict[str, str]], tmp_path: Path, edit: Callable[[Path], None]
) -> None:
    folder, before = shutil.copytree(flat[0], tmp_path / "models"), flat[1]
    texts = {path.name: path.read_bytes() for path in folder.glob("*.py")}
    assert len(set(before.values())) == len(MODELS)
    edit(folder)
    assert {path.name: path.read_bytes() for path in folder.glob("*.py")} != texts
    assert hashes(folder) == before


def sites(tree: ast.Module) -> Iterator[ast.AST]:
    """Places where one change gives another computation: numbers, operators, comparisons."""
    hints = [getattr(node, part, None) for node in ast.walk(tree) for part in ("annotation", "returns")]
    cards = [node for node in ast.walk(tree) if isinstance(node, ast.AnnAssign) and names_of(node) == ["CARD"]]
    raised = [node for node in ast.walk(tree) if isinstance(node, ast.Raise)]  # of these only the class counts
    left_out = {id(inner) for each in [*hints, *cards, *raised] if each is not None for inner in ast.walk(each)}
    for node in ast.walk(tree):
        number = isinstance(node, ast.Constant) and type(node.value) in (int, float)
        if id(node) not in left_out and (number or isinstance(node, ast.BinOp | ast.Compare)):
            yield node


@pytest.mark.parametrize("name", [*MODELS, *MOVABLE])
def test_one_change_gives_another_hash(flat: tuple[Path, dict[str, str]], tmp_path: Path, name: str) -> None:
    folder, before = shutil.copytree(flat[0], tmp_path / "models"), flat[1]
    path = folder / f"{name}.py"
    text = path.read_text(encoding="utf-8")
    found = list(sites(ast.parse(text)))
    for place in sorted({0, len(found) // 2, len(found) - 1} if found else ()):
        tree = ast.parse(text)
        node = list(sites(tree))[place]
        if isinstance(node, ast.Constant):
            node.value = node.value + 1
        elif isinstance(node, ast.BinOp):
            node.op = ast.Pow() if not isinstance(node.op, ast.Pow) else ast.Mult()
        elif isinstance(node, ast.Compare):
            node.ops[0] = ast.GtE() if not isinstance(node.ops[0], ast.GtE) else ast.Lt()
        path.write_text(ast.unparse(tree), encoding="utf-8")
        asked = [name] if name in MODELS else ["ludp", "lattice", *MODELS]
        line = getattr(found[place], "lineno", 0)
        assert any(code_hash(f"models.{each}", {"models": folder}) != before[each] for each in asked), (
            f"line {line}"
        )
