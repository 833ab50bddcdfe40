"""Layer 8. Makes runs on a Dask cluster: hands them over, shows what it hears, keeps what comes back.

Scheduling, retries and the shipping of data are Dask's. A run asks for one `GPU`, or for `threads`, resources that
the workers declare; one whose worker is lost is made by another. Dask's own messages are pickles, so scheduler and
workers must be trusted as this machine is.
"""

from __future__ import annotations

import contextlib
import queue
import uuid
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.assignment import Cluster, RunTask
from bench.cluster.remote import STARTED, Delivery, Message, run_remotely
from bench.errors import BenchError, ConfigError, ResultsError, UsageError
from bench.files import write_atomically
from bench.records import RunRecord
from bench.runner import run_lost
from bench.store import ResultsStore
from bench.types import BenchmarkData, EpochFacts

if TYPE_CHECKING:
    from distributed import Client, Future

    from bench.executor import Listener
    from bench.tasks import Tasks

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
