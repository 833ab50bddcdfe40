"""Writes the files of a new model from the templates beside this file. Overwrites nothing."""

from __future__ import annotations

import importlib.util
import keyword
import re
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import UsageError, listed
from bench.core.files import os_errors, write_text
from bench.core.names import LONGEST
from bench.core.places import ROOT, shared_folder
from bench.engine import registry
from bench.engine.recbole_catalogue import shipped
from bench.engine.registry import NOT_MODELS

TEMPLATES = Path(__file__).with_name("templates")
TESTS = ROOT / "tests" / "numeric"
NAME = re.compile(rf"[a-z][a-z0-9_]{{0,{LONGEST - 1}}}")


@dataclass(frozen=True)
class Skeleton:
    """The choices for a new model.

    Attributes:
        name: name of the model and its files.
        content: whether it uses item content.
        folder: target folder; None for `models/` of this project.
    """

    name: str
    content: bool
    folder: Path | None

    @property
    def class_name(self) -> str:
        """Return the name in camel case, for example `MyModel` for `my_model`."""
        return "".join(part.capitalize() for part in self.name.split("_"))

    @property
    def paths(self) -> dict[str, Path]:
        """Return the path of each part."""
        folder = shared_folder() if self.folder is None else self.folder
        tests = TESTS if self.folder is None else self.folder
        return {
            "py": folder / f"{self.name}.py",
            "yaml": folder / f"{self.name}.yaml",
            "test": tests / f"test_{self.name}.py",
        }


def write_skeleton(skeleton: Skeleton) -> list[Path]:
    """Write model, parameters and test, and return their paths.

    Raises:
        UsageError: the name cannot be used, or a file already exists.
        ResultsError: a file cannot be written.
    """
    check_name(skeleton.name)
    paths = skeleton.paths
    if skeleton.folder is None and not TESTS.is_dir():
        raise UsageError(
            "This installation has no folder for tests. Put the model into your own folder: --to DIR."
        )
    existing = [path for path in paths.values() if path.exists()]
    if existing:
        raise UsageError(f"{existing[0]} already exists and is not overwritten. Choose another name or --to DIR.")
    for part, text in rendered(skeleton).items():
        with os_errors(
            f"{paths[part]} cannot be written", "Make the folder writable, or choose another with --to DIR."
        ):
            write_text(paths[part], text)
    return list(paths.values())


def rendered(skeleton: Skeleton) -> dict[str, str]:
    """Render the text of each part."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # the output is Python and YAML, not HTML
    )
    kind = "content" if skeleton.content else "graph"
    names = {"py": f"{kind}.py.j2", "yaml": f"{kind}.yaml.j2", "test": "test.py.j2"}
    facts = {"name": skeleton.name, "class_name": skeleton.class_name, "content": skeleton.content}
    in_plugin = skeleton.folder is not None
    return {
        part: environment.get_template(name).render(facts, in_plugin=in_plugin) for part, name in names.items()
    }


def check_name(name: str) -> None:
    """Check that a name can be the name of a new model.

    Raises:
        UsageError: it is not an identifier in lower case, or already belongs to a model or a module.
    """
    if not NAME.fullmatch(name) or keyword.iskeyword(name) or name in NOT_MODELS or name.startswith("test_"):
        raise UsageError(
            f"'{name}' cannot be the name of a model. Use a lower-case letter followed by lower-case letters, "
            f"digits and underscores, at most {LONGEST} characters, for example my_model. Python keywords, "
            f"{listed(map(repr, NOT_MODELS))} and 'test_...' are not allowed."
        )
    if name in registry.names():
        raise UsageError(
            f"A model '{name}' already exists: {registry.location_of(name).path}. Choose another name."
        )
    if name.replace("_", "") in {each.lower() for each in shipped()}:
        raise UsageError(
            f"RecBole has a model '{name}', and would merge its parameters into those of a class of that name. "
            f"Choose another name, or run RecBole's model: --models recbole:NAME."
        )
    if importlib.util.find_spec(name) is not None:
        raise UsageError(f"A file {name}.py would hide the Python module '{name}'. Choose another name.")
