"""The Slurm recipe of CLUSTER.md gives jobs that can make runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from bench.runs.task import Cluster

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script() -> str:
    recipe = re.findall(r"```python\n(.*?)```", (ROOT / "CLUSTER.md").read_text(encoding="utf-8"), re.DOTALL)[0]
    names: dict[str, Any] = {}
    exec(recipe, names)  # our own file; no job is submitted before `scale`
    with names["cluster"] as cluster:
        return str(cluster.job_script())


def test_the_job_asks_for_what_the_text_says(script: str) -> None:
    wanted = dict(re.findall(r"^#SBATCH (-\S+?)[ =](.+)$", script, re.MULTILINE))
    assert wanted["-p"] == "gpu"
    assert wanted["--cpus-per-task"] == "4"
    assert wanted["-t"] == "08:00:00"
    assert wanted["--gres"] == "gpu:1"
    assert "source .venv/bin/activate" in script.splitlines()


def test_its_worker_takes_one_run_at_a_time_and_offers_what_a_run_asks_for(script: str) -> None:
    command = shlex.split(next(line for line in script.splitlines() if "distributed" in line and "tcp://" in line))
    assert command[command.index("--nthreads") + 1] == "1"
    name, _, amount = command[command.index("--resources") + 1].partition("=")
    assert Cluster("tcp://host:1", "cuda", 4).resources == {name: float(amount)}
