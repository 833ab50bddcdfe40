"""Runs on a Dask cluster: submits them, shows their progress, and stores what workers send back.

`ClusterRuns` works on this machine and `run_remotely` inside a worker. Writes the results directory. Dask does the
scheduling, the retries and the transfer of data. A run requests one `GPU`, or `threads`; workers declare these
resources. Dask's own messages are pickles, so the scheduler and the workers must be trusted as this machine is.
"""

from __future__ import annotations

import contextlib
import queue
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import BenchError, ConfigError, ResultsError, UsageError
from bench.core.files import os_errors, write_atomically, write_bytes
from bench.core.types import BenchmarkData, EpochFacts
from bench.engine import registry
from bench.engine.plugins import use_plugins
from bench.runs.events import Event, OnEvent
from bench.runs.machine import describe, pick_device
from bench.runs.records import RunRecord
from bench.runs.runner import record_lost_run, run_task
from bench.runs.store import ResultsStore
from bench.runs.task import Cluster, RunTask

if TYPE_CHECKING:
    from distributed import Client, Future

    from bench.runs.events import Listener
    from bench.runs.task import Tasks

STARTED = "started"
SECONDS_TO_CONNECT = 10
SECONDS_BETWEEN_CHECKS = 5.0
MAX_LOSSES = 3  # of one run's data, before the run is recorded as failed


@dataclass(frozen=True)
class Message:
    """One event of a run in progress, as a worker reports it."""

    key: str
    worker: str
    event: Event

    def plain(self) -> dict[str, Any]:
        """Return the message in the form that Dask sends: strings, numbers and dictionaries."""
        event = {"epoch": self.event.model_dump()} if isinstance(self.event, EpochFacts) else {"text": self.event}
        return {"key": self.key, "worker": self.worker, **event}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Message:
        """Read a message from the form that `plain` returns."""
        event = EpochFacts(**plain["epoch"]) if "epoch" in plain else str(plain["text"])
        return cls(plain["key"], plain["worker"], event)


@dataclass(frozen=True)
class Delivery:
    """What a worker returns for a run.

    Attributes:
        record: the run's record; None if another runner has claimed the run.
        files: content of the files that belong to it, by path below the results directory.
        written: whether the worker has already written the record and all files.
    """

    record: RunRecord | None
    files: dict[str, bytes]
    written: bool = False


def run_remotely(task: RunTask, data: BenchmarkData, device: str, topic: str, marker: Path) -> Delivery:
    """Make a run inside a Dask worker.

    Args:
        task: the run; its data is not used.
        data: the data set, sent once to each worker under the hash of its content.
        device: name of a device, see `pick_device`; resolved on the worker.
        topic: topic of the messages.
        marker: a file in the results directory, which exists here only if the worker sees that directory.

    Raises:
        BenchError: as `run_task`; also if the worker's code or its number of threads does not fit.
    """
    from distributed import get_worker

    worker = get_worker()
    with use_plugins(task.options.plugins):
        _check_worker(worker.state.nthreads, task)
    task = localized(task, data, device)

    def send(event: Event) -> None:
        worker.log_event(topic, Message(task.blank.key, worker.address, event).plain())

    send(STARTED)
    # On a shared results directory the worker writes as a local run does, claims and checkpoints included, and a
    # run whose worker is lost resumes from its last epoch. Elsewhere a lost run starts again. The numbers are the
    # same.
    if marker.exists():
        return Delivery(run_task(task, send), {}, written=True)
    with tempfile.TemporaryDirectory(dir=worker.local_directory) as folder:
        return run_in_own_folder(task, Path(folder), send)


def run_in_own_folder(task: RunTask, folder: Path, on_event: OnEvent) -> Delivery:
    """Make a run in a temporary folder and return its files in memory."""
    path = folder / task.path.relative_to(task.results_dir)
    options = replace(task.options, cache_dir=folder / "cache")
    record = run_task(replace(task, path=path, results_dir=folder, options=options), on_event)
    files = [each for part in ("topk", "checkpoints") for each in sorted((folder / part).glob("*"))]
    return Delivery(record, {each.relative_to(folder).as_posix(): each.read_bytes() for each in files})


def localized(task: RunTask, data: BenchmarkData, device: str) -> RunTask:
    """Return the task for this machine: with its data, its device, and its environment in the record."""
    options = replace(task.options, device=pick_device(device))
    planned = {name: task.blank.environment[name] for name in ("n_workers", "threads")}
    blank = task.blank.model_copy(
        update={
            "environment": describe(options.device) | planned,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    )
    return replace(task, blank=blank, data=data, options=options)


def _check_worker(n_slots: int, task: RunTask) -> None:
    if n_slots != 1:
        raise UsageError(
            f"A Dask worker runs {n_slots} tasks at once in one process, where they would share one random "
            f"number generator. Start workers with --nthreads 1, one for each run that should run in parallel."
        )
    model = task.blank.spec.model
    try:
        code_hash = registry.code_hash(model)
    except UsageError as problem:
        raise ConfigError(
            f"The model '{model}' is not found on a worker. {problem} Put plugins in the same place on every "
            f"machine, or install them there as a package."
        ) from problem
    if code_hash != task.blank.code_hash:
        raise ConfigError(
            f"The code of the model '{model}' on a worker is not the one here, so its records would name code "
            f"that did not make them. Bring both to the same version and start the workers again."
        )


@contextlib.contextmanager
def connected(cluster: Cluster) -> Iterator[Client]:
    """Connect to the scheduler, and disconnect at the end.

    Raises:
        UsageError: the package is not installed, the address is not valid, or no scheduler answers.
    """
    try:
        from distributed import Client
        from distributed.comm.addressing import get_address_host_port
    except ModuleNotFoundError as problem:
        raise UsageError(
            "--executor dask needs the package distributed: pip install 'ludp-bench[cluster]'."
        ) from problem
    advice = "Start one with 'dask scheduler', and give the address that it prints, such as tcp://HOST:8786."
    with os_errors(f"No Dask scheduler answers at '{cluster.address}'", advice, UsageError, ValueError):
        get_address_host_port(cluster.address)  # a client of a malformed address takes long to give up
        client = Client(cluster.address, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    with client:
        yield client


class ClusterRuns:
    """The runs of a call on a cluster.

    Args:
        client: connected to the scheduler.
        cluster: the options of the call.
        data: data sets by name.
        store: where results are kept.
        listener: shows the progress.
    """

    def __init__(
        self,
        client: Client,
        cluster: Cluster,
        data: Mapping[str, BenchmarkData],
        store: ResultsStore,
        listener: Listener,
    ) -> None:
        self._client, self._cluster, self._data, self._store = client, cluster, data, store
        self._listener = listener
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._topic = f"ludp-bench-{uuid.uuid4().hex}"
        self._marker = store.root / f".{self._topic}"
        self._scattered: dict[str, Future[Any]] = {}
        self._pending: dict[Future[Any], RunTask] = {}
        self._rows: dict[str, int] = {}  # of the display, by worker and by run
        self._losses: dict[str, int] = {}
        self._has_warned = False

    def work(self, tasks: Tasks) -> dict[str, RunRecord]:
        """Make all tasks and return their records by key.

        Raises:
            BenchError: a user's error on a worker, or the scheduler is gone; finished runs are kept.
        """
        made: dict[str, RunRecord] = {}
        self._client.subscribe_topic(self._topic, lambda event: self._inbox.put(Message.of(event[1])))
        try:
            write_atomically(self._marker, lambda path: path.touch())
            while self._submit_all(tasks):
                while self._pending:
                    self._receive(tasks, made)
        finally:
            self._marker.unlink(missing_ok=True)
            with contextlib.suppress(Exception):  # the scheduler may be gone
                self._client.cancel(list(self._pending))
                self._client.unsubscribe_topic(self._topic)
        return made

    def _submit_all(self, tasks: Tasks) -> bool:
        while (task := tasks.next()) is not None:
            self._submit(task)
        return bool(self._pending)

    def _submit(self, task: RunTask) -> None:
        cluster, key = self._cluster, task.blank.key
        future = self._client.submit(
            run_remotely,
            task,
            self._scatter(task.blank.spec.dataset),
            cluster.device,
            self._topic,
            self._marker.absolute(),
            key=f"ludp-bench-{key}-{uuid.uuid4().hex[:8]}",
            resources=cluster.resources,
            pure=False,
        )
        self._pending[future] = task
        future.add_done_callback(self._inbox.put)

    def _scatter(self, name: str) -> Future[Any]:
        """Send a data set to all workers, once, under the hash of its content."""
        if name not in self._scattered:
            data = self._data[name]
            key = f"ludp-bench-data-{data.data_hash}-{data.split_hash}"
            self._scattered[name] = self._client.scatter({key: data}, broadcast=True)[key]
        return self._scattered[name]

    def _receive(self, tasks: Tasks, made: dict[str, RunRecord]) -> None:
        """Wait for the next message of a worker or the end of a run, and handle it."""
        try:
            item = self._inbox.get(timeout=SECONDS_BETWEEN_CHECKS)
        except queue.Empty:
            self._check_workers()
            return
        if isinstance(item, Message):
            self._pass_on(item)
        elif (task := self._pending.pop(item, None)) is not None:
            delivery = self._take(item, task)
            if delivery is not None and delivery.record is None:
                tasks.postpone(task)
            elif delivery is not None and delivery.record is not None:
                made[delivery.record.key] = delivery.record
                self._listener.run_done(delivery.record, self._rows.get(task.blank.key, 0))

    def _pass_on(self, message: Message) -> None:
        task = next((each for each in self._pending.values() if each.blank.key == message.key), None)
        if task is None:
            return
        row = self._rows.setdefault(message.worker, len(self._rows))
        self._rows[message.key] = row
        if message.event == STARTED:
            self._listener.run_started(task.blank.spec, row)
        elif isinstance(message.event, EpochFacts):
            self._listener.epoch_done(message.event, row)
        else:
            self._listener.warn(message.event)

    def _take(self, future: Future[Any], task: RunTask) -> Delivery | None:
        """Store the result of a future and return it; None if the run was submitted again."""
        if future.status == "finished":
            delivery: Delivery = future.result()
            self._write(delivery, task)
            return delivery
        if future.status == "error":
            return Delivery(self._failed_record(future.exception(), task), {}, written=True)
        self._check_connection()
        # the worker that held the data is lost, and Dask cannot make it again
        name, key = task.blank.spec.dataset, task.blank.key
        self._losses[key] = self._losses.get(key, 0) + 1
        if self._losses[key] >= MAX_LOSSES:
            reason = f"the data was lost {MAX_LOSSES} times together with a Dask worker"
            return Delivery(record_lost_run(task, reason), {}, written=True)
        self._scattered.pop(name, None)
        self._submit(task)
        return None

    def _failed_record(self, problem: BaseException | None, task: RunTask) -> RunRecord:
        """Write the failed record of a run whose workers died one after the other.

        Raises:
            BenchError: any other error, which would meet all runs alike.
        """
        from distributed import KilledWorker

        if isinstance(problem, KilledWorker):
            return record_lost_run(task, f"Dask workers died during the run: {problem}")
        if isinstance(problem, BenchError):
            raise problem
        raise ConfigError(
            f"A Dask worker failed outside a run ({type(problem).__name__}: {problem}). Install the same version "
            f"of ludp-bench and its packages on all workers, and start them again."
        ) from problem

    def _write(self, delivery: Delivery, task: RunTask) -> None:
        """Write the files that a worker sent back, and the record last."""
        if delivery.record is None or delivery.written:
            return
        for name, content in delivery.files.items():
            path = self._store.root / name
            with os_errors(
                f"{path} cannot be written",
                "Finished runs are kept: free some space or make the directory writable, and run the "
                "same command again to resume.",
            ):
                write_bytes(path, content)
        self._store.write_record(task.path, delivery.record)

    def _check_workers(self) -> None:
        """After a silence, check that the scheduler still runs and that some worker can take the runs."""
        self._check_connection()
        wanted = self._cluster.resources
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        able = [
            each
            for each in workers
            if all(each["resources"].get(name, 0) >= amount for name, amount in wanted.items())
        ]
        if not able and not self._has_warned:
            self._has_warned = True
            needed = " ".join(f"{name}={amount:g}" for name, amount in wanted.items())
            self._listener.warn(
                f"Waiting: none of {len(workers)} Dask workers offers {needed}. Start some with: "
                f'dask worker {self._cluster.address} --nthreads 1 --resources "{needed}"'
            )

    def _check_connection(self) -> None:
        if self._client.status != "running":
            raise ResultsError(
                f"The Dask scheduler at {self._cluster.address} is gone. Finished runs are kept: when it is back, "
                f"run the same command again to resume."
            )
