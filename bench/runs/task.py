"""What becomes of runs that were made before: the `--on-existing` policies. Pure.

What is handed to whoever makes runs: the options of a call, a planned run, a task. Values only.

The order in which runs are made. Pure.
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
    """The policy of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in ON_EXISTING:
        raise unknown_name("--on-existing policy", name, ON_EXISTING)
    return cast(OnExisting, name)


def is_kept(existing: RunRecord | Damaged | None, policy: OnExisting) -> bool:
    """Whether a record stands, so that its run is not made."""
    if policy == "rerun" or not isinstance(existing, RunRecord):
        return False
    return existing.status == "finished" or policy == "only-missing"


def state_of(existing: RunRecord | Damaged | None, policy: OnExisting) -> str:
    """What is there of a run and what a policy does about it, in words."""
    if existing is None:
        return "to do"
    found = "damaged" if isinstance(existing, Damaged) else existing.status
    return f"{found}, kept" if is_kept(existing, policy) else f"{found}, made again"


@dataclass(frozen=True)
class Cluster:
    """Where runs are made by a Dask cluster.

    Attributes:
        address: of the scheduler.
        device: "auto", "cpu" or "cuda"; looked for on the worker.
        n_threads: of a run on a CPU.
    """

    address: str
    device: str
    n_threads: int

    @property
    def resources(self) -> dict[str, float]:
        """What a run takes of a worker."""
        return {"GPU": 1.0} if self.device == "cuda" else {"threads": float(self.n_threads)}


@dataclass(frozen=True)
class RunOptions:
    """What is the same for all runs of a call.

    Attributes:
        protocol: the evaluation.
        device: where models live.
        on_existing: see `bench.runs.task`.
        command: the command line, for the records.
        cache_dir: folder for k-NN lists and for arrays that processes share.
        n_workers: processes that make runs side by side, None for our choice.
        n_threads: threads of each run, likewise.
        cluster: who makes the runs, None for this machine.
        tensorboard: whether curves are kept for TensorBoard.
        plugins: where models outside this project lie, see `bench.engine.plugins`; whoever makes a run needs to
        know.
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
    """A run of the plan, with its identity and the place of its record."""

    spec: RunSpec
    facts: DataFacts
    code_hash: str
    key: str
    path: Path


@dataclass(frozen=True, eq=False)
class RunTask:
    """A run to be made, with all that this takes; kilobytes to send where `data` is a reference.

    Attributes:
        blank: its record from before.
        path: where its record will lie.
        data: the data set, or where another process finds it; None where it comes another way.
        results_dir: root of the results store.
        options: those of the call.
        n_threads: threads that the run may take; one that goes on takes as many as before.
        wait: for another runner that makes it, rather than to leave it for later.
    """

    blank: RunRecord
    path: Path
    data: BenchmarkData | SharedData | None
    results_dir: Path
    options: RunOptions
    n_threads: int
    wait: bool = False


class Tasks:
    """The runs that are due, in order; first those that go on after a death, last those that others make."""

    def __init__(self, due: Iterable[RunTask]) -> None:
        self._first: deque[RunTask] = deque()
        self._due = iter(due)
        self._last: deque[RunTask] = deque()

    def next(self) -> RunTask | None:
        """The next one, made now so that it knows when it began; None where there is none."""
        if self._first:
            return self._first.popleft()
        task = next(self._due, None)
        return self._last.popleft() if task is None and self._last else task

    def again(self, task: RunTask) -> None:
        """To be made next."""
        self._first.append(task)

    def later(self, task: RunTask) -> None:
        """Another runner makes it: to be waited for when all else is done."""
        self._last.append(replace(task, wait=True))
