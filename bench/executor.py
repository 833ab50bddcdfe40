"""Layer 9. Makes the runs of a plan that are due: here one after another, or side by side in worker processes.

The pool is our own, one pipe and one task a worker. Ready-made ones (concurrent.futures, joblib's loky) drop
all pending tasks when a process dies and cannot say whose task it had; here that run is recorded as failed and
a new worker goes on with the next. Writes nothing itself but shared arrays and the records of such runs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Protocol as Structural

from bench.environment import Share, divide_cores, usable_cores
from bench.errors import BenchError
from bench.records import EpochFacts, RunRecord, RunSpec
from bench.runner import (
    Event,
    PlannedRun,
    RunOptions,
    RunTask,
    is_kept,
    make_task,
    planned_runs,
    run_lost,
    run_task,
)
from bench.shared_data import SharedData, publish
from bench.store import Damaged, ResultsStore
from bench.types import BenchmarkData
from bench.worker import Run, cause_of_end, start_worker

SECONDS_TO_END = 5.0


class Listener(Structural):
    """Told what happens, to show it; workers are numbered from 0."""

    def run_started(self, spec: RunSpec, worker: int) -> None:
        """A worker begins a run."""

    def epoch_done(self, facts: EpochFacts, worker: int) -> None:
        """An epoch of it is over."""

    def run_done(self, record: RunRecord, worker: int | None) -> None:
        """It is finished or failed; it was there already where no worker is named."""

    def warn(self, message: str) -> None:
        """Something that the user should know, and that stops nothing."""


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
    plan = planned_runs(specs, data, store, options.protocol)
    made = _kept(plan, store, options, listener)
    due: dict[str, PlannedRun] = {}
    for each in plan:
        if each.key not in made:
            due.setdefault(each.key, each)  # two labels of the same parameters are one run
    cores = divide_cores(options.n_workers, options.n_threads, len(due), options.device, usable_cores())
    found: Mapping[str, BenchmarkData | SharedData] = data
    if cores.n_workers > 1:
        folder = options.cache_dir / "shared"
        found = {name: publish(data[name], folder) for name in {each.spec.dataset for each in due.values()}}
    tasks = (make_task(each, found[each.spec.dataset], store, options, cores) for each in due.values())
    if cores.n_workers > 1:
        hashes = {each.spec.model: each.code_hash for each in due.values()}
        made |= Pool(tasks, run, hashes, cores, listener).work()
    else:
        made |= _one_after_another(tasks, run, listener)
    records = [made[each.key].model_copy(update={"spec": each.spec}) for each in plan]
    for each, record in zip(plan, records, strict=True):
        if each.key in due and due[each.key] is not each:
            listener.run_done(record, None)
    return records


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


def _one_after_another(tasks: Iterator[RunTask], run: Run, listener: Listener) -> dict[str, RunRecord]:
    made = {}
    for task in tasks:
        listener.run_started(task.blank.spec, 0)
        record = run(task, lambda event: _pass_on(listener, 0, event))
        listener.run_done(record, 0)
        made[record.key] = record
    return made


@dataclass
class Worker:
    """A process, our end of its pipe, and the task that it has."""

    number: int
    process: BaseProcess
    connection: Connection
    task: RunTask


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
        self, tasks: Iterator[RunTask], run: Run, hashes: Mapping[str, str], cores: Share, listener: Listener
    ) -> None:
        self._tasks, self._run, self._hashes, self._cores = tasks, run, hashes, cores
        self._listener = listener
        self._busy: dict[Connection, Worker] = {}
        self._idle: list[BaseProcess] = []
        self._made: dict[str, RunRecord] = {}

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
            self._end()

    def _start(self, number: int) -> None:
        """A new process with the next task, if there is one."""
        task = next(self._tasks, None)
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
            self._finish(worker, run_lost(worker.task, cause_of_end(worker.process)))
            self._start(worker.number)
            return
        if isinstance(message, BenchError):
            raise message
        if not isinstance(message, RunRecord):
            _pass_on(self._listener, worker.number, message)
            return
        self._finish(worker, message)
        task = next(self._tasks, None)
        if task is not None:
            self._give(worker, task)
        else:
            del self._busy[worker.connection]
            self._idle.append(worker.process)
            worker.connection.close()

    def _finish(self, worker: Worker, record: RunRecord) -> None:
        self._made[record.key] = record
        self._listener.run_done(record, worker.number)

    def _end(self) -> None:
        """End what still runs: asked first, so that no half-written file stays, then killed."""
        processes = [*self._idle, *(worker.process for worker in self._busy.values())]
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(SECONDS_TO_END)
            process.kill()
            process.join()
