"""Layer 8. The far end of a run on a cluster: runs inside a Dask worker, on whatever machine that is.

Where the worker sees the results directory, it writes there as a local run does, claims and checkpoints included,
and a run whose worker is lost goes on from its last epoch. Elsewhere it works in a folder of its own and sends the
files back; then a lost run begins anew. The numbers are the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import registry
from bench.assignment import RunTask
from bench.environment import describe, pick_device
from bench.errors import ConfigError, UsageError
from bench.observe import Event
from bench.plugins import plugged
from bench.records import RunRecord
from bench.runner import run_task
from bench.types import BenchmarkData, EpochFacts

STARTED = "started"


@dataclass(frozen=True)
class Message:
    """What a worker says of a run while it makes it."""

    key: str
    worker: str
    event: Event

    def plain(self) -> dict[str, Any]:
        """As Dask sends messages: strings, numbers and dictionaries."""
        event = {"epoch": self.event.model_dump()} if isinstance(self.event, EpochFacts) else {"text": self.event}
        return {"key": self.key, "worker": self.worker, **event}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Message:
        """The inverse of `plain`."""
        event = EpochFacts(**plain["epoch"]) if "epoch" in plain else str(plain["text"])
        return cls(plain["key"], plain["worker"], event)


@dataclass(frozen=True)
class Delivery:
    """What comes back of a run.

    Attributes:
        record: None where another runner makes it.
        files: content of the files that belong to it, by path below the results directory.
        written: whether the worker wrote all of it itself.
    """

    record: RunRecord | None
    files: dict[str, bytes]
    written: bool = False


def run_remotely(task: RunTask, data: BenchmarkData, device: str, topic: str, marker: Path) -> Delivery:
    """Make a run inside a Dask worker.

    Args:
        task: the run; its data is not used.
        data: shipped once to each worker, under the hash of its content.
        device: see `pick_device`; looked for here.
        topic: of the messages.
        marker: a file in the results directory that tells whether it is visible here.

    Raises:
        BenchError: as `run_task`; also where the worker's code or its number of threads does not fit.
    """
    from distributed import get_worker

    worker = get_worker()
    with plugged(task.options.plugins):
        _check_worker(worker.state.nthreads, task)
    here = task_here(task, data, device)

    def tell(event: Event) -> None:
        worker.log_event(topic, Message(task.blank.key, worker.address, event).plain())

    tell(STARTED)
    if marker.exists():
        return Delivery(run_task(here, tell), {}, written=True)
    with tempfile.TemporaryDirectory(dir=worker.local_directory) as folder:
        return run_apart(here, Path(folder), tell)


def run_apart(task: RunTask, folder: Path, tell: Callable[[Event], None]) -> Delivery:
    """Make a run in a folder of its own and take all that it leaves into memory."""
    path = folder / task.path.relative_to(task.results_dir)
    options = replace(task.options, cache_dir=folder / "cache")
    record = run_task(replace(task, path=path, results_dir=folder, options=options), tell)
    kept = [each for part in ("topk", "checkpoints") for each in sorted((folder / part).glob("*"))]
    return Delivery(record, {each.relative_to(folder).as_posix(): each.read_bytes() for each in kept})


def task_here(task: RunTask, data: BenchmarkData, device: str) -> RunTask:
    """The task as it is made on this machine: its device, and a record that says where and when."""
    options = replace(task.options, device=pick_device(device))
    told = {name: task.blank.environment[name] for name in ("n_workers", "threads")}
    blank = task.blank.model_copy(
        update={
            "environment": describe(options.device) | told,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    )
    return replace(task, blank=blank, data=data, options=options)


def _check_worker(n_slots: int, task: RunTask) -> None:
    if n_slots != 1:
        raise UsageError(
            f"A Dask worker makes {n_slots} tasks at once in one process, where they would share one random "
            f"number generator. Start workers with --nthreads 1, as many as runs shall be made side by side."
        )
    model = task.blank.spec.model
    try:
        found = registry.code_hash(model)
    except UsageError as problem:
        raise ConfigError(
            f"The model '{model}' is not found on a worker. {problem} Put plugins in the same place on every "
            f"machine, or install them there as a package."
        ) from problem
    if found != task.blank.code_hash:
        raise ConfigError(
            f"The code of the model '{model}' on a worker is not the one here, so its records would name code "
            f"that did not make them. Bring both to the same version and start the workers again."
        )
