"""A copy of the project, faults planted in it, and the driver that runs something on each."""

from __future__ import annotations

import ast
import compileall
import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import accumulate
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Any

from faults import Fault

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = (".*", "__pycache__", "*.egg-info", "cache", "topk", "checkpoints")


def copy_project(folder: Path) -> None:
    """The project without what it made, compiled; `folder` must not exist."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
    for name in ("bench", "models"):  # a file with a fault differs by its hash, whatever its time and size
        compileall.compile_dir(folder / name, quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH)


def edit_of(fault: Fault, folder: Path) -> dict[str, str]:
    """What the driver does to plant a fault, and undoes."""
    ((file, start),) = places_of(fault)
    right = (folder / file).read_text(encoding="utf-8")
    wrong = right[:start] + fault.wrong + right[start + len(fault.right) :]
    return {"file": file, "right": right, "wrong": wrong}


def places_of(fault: Fault) -> list[tuple[str, int]]:
    """Return every place of a fault's text, as file and position; a sound fault has exactly one."""
    found = [
        (file, start + match.start())
        for file, start, text in definitions()[fault.where]
        for match in re.finditer(re.escape(fault.right), text)
    ]
    return sorted(set(found))


@cache
def definitions() -> dict[str, list[tuple[str, int, str]]]:
    """Return file, position and text of all definitions of bench and models by qualified name.

    Whole files go by the name "".
    """
    found: dict[str, list[tuple[str, int, str]]] = defaultdict(list)
    for path in sorted([*(ROOT / "bench").rglob("*.py"), *(ROOT / "models").rglob("*.py")]):
        text, file = path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()
        if "templates" in path.parts:
            continue
        found[""].append((file, 0, text))
        lines = [0, *accumulate(map(len, text.splitlines(keepends=True)))]
        for name, first, last in _named(ast.parse(text), ""):
            start = lines[first - 1]
            found[name].append((file, start, text[start : lines[last]]))
    return found


def _named(node: ast.AST, prefix: str) -> Iterator[tuple[str, int, int]]:
    """Name, first and last line of what a module or class defines."""
    for each in getattr(node, "body", []):
        if isinstance(each, ast.FunctionDef | ast.ClassDef):
            first = min([each.lineno, *(decorator.lineno for decorator in each.decorator_list)])
            yield prefix + each.name, first, each.end_lineno or first
            if isinstance(each, ast.ClassDef):
                yield from _named(each, f"{prefix}{each.name}.")
        elif isinstance(each, ast.Assign | ast.AnnAssign):
            target = each.targets[0] if isinstance(each, ast.Assign) else each.target
            target = target.elts[0] if isinstance(target, ast.Tuple) else target
            if isinstance(target, ast.Name):
                yield prefix + target.id, each.lineno, each.end_lineno or each.lineno


def run_jobs(jobs: dict[str, dict[str, Any]], folder: Path) -> dict[str, int]:
    """Exit codes of the driver's jobs by name."""
    done = subprocess.run(
        [sys.executable, "-P", str(folder / "tests" / "faults" / "driver.py")],
        input=json.dumps(jobs),
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
    )
    found: dict[str, int] = json.loads(done.stdout)
    return found
