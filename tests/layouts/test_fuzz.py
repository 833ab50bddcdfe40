"""Every layout, broken in every way: valid data, or an error of ours that names the file and what to do."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import examples
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layouts_mutations import MUTATIONS

from bench.core.errors import BenchError
from bench.data.inspecting import inspect
from bench.data.raw import check

FIX = re.compile(
    r"\b(Correct|Write|Fetch|fetch|Replace|Remove|Number|Save|Keep|Name|Put|Take|Give|Merge|Leave|Look|Complete|Move|"
    r"Rename|Import|Label|Key|Use|Add|Unpack|must name|name the format)\b"
)
QUIET = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
CASES = st.tuples(
    st.sampled_from(sorted(examples.EXAMPLES)),
    st.integers(0, 9),
    st.lists(st.sampled_from(sorted(MUTATIONS)), min_size=1, max_size=2),
    st.integers(0, 2**32),
)


@cache
def sound(name: str) -> dict[str, bytes]:
    """The files of an example by name."""
    with tempfile.TemporaryDirectory() as folder:
        made = examples.make(name, Path(folder) / name)
        return {path.name: path.read_bytes() for path in sorted(made.iterdir())}


def survives(case: tuple[str, int, list[str], int], make_home: Callable[[Path], Any]) -> bool:
    """Inspect, import and load an example with one broken file; whether it was taken."""
    name, which, kinds, seed = case
    rng, files = Random(seed), dict(sound(name))
    broken = sorted(files)[which % len(files)]
    for kind in kinds:
        files[broken] = MUTATIONS[kind](files[broken], rng)
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "given"
        folder.mkdir()
        for file, content in files.items():
            (folder / file).write_bytes(content)
        home = make_home(Path(root))
        try:
            for problem in inspect(folder, home.cards_dir).problems:
                assert FIX.search(problem), problem
        except BenchError as problem:
            assert_helpful(problem, folder)
        try:
            data, raw = home.take(folder, "tiny")
        except BenchError as problem:
            assert_helpful(problem, folder)
            assert home.files() <= {str(home.cache_dir / "imported")}, home.files()
            return False
        check(raw)
        assert len(data.split.train)
        assert len(home.files()) == 1 + 2 + 3 + len(raw.modalities)  # card, two folders, tables, features
        return True


def assert_helpful(problem: BenchError, folder: Path) -> None:
    assert str(folder) in str(problem), problem
    assert FIX.search(str(problem)), problem


@pytest.fixture
def in_an_empty_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a payload would leave its mark."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_broken_files(make_home: Callable[[Path], Any], in_an_empty_place: Path) -> None:
    outcomes = []

    @settings(max_examples=200, derandomize=True, **QUIET)
    @given(CASES)
    def run(case: tuple[str, int, list[str], int]) -> None:
        outcomes.append(survives(case, make_home))

    run()
    assert 5 < sum(outcomes) < len(outcomes) - 20  # some are harmless, and most are not
    assert list(in_an_empty_place.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_random_damage(make_home: Callable[[Path], Any], in_an_empty_place: Path) -> None:
    @settings(max_examples=2000, print_blob=True, **QUIET)
    @given(CASES)
    def run(case: tuple[str, int, list[str], int]) -> None:
        survives(case, make_home)

    run()
    assert list(in_an_empty_place.iterdir()) == []


@pytest.mark.parametrize("name", examples.EXAMPLES)
def test_a_sound_example_survives(name: str, make_home: Callable[[Path], Any]) -> None:
    assert survives((name, 0, ["nothing"], 0), make_home)
