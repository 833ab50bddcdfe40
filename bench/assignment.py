"""Layer 6. What is handed to whoever makes runs: the options of a call, a planned run, a task. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from bench.policy import OnExisting
from bench.protocol import Protocol
from bench.records import DataFacts, RunRecord, RunSpec
from bench.shared_data import SharedData
from bench.types import BenchmarkData


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
        on_existing: see `bench.policy`.
        command: the command line, for the records.
        cache_dir: folder for k-NN lists and for arrays that processes share.
        n_workers: processes that make runs side by side, None for our choice.
        n_threads: threads of each run, likewise.
        cluster: who makes the runs, None for this machine.
        tensorboard: whether curves are kept for TensorBoard.
        plugins: where models outside this project lie, see `bench.plugins`; whoever makes a run needs to know.
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
