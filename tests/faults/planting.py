"""A copy of the project, faults planted in it, and the driver that runs something on each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from faults import Fault

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = (".*", "__pycache__", "*.egg-info", "cache", "runs", "topk", "checkpoints")


def copy_project(folder: Path) -> None:
    """The project without what it made; `folder` must not exist."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*LEFT_OUT))


def edit_of(fault: Fault, folder: Path) -> dict[str, str]:
    """What the driver does to plant a fault, and undoes."""
    right = (folder / fault.file).read_text(encoding="utf-8")
    return {"file": fault.file, "right": right, "wrong": right.replace(fault.right, fault.wrong)}


def run_jobs(jobs: dict[str, dict[str, Any]], folder: Path) -> dict[str, int]:
    """Exit codes of the driver's jobs by name."""
    done = subprocess.run(
        [sys.executable, "-P", str(folder / "tests" / "faults" / "driver.py")],
        input=json.dumps(jobs),
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
    )
    found: dict[str, int] = json.loads(done.stdout)
    return found
