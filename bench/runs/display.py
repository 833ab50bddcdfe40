"""The console output while runs are made: live bars on a terminal, plain lines when piped. Prints only."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.panel import Panel
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from bench.core.protocol import Protocol
from bench.core.types import EpochFacts
from bench.runs.records import RunRecord, RunSpec

SOURCE_STYLE = {"real": "green", "embedded": "yellow", "surrogate": "bold red"}


@dataclass
class WorkerBar:
    """The bar of one worker and the state of its current run.

    Attributes:
        bar: id of the bar.
        n_epochs: upper bound on the run's epochs.
        done: finished epochs.
        best: number of the best epoch and its validation score.
    """

    bar: TaskID
    n_epochs: int
    done: int = 0
    best: tuple[int, float] = (0, -1.0)


class RunDisplay:
    """A context manager that shows the progress of a plan: one bar per worker and one for all runs.

    Args:
        console: where to print; its `is_terminal` decides between bars and lines.
        n_runs: number of runs; None if it is not known beforehand.
        protocol: protocol of the runs, which sets their selection metric and their patience.
    """

    def __init__(self, console: Console, n_runs: int | None, protocol: Protocol) -> None:
        self._console = console
        self._n_runs = n_runs
        self._protocol = protocol
        self._n_done = 0
        self._bars: dict[int, WorkerBar] = {}
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._all = self._progress.add_task("all runs", total=n_runs, note="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def run_started(self, spec: RunSpec, worker: int) -> None:
        """Show the run that a worker starts."""
        known = self._bars.get(worker)
        bar = self._progress.add_task("", note="") if known is None else known.bar
        self._bars[worker] = WorkerBar(bar, spec.max_epochs)
        self._progress.reset(bar, total=spec.max_epochs, description=_label(spec), note="building", visible=True)

    def epoch_done(self, facts: EpochFacts, worker: int) -> None:
        """Advance the run's bar and show its best validation score so far."""
        bar = self._bars[worker]
        metric = self._protocol.selection_metric
        bar.done, score = facts.epoch, facts.valid[metric]
        if score > bar.best[1]:
            bar.best = (facts.epoch, score)
        best_epoch, best_score = bar.best
        left = self._protocol.patience - (facts.epoch - best_epoch)
        note = f"valid {metric} {best_score:.4f} at epoch {best_epoch}, stops in {left}"
        self._progress.update(bar.bar, completed=facts.epoch, note=note)
        self._advance()

    def run_done(self, record: RunRecord, worker: int | None) -> None:
        """Print one line for a finished run and advance the overall bar."""
        self._n_done += 1
        if worker is not None:
            self._bars[worker].done = 0
            self._progress.update(self._bars[worker].bar, visible=False)
        self._advance()
        total = "" if self._n_runs is None else f"/{self._n_runs}"
        line = f"[{self._n_done}{total}] {_label(record.spec)}: {summary(record, worker is None)}"
        self._console.print(line, markup=False)

    def _advance(self) -> None:
        # fractions of runs, so that the estimate of the remaining time moves during long runs
        partial = sum(bar.done / bar.n_epochs for bar in self._bars.values())
        self._progress.update(self._all, completed=self._n_done + partial)

    def warn(self, message: str) -> None:
        """Print a warning above the bars."""
        self._console.print(message, style="yellow", markup=False)


def _label(spec: RunSpec) -> str:
    stages = {"tuning": "trial", "confirm": f"confirmation {spec.repetition + 1}"}
    return f"{spec.dataset} {spec.label} {stages.get(spec.stage, f'seed {spec.repetition + 1}')}"


def summary(record: RunRecord, reused: bool) -> str:
    """Describe a run in one line; test scores are left out for the runs of a search."""
    if record.metrics is None or record.cost is None:
        reason = record.error.message if record.error else "unknown reason"
        return f"FAILED ({reason})"
    kept = " (kept)" if reused else ""
    metric = record.protocol.selection_metric
    scores = ", ".join(
        f"{part} {metric} {values.values[metric]:.4f}"
        for part, values in (("valid", record.metrics.valid), ("test", record.metrics.test))
        if part == "valid" or record.spec.stage == "final"
    )
    epochs = f"best epoch {record.best_epoch} of {record.cost.epochs}"
    capped = ", ended by the cap of epochs" if record.stop_reason == "cap" else ""
    capped = " (pruned)" if record.stop_reason == "pruned" else capped
    return f"{scores}, {epochs}{capped}, {record.cost.total_seconds:.1f} s{kept}"


def announce(console: Console, title: str, text: str, source: str) -> None:
    """Print a panel that says where the data came from."""
    # Text instead of str, because rich would read brackets as markup
    console.print(Panel(Text(text), title=Text(title), border_style=SOURCE_STYLE[source], title_align="left"))
