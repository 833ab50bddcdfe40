"""Layer 8. What a person sees while runs are made: a live display on a terminal, plain lines when piped."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.panel import Panel
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from bench.protocol import SELECTION_METRIC
from bench.records import EpochFacts, RunRecord, RunSpec

SOURCE_STYLE = {"real": "green", "embedded": "yellow", "surrogate": "bold red"}


class RunDisplay:
    """Shows the progress of a plan; a context manager.

    Args:
        console: where to; its `is_terminal` chooses between bars and lines.
        n_runs: length of the plan.
        patience: epochs without a better score after which a run stops.
    """

    def __init__(self, console: Console, n_runs: int, patience: int) -> None:
        self._console = console
        self._n_runs = n_runs
        self._patience = patience
        self._n_done = 0
        self._best = (0, -1.0)
        self._label, self._max_epochs = "", 1
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._all = self._progress.add_task("all runs", total=n_runs, note="")
        self._one = self._progress.add_task("", total=None, note="", visible=False)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def run_started(self, spec: RunSpec) -> None:
        """Name the run that begins."""
        self._best, self._max_epochs = (0, -1.0), spec.max_epochs
        self._label = f"{spec.dataset} {spec.label} seed {spec.repetition + 1}"
        self._progress.reset(
            self._one, total=spec.max_epochs, description=self._label, note="building", visible=True
        )

    def epoch_done(self, facts: EpochFacts) -> None:
        """Advance the run's bar and show its best validation score so far."""
        score = facts.valid[SELECTION_METRIC]
        if score > self._best[1]:
            self._best = (facts.epoch, score)
        left = self._patience - (facts.epoch - self._best[0])
        note = f"valid {SELECTION_METRIC} {self._best[1]:.4f} at epoch {self._best[0]}, stops in {left}"
        self._progress.update(self._one, completed=facts.epoch, note=note)
        # a share of a run keeps the estimate of the time left moving within long runs
        self._progress.update(self._all, completed=self._n_done + facts.epoch / self._max_epochs)

    def run_done(self, record: RunRecord, reused: bool) -> None:
        """One line for the finished run, and the overall bar."""
        self._n_done += 1
        self._progress.update(self._all, completed=self._n_done)
        self._console.print(
            f"[{self._n_done}/{self._n_runs}] {self._label}: {summary(record, reused)}", markup=False
        )

    def warn(self, message: str) -> None:
        """A message above the bars."""
        self._console.print(message, style="yellow", markup=False)


def summary(record: RunRecord, reused: bool) -> str:
    """A run in one line."""
    if record.metrics is None or record.cost is None:
        reason = record.error.message if record.error else "unknown reason"
        return f"FAILED ({reason})"
    kept = " (kept)" if reused else ""
    scores = ", ".join(
        f"{part} {SELECTION_METRIC} {values.values[SELECTION_METRIC]:.4f}"
        for part, values in (("valid", record.metrics.valid), ("test", record.metrics.test))
    )
    epochs = f"best epoch {record.best_epoch} of {record.cost.epochs}"
    return f"{scores}, {epochs}, {record.cost.total_seconds:.1f} s{kept}"


def announce(console: Console, title: str, text: str, source: str) -> None:
    """Say once and loudly where the data came from."""
    console.print(Panel(text, title=title, border_style=SOURCE_STYLE[source], title_align="left"))
