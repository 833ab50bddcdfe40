"""The machine of a run: its versions, processor, device and commit; how its cores are divided; its memory.

Reads the operating system and git; writes nothing.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import platform
import re
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from bench.core.errors import UsageError, unknown_name
from bench.core.places import IN_CHECKOUT, ROOT

PACKAGES = ("ludp-bench", "torch", "recbole", "numpy", "scipy", "pandas", "scikit-learn", "safetensors")
DEVICES = ("auto", "cpu", "cuda")
CGROUP = Path("/sys/fs/cgroup")


def load_libraries() -> None:
    """Import what the first training of a process would, so that its run seems no slower than later ones."""
    importlib.import_module("torch._dynamo")  # an optimiser does so at its first use, which takes seconds


@contextlib.contextmanager
def with_variables(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for processes that start while the body runs; restore them afterwards."""
    before = {name: os.environ[name] for name in variables if name in os.environ}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]
        os.environ.update(before)


def check_device_name(name: str) -> str:
    """Check the name of a device and return it.

    Raises:
        UsageError: the name is unknown.
    """
    if name not in DEVICES:
        raise unknown_name("device", name, DEVICES)
    return name


def pick_device(name: str) -> torch.device:
    """Return the device of a name; "auto" is CUDA if there is a CUDA device.

    Raises:
        UsageError: the name is unknown, or there is no CUDA device and "cuda" was requested.
    """
    check_device_name(name)
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            "--device cuda was given, but PyTorch sees no CUDA device here "
            f"(torch {torch.__version__}). Use --device cpu, or install a CUDA build of torch and its driver."
        )
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")


class CoreShare(NamedTuple):
    """A number of worker processes, and of threads of each."""

    n_workers: int
    n_threads: int


def usable_cores(cgroup: Path = CGROUP) -> int:
    """Count the cores that this process may use, by its affinity and by its container's quota if one is set."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):  # version 2, version 1
        try:
            quota, period = " ".join((cgroup / file).read_text(encoding="ascii") for file in files).split()
        except (OSError, ValueError):
            continue
        if quota not in ("max", "-1"):
            allowed = min(allowed, int(quota) // int(period))
    return max(1, allowed)


def divide_cores(
    n_workers: int | None, n_threads: int | None, n_runs: int, device: torch.device, n_cores: int
) -> CoreShare:
    """Choose the number of worker processes and of threads of each; together never more than the cores.

    Args:
        n_workers: number of processes; None lets this function choose.
        n_threads: number of threads of each run; None lets this function choose.
        n_runs: number of runs that are due.
        device: device of the models.
        n_cores: number of cores, see `usable_cores`.

    Raises:
        UsageError: the given numbers need more cores than there are.
    """
    n_busy = (n_workers or 1) * (n_threads or 1)
    if n_busy > n_cores:
        raise UsageError(
            f"--workers {n_workers or 'auto'} with --threads {n_threads or 1} keeps {n_busy} cores busy, and "
            f"{n_cores} can be used here; with more threads than cores every run is many times slower. Give "
            f"--workers and --threads whose product is at most {n_cores}, or leave both out."
        )
    if n_workers is None:
        # Many processes with one thread each, because small matrix products do not scale with threads. Five epochs
        # of four models with two seeds took 14 s with two threads and 20 s with one; two processes halve the 20 s,
        # after a start of 3 s. Beside other programs, threads that waited for each other made runs 10 to 100 times
        # longer, while runs with one thread kept their speed.
        n_workers = 1 if device.type == "cuda" else n_cores // (n_threads or 1)
    n_workers = max(1, min(n_workers, n_runs))
    # torch's own choice is an upper bound: it knows OMP_NUM_THREADS, and that two hyper-threads are one core
    return CoreShare(n_workers, n_threads or min(n_cores // n_workers, torch.get_num_threads()))


@contextlib.contextmanager
def threads(n_threads: int) -> Iterator[None]:
    """Let torch use this number of threads while the body runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def describe(device: torch.device) -> dict[str, Any]:
    """Return versions, processor, threads, device and commit as a JSON-like dictionary."""
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": device.type if device.type == "cpu" else torch.cuda.get_device_name(device),
        "packages": {name: _version(name) for name in PACKAGES},
        "git": _git(),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def homepage(remote: str | None) -> str | None:
    """Return the web page of a repository from its git address; None if there is none, as for a local folder."""
    # without the user name and password of the address, because every record holds the page
    match = re.fullmatch(
        r"(?:(?:https?|ssh|git)://(?:[^@/]*@)?|[^@/:]+@)([\w.-]+)(?::\d+/|[:/])(.+)", remote or ""
    )
    return None if match is None else f"https://{match[1]}/{match[2].strip('/').removesuffix('.git')}"


def _git() -> dict[str, str | bool | None]:
    """Return the commit, whether the working tree differs from it, and the repository's page; None if unknown."""

    def output(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=10, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    if not IN_CHECKOUT:  # git could find another repository around the installed package
        return {"commit": None, "modified": None, "homepage": None}
    status = output("status", "--porcelain", "--untracked-files=no")
    return {
        "commit": output("rev-parse", "HEAD"),
        "modified": None if status is None else bool(status),
        "homepage": homepage(output("remote", "get-url", "origin")),
    }


class PeakMemory:
    """The peak of resident memory since construction, in bytes; on CUDA that of the device's memory.

    Args:
        device: device of the run.

    Attributes:
        scope: "device" on CUDA; "run" if the peak could be reset at construction, else "process".
    """

    def __init__(self, device: torch.device) -> None:
        self.scope: Literal["run", "process", "device"] = "process"
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self.scope = "device"
            return
        try:
            # Linux resets the peak of the process; elsewhere there is only the peak since the process started
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            self.scope = "run"
        except OSError:
            pass

    def bytes(self) -> int:
        """Return the peak so far."""
        if self.scope == "device":
            return torch.cuda.max_memory_allocated(self._device)
        if self.scope == "run":
            for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        factor = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * factor
