"""Find and import models outside this project: files, folders and modules of the user, and installed packages.

Reads the file system; only `import_module` runs a model's code. A location is the path of `NAME.py` or of a folder
of such files, or the name of a module or package. Installed packages can announce modules under the entry-point
group `ludp_bench.models`. A model's YAML lies beside its code. The active locations belong to the context
(`use_plugins`), so that a worker process takes them from its task.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
import sysconfig
import traceback
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from bench.core.errors import ConfigError, UsageError
from bench.core.files import resolved
from bench.core.hashing import hash_value
from bench.core.names import ALLOWED, is_name
from bench.core.places import SHARED, shared_folder

GROUP = "ludp_bench.models"
ALIAS = "plugin"  # name of a folder in code hashes, which must not depend on its path
_LOCATIONS: ContextVar[tuple[str, ...]] = ContextVar("plugin locations", default=())


@dataclass(frozen=True)
class ModelLocation:
    """The location of one model's code.

    Attributes:
        name: of the model.
        path: its file; the YAML lies beside it.
        module: name under which it is imported.
        folder: the folder of its own package.
        package: name of that package in code hashes.
        label: how the user named the location.
    """

    name: str
    path: Path
    module: str
    folder: Path
    package: str
    label: str

    def code_hash(self) -> str:
        """Hash its code with everything that it imports from its own package and from `models`."""
        from bench.engine.code_hash import code_hash  # heavy

        inner = ".".join(self.path.relative_to(self.folder).with_suffix("").parts)
        return code_hash(f"{self.package}.{inner}", {self.package: self.folder, SHARED: shared_folder()})


@contextlib.contextmanager
def use_plugins(locations: Sequence[str]) -> Iterator[None]:
    """Make models at these locations, from `resolve_location`, known while the body runs."""
    token = _LOCATIONS.set(tuple(locations))
    try:
        yield
    finally:
        _LOCATIONS.reset(token)


def plugin_arguments() -> tuple[str, ...]:
    """Return the active locations, to pass them to another process."""
    return _LOCATIONS.get()


def resolve_location(location: str) -> str:
    """Return a location that is valid in every process: an absolute path, or the name of a module.

    Raises:
        UsageError: the location does not exist, or holds no model.
        ConfigError: importing the package around it fails.
    """
    path = Path(location).expanduser()
    known = str(resolved(path)) if path.exists() or path.suffix == ".py" else location
    models_at(known, f"--plugin {location}")
    return known


def model_locations() -> tuple[ModelLocation, ...]:
    """Return every model of the active locations and of installed packages; no model is imported.

    Raises:
        UsageError: a location holds no model.
    """
    given = [place for location in plugin_arguments() for place in models_at(location, f"--plugin {location}")]
    return (*given, *(place for installed, _ in _installed() for place in installed))


def plugin_names() -> list[str]:
    """Return the names of the models of `model_locations`, sorted."""
    return sorted({place.name for place in model_locations()})


def problems() -> list[str]:
    """Return why installed packages that announce models cannot be used, one text per problem."""
    return [problem for _, problem in _installed() if problem]


@cache
def _installed() -> tuple[tuple[tuple[ModelLocation, ...], str], ...]:
    """Return the models of each entry point, or the problem with it."""
    from importlib.metadata import entry_points  # heavy

    results: list[tuple[tuple[ModelLocation, ...], str]] = []
    for point in entry_points(group=GROUP):
        label = f"the entry point '{point.name} = {point.value}' of an installed package"
        try:
            results.append((models_at(point.module, label), ""))
        except (UsageError, ConfigError) as problem:
            results.append(((), str(problem)))
    return tuple(results)


@cache
def models_at(location: str, label: str) -> tuple[ModelLocation, ...]:
    """Return the models at one location.

    Args:
        location: an absolute path, or the name of a module.
        label: how the user named it, for messages.

    Raises:
        UsageError: the location does not exist, or holds no model.
        ConfigError: importing the package around it fails.
    """
    path = Path(location)
    found = _at_path(path, label) if path.is_absolute() else _in_module(location, label)
    if not found:
        raise UsageError(
            f"{label} holds no model. A model is a file NAME.py with NAME.yaml beside it; "
            f"'ludp-bench new-model NAME --to DIR' writes both."
        )
    return tuple(found)


def _at_path(path: Path, label: str) -> list[ModelLocation]:
    if not path.exists():
        raise UsageError(
            f"{label}: there is no such file or folder ({path}). Give the path of NAME.py or its folder."
        )
    if path.suffix in (".yaml", ".yml"):
        code = path.with_suffix(".py")
        absent = f"its code, {code.name}, is not beside it. Put it there, and give it"
        there = f"give {code}" if code.is_file() else absent
        raise UsageError(f"{label}: {path.name} is a parameter file, and a location is that of the code: {there}.")
    folder = path if path.is_dir() else path.parent
    package = f"_ludp_bench_plugin_{hash_value(str(folder))}"
    return [
        ModelLocation(each.stem, each, f"{package}.{each.stem}", folder, ALIAS, label) for each in _models_in(path)
    ]


def _in_module(name: str, label: str) -> list[ModelLocation]:
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        spec = None
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as problem:
        raise ConfigError(
            f"{label}: importing the package around '{name}' fails: {_import_problem(problem)}."
        ) from problem
    is_package = spec is not None and spec.submodule_search_locations is not None
    if spec is None or (spec.origin is None and not is_package):
        raise UsageError(
            f"{label}: Python finds no module '{name}', and there is no file or folder of that name. Install its "
            f"package into this environment (pip install -e DIR), or give the path of NAME.py."
        )
    path = Path(next(iter(spec.submodule_search_locations or ()), spec.origin or ""))
    depth = name.count(".")
    folder = path.parents[depth - 1] if depth else (path if is_package else path.parent)
    prefix = f"{name}." if is_package else name.removesuffix(path.stem)
    return [
        ModelLocation(each.stem, each, f"{prefix}{each.stem}", folder, name.partition(".")[0], label)
        for each in _models_in(path)
    ]


def _models_in(path: Path) -> list[Path]:
    """Return the given file, or the files of a folder, that have a parameter file beside them."""
    files = sorted(path.glob("*.py")) if path.is_dir() else [path]
    code = [each for each in files if each.suffix == ".py" and each.is_file() and not each.stem.startswith("_")]
    found = [each for each in code if each.with_suffix(".yaml").is_file()]
    for each in found:
        if not is_name(each.stem):
            raise UsageError(f"{each} cannot be a model: its name becomes part of file names. Use {ALLOWED}.")
    return found


def import_module(place: ModelLocation) -> ModuleType:
    """Import the file of a model.

    Raises:
        ConfigError: the import fails; the message names file and line.
        ModuleNotFoundError: RecBole is not installed, which is not the model's fault.
    """
    try:
        if place.package == ALIAS:
            _register_package(place.module.partition(".")[0], place.folder)
        return importlib.import_module(place.module)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as problem:  # also SystemExit, with which a script that is imported would end the program
        advice = "Fix the file, or leave the model out."
        if isinstance(problem, ModuleNotFoundError):
            if problem.name == "recbole":
                raise
            advice = f"Import a file beside it with 'from .NAME import ...'. {advice}"
        elif isinstance(problem, SystemExit):
            advice = f"Put what a script does under 'if __name__ == \"__main__\"'. {advice}"
        raise ConfigError(
            f"The model '{place.name}' ({place.label}) cannot be imported: {_import_problem(problem)}. {advice}"
        ) from problem


def _register_package(name: str, folder: Path) -> None:
    """Register a model's folder as a package, so that files in it can import each other by relative names."""
    # name is a hash of the folder's path, so models of one folder share one package
    if name in sys.modules:
        return
    start = folder / "__init__.py"
    if not start.is_file():
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
        return
    spec = importlib.util.spec_from_file_location(name, start, submodule_search_locations=[str(folder)])
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(sys.modules[name])
    except BaseException:
        del sys.modules[name]
        raise


def _import_problem(problem: BaseException) -> str:
    """Format an import error with file and line of the innermost frame outside of libraries."""
    if isinstance(problem, SyntaxError) and problem.filename:
        return f"SyntaxError: {problem.msg} ({problem.filename}, line {problem.lineno})"
    text = f"{type(problem).__name__}: {problem}"
    if isinstance(problem, SystemExit):
        text = f"it ends the program with {text}"
    frames = [frame for frame in traceback.extract_tb(problem.__traceback__) if not frame.filename.startswith("<")]
    library = (sysconfig.get_path("stdlib"), str(Path(__file__)))
    own = [
        each for each in frames if not each.filename.startswith(library) and "site-packages" not in each.filename
    ]
    return f"{text} ({own[-1].filename}, line {own[-1].lineno})" if own else text
