"""Layer 8. A worker process: how it is started, what it does, and why it ended. Talks through its pipe only.

Processes are spawned: a fork after OpenMP has started may hang.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from bench import registry
from bench.array_cache import code_of_lists
from bench.assignment import RunTask
from bench.environment import with_variables
from bench.errors import BenchError, ConfigError
from bench.observe import Event, Tell
from bench.plugins import locations, plugged
from bench.records import RunRecord

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
