"""A small suite of runs that is made, killed and made again, and what must be the same in the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

ROOT = Path(__file__).resolve().parents[2]


class Driver:
    """A process of `driver.py`, a context manager; `ask` has it make a suite.

    Args:
        log: folder for what the command lines print.
        arguments: of the suite; folders, source and artifact are added.
    """

    def __init__(self, log: Path, *arguments: str) -> None:
        self._arguments = [*arguments, "--source", "surrogate", "--scale", "0.01", "--artifacts", "table3"]
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("driver.py")), str(log)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=60)

    def ask(self, folder: Path, **job: Any) -> None:
        """Begin to make the suite in a folder, with the troubles of a job; see `driver.py`."""
        folders = ["--results-dir", str(folder / "results"), "--cache-dir", str(folder / "cache")]
        line = json.dumps({"arguments": [*folders, *self._arguments], "folder": str(folder), **job})
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """How that ended."""
        assert self._process.stdout is not None
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def make(self, folder: Path, **job: Any) -> dict[str, Any]:
        """`ask`, and the answer."""
        self.ask(folder, **job)
        return self.answer()


def made(folder: Path) -> dict[str, Any]:
    """What a suite left: records without time and place, lists, parameters and tables, by path."""
    results, found = folder / "results", {}
    for path in sorted(results.glob("runs/**/*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        record["curve"] = [
            {key: value for key, value in epoch.items() if not key.endswith("seconds")}
            for epoch in record["curve"]
        ]
        passing = ("started", "command", "environment", "cost", "content_hash")  # the last is of the others
        found[str(path.relative_to(results))] = {key: record[key] for key in record if key not in passing}
    for path in sorted(results.glob("topk/*.npz")):
        with np.load(path) as arrays:
            found[str(path.relative_to(results))] = {name: arrays[name].tolist() for name in arrays}
    for kind in ("checkpoints", "tables"):
        for path in sorted((results / kind).glob("[!.]*")):
            found[str(path.relative_to(results))] = path.read_bytes()
    return found


def rests(folder: Path) -> list[str]:
    """What only runs in progress may leave, or damage."""
    patterns = ("**/*.part", "**/*.damaged", "results/claims/*", "results/unfinished/*")
    return [str(path) for pattern in patterns for path in folder.glob(pattern)]
