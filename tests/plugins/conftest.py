"""A model of the user's own, in a folder outside the project."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.checks.scaffold import Skeleton, write_skeleton

Own = Callable[..., Path]


@pytest.fixture
def own(tmp_path: Path) -> Own:
    """Writes a skeleton into a folder, with pieces of its code replaced; the path of the model."""

    def write(name: str, *changes: tuple[str, str], content: bool = False, folder: str = "mine") -> Path:
        path = write_skeleton(Skeleton(name, content, tmp_path / folder))[0]
        for before, after in changes:
            text = path.read_text(encoding="utf-8")
            assert before in text, before
            path.write_text(text.replace(before, after), encoding="utf-8")
        return path

    return write
