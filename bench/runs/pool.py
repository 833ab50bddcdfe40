"""A worker process: how it is started, what it does, and why it ended. Talks through its pipe only.

Processes are spawned: a fork after OpenMP has started may hang.

Makes the runs of a plan that are due: here one after another, or side by side in worker processes.

The pool is our own, one pipe and one task a worker. Ready-made ones (concurrent.futures, joblib's loky) drop
all pending tasks when a process dies and cannot say whose task it had; here that run goes on in a new worker, and
is recorded as failed after its third death. Runs that another runner makes come last. Writes nothing itself but
shared arrays and the records of runs whose workers died; removes what killed processes left behind.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from bench.core.errors import BenchError, ConfigError
from bench.core.files import remove_leftovers
from bench.core.types import BenchmarkData, EpochFacts
from bench.engine import registry
from bench.engine.plugins import locations, plugged
from bench.runs.cache import SharedData, code_of_lists, publish
from bench.runs.checkpoint import drop_finished
from bench.runs.dask import ClusterRuns, connected
from bench.runs.events import Event, Listener, Tell
from bench.runs.machine import Share, divide_cores, usable_cores, with_variables
from bench.runs.record_files import Damaged
from bench.runs.records import RunRecord, RunSpec
from bench.runs.runner import make_task, planned_runs, run_lost, run_task
from bench.runs.store import ResultsStore
from bench.runs.task import PlannedRun, RunOptions, RunTask, Tasks, is_kept

Run = Callable[[RunTask, Tell], RunRecord | None]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
SECONDS_TO_END = 5.0
SIGNALLED = 128  # a shell's exit code for signal n is 128 + n


@dataclass
class Worker:
    """A process, our end of its pipe, and the task that it has."""

    number: int
    process: BaseProcess
    connection: Connection
    task: RunTask


def start_worker(run: Run, hashes: Mapping[str, str], n_threads: int) -> tuple[BaseProcess, Connection]:
    """A process that makes the tasks it is sent, until our end of the pipe is closed.

    It sends back events, for each task what `run` returns, and a `BenchError` where the user made a mistake.
    Plugins that are found here are found there.

    Args:
        run: makes one task; importable by name.
        hashes: code hash of every model that will be asked for.
        n_threads: threads of the process.

    Returns:
        The process and our end of the pipe.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, run, dict(hashes), locations()), daemon=True)
    with _inherited(n_threads):
        process.start()
    theirs.close()  # so that the pipe ends with the process
    return process, ours


def cause_of_end(process: BaseProcess) -> str:
    """Why a worker is gone, in words; waits for its end."""
    process.join()
    code = process.exitcode or 0
    number = -code if code < 0 else code - SIGNALLED
    if number == signal.SIGKILL:
        return "worker process ended with signal 9; perhaps out of memory: fewer --workers"
    if number > 0:
        return f"worker process ended with signal {number}"
    return f"worker process ended with exit code {code}; what it printed says why"


def end_processes(processes: Sequence[BaseProcess]) -> None:
    """End what still runs: asked first, so that no half-written file stays, then killed."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(SECONDS_TO_END)
        process.kill()
        process.join()


@contextlib.contextmanager
def _inherited(n_threads: int) -> Iterator[None]:
    """What a process takes over at its start: thread counts, and Ctrl-C blocked, for the parent answers it."""
    resource_tracker.ensure_running()  # started with the first process otherwise, and that lifts the block
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        # read when numpy and torch are imported
        with with_variables(dict.fromkeys(THREAD_VARIABLES, str(n_threads))):
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _serve(connection: Connection, run: Run, hashes: Mapping[str, str], plugins: Sequence[str]) -> None:
    """Body of the process."""
    ending = threading.Event()

    def end(number: int, _frame: object) -> None:
        ending.set()
        sys.exit(SIGNALLED + number)  # unwinds: a file that is being written leaves no temporary one behind

    def tell(event: Event) -> None:
        # A run tells of a defect before it records one. There is none if it was ended within a C extension that
        # made another error of our exit, or if nobody listens any more: it goes on another time.
        if ending.is_set():
            sys.exit(SIGNALLED + signal.SIGTERM)
        try:
            connection.send(event)
        except OSError:
            sys.exit(SIGNALLED + signal.SIGPIPE)

    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=_follow_parent, daemon=True).start()
    logging.getLogger().setLevel(logging.ERROR)
    try:
        with plugged(plugins):
            _check_code(hashes)
        while True:
            connection.send(run(connection.recv(), tell))
    except BenchError as problem:
        connection.send(problem)
    except (EOFError, BrokenPipeError):  # the parent has no more tasks, or is gone
        pass
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # nothing left to unwind


def _follow_parent() -> None:
    """End at once with the parent, even where that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(SIGNALLED + signal.SIGTERM)


def _check_code(hashes: Mapping[str, str]) -> None:
    """Import the models now, so that later edits do not matter, and refuse code that is not the plan's.

    Raises:
        ConfigError: a model's code was changed since the plan was made.
    """
    code_of_lists()  # read with the code that is imported
    for model, planned in hashes.items():
        registry.load(model)
        if registry.code_hash(model) != planned:
            raise ConfigError(
                f"The code of the model '{model}' was changed after its runs were planned, so their records "
                f"would name code that did not make them. Give the same command again."
            )


MAX_DEATHS = 3  # of the workers of one run


def execute(
    specs: Sequence[RunSpec],
    data: Mapping[str, BenchmarkData],
    store: ResultsStore,
    options: RunOptions,
    listener: Listener,
    run: Run = run_task,
) -> list[RunRecord]:
    """Make all runs that are due and return the records of all, in the plan's order and under its labels.

    Args:
        specs: the plan.
        data: data sets by name.
        store: where records are found and kept.
        options: those of the call.
        listener: shows what happens.
        run: makes one task; importable by name, because other processes are told its name.

    Raises:
        BenchError: a usage, configuration, data or results error; nothing finished is lost.
    """
    for folder in (store.root, options.cache_dir / "graphs", options.cache_dir / "shared"):
        remove_leftovers(folder)
    remove_leftovers(store.claim_path("").parent, "*.lock")
    plan = planned_runs(specs, data, store, options.protocol)
    made = _kept(plan, store, options, listener)
    drop_finished(store.unfinished, made, store.claim_path)
    due: dict[str, PlannedRun] = {}
    for each in plan:
        if each.key not in made:
            due.setdefault(each.key, each)  # two labels of the same parameters are one run
    cores = _cores(plan, len(due), options)
    found: Mapping[str, BenchmarkData | SharedData | None] = data
    if options.cluster is not None:
        found = dict.fromkeys(data)
    elif cores.n_workers > 1:
        folder = options.cache_dir / "shared"
        found = {name: publish(data[name], folder) for name in {each.spec.dataset for each in due.values()}}
    tasks = Tasks(make_task(each, found[each.spec.dataset], store, options, cores) for each in due.values())
    if options.cluster is not None and due:
        with connected(options.cluster) as client:
            made |= ClusterRuns(client, options.cluster, data, store, listener).work(tasks)
    elif cores.n_workers > 1:
        hashes = {each.spec.model: each.code_hash for each in due.values()}
        made |= Pool(tasks, run, hashes, cores, listener).work()
    else:
        made |= _one_after_another(tasks, run, listener)
    records = [made[each.key].model_copy(update={"spec": each.spec}) for each in plan]
    for each, record in zip(plan, records, strict=True):
        if each.key in due and due[each.key] is not each:
            listener.run_done(record, None)
    return records


def _cores(plan: Sequence[PlannedRun], n_due: int, options: RunOptions) -> Share:
    """Processes, and threads of a run: these depend on the plan and not on what is left of it.

    With other threads, last digits may differ.
    """
    if options.cluster is not None:
        return Share(1, options.cluster.n_threads)
    n_runs = len({each.key for each in plan})
    cores = divide_cores(options.n_workers, options.n_threads, n_runs, options.device, usable_cores())
    return cores._replace(n_workers=min(cores.n_workers, max(1, n_due)))


def _kept(
    plan: Sequence[PlannedRun], store: ResultsStore, options: RunOptions, listener: Listener
) -> dict[str, RunRecord]:
    """Records by key that stand as they are."""
    kept: dict[str, RunRecord] = {}
    for each in plan:
        existing = store.read(each.path)
        if isinstance(existing, Damaged):
            listener.warn(f"{existing.path} is damaged ({existing.problem}); the run is made again.")
        elif existing is not None and is_kept(existing, options.on_existing):
            kept[each.key] = existing
            listener.run_done(existing.model_copy(update={"spec": each.spec}), None)
    return kept


def _pass_on(listener: Listener, worker: int, event: Event) -> None:
    if isinstance(event, EpochFacts):
        listener.epoch_done(event, worker)
    else:
        listener.warn(event)


def _one_after_another(tasks: Tasks, run: Run, listener: Listener) -> dict[str, RunRecord]:
    made = {}
    while (task := tasks.next()) is not None:
        listener.run_started(task.blank.spec, 0)
        record = run(task, lambda event: _pass_on(listener, 0, event))
        if record is None:
            tasks.later(task)
        else:
            listener.run_done(record, 0)
            made[record.key] = record
    return made


class Pool:
    """Makes tasks in worker processes.

    Args:
        tasks: asked for the next one when a worker is free.
        run: makes one.
        hashes: code hash of every model among them.
        cores: processes, and threads of each.
        listener: shows what happens.
    """

    def __init__(
        self, tasks: Tasks, run: Run, hashes: Mapping[str, str], cores: Share, listener: Listener
    ) -> None:
        self._tasks, self._run, self._hashes, self._cores = tasks, run, hashes, cores
        self._listener = listener
        self._busy: dict[Connection, Worker] = {}
        self._idle: list[BaseProcess] = []
        self._made: dict[str, RunRecord] = {}
        self._deaths: Counter[str] = Counter()

    def work(self) -> dict[str, RunRecord]:
        """All records by key. However this ends, no process is left behind.

        Raises:
            BenchError: a worker met an error of the user; runs in progress are given up.
        """
        try:
            for number in range(self._cores.n_workers):
                self._start(number)
            while self._busy:
                for connection in wait(list(self._busy)):
                    self._receive(self._busy[connection])  # type: ignore[index]  # only connections were given
            for process in self._idle:
                process.join(SECONDS_TO_END)
            return self._made
        finally:
            end_processes([*self._idle, *(worker.process for worker in self._busy.values())])

    def _start(self, number: int) -> None:
        """A new process with the next task, if there is one."""
        task = self._tasks.next()
        if task is not None:
            process, connection = start_worker(self._run, self._hashes, self._cores.n_threads)
            self._busy[connection] = worker = Worker(number, process, connection, task)
            self._give(worker, task)

    def _give(self, worker: Worker, task: RunTask) -> None:
        worker.task = task
        self._listener.run_started(task.blank.spec, worker.number)
        with contextlib.suppress(BrokenPipeError):  # it died just now, which the next look at the pipe tells
            worker.connection.send(task)

    def _receive(self, worker: Worker) -> None:
        """One message of a worker, or its death."""
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            del self._busy[worker.connection]
            self._mourn(worker)
            self._start(worker.number)
            return
        if isinstance(message, BenchError):
            raise message
        if isinstance(message, RunRecord):
            self._finish(worker, message)
        elif message is None:
            self._tasks.later(worker.task)
        else:
            _pass_on(self._listener, worker.number, message)
            return
        task = self._tasks.next()
        if task is not None:
            self._give(worker, task)
        else:
            del self._busy[worker.connection]
            self._idle.append(worker.process)
            worker.connection.close()

    def _mourn(self, worker: Worker) -> None:
        """The run of a worker that died goes on in the next one, unless it costs too many."""
        key, cause = worker.task.blank.key, cause_of_end(worker.process)
        self._deaths[key] += 1
        if self._deaths[key] < MAX_DEATHS:
            self._listener.warn(f"A {cause}. Its run goes on in a new one.")
            self._tasks.again(worker.task)
        else:
            self._finish(worker, run_lost(worker.task, f"{MAX_DEATHS} times a {cause}"))

    def _finish(self, worker: Worker, record: RunRecord) -> None:
        self._made[record.key] = record
        self._listener.run_done(record, worker.number)
