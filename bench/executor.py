"""Layer 9. Makes the runs of a plan that are due: here one after another, or side by side in worker processes.

The pool is our own, one pipe and one task a worker. Ready-made ones (concurrent.futures, joblib's loky) drop
all pending tasks when a process dies and cannot say whose task it had; here that run goes on in a new worker, and
is recorded as failed after its third death. Runs that another runner makes come last. Writes nothing itself but
shared arrays and the records of runs whose workers died; removes what killed processes left behind.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from bench.assignment import PlannedRun, RunOptions, RunTask
from bench.checkpoint import drop_finished
from bench.cluster.runs import ClusterRuns, connected
from bench.environment import Share, divide_cores, usable_cores
from bench.errors import BenchError
from bench.files import remove_leftovers
from bench.observe import Event, Listener
from bench.policy import is_kept
from bench.record_files import Damaged
from bench.records import RunRecord, RunSpec
from bench.runner import make_task, planned_runs, run_lost, run_task
from bench.shared_data import SharedData, publish
from bench.store import ResultsStore
from bench.tasks import Tasks
from bench.types import BenchmarkData, EpochFacts
from bench.worker import SECONDS_TO_END, Run, Worker, cause_of_end, end_processes, start_worker

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
