"""The shape of the project: which room may use which, and how large a piece may grow."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from bench import validation

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted([*ROOT.glob("bench/**/*.py"), *ROOT.glob("models/**/*.py"), ROOT / "run_all.py"])
BENCH = [path for path in SOURCES if path.parts[len(ROOT.parts)] == "bench" and path.name != "__init__.py"]
MODELS = [path for path in SOURCES if path.parent.name == "models"]
MAY_IMPORT_RECBOLE = {
    "bench/recbole_bridge.py",
    "models/base.py",
    # RecBole's own models are run by its own objects
    *(f"bench/recbole_models/{name}.py" for name in ("adapter", "entry", "objects")),
    "bench/contract/recbole_epoch.py",  # the check that our models train under RecBole's trainer
}
MODELS_MAY_IMPORT = {"bench.errors", "bench.ranking", "bench.types"}
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


@cache
def layer(path: Path) -> int:
    """The number that a file's docstring opens with."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    found = re.match(r"Layer (\d+)\. ", docstring)
    assert found, f"{relative(path)} does not open with 'Layer N. ...'"
    return int(found.group(1))


@pytest.mark.parametrize("path", BENCH, ids=relative)
def test_a_file_imports_lower_layers_or_its_own_package(path: Path) -> None:
    layers = {module_of(other): layer(other) for other in BENCH}
    for name in imports(path):
        if name in layers and name != module_of(path):
            same_package = name.rpartition(".")[0] == module_of(path).rpartition(".")[0] != "bench"
            assert layers[name] < layer(path) or (same_package and layers[name] == layer(path)), (
                f"{relative(path)} (layer {layer(path)}) imports {name} (layer {layers[name]})"
            )


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
                assert relative(path) == "bench/validation.py"
                assert issubclass(validation._Loader, yaml.SafeLoader)
            unsafe = any(k.arg == "allow_pickle" and ast.unparse(k.value) != "False" for k in node.keywords)
            assert not unsafe, f"{relative(path)} allows pickles"


def test_folders_of_data_and_results_hold_no_code() -> None:
    """A package named datasets would hide the library of that name."""
    for folder in ("datasets", "results"):
        assert not list((ROOT / folder).glob("*.py"))


def test_every_model_has_its_parameter_file() -> None:
    public = {path.stem for path in MODELS if not path.stem.startswith("_") and path.stem != "base"}
    found = {path.name.removesuffix(".yaml") for path in (ROOT / "models").glob("*.yaml")}
    assert public == {name for name in found if not name.endswith(".tuned")}
    assert {name.removesuffix(".tuned") for name in found} == public  # what a search chose belongs to a model
