"""Models outside this project: files, folders and modules named by the user, and installed packages.

A location is the path of `NAME.py` or of a folder of such files, or the name of a module or package; installed
packages can announce theirs under the entry-point group `ludp_bench.models`. A model's YAML lies beside it. Only
`import_module` runs a model's code. Which locations count is a matter of the context (`plugged`), so that a worker
process or a cluster's worker takes them from its task.
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
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from bench.core.errors import ConfigError, UsageError
from bench.core.hashing import hash_value
from bench.core.names import ALLOWED, is_name
from bench.engine.code_hash import SHARED, code_hash, shared_folder

GROUP = "ludp_bench.models"
ALIAS = "plugin"  # of a folder in code hashes, which must not depend on where it lies
_LOCATIONS: ContextVar[tuple[str, ...]] = ContextVar("plugin locations", default=())


@dataclass(frozen=True)
class Place:
    """Where a model lies.

    Attributes:
        name: of the model.
        path: its file; the YAML lies beside it.
        module: what it is imported as.
        folder: the folder of its own package.
        package: what that is called in code hashes.
        said: how the user named it.
    """

    name: str
    path: Path
    module: str
    folder: Path
    package: str
    said: str

    def code_hash(self) -> str:
        """Hash of its code with what it imports from its own package and from `models`."""
        inner = ".".join(self.path.relative_to(self.folder).with_suffix("").parts)
        return code_hash(f"{self.package}.{inner}", {self.package: self.folder, SHARED: shared_folder()})


@contextlib.contextmanager
def plugged(locations: Sequence[str]) -> Iterator[None]:
    """Within, models at these locations are found; they are as `resolved` gave them."""
    token = _LOCATIONS.set(tuple(locations))
    try:
        yield
    finally:
        _LOCATIONS.reset(token)


def locations() -> tuple[str, ...]:
    """Those of the context, to be handed to another process."""
    return _LOCATIONS.get()


def resolved(location: str) -> str:
    """A location that means the same in any process: an absolute path, or the name of a module.

    Raises:
        UsageError: there is nothing, or no model in it.
        ConfigError: importing the package around it fails.
    """
    path = Path(location).expanduser()
    known = str(path.resolve()) if path.exists() or path.suffix == ".py" else location
    places_at(known, f"--plugin {location}")
    return known


def places() -> tuple[Place, ...]:
    """Every model of the context's locations and of installed packages; no model is imported.

    Raises:
        UsageError: a location holds no model.
    """
    named = [place for location in locations() for place in places_at(location, f"--plugin {location}")]
    return (*named, *(place for found, _ in _installed() for place in found))


def problems() -> list[str]:
    """Why installed packages that announce models cannot be used."""
    return [problem for _, problem in _installed() if problem]


@cache
def _installed() -> tuple[tuple[tuple[Place, ...], str], ...]:
    """Models of each entry point, or what is wrong with it."""
    found: list[tuple[tuple[Place, ...], str]] = []
    for point in entry_points(group=GROUP):
        said = f"the entry point '{point.name} = {point.value}' of an installed package"
        try:
            found.append((places_at(point.module, said), ""))
        except (UsageError, ConfigError) as problem:
            found.append(((), str(problem)))
    return tuple(found)


@cache
def places_at(location: str, said: str) -> tuple[Place, ...]:
    """The models at one location.

    Raises:
        UsageError: there is nothing, or no model in it.
        ConfigError: importing the package around it fails.
    """
    path = Path(location)
    found = _at_path(path, said) if path.is_absolute() else _in_module(location, said)
    if not found:
        raise UsageError(
            f"{said} holds no model. A model is a file NAME.py with NAME.yaml beside it; "
            f"'ludp-bench new-model NAME --to DIR' writes both."
        )
    return tuple(found)


def _at_path(path: Path, said: str) -> list[Place]:
    if not path.exists():
        raise UsageError(
            f"{said}: there is no such file or folder ({path}). Give the path of NAME.py or its folder."
        )
    folder = path if path.is_dir() else path.parent
    package = f"_ludp_bench_plugin_{hash_value(str(folder))}"
    return [Place(each.stem, each, f"{package}.{each.stem}", folder, ALIAS, said) for each in _models_in(path)]


def _in_module(name: str, said: str) -> list[Place]:
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        spec = None
    except Exception as problem:
        raise ConfigError(f"{said}: importing the package around '{name}' fails: {_where(problem)}.") from problem
    is_package = spec is not None and spec.submodule_search_locations is not None
    if spec is None or (spec.origin is None and not is_package):
        raise UsageError(
            f"{said}: Python finds no module '{name}', and there is no file or folder of that name. Install its "
            f"package into this environment (pip install -e DIR), or give the path of NAME.py."
        )
    path = Path(next(iter(spec.submodule_search_locations or ()), spec.origin or ""))
    depth = name.count(".")
    folder = path.parents[depth - 1] if depth else (path if is_package else path.parent)
    prefix = f"{name}." if is_package else name.removesuffix(path.stem)
    return [
        Place(each.stem, each, f"{prefix}{each.stem}", folder, name.partition(".")[0], said)
        for each in _models_in(path)
    ]


def _models_in(path: Path) -> list[Path]:
    """A file, or those of a folder, that have a parameter file beside them."""
    files = sorted(path.glob("*.py")) if path.is_dir() else [path]
    found = [
        each
        for each in files
        if each.is_file() and each.with_suffix(".yaml").is_file() and not each.stem.startswith("_")
    ]
    for each in found:
        if not is_name(each.stem):
            raise UsageError(f"{each} cannot be a model: its name becomes that of files. Take {ALLOWED}.")
    return found


def import_module(place: Place) -> ModuleType:
    """Import the file of a model.

    Raises:
        ConfigError: that fails; the message says where.
    """
    try:
        if place.package == ALIAS:
            _package(place.module.partition(".")[0], place.folder)
        return importlib.import_module(place.module)
    except Exception as problem:
        advice = "Mend the file, or leave the model out."
        if isinstance(problem, ModuleNotFoundError):
            advice = f"A file beside it is imported by 'from .NAME import ...'. {advice}"
        raise ConfigError(
            f"The model '{place.name}' ({place.said}) cannot be imported: {_where(problem)}. {advice}"
        ) from problem


def _package(name: str, folder: Path) -> None:
    """The folder of a model as a package, so that files in it can import each other by relative names."""
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


def _where(problem: BaseException) -> str:
    """An error of an import with file and line: those of the last code that is no library's."""
    if isinstance(problem, SyntaxError) and problem.filename:
        return f"SyntaxError: {problem.msg} ({problem.filename}, line {problem.lineno})"
    said = f"{type(problem).__name__}: {problem}"
    frames = [frame for frame in traceback.extract_tb(problem.__traceback__) if not frame.filename.startswith("<")]
    library = (sysconfig.get_path("stdlib"), str(Path(__file__)))
    own = [
        each for each in frames if not each.filename.startswith(library) and "site-packages" not in each.filename
    ]
    return f"{said} ({own[-1].filename}, line {own[-1].lineno})" if own else said
