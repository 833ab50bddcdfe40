"""Files broken at random are read or refused, within limits of time and memory, whatever the kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostile.mutators import KINDS, try_kind

QUICK, SLOW = 30, 300


def check(kind: str, count: int, seed: int, root: Path) -> None:
    root.mkdir()
    verdicts, told = try_kind(kind, count, seed, root)
    assert not told, "\n".join(told[:5])
    assert set(verdicts) <= {"read", "refused"}
    assert sum(verdicts.values()) == count
    assert verdicts["refused"] > count // 5


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_some(kind: str, tmp_path: Path) -> None:
    check(kind, QUICK, 0, tmp_path / "root")


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", KINDS)
def test_many(kind: str, tmp_path: Path) -> None:
    check(kind, SLOW, 1, tmp_path / "root")
