"""The far end of a run on a cluster: runs inside a Dask worker, on whatever machine that is.

Where the worker sees the results directory, it writes there as a local run does, claims and checkpoints included,
and a run whose worker is lost goes on from its last epoch. Elsewhere it works in a folder of its own and sends the
files back; then a lost run begins anew. The numbers are the same.

Makes runs on a Dask cluster: hands them over, shows what it hears, keeps what comes back.

Scheduling, retries and the shipping of data are Dask's. A run asks for one `GPU`, or for `threads`, resources that
the workers declare; one whose worker is lost is made by another. Dask's own messages are pickles, so scheduler and
workers must be trusted as this machine is.
"""

from __future__ import annotations

import contextlib
import queue
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import BenchError, ConfigError, ResultsError, UsageError
from bench.core.files import write_atomically
from bench.core.types import BenchmarkData, EpochFacts
from bench.engine import registry
from bench.engine.plugins import plugged
from bench.runs.events import Event
from bench.runs.machine import describe, pick_device
from bench.runs.records import RunRecord
from bench.runs.runner import run_lost, run_task
from bench.runs.store import ResultsStore
from bench.runs.task import Cluster, RunTask

if TYPE_CHECKING:
    from distributed import Client, Future

    from bench.runs.events import Listener
    from bench.runs.task import Tasks

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


SECONDS_TO_CONNECT = 10
SECONDS_BETWEEN_LOOKS = 5.0
MAX_LOSSES = 3  # of the workers of one run


@contextlib.contextmanager
def connected(cluster: Cluster) -> Iterator[Client]:
    """A client of the scheduler.

    Raises:
        UsageError: the package is not installed, the address is none, or nobody answers there.
    """
    try:
        from distributed import Client
        from distributed.comm.addressing import get_address_host_port
    except ModuleNotFoundError as problem:
        raise UsageError(
            "--executor dask needs the package distributed: pip install 'ludp-bench[cluster]'."
        ) from problem
    try:
        get_address_host_port(cluster.address)  # a client of no address at all takes long to end
        client = Client(cluster.address, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as problem:
        raise UsageError(
            f"No Dask scheduler answers at '{cluster.address}' ({problem}). Start one with 'dask scheduler', and "
            f"give the address that it prints, such as tcp://HOST:8786."
        ) from problem
    with client:
        yield client


def _fill(content: bytes, path: Path) -> None:
    path.write_bytes(content)


class ClusterRuns:
    """The runs of a call on a cluster.

    Args:
        client: connected to the scheduler.
        cluster: what was asked for.
        data: data sets by name.
        store: where results are kept.
        listener: shows what happens.
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
        self._shipped: dict[str, Future[Any]] = {}
        self._waiting: dict[Future[Any], RunTask] = {}
        self._rows: dict[str, int] = {}
        self._losses: dict[str, int] = {}
        self._said = False

    def work(self, tasks: Tasks) -> dict[str, RunRecord]:
        """All records by key.

        Raises:
            BenchError: a user's error on a worker, or the scheduler is gone; what is finished is kept.
        """
        made: dict[str, RunRecord] = {}
        self._client.subscribe_topic(self._topic, lambda event: self._inbox.put(Message.of(event[1])))
        try:
            write_atomically(self._marker, lambda path: path.touch())
            while self._submit_all(tasks):
                while self._waiting:
                    self._receive(tasks, made)
        finally:
            self._marker.unlink(missing_ok=True)
            with contextlib.suppress(Exception):  # the scheduler may be gone
                self._client.cancel(list(self._waiting))
                self._client.unsubscribe_topic(self._topic)
        return made

    def _submit_all(self, tasks: Tasks) -> bool:
        while (task := tasks.next()) is not None:
            self._submit(task)
        return bool(self._waiting)

    def _submit(self, task: RunTask) -> None:
        cluster, key = self._cluster, task.blank.key
        future = self._client.submit(
            run_remotely,
            task,
            self._ship(task.blank.spec.dataset),
            cluster.device,
            self._topic,
            self._marker.absolute(),
            key=f"ludp-bench-{key}-{uuid.uuid4().hex[:8]}",
            resources=cluster.resources,
            pure=False,
        )
        self._waiting[future] = task
        future.add_done_callback(self._inbox.put)

    def _ship(self, name: str) -> Future[Any]:
        """The data set on all workers, under the hash of its content; sent once."""
        if name not in self._shipped:
            data = self._data[name]
            key = f"ludp-bench-data-{data.data_hash}-{data.split_hash}"
            self._shipped[name] = self._client.scatter({key: data}, broadcast=True)[key]
        return self._shipped[name]

    def _receive(self, tasks: Tasks, made: dict[str, RunRecord]) -> None:
        """One message of a worker, or the end of a run."""
        try:
            item = self._inbox.get(timeout=SECONDS_BETWEEN_LOOKS)
        except queue.Empty:
            self._look_around()
            return
        if isinstance(item, Message):
            self._pass_on(item)
        elif (task := self._waiting.pop(item, None)) is not None:
            delivery = self._delivered(item, task)
            if delivery is not None and delivery.record is None:
                tasks.later(task)
            elif delivery is not None and delivery.record is not None:
                made[delivery.record.key] = delivery.record
                self._listener.run_done(delivery.record, self._rows.get(task.blank.key, 0))

    def _pass_on(self, message: Message) -> None:
        task = next((each for each in self._waiting.values() if each.blank.key == message.key), None)
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

    def _delivered(self, future: Future[Any], task: RunTask) -> Delivery | None:
        """What a future brought, written where it belongs; None if the run is handed out again."""
        if future.status == "finished":
            delivery: Delivery = future.result()
            self._write(delivery, task)
            return delivery
        if future.status == "error":
            return Delivery(self._failed(future.exception(), task), {}, written=True)
        self._check_connection()
        # the worker that held the data is lost, and Dask cannot make it again
        name, key = task.blank.spec.dataset, task.blank.key
        self._losses[key] = self._losses.get(key, 0) + 1
        if self._losses[key] >= MAX_LOSSES:
            return Delivery(run_lost(task, f"{MAX_LOSSES} times the data was lost with a Dask worker"), {}, True)
        self._shipped.pop(name, None)
        self._submit(task)
        return None

    def _failed(self, problem: BaseException | None, task: RunTask) -> RunRecord:
        """The record of a run whose workers died, one after the other.

        Raises:
            BenchError: something else went wrong, for all runs alike.
        """
        from distributed import KilledWorker

        if isinstance(problem, KilledWorker):
            return run_lost(task, f"Dask workers died while they made it: {problem}")
        if isinstance(problem, BenchError):
            raise problem
        raise ConfigError(
            f"A Dask worker cannot make runs ({type(problem).__name__}: {problem}). Install the same version of "
            f"ludp-bench and its packages on all workers, and start them again."
        ) from problem

    def _write(self, delivery: Delivery, task: RunTask) -> None:
        """Keep what was sent back, the record last."""
        if delivery.record is None or delivery.written:
            return
        for name, content in delivery.files.items():
            path = self._store.root / name
            try:
                write_atomically(path, partial(_fill, content))
            except OSError as problem:
                raise ResultsError(
                    f"{path} cannot be written ({problem.strerror or problem}). Finished runs are kept: free some "
                    f"space or make the directory writable, and run the same command again to go on."
                ) from problem
        self._store.write_record(task.path, delivery.record)

    def _look_around(self) -> None:
        """Nothing was heard for a while: the scheduler may be gone, or nobody be there to make the runs."""
        self._check_connection()
        wanted = self._cluster.resources
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        able = [
            each
            for each in workers
            if all(each["resources"].get(name, 0) >= amount for name, amount in wanted.items())
        ]
        if not able and not self._said:
            self._said = True
            asked = " ".join(f"{name}={amount:g}" for name, amount in wanted.items())
            self._listener.warn(
                f"Waiting: none of {len(workers)} Dask workers offers {asked}. Start some with: "
                f'dask worker {self._cluster.address} --nthreads 1 --resources "{asked}"'
            )

    def _check_connection(self) -> None:
        if self._client.status != "running":
            raise ResultsError(
                f"The Dask scheduler at {self._cluster.address} is gone. Finished runs are kept: run the same "
                f"command again to go on when it is back."
            )
