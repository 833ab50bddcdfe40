"""The checks themselves are checked: each planted fault must turn its test red.

A copy of the project gets one fault of `tests/faults` at a time, by exact text within a definition. The named
tests run on it in a process of their own. A fault whose text is gone fails here, so that the list follows the
code. `make test` plants a selection, `make test-all` also those marked slow.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from faults import (
    Fault,
    additions,
    controls,
    hostile,
    kernels,
    layouts,
    leaderboard,
    multimodal,
    pipeline,
    search,
    significance,
    single,
    smoke,
)
from faults.planting import copy_project, edit_of, places_of, run_jobs

FAULTS = [
    *pipeline.FAULTS,
    *kernels.FAULTS,
    *single.FAULTS,
    *multimodal.FAULTS,
    *controls.FAULTS,
    *significance.FAULTS,
    *layouts.FAULTS,
    *hostile.FAULTS,
    *search.FAULTS,
    *additions.FAULTS,
    *leaderboard.FAULTS,
]
GREEN = "no fault in "
Codes = Callable[[bool], dict[str, int]]


@pytest.fixture(scope="module")
def codes(tmp_path_factory: pytest.TempPathFactory) -> Codes:
    """pytest's exit code for the tests of each quick or slow fault, and for the same tests without a fault."""
    folder = tmp_path_factory.mktemp("mutant") / "project"
    copy_project(folder)

    @cache
    def run(slow: bool) -> dict[str, int]:
        faults = [fault for fault in FAULTS if fault.slow == slow]
        jobs = without_faults(FAULTS) if slow else {}
        jobs |= {fault.name: planted(fault, folder) for fault in faults}
        return run_jobs(jobs, folder)

    return run


def planted(fault: Fault, folder: Path) -> dict[str, Any]:
    """The job of a fault."""
    files, selection = split(fault.tests)
    return {"edits": [edit_of(fault, folder)], "arguments": arguments(files, [selection])}


def without_faults(faults: list[Fault]) -> dict[str, dict[str, Any]]:
    """One job for all tests that the faults name in the same files."""
    selections: dict[str, list[str]] = {}
    for files, selection in (split(fault.tests) for fault in faults):
        selections.setdefault(files, []).append(selection)
    return {
        GREEN + files: {"edits": [], "arguments": arguments(files, some)} for files, some in selections.items()
    }


def split(tests: str) -> tuple[str, str]:
    """Files and selection of a fault's tests; no selection takes all."""
    files, _, selection = tests.partition(" -k ")
    return files, selection


def arguments(files: str, selections: list[str]) -> list[str]:
    """pytest's; without hypothesis's plugin and the rewriting of assertions, which take most of the time."""
    chosen = [] if "" in selections else ["-k", " or ".join(sorted(set(selections)))]
    return ["-x", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "--assert=plain", *files.split(), *chosen]


@pytest.mark.parametrize("fault", [*FAULTS, *smoke.FAULTS], ids=lambda fault: fault.name)
def test_a_fault_is_still_planted_in_the_code(fault: Fault) -> None:
    assert len(places_of(fault)) == 1, f"{fault.where}: {places_of(fault)}"


def test_names_differ() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


@pytest.mark.timeout(1800)
@pytest.mark.slow  # of the quick faults' tests `make test` itself says whether they are green
def test_without_a_fault_the_tests_are_green(codes: Codes) -> None:
    found = {name: code for name, code in codes(True).items() if name.startswith(GREEN)}
    assert found == dict.fromkeys(found, int(pytest.ExitCode.OK))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "fault", [pytest.param(fault, id=fault.name, marks=[pytest.mark.slow] * fault.slow) for fault in FAULTS]
)
def test_a_planted_fault_turns_its_test_red(codes: Codes, fault: Fault) -> None:
    assert codes(fault.slow)[fault.name] == pytest.ExitCode.TESTS_FAILED
