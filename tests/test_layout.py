"""The shape of the project: which room may use which, and how large a piece may grow."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from bench.core import yaml_files
from bench.engine import registry

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted([*ROOT.glob("bench/**/*.py"), *ROOT.glob("models/**/*.py"), ROOT / "run_all.py"])
MODELS = [path for path in SOURCES if path.is_relative_to(ROOT / "models")]
MAY_IMPORT_RECBOLE = {
    "bench/engine/recbole.py",
    "models/base.py",
    # RecBole's own models are run by its own objects
    "bench/engine/recbole_models.py",
    "bench/engine/recbole_entries.py",
    "bench/checks/contract/form.py",  # the check that our models train under RecBole's trainer
}
MODELS_MAY_IMPORT = {"bench.core.errors", "bench.core.topk", "bench.core.types"}
MAX_FILE, MAX_FUNCTION, MAX_METHODS = 500, 40, 12


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    return relative(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports(path: Path, only_at_run_time: bool = False) -> Iterator[str]:
    """Names of imported modules, those for type checking left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_recbole_is_touched_in_few_files(path: Path) -> None:
    if any(name.partition(".")[0] == "recbole" for name in imports(path)):
        assert relative(path) in MAY_IMPORT_RECBOLE


@pytest.mark.parametrize("path", MODELS, ids=relative)
def test_models_touch_no_file_and_little_of_bench(path: Path) -> None:
    for name in imports(path):
        top = name.partition(".")[0]
        assert top not in {"os", "sys", "pathlib", "io", "subprocess", "argparse", "yaml", "pickle"}, name
        if top == "bench":
            assert any(name == allowed or name.startswith(f"{allowed}.") for allowed in MODELS_MAY_IMPORT), name


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_pieces_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_FILE, relative(path)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            docstring = node.body[0] if ast.get_docstring(node) else None
            length = (node.end_lineno or 0) - node.lineno + 1
            if docstring is not None:
                length -= (docstring.end_lineno or 0) - docstring.lineno + 1
            assert length <= MAX_FUNCTION, f"{relative(path)}: {node.name} has {length} lines"
        if isinstance(node, ast.ClassDef):
            methods = [part for part in node.body if isinstance(part, ast.FunctionDef)]
            assert len(methods) <= MAX_METHODS, f"{relative(path)}: {node.name} has {len(methods)} methods"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_nothing_is_unpickled_or_evaluated(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"eval", "exec", "pickle.load", "pickle.loads", "torch.load"}, called
            if called == "yaml.load":  # reads "1e-3" as a number, and is a SafeLoader for the rest
                assert relative(path) == "bench/core/yaml_files.py"
                assert issubclass(yaml_files._Loader, yaml.SafeLoader)
            unsafe = any(k.arg == "allow_pickle" and ast.unparse(k.value) != "False" for k in node.keywords)
            assert not unsafe, f"{relative(path)} allows pickles"


def test_folders_of_data_and_results_hold_no_code() -> None:
    """A package named datasets would hide the library of that name."""
    for folder in ("datasets", "results"):
        assert not list((ROOT / folder).glob("*.py"))


def test_every_model_has_its_parameter_file() -> None:
    public = registry.built_in_names()
    found = {path.name.removesuffix(".yaml") for path in (ROOT / "models").glob("*.yaml")}
    assert public == {name for name in found if not name.endswith(".tuned")}
    assert {name.removesuffix(".tuned") for name in found} == public  # what a search chose belongs to a model
