"""Seeded damage to the input of every reader, in a process with limits: read and accounted for, or refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from layouts_child import MAKERS

TESTS = Path(__file__).resolve().parents[1]
QUICK, SLOW = 30, 300


def outcomes(names: Sequence[str], first: int, count: int, root: Path) -> list[dict[str, str]]:
    """One record an input of a layout; the process must live to its end."""
    paths = [str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": ":".join(filter(None, paths))}
    command = [sys.executable, str(TESTS / "layouts_child.py"), ",".join(names), str(first), str(count), str(root)]
    done = subprocess.run(
        command,
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60 + 5 * count * len(names),
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """The outcomes of all layouts, from one process, which loads the libraries once."""
    return outcomes([*MAKERS], 0, QUICK, tmp_path_factory.mktemp("quick"))


def assert_sound(name: str, found: list[dict[str, str]], count: int) -> None:
    assert [each for each in found if each["outcome"] not in ("read", "refused")] == []
    assert len(found) == count
    kinds = [each["outcome"] for each in found]
    assert kinds.count("refused") > 0, name
    assert kinds.count("read") > 0, name


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", MAKERS)
def test_damage_is_read_whole_or_refused(name: str, quick: list[dict[str, str]]) -> None:
    assert_sound(name, [each for each in quick if each["layout"] == name], QUICK)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", MAKERS)
def test_much_damage_is_read_whole_or_refused(name: str, tmp_path: Path) -> None:
    assert_sound(name, outcomes([name], QUICK, SLOW, tmp_path), SLOW)
