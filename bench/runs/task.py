"""What is handed to the code that makes runs: the options of a call, planned runs, tasks and their queue. Pure.

Also the `--on-existing` policies, which decide whether a run with a record is made again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

import torch

from bench.core.errors import unknown_name
from bench.core.protocol import Protocol
from bench.core.types import BenchmarkData
from bench.runs.cache import SharedData
from bench.runs.record_files import Damaged
from bench.runs.records import DataFacts, RunRecord, RunSpec

OnExisting = Literal["skip", "rerun", "only-missing"]
ON_EXISTING: dict[str, str] = {
    "skip": "keep finished runs, try failed ones again",
    "rerun": "make every run again",
    "only-missing": "keep finished and failed runs, make those without a record",
}


def check_on_existing(name: str) -> OnExisting:
    """Check the name of a policy and return it.

    Raises:
        UsageError: the name is unknown.
    """
    if name not in ON_EXISTING:
        raise unknown_name("--on-existing policy", name, ON_EXISTING)
    return cast(OnExisting, name)


def is_kept(existing: RunRecord | Damaged | None, policy: OnExisting) -> bool:
    """Return whether an existing record is kept, so that its run is not made again."""
    if policy == "rerun" or not isinstance(existing, RunRecord):
        return False
    return existing.status == "finished" or policy == "only-missing"


def describe_existing(existing: RunRecord | Damaged | None, policy: OnExisting) -> str:
    """Describe the existing record of a run and what the policy does about it, in a few words."""
    if existing is None:
        return "to do"
    status = "damaged" if isinstance(existing, Damaged) else existing.status
    return f"{status}, kept" if is_kept(existing, policy) else f"{status}, made again"


@dataclass(frozen=True)
class Cluster:
    """A Dask cluster and what a run takes of it.

    Attributes:
        address: address of the scheduler.
        device: "auto", "cpu" or "cuda"; resolved on the worker.
        n_threads: threads of a run on a CPU.
    """

    address: str
    device: str
    n_threads: int

    @property
    def resources(self) -> dict[str, float]:
        """Return the Dask resources that a run takes of a worker."""
        return {"GPU": 1.0} if self.device == "cuda" else {"threads": float(self.n_threads)}


@dataclass(frozen=True)
class RunOptions:
    """The options that all runs of a call share.

    Attributes:
        protocol: the evaluation protocol.
        device: the device of models and data.
        on_existing: what to do with runs that have a record, see `ON_EXISTING`.
        command: the command line, for the records.
        cache_dir: folder for k-NN lists and for arrays that processes share.
        n_workers: number of worker processes; None lets the program choose.
        n_threads: threads of each run; None lets the program choose.
        cluster: the cluster that makes the runs; None for this machine.
        tensorboard: whether to write curves for TensorBoard.
        plugins: locations of models outside this project, see `bench.engine.plugins`; worker processes load them
            again.
    """

    protocol: Protocol
    device: torch.device
    on_existing: OnExisting
    command: str
    cache_dir: Path
    n_workers: int | None = None
    n_threads: int | None = None
    cluster: Cluster | None = None
    tensorboard: bool = False
    plugins: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlannedRun:
    """A run of the plan, with its identity and the path of its record."""

    spec: RunSpec
    facts: DataFacts
    code_hash: str
    key: str
    path: Path


@dataclass(frozen=True, eq=False)
class RunTask:
    """A run to be made, with everything that it needs; a few kilobytes to send if `data` is a reference.

    Attributes:
        blank: the run's record before it starts.
        path: path of its record.
        data: the data set, or a reference to its shared arrays; None if it is sent separately.
        results_dir: root of the results store.
        options: options of the call.
        n_threads: threads of the run; a resumed run keeps the number that it started with.
        wait: whether to wait if another process makes the run, rather than to postpone it.
    """

    blank: RunRecord
    path: Path
    data: BenchmarkData | SharedData | None
    results_dir: Path
    options: RunOptions
    n_threads: int
    wait: bool = False


class Tasks:
    """The queue of runs that are due: first those whose worker died, last those that other processes make."""

    def __init__(self, due: Iterable[RunTask]) -> None:
        self._retries: deque[RunTask] = deque()
        self._due = iter(due)  # lazy: a task is built when it starts, because its record holds that time
        self._postponed: deque[RunTask] = deque()

    def next(self) -> RunTask | None:
        """Take the next task; None if there is none."""
        if self._retries:
            return self._retries.popleft()
        task = next(self._due, None)
        return self._postponed.popleft() if task is None and self._postponed else task

    def retry(self, task: RunTask) -> None:
        """Put a task at the front of the queue, after its worker died."""
        self._retries.append(task)

    def postpone(self, task: RunTask) -> None:
        """Put a task at the end, to wait there for the other process that makes it now."""
        self._postponed.append(replace(task, wait=True))
