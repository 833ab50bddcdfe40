"""Runs code under limits of time and memory, in a process of its own, and says how it ended."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MEMORY = 8 << 30  # of addresses; torch and the libraries that it loads take several


def limited(code: str, *arguments: str, seconds: float = 60, memory: int = MEMORY, cwd: Path | None = None,
            **environment: str) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """Run Python code with the project on its path.

    Raises:
        subprocess.TimeoutExpired: it took longer.
    """

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    places = {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests"))), "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=seconds,
        check=False,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **places, **environment},
    )


CALL = """
import sys
from bench.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def one_paragraph(done: subprocess.CompletedProcess[str]) -> str:
    """The error that a command ended with, after it was seen to be one paragraph with exit code 2."""
    assert done.returncode == 2, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    assert "Traceback" not in done.stderr + done.stdout
    lines = done.stderr.strip().splitlines()
    assert lines, done.stdout
    assert lines[0].startswith("error: "), done.stderr
    assert len(done.stderr) < 5000
    return done.stderr
