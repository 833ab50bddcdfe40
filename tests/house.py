"""Counts of the code: files, lines, docstrings that start with a verb, comments. Run: python tests/house.py."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def documented(path: Path) -> Iterator[tuple[Documented, str]]:
    """Every module, class and function that has a docstring, with its first word in lower case."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Documented) and (text := ast.get_docstring(node)):
            yield node, text.split()[0].lower().strip(".,:;`")


def n_comments(path: Path) -> int:
    """The lines with a comment that is no instruction to a tool."""
    words = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    tools = ("# noqa", "# type:", "# fmt:", "# ruff:")
    return sum(word.type == tokenize.COMMENT and not word.string.startswith(tools) for word in words)


def main() -> None:
    """Print one line for each package, and one for the docstrings of both."""
    found = []
    for package in ("bench", "models"):
        paths = sorted((ROOT / package).rglob("*.py"))
        n_lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)
        comments = sum(map(n_comments, paths))
        print(f"{package}: {len(paths)} files, {n_lines:,} lines, {comments / n_lines:.1%} of them with a comment")
        found += [each for path in paths for each in documented(path)]
    # ruff's D401 holds functions to the imperative, so their first words are the verbs
    verbs = {word for node, word in found if isinstance(node, ast.FunctionDef)}
    n_verbs = sum(word in verbs for _, word in found)
    print(f"docstrings: {len(found):,}, {n_verbs / len(found):.0%} of them start with a verb")


if __name__ == "__main__":
    main()
