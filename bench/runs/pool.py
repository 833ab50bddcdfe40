"""Makes the runs of a plan that are due: one after another, in worker processes, or on a Dask cluster.

Writes shared arrays and the records of runs whose workers died; `run_task` writes everything else. Removes what
killed processes left behind. Worker processes talk to their parent through a pipe only.
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
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess

import torch

from bench.core.errors import BenchError, ConfigError
from bench.core.files import remove_leftovers
from bench.core.types import BenchmarkData, EpochFacts
from bench.engine import registry
from bench.engine.plugins import plugin_arguments, use_plugins
from bench.runs.cache import SharedData, neighbour_code_hash, publish
from bench.runs.checkpoint import drop_finished
from bench.runs.dask import ClusterRuns, connected
from bench.runs.events import Event, Listener, OnEvent
from bench.runs.machine import CoreShare, divide_cores, usable_cores, with_variables
from bench.runs.record_files import Damaged
from bench.runs.records import RunRecord, RunSpec
from bench.runs.runner import make_task, planned_runs, record_lost_run, run_task
from bench.runs.store import ResultsStore
from bench.runs.task import PlannedRun, RunOptions, RunTask, Tasks, is_kept

Run = Callable[[RunTask, OnEvent], RunRecord | None]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# What the server of `_server` imports for all workers: libraries that take long and start no thread. pandas starts
# one. torch imports torch._dynamo when the first optimizer is made, which takes as long as torch itself.
PRELOADED = ("torch", "torch._dynamo", "torch.utils.tensorboard", "scipy.sparse", "pydantic", "safetensors.torch")
SECONDS_TO_END = 5.0
SIGNALLED = 128  # a shell's exit code for signal n is 128 + n
MAX_DEATHS = 3  # of workers with the same run, before it is recorded as failed


@dataclass
class Worker:
    """A worker process, the parent's end of its pipe, and its current task."""

    number: int
    process: BaseProcess
    connection: Connection
    task: RunTask


def start_worker(run: Run, hashes: Mapping[str, str], n_threads: int) -> tuple[BaseProcess, Connection]:
    """Start a process that makes the tasks it is sent, until the parent closes its end of the pipe.

    The process sends back events, for each task what `run` returns, and a `BenchError` if the user made a mistake.
    It loads the plugins of this process and has its environment variables. With one thread it is forked from a
    process that has imported the libraries, because these imports take longer than many runs.

    Args:
        run: makes one task; importable by name.
        hashes: code hash of every model among the tasks.
        n_threads: threads of the process.

    Returns:
        The process and the parent's end of the pipe.
    """
    variables = dict.fromkeys(THREAD_VARIABLES, str(n_threads))
    # Libraries read the number of threads when they are imported. Those of macOS and CUDA are not made for forks.
    is_forked = n_threads == 1 and sys.platform == "linux" and not torch.cuda.is_available()
    context = _server(variables) if is_forked else multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    environment = {**os.environ, **variables}
    process = context.Process(  # type: ignore[attr-defined]  # each of the two contexts has it
        target=_serve, args=(theirs, run, environment, dict(hashes), plugin_arguments()), daemon=True
    )
    with contextlib.nullcontext() if is_forked else _inherited(variables):
        process.start()
    theirs.close()  # so that the pipe ends with the process
    return process, ours


def cause_of_end(process: BaseProcess) -> str:
    """Wait for a worker's end and say in words why it ended."""
    process.join()
    code = process.exitcode or 0
    number = -code if code < 0 else code - SIGNALLED
    if number == signal.SIGKILL:
        return "worker process ended with signal 9; perhaps out of memory: try fewer --workers"
    if number > 0:
        return f"worker process ended with signal {number}"
    return f"worker process ended with exit code {code}; its output says why"


def end_processes(processes: Sequence[BaseProcess]) -> None:
    """End the processes that still run: by SIGTERM first, then by SIGKILL."""
    for process in processes:
        process.terminate()  # lets them remove a half-written file
    for process in processes:
        process.join(SECONDS_TO_END)
        process.kill()
        process.join()


def _server(variables: Mapping[str, str]) -> BaseContext:
    """Start the process that workers are forked from, unless it runs, and return the context that asks it.

    A fork of this process may hang, because OpenMP has started threads here. The server has one thread only.

    Args:
        variables: those that libraries read when they are imported.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    # no module in the working directory takes the place of a library
    with _inherited({**variables, "PYTHONSAFEPATH": "1"}):
        forkserver.ensure_running()
    return context


@contextlib.contextmanager
def _inherited(variables: Mapping[str, str]) -> Iterator[None]:
    """Set what a process inherits at its start: variables, and a blocked Ctrl-C, which the parent handles."""
    resource_tracker.ensure_running()  # otherwise the first process would start it, and that lifts the block
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with with_variables(variables):
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _serve(
    connection: Connection,
    run: Run,
    environment: Mapping[str, str],
    hashes: Mapping[str, str],
    plugins: Sequence[str],
) -> None:
    """Make tasks until the pipe is closed; the main function of a worker process."""
    os.environ.clear()  # it is that of the server, at its start
    os.environ.update(environment)
    ending = threading.Event()

    def end(number: int, _frame: object) -> None:
        ending.set()
        sys.exit(SIGNALLED + number)  # an exception, so that a half-written temporary file is removed

    def send(event: Event) -> None:
        # A run reports a defect as an event before it records it. While this process shuts down, a C extension may
        # have turned our SystemExit into another error. Exit now, so that it is not recorded as a defect of the
        # model; the run resumes later. The same holds if the parent no longer listens.
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
        with use_plugins(plugins):
            _check_code(hashes)
        while True:
            connection.send(run(connection.recv(), send))
    except BenchError as problem:
        connection.send(problem)
    except (EOFError, BrokenPipeError):  # the parent has no more tasks, or is gone
        pass
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # no temporary file is left to remove


def _follow_parent() -> None:
    """End this process as soon as the parent ends, even if the parent was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(SIGNALLED + signal.SIGTERM)


def _check_code(hashes: Mapping[str, str]) -> None:
    """Import the models now, so that later edits do not matter, and check that their code is that of the plan.

    Raises:
        ConfigError: a model's code was changed since the plan was made.
    """
    neighbour_code_hash()  # computed and cached now, from the code that is imported
    for model, planned in hashes.items():
        registry.load(model)
        if registry.code_hash(model) != planned:
            raise ConfigError(
                f"The code of the model '{model}' was changed after its runs were planned, so their records "
                f"would name code that did not make them. Give the same command again."
            )


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
        store: where records are read and written.
        options: options of the call.
        listener: shows the progress.
        run: makes one task; importable by name, because worker processes import it.

    Raises:
        BenchError: a usage, configuration, data or results error; nothing finished is lost.
    """
    for folder in (store.root, options.cache_dir / "graphs", options.cache_dir / "shared"):
        remove_leftovers(folder)
    remove_leftovers(store.claim_path("").parent, "*.lock")
    plan = planned_runs(specs, data, store, options.protocol)
    made = _read_existing(plan, store, options, listener)
    drop_finished(store.unfinished, made, store.claim_path)
    due: dict[str, PlannedRun] = {}
    for each in plan:
        if each.key not in made:
            due.setdefault(each.key, each)  # two labels with the same parameters are one run
    cores = _cores(plan, len(due), options)
    task_data: Mapping[str, BenchmarkData | SharedData | None] = data
    if options.cluster is not None:
        task_data = dict.fromkeys(data)
    elif cores.n_workers > 1:
        folder = options.cache_dir / "shared"
        task_data = {name: publish(data[name], folder) for name in {each.spec.dataset for each in due.values()}}
    tasks = Tasks(make_task(each, task_data[each.spec.dataset], store, options, cores) for each in due.values())
    if options.cluster is not None and due:
        with connected(options.cluster) as client:
            made |= ClusterRuns(client, options.cluster, data, store, listener).work(tasks)
    elif cores.n_workers > 1:
        hashes = {each.spec.model: each.code_hash for each in due.values()}
        made |= Pool(tasks, run, hashes, cores, listener).work()
    else:
        made |= _run_in_this_process(tasks, run, listener)
    return [made[each.key].model_copy(update={"spec": each.spec}) for each in plan]


def _cores(plan: Sequence[PlannedRun], n_due: int, options: RunOptions) -> CoreShare:
    """Choose the number of worker processes and the threads of each run."""
    if options.cluster is not None:
        return CoreShare(1, options.cluster.n_threads)
    # The threads depend on the whole plan and not on the runs that are due: with other threads, last digits may
    # differ.
    n_runs = len({each.key for each in plan})
    cores = divide_cores(options.n_workers, options.n_threads, n_runs, options.device, usable_cores())
    return cores._replace(n_workers=min(cores.n_workers, max(1, n_due)))


def _is_of_file(spec: RunSpec) -> bool:
    """Return whether a run is the model's own or a variant's of its file, and not a variation of a table."""
    return not spec.variant or spec.variant in registry.load(spec.model).file.variants


def _read_existing(
    plan: Sequence[PlannedRun], store: ResultsStore, options: RunOptions, listener: Listener
) -> dict[str, RunRecord]:
    """Read the records that are kept, by key, and report them."""
    kept: dict[str, RunRecord] = {}
    for each in plan:
        existing = store.read(each.path)
        if isinstance(existing, Damaged):
            listener.warn(f"{existing.path} is damaged ({existing.problem}); the run is made again.")
        elif existing is not None and is_kept(existing, options.on_existing):
            if _is_of_file(each.spec) and not _is_of_file(existing.spec):
                # an earlier call made the run for a variation of a table, which the leaderboard leaves out
                existing = existing.model_copy(update={"spec": each.spec})
                store.write_record(each.path, existing)
            kept[each.key] = existing
            listener.run_done(existing.model_copy(update={"spec": each.spec}), None)
    return kept


def _pass_on(listener: Listener, worker: int, event: Event) -> None:
    if isinstance(event, EpochFacts):
        listener.epoch_done(event, worker)
    else:
        listener.warn(event)


def _run_in_this_process(tasks: Tasks, run: Run, listener: Listener) -> dict[str, RunRecord]:
    made = {}
    while (task := tasks.next()) is not None:
        listener.run_started(task.blank.spec, 0)
        record = run(task, lambda event: _pass_on(listener, 0, event))
        if record is None:
            tasks.postpone(task)
        else:
            listener.run_done(record, 0)
            made[record.key] = record
    return made


# concurrent.futures and joblib's loky drop all pending tasks when a process dies, and do not say which task it
# had. Here that run resumes in a new worker, and is recorded as failed after the third death.
class Pool:
    """A pool of worker processes, with one pipe and one task at a time for each.

    Args:
        tasks: the queue of tasks.
        run: makes one task.
        hashes: code hash of every model among the tasks.
        cores: number of processes and threads of each.
        listener: shows the progress.
    """

    def __init__(
        self, tasks: Tasks, run: Run, hashes: Mapping[str, str], cores: CoreShare, listener: Listener
    ) -> None:
        self._tasks, self._run, self._hashes, self._cores = tasks, run, hashes, cores
        self._listener = listener
        self._busy: dict[Connection, Worker] = {}
        self._idle: list[BaseProcess] = []
        self._made: dict[str, RunRecord] = {}
        self._deaths: Counter[str] = Counter()

    def work(self) -> dict[str, RunRecord]:
        """Make all tasks and return their records by key. However this ends, no process is left behind.

        Raises:
            BenchError: a worker met an error of the user; runs in progress are abandoned.
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
        """Start a process with the next task, if there is one."""
        task = self._tasks.next()
        if task is not None:
            process, connection = start_worker(self._run, self._hashes, self._cores.n_threads)
            self._busy[connection] = worker = Worker(number, process, connection, task)
            self._send(worker, task)

    def _send(self, worker: Worker, task: RunTask) -> None:
        worker.task = task
        self._listener.run_started(task.blank.spec, worker.number)
        with contextlib.suppress(BrokenPipeError):  # it has just died; the next read of the pipe finds out
            worker.connection.send(task)

    def _receive(self, worker: Worker) -> None:
        """Read one message of a worker, or find that it died, and react."""
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            del self._busy[worker.connection]
            self._handle_worker_death(worker)
            self._start(worker.number)
            return
        if isinstance(message, BenchError):
            raise message
        if isinstance(message, RunRecord):
            self._finish(worker, message)
        elif message is None:
            self._tasks.postpone(worker.task)
        else:
            _pass_on(self._listener, worker.number, message)
            return
        task = self._tasks.next()
        if task is not None:
            self._send(worker, task)
        else:
            del self._busy[worker.connection]
            self._idle.append(worker.process)
            worker.connection.close()

    def _handle_worker_death(self, worker: Worker) -> None:
        """Retry the run of a dead worker on a new one, or record it as failed after `MAX_DEATHS`."""
        key, cause = worker.task.blank.key, cause_of_end(worker.process)
        self._deaths[key] += 1
        if self._deaths[key] < MAX_DEATHS:
            self._listener.warn(f"A {cause}. Its run resumes in a new one.")
            self._tasks.retry(worker.task)
        else:
            self._finish(worker, record_lost_run(worker.task, f"{MAX_DEATHS} times a {cause}"))

    def _finish(self, worker: Worker, record: RunRecord) -> None:
        self._made[record.key] = record
        self._listener.run_done(record, worker.number)
