"""What happens in a run, kept while it happens: a log of JSON lines, and curves for TensorBoard.

Writes below the results directory only. A log is appended to, line by line: a run that goes on after an
interruption goes on in the same file, and a line that a kill tore in two is the last of its session.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from typing import Protocol as Structural

from bench.core.errors import ResultsError, UsageError
from bench.core.files import file_name
from bench.core.types import EpochFacts
from bench.runs.records import RunRecord, RunSpec

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

Event = EpochFacts | str
Tell = Callable[[Event], None]


class RunLog:
    """The log of one run; an object a line, each with `time` (ISO 8601, UTC) and `event`.

    Args:
        path: made when first written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def started(self, record: RunRecord, n_threads: int) -> None:
        """The run begins, or goes on."""
        self._write("started", key=record.key, spec=record.spec.model_dump(), n_threads=n_threads)

    def tell(self, event: Event) -> None:
        """An epoch or a message."""
        if isinstance(event, EpochFacts):
            self._write("epoch", **event.model_dump())
        else:
            self._write("message", text=event)

    def ended(self, record: RunRecord) -> None:
        """The run is finished or failed."""
        error = None if record.error is None else record.error.model_dump()
        self._write("ended", status=record.status, best_epoch=record.best_epoch, error=error)

    def _write(self, event: str, **fields: Any) -> None:
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": time, "event": event, **fields}) + "\n"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab+") as file:
                if file.tell() and not _ends_with_newline(file):
                    line = "\n" + line
                file.write(line.encode())
        except OSError as problem:
            raise ResultsError(
                f"The log {self._path} cannot be written ({problem.strerror or problem}). Finished runs and the "
                f"last epoch of this one are kept: free some space or make the directory writable, and run the "
                f"same command again to go on."
            ) from problem


def _ends_with_newline(file: Any) -> bool:
    file.seek(-1, 2)
    return bool(file.read(1) == b"\n")


class Curves:
    """Loss and validation metrics of one run by epoch, as TensorBoard reads them.

    Args:
        folder: of the run; the names of the folders above it group runs in TensorBoard.

    Raises:
        UsageError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        check_tensorboard()
        self._folder = folder
        self._writer: SummaryWriter | None = None

    def tell(self, event: Event) -> None:
        """Add an epoch; messages are passed over."""
        if not isinstance(event, EpochFacts):
            return
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            # what an interrupted session wrote of this and later epochs is hidden
            self._writer = SummaryWriter(str(self._folder), purge_step=event.epoch)
        scalars = {f"valid/{name}": value for name, value in event.valid.items()}
        scalars |= {"seconds/train": event.train_seconds, "seconds/valid": event.valid_seconds}
        if event.loss is not None:
            scalars["train/loss"] = event.loss
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, event.epoch)

    def close(self) -> None:
        """Write what is still in memory."""
        if self._writer is not None:
            self._writer.close()


class Observer:
    """Passes on what happens in a run, to the log, to TensorBoard and to whoever watches.

    Args:
        log: of the run.
        curves: of the run, None without `--tensorboard`.
        tell: who watches.
    """

    def __init__(self, log: RunLog, curves: Curves | None, tell: Tell) -> None:
        self._log, self._curves, self._tell = log, curves, tell

    def tell(self, event: Event) -> None:
        """An epoch or a message."""
        self._log.tell(event)
        if self._curves is not None:
            self._curves.tell(event)
        self._tell(event)

    def ended(self, record: RunRecord) -> None:
        """The record is written."""
        self._log.ended(record)


@contextmanager
def observed(
    root: Path, blank: RunRecord, n_threads: int, earlier: Sequence[EpochFacts], tell: Tell, tensorboard: bool
) -> Iterator[Observer]:
    """Keep what happens in a run below a results directory: `logs/<key>.jsonl`, `tensorboard/.../<key>/`.

    Args:
        root: the results directory.
        blank: the run's record from before.
        n_threads: of the run.
        earlier: epochs that it goes on after; the log has them, TensorBoard gets them again.
        tell: told of everything, too.
        tensorboard: whether curves are kept.

    Raises:
        ResultsError: the log cannot be written.
        UsageError: TensorBoard is asked for and not installed.
    """
    log = RunLog(root / "logs" / f"{blank.key}.jsonl")
    log.started(blank, n_threads)
    curves = None
    if tensorboard:
        curves = Curves(root / "tensorboard" / blank.data.label / file_name(blank.spec.label) / blank.key)
        for facts in earlier:
            curves.tell(facts)
    try:
        yield Observer(log, curves, tell)
    finally:
        if curves is not None:
            curves.close()


def check_tensorboard() -> None:
    """Find out whether curves can be written.

    Raises:
        UsageError: TensorBoard is not installed.
    """
    from importlib.util import find_spec

    if find_spec("tensorboard") is None:
        raise UsageError("--tensorboard needs the package tensorboard. Install it with: pip install tensorboard")


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
