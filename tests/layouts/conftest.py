"""Fixtures of the layouts' tests: places for cards and copies, and importing into them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.core.types import BenchmarkData, DataRequest
from bench.data import cards
from bench.data.importing import import_data
from bench.data.load import load_with_raw
from bench.data.raw import RawData


@dataclass(frozen=True)
class Home:
    """Where imports go in a test."""

    cards_dir: Path
    cache_dir: Path

    def take(self, path: Path, name: str, **options: Any) -> tuple[BenchmarkData, RawData]:
        """Import and load again."""
        import_data(path, name, self.cards_dir, self.cache_dir, **options)
        return self.load(name)

    def load(self, name: str, **options: Any) -> tuple[BenchmarkData, RawData]:
        """Load what was imported."""
        return load_with_raw(cards.load(name, self.cards_dir), DataRequest(cache_dir=self.cache_dir, **options))

    def files(self) -> set[str]:
        """Everything below both."""
        found = [path for root in (self.cards_dir, self.cache_dir) for path in root.rglob("*")]
        return {str(path) for path in found}


@pytest.fixture
def make_home() -> Callable[[Path], Home]:
    """A home below a directory."""

    def made(root: Path) -> Home:
        home = Home(root / "cards", root / "cache")
        home.cards_dir.mkdir(parents=True)
        home.cache_dir.mkdir()
        return home

    return made


@pytest.fixture
def home(tmp_path: Path, make_home: Callable[[Path], Home]) -> Home:
    """A home of the test's own."""
    return make_home(tmp_path)
