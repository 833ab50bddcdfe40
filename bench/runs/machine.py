"""Where a run is made: versions, processor, device, commit; its share of the cores; its memory."""

from __future__ import annotations

import contextlib
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
from bench.core.files import ROOT

PACKAGES = ("ludp-bench", "torch", "recbole", "numpy", "scipy", "pandas", "scikit-learn", "safetensors")
DEVICES = ("auto", "cpu", "cuda")
CGROUP = Path("/sys/fs/cgroup")


@contextlib.contextmanager
def with_variables(variables: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the processes that are started meanwhile; afterwards they are as before."""
    before = {name: os.environ[name] for name in variables if name in os.environ}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]
        os.environ.update(before)


def check_device_name(name: str) -> str:
    """The name, if it is one.

    Raises:
        UsageError: it is none.
    """
    if name not in DEVICES:
        raise unknown_name("device", name, DEVICES)
    return name


def pick_device(name: str) -> torch.device:
    """The device of that name; "auto" is CUDA where there is one.

    Raises:
        UsageError: an unknown name, or CUDA asked for where there is none.
    """
    check_device_name(name)
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            "--device cuda was asked for, but PyTorch sees no CUDA device here "
            f"(torch {torch.__version__}). Use --device cpu, or install a CUDA build of torch and its driver."
        )
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")


class Share(NamedTuple):
    """Processes that make runs side by side, and threads of each."""

    n_workers: int
    n_threads: int


def usable_cores(cgroup: Path = CGROUP) -> int:
    """Cores that this process may keep busy: its affinity, and the quota of its container where one is set."""
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
) -> Share:
    """How many processes make the runs and how many threads each takes; together never more than the cores.

    Args:
        n_workers: as asked for; None leaves it to us.
        n_threads: threads of a run, likewise.
        n_runs: runs that are due.
        device: where models live.
        n_cores: see `usable_cores`.

    Raises:
        UsageError: more is asked for than there are cores.
    """
    asked = (n_workers or 1) * (n_threads or 1)
    if asked > n_cores:
        raise UsageError(
            f"--workers {n_workers or 'auto'} with --threads {n_threads or 1} keeps {asked} cores busy, and "
            f"{n_cores} can be used here; with more threads than cores every run is many times slower. Give "
            f"--workers and --threads whose product is at most {n_cores}, or leave both out."
        )
    if n_workers is None:
        # Many processes of one thread rather than few of many: small products do not scale. Five epochs of four
        # models, two seeds, took 14 s with two threads and 20 s with one; two processes share the latter, after
        # 3 s that each takes to start. Beside other programs, threads that wait for each other made runs ten to
        # a hundred times longer, and single ones went on as before.
        n_workers = 1 if device.type == "cuda" else n_cores // (n_threads or 1)
    n_workers = max(1, min(n_workers, n_runs))
    # torch's own choice is the bound: it knows OMP_NUM_THREADS, and that two hyper-threads are one core
    return Share(n_workers, n_threads or min(n_cores // n_workers, torch.get_num_threads()))


@contextlib.contextmanager
def threads(n_threads: int) -> Iterator[None]:
    """Let torch take so many threads while the body runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def describe(device: torch.device) -> dict[str, Any]:
    """Versions, processor, threads, device and commit, JSON-like."""
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
    """The page of a repository by the address that git has for it; None where it has none, as for a folder.

    Names and passwords in the address are left out: it enters every record.
    """
    found = re.fullmatch(
        r"(?:(?:https?|ssh|git)://(?:[^@/]*@)?|[^@/:]+@)([\w.-]+)(?::\d+/|[:/])(.+)", remote or ""
    )
    return None if found is None else f"https://{found[1]}/{found[2].strip('/').removesuffix('.git')}"


def _git() -> dict[str, str | bool | None]:
    """Commit, whether the tree differs from it, and the repository's page; None where there is none."""

    def ask(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(ROOT), *words], capture_output=True, text=True, timeout=10, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    status = ask("status", "--porcelain", "--untracked-files=no")
    return {
        "commit": ask("rev-parse", "HEAD"),
        "modified": None if status is None else bool(status),
        "homepage": homepage(ask("remote", "get-url", "origin")),
    }


class PeakMemory:
    """The highest resident memory since construction, in bytes; on CUDA that of the device.

    Linux can reset the kernel's high-water mark of a process; elsewhere the mark of the whole process is
    all there is, and `scope` says so.

    Args:
        device: where the run is made.
    """

    def __init__(self, device: torch.device) -> None:
        self.scope: Literal["run", "process", "device"] = "process"
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self.scope = "device"
            return
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            self.scope = "run"
        except OSError:
            pass

    def bytes(self) -> int:
        """The peak so far."""
        if self.scope == "device":
            return torch.cuda.max_memory_allocated(self._device)
        if self.scope == "run":
            for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        factor = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * factor
