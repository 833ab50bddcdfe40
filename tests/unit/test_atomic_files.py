"""A file is written under a temporary name and renamed, with the permissions that the user wants."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from bench.core.files import write_bytes


@pytest.mark.parametrize(("mask", "expected"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o644)])
def test_the_mask_of_the_user_holds(mask: int, expected: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        write_bytes(tmp_path / "file", b"content")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == expected
