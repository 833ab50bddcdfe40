"""What a person sees while runs are made: a live display on a terminal, plain lines when piped."""

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
class Row:
    """What the display knows of the run that a worker makes."""

    bar: TaskID
    n_epochs: int
    done: int = 0
    best: tuple[int, float] = (0, -1.0)


class RunDisplay:
    """Shows the progress of a plan, a bar for each worker and one for all; a context manager.

    Args:
        console: where to; its `is_terminal` chooses between bars and lines.
        n_runs: length of the plan; None where that is not known beforehand.
        protocol: of the runs; says what chooses their epochs and when they stop.
    """

    def __init__(self, console: Console, n_runs: int | None, protocol: Protocol) -> None:
        self._console = console
        self._n_runs = n_runs
        self._protocol = protocol
        self._n_done = 0
        self._rows: dict[int, Row] = {}
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
        """Name the run that a worker begins."""
        row = self._rows.get(worker)
        bar = self._progress.add_task("", note="") if row is None else row.bar
        self._rows[worker] = Row(bar, spec.max_epochs)
        self._progress.reset(bar, total=spec.max_epochs, description=_label(spec), note="building", visible=True)

    def epoch_done(self, facts: EpochFacts, worker: int) -> None:
        """Advance the run's bar and show its best validation score so far."""
        row = self._rows[worker]
        metric = self._protocol.selection_metric
        row.done, score = facts.epoch, facts.valid[metric]
        if score > row.best[1]:
            row.best = (facts.epoch, score)
        left = self._protocol.patience - (facts.epoch - row.best[0])
        note = f"valid {metric} {row.best[1]:.4f} at epoch {row.best[0]}, stops in {left}"
        self._progress.update(row.bar, completed=facts.epoch, note=note)
        self._advance()

    def run_done(self, record: RunRecord, worker: int | None) -> None:
        """One line for the run, and the overall bar."""
        self._n_done += 1
        if worker is not None:
            self._rows[worker].done = 0
            self._progress.update(self._rows[worker].bar, visible=False)
        self._advance()
        of = "" if self._n_runs is None else f"/{self._n_runs}"
        line = f"[{self._n_done}{of}] {_label(record.spec)}: {summary(record, worker is None)}"
        self._console.print(line, markup=False)

    def _advance(self) -> None:
        # shares of runs keep the estimate of the time left moving within long runs
        begun = sum(row.done / row.n_epochs for row in self._rows.values())
        self._progress.update(self._all, completed=self._n_done + begun)

    def warn(self, message: str) -> None:
        """A message above the bars."""
        self._console.print(message, style="yellow", markup=False)


def _label(spec: RunSpec) -> str:
    stages = {"tuning": "trial", "confirm": f"confirmation {spec.repetition + 1}"}
    return f"{spec.dataset} {spec.label} {stages.get(spec.stage, f'seed {spec.repetition + 1}')}"


def summary(record: RunRecord, reused: bool) -> str:
    """A run in one line, without test scores where it is part of a search: these are for what was chosen."""
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
    """Say once and loudly where the data came from."""
    # Text and not str: rich would take what stands in brackets for markup
    console.print(Panel(Text(text), title=Text(title), border_style=SOURCE_STYLE[source], title_align="left"))
