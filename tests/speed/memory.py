"""Peak memory: of an action in this process, and of a model's training and evaluation in one of its own.

Run as `python -m speed.memory MODEL FILE STEPS DEVICE`, it prints its figures as one line of JSON.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.core.places import ROOT
from bench.core.types import BenchmarkData, Interactions, Modality, Split
from bench.engine.trainer import keep_freed_memory
from bench.runs.machine import PeakMemory

PARTS = ("train", "valid", "test")


def increase(action: Callable[[], object], device: torch.device) -> int:
    """Bytes by which the memory, resident or of the device, rises at most while the action runs."""
    gc.collect()
    _give_back()
    memory = PeakMemory(device)
    before = memory.bytes()
    action()
    return memory.bytes() - before


def _give_back() -> None:
    """Return free memory to the system, where the C library can: what it kept for reuse would hide a rise."""
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def of_model(name: str, file: Path, n_steps: int, device: torch.device) -> dict[str, float]:
    """Figures of `measure` from a process that does nothing else.

    Raises:
        RuntimeError: that process failed.
    """
    command = [sys.executable, "-m", "speed.memory", name, str(file), str(n_steps), device.type]
    paths = os.pathsep.join([str(ROOT / "tests"), str(ROOT)])
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads()), "PYTHONPATH": paths}
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **threads}, check=False)
    if done.returncode:
        raise RuntimeError(f"the process that measures {name} failed: {done.stderr.strip()[-500:]}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def measure(name: str, data: BenchmarkData, n_steps: int, device: torch.device) -> dict[str, float]:
    """Peak bytes and seconds after building a model, a few training steps, and a full-ranking test pass."""
    from bench.core.protocol import Protocol
    from bench.engine.evaluate import Evaluator
    from speed.context import Bench
    from speed.training import Ours

    figures: dict[str, float] = {}
    gc.collect()
    _give_back()
    memory, start = PeakMemory(device), time.perf_counter()
    before = memory.bytes()

    def note(phase: str) -> None:
        figures[f"{phase}_bytes"] = memory.bytes() - before
        figures[f"{phase}_seconds"] = time.perf_counter() - start

    ours = Ours(Bench((), device, Path(), quick=False).model(name, data), data)
    note("built")
    ours.steps(n_steps)
    note("trained")
    Evaluator(data, Protocol(), device).test(ours.model.eval())
    note("evaluated")
    return figures


def save(data: BenchmarkData, path: Path) -> None:
    """Write what a model needs of a data set as an .npz file."""
    arrays: dict[str, Any] = {"counts": np.array([data.n_users, data.n_items])}
    for part in PARTS:
        interactions = data.split.part(part)  # type: ignore[arg-type]
        arrays[f"{part}.users"], arrays[f"{part}.items"] = interactions.users, interactions.items
    for modality in data.modalities:
        arrays[f"modality.{modality.name}"], arrays[f"present.{modality.name}"] = modality.matrix, modality.present
    np.savez(path, **arrays)


def load(path: Path) -> BenchmarkData:
    """Read what `save` wrote."""
    with np.load(path) as arrays:
        n_users, n_items = (int(count) for count in arrays["counts"])
        parts = [
            Interactions(n_users, n_items, arrays[f"{part}.users"], arrays[f"{part}.items"]) for part in PARTS
        ]
        modalities = tuple(
            Modality(name, arrays[f"modality.{name}"], arrays[f"present.{name}"], name, "copied")
            for name in (key.removeprefix("modality.") for key in arrays.files if key.startswith("modality."))
        )
    return BenchmarkData("tiktok", "surrogate", "copied", Split("random", *parts), modalities, "", "")


def main() -> None:
    """One measurement, printed."""
    name, file, n_steps, device = sys.argv[1:]
    keep_freed_memory()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    print(json.dumps(measure(name, load(Path(file)), int(n_steps), torch.device(device))))


if __name__ == "__main__":
    main()
