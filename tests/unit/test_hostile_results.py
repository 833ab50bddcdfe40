"""Broken and forged records, lists, cards and baselines: each is read whole or refused in one paragraph."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import results_mutations
from results_mutations import KINDS, SECONDS

SCRIPT = Path(results_mutations.__file__)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("hostile")
    results_mutations.prepared(made)
    return made


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("n", [30, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_file_is_read_whole_or_refused(folder: Path, kind: str, n: int) -> None:
    first = 0 if n == 30 else 1000
    paths = os.pathsep.join([str(SCRIPT.parent.parent), str(SCRIPT.parent)])
    done = subprocess.run(
        [sys.executable, str(SCRIPT), kind, str(first), str(n), str(folder)],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, text=True, check=True, timeout=SECONDS * n,
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["wrong"] == []
    assert found["refused"] > 0
