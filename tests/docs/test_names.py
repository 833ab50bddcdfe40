"""The modules, files and definitions that the documents name exist, and the first documents stay short."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
TOP = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "PERFORMANCE.md", "CLUSTER.md", "tests/README.md")
FORMER = {"upgrade.md"}  # tells old names beside new ones
DOCUMENTS = [
    *(ROOT / name for name in (*TOP, "datasets/README.md", "results/README.md")),
    *(path for path in sorted((ROOT / "docs").glob("*.md")) if path.name not in FORMER),
]
MODULE = re.compile(r"(?<![\w/])(?:bench|models)(?:\.\w+)+")
FILE = re.compile(r"(?<![\w/.-])(?:bench|models|tests)/[\w./-]*\w")
DEFINITION = re.compile(r"`(\w+)`(?: and `(\w+)`)? (?:in|of) `((?:bench|models)/[\w/]+\.py)`")
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
GENERATED = re.compile(
    r"models/(index|NAME|\w+)\.(md|tuned\.yaml)|models/NAME\.\w+|tests/(numeric/test_|plain/)NAME\.py"
)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def exists(dotted: str) -> bool:
    """Whether this is a module, a package, or a definition of one."""
    parts = dotted.split(".")
    for n in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:n])
        found = next((p for p in (place.with_suffix(".py"), place / "__init__.py") if p.is_file()), None)
        if found is not None:
            return n == len(parts) or parts[n] in set(defined(found))
    return False


def defined(path: Path) -> Iterator[str]:
    """Names of functions, classes and constants at any depth of a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                yield from (name.id for name in ast.walk(target) if isinstance(name, ast.Name))


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_named_modules_and_files_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    files = {name for name in FILE.findall(text) if not GENERATED.fullmatch(name)}
    assert [name for name in files if not (ROOT / name).exists()] == []
    assert [name for name in set(MODULE.findall(text)) if not exists(name)] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_named_definitions_are_in_the_named_file(path: Path) -> None:
    for first, second, file in DEFINITION.findall(path.read_text(encoding="utf-8")):
        assert {first, *([second] if second else [])} <= set(defined(ROOT / file)), f"{first} {second} in {file}"


@pytest.mark.parametrize("name", TOP)
def test_links_of_the_repository_lead_somewhere(name: str) -> None:
    """Links between pages of docs/ are checked by the build of the documentation."""
    path = ROOT / name
    for link in LINK.findall(path.read_text(encoding="utf-8")):
        assert (path.parent / link).exists(), link


@pytest.mark.parametrize(("name", "n_lines", "n_words"), [("README.md", 130, 1200), ("ARCHITECTURE.md", 90, 1100)])
def test_the_first_documents_stay_short(name: str, n_lines: int, n_words: int) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= n_lines
    assert len(text.split()) <= n_words
