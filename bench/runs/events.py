"""The events of runs: who listens to them, the log of JSON lines, and the curves for TensorBoard.

Writes `logs/` and `tensorboard/` below the results directory. A log is only ever appended to: a run that resumes
after an interruption continues its file, and a line that a kill cut off is the last one of its session.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from typing import Protocol as Structural

from bench.core.errors import UsageError
from bench.core.files import os_errors
from bench.core.names import file_name
from bench.core.types import EpochFacts
from bench.runs.records import RunRecord, RunSpec

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

Event = EpochFacts | str
OnEvent = Callable[[Event], None]


class RunLog:
    """The log of one run: one JSON object per line, each with `time` (ISO 8601, UTC) and `event`.

    Args:
        path: the file; created when first written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def started(self, record: RunRecord, n_threads: int) -> None:
        """Log that the run starts or resumes."""
        self._write("started", key=record.key, spec=record.spec.model_dump(), n_threads=n_threads)

    def handle(self, event: Event) -> None:
        """Log a finished epoch or a message."""
        if isinstance(event, EpochFacts):
            self._write("epoch", **event.model_dump())
        else:
            self._write("message", text=event)

    def ended(self, record: RunRecord) -> None:
        """Log that the run is finished or failed."""
        error = None if record.error is None else record.error.model_dump()
        self._write("ended", status=record.status, best_epoch=record.best_epoch, error=error)

    def _write(self, event: str, **fields: Any) -> None:
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": time, "event": event, **fields}) + "\n"
        with os_errors(
            f"The log {self._path} cannot be written",
            "Finished runs and the last epoch of this one are kept: free some space or make the "
            "directory writable, and run the same command again to resume.",
        ):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab+") as file:
                if file.tell() and not _ends_with_newline(file):  # an earlier process was killed while it wrote
                    line = "\n" + line
                file.write(line.encode())


def _ends_with_newline(file: Any) -> bool:
    file.seek(-1, 2)
    return bool(file.read(1) == b"\n")


class Curves:
    """The TensorBoard writer of one run: loss and validation metrics by epoch.

    Args:
        folder: folder of the run; the names of the folders above it group runs in TensorBoard.

    Raises:
        UsageError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        check_tensorboard()
        self._folder = folder
        self._writer: SummaryWriter | None = None

    def handle(self, event: Event) -> None:
        """Add a finished epoch; ignore messages."""
        if not isinstance(event, EpochFacts):
            return
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            # hide what an interrupted process wrote of this epoch and later ones
            self._writer = SummaryWriter(str(self._folder), purge_step=event.epoch)
        scalars = {f"valid/{name}": value for name, value in event.valid.items()}
        scalars |= {"seconds/train": event.train_seconds, "seconds/valid": event.valid_seconds}
        if event.loss is not None:
            scalars["train/loss"] = event.loss
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, event.epoch)

    def close(self) -> None:
        """Flush and close the writer."""
        if self._writer is not None:
            self._writer.close()


class Observer:
    """Passes the events of a run on to the log, to TensorBoard and to a callback.

    Args:
        log: log of the run.
        curves: TensorBoard curves of the run; None without `--tensorboard`.
        on_event: called with every event.
    """

    def __init__(self, log: RunLog, curves: Curves | None, on_event: OnEvent) -> None:
        self._log, self._curves, self._on_event = log, curves, on_event

    def handle(self, event: Event) -> None:
        """Pass on a finished epoch or a message."""
        self._log.handle(event)
        if self._curves is not None:
            self._curves.handle(event)
        self._on_event(event)

    def ended(self, record: RunRecord) -> None:
        """Log the end of the run, after its record is written."""
        self._log.ended(record)


@contextmanager
def observe_run(
    root: Path,
    blank: RunRecord,
    n_threads: int,
    earlier: Sequence[EpochFacts],
    on_event: OnEvent,
    tensorboard: bool,
) -> Iterator[Observer]:
    """Log the events of a run below a results directory: `logs/<key>.jsonl` and `tensorboard/.../<key>/`.

    Args:
        root: the results directory.
        blank: the run's record before it starts.
        n_threads: threads of the run.
        earlier: epochs of earlier processes. The log has them already; TensorBoard gets them again.
        on_event: called with every event.
        tensorboard: whether to write curves.

    Raises:
        ResultsError: the log cannot be written.
        UsageError: TensorBoard is requested and not installed.
    """
    log = RunLog(root / "logs" / f"{blank.key}.jsonl")
    log.started(blank, n_threads)
    curves = None
    if tensorboard:
        curves = Curves(root / "tensorboard" / blank.data.label / file_name(blank.spec.label) / blank.key)
        for facts in earlier:
            curves.handle(facts)
    try:
        yield Observer(log, curves, on_event)
    finally:
        if curves is not None:
            curves.close()


def check_tensorboard() -> None:
    """Check that curves can be written.

    Raises:
        UsageError: TensorBoard is not installed.
    """
    from importlib.util import find_spec

    if find_spec("tensorboard") is None:
        raise UsageError("--tensorboard needs the package tensorboard. Install it with: pip install tensorboard")


class Listener(Structural):
    """An object that shows the progress of runs; workers are numbered from 0."""

    def run_started(self, spec: RunSpec, worker: int) -> None:
        """Report that a worker starts a run."""

    def epoch_done(self, facts: EpochFacts, worker: int) -> None:
        """Report a finished epoch of the worker's run."""

    def run_done(self, record: RunRecord, worker: int | None) -> None:
        """Report a finished or failed run; `worker` is None if its record already existed."""

    def warn(self, message: str) -> None:
        """Show a message about something that does not stop the runs."""
