"""Writes the files of a new model from the templates beside this file. Overwrites nothing."""

from __future__ import annotations

import importlib.util
import keyword
import re
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import ResultsError, UsageError
from bench.core.files import ROOT, write_text
from bench.core.names import LONGEST
from bench.engine import registry
from bench.engine.code_hash import shared_folder
from bench.engine.recbole_catalogue import shipped
from bench.engine.registry import NOT_MODELS

TEMPLATES = Path(__file__).with_name("templates")
TESTS = ROOT / "tests" / "numeric"
NAME = re.compile(rf"[a-z][a-z0-9_]{{0,{LONGEST - 1}}}")


@dataclass(frozen=True)
class Skeleton:
    """A new model.

    Attributes:
        name: of the model and its files.
        content: whether it uses item content.
        folder: where it goes; None for `models/` of this project.
    """

    name: str
    content: bool
    folder: Path | None

    @property
    def class_name(self) -> str:
        """The name in capitals and small letters, for example `MyModel` for `my_model`."""
        return "".join(part.capitalize() for part in self.name.split("_"))

    @property
    def paths(self) -> dict[str, Path]:
        """Where each part goes."""
        folder = shared_folder() if self.folder is None else self.folder
        tests = TESTS if self.folder is None else self.folder
        return {
            "py": folder / f"{self.name}.py",
            "yaml": folder / f"{self.name}.yaml",
            "test": tests / f"test_{self.name}.py",
        }


def write_skeleton(skeleton: Skeleton) -> list[Path]:
    """Write model, parameters and test.

    Raises:
        UsageError: the name cannot be used, or a file is there already.
        ResultsError: a file cannot be written.
    """
    check_name(skeleton.name)
    paths = skeleton.paths
    if skeleton.folder is None and not TESTS.is_dir():
        raise UsageError("This installation has no folder for tests. Keep the model in one of your own: --to DIR.")
    there = [path for path in paths.values() if path.exists()]
    if there:
        raise UsageError(f"{there[0]} is there already and is not overwritten. Choose another name or --to DIR.")
    for part, text in rendered(skeleton).items():
        try:
            write_text(paths[part], text)
        except OSError as problem:
            raise ResultsError(
                f"{paths[part]} cannot be written ({problem.strerror or problem}). Make the folder writable, or "
                f"name another with --to DIR."
            ) from problem
    return list(paths.values())


def rendered(skeleton: Skeleton) -> dict[str, str]:
    """The text of each part."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Python and YAML, no HTML
    )
    kind = "content" if skeleton.content else "graph"
    names = {"py": f"{kind}.py.j2", "yaml": f"{kind}.yaml.j2", "test": "test.py.j2"}
    facts = {"name": skeleton.name, "class_name": skeleton.class_name, "content": skeleton.content}
    in_plugin = skeleton.folder is not None
    return {
        part: environment.get_template(name).render(facts, in_plugin=in_plugin) for part, name in names.items()
    }


def check_name(name: str) -> None:
    """See that a name can be a model's.

    Raises:
        UsageError: it is no identifier in small letters, or belongs to a model or a module already.
    """
    if not NAME.fullmatch(name) or keyword.iskeyword(name) or name in NOT_MODELS or name.startswith("test_"):
        raise UsageError(
            f"'{name}' cannot be the name of a model. Take small letters, digits and underscores, after a first "
            f"letter, at most {LONGEST}; no word of Python's own, not 'base' and not 'test_...': for example "
            "my_model."
        )
    if name in registry.names():
        raise UsageError(f"There is a model '{name}' already: {registry.place_of(name).path}. Take another name.")
    if name.replace("_", "") in {each.lower() for each in shipped()}:
        raise UsageError(
            f"RecBole has a model '{name}', and would merge its parameters into those of a class of that name. "
            f"Take another name, or run RecBole's: --models recbole:NAME."
        )
    if importlib.util.find_spec(name) is not None:
        raise UsageError(f"A file {name}.py would hide the Python module '{name}'. Take another name.")
