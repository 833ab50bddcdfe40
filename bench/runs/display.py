"""The console output while runs are made: live bars on a terminal, plain lines when piped. Prints only.

A line shows the validation score of a run and never a test score: whoever chooses while runs are made must not see
those. The test scores stand in the list after the last run, see `bench.cli.ending`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from bench.core.names import split_label
from bench.core.protocol import Protocol, short_metric
from bench.core.text import counted, in_seconds
from bench.core.types import EpochFacts
from bench.engine import registry
from bench.runs.records import RunRecord, RunSpec

ROOM_FOR_ALL = 110  # columns of a terminal from which the bars show everything
Group = tuple[str, str]  # data set and model


def row_title(label: str) -> str:
    """Return the displayed name of a model label by the model's card, for example `LUDP (literal)`."""
    model, variant = split_label(label)
    card = registry.card_of(model)
    name = model if card is None else card.title
    return f"{name} ({variant})" if variant else name


@dataclass(frozen=True)
class Layout:
    """How the lines of a plan look.

    Attributes:
        specs: the runs, each once; empty if they are not known beforehand.
        named: labels whose runs have a line each; those of any other label share one line per data set and model.
            None gives every run a line.
        names: returns the displayed name of a label.
        is_verbose: whether runs that are kept have a line each.
    """

    specs: Sequence[RunSpec] = ()
    named: Sequence[str] | None = None
    names: Callable[[str], str] = row_title
    is_verbose: bool = False

    def is_grouped(self, spec: RunSpec) -> bool:
        """Return whether a run shares a line with others."""
        return self.named is not None and spec.label not in self.named

    def name(self, spec: RunSpec) -> str:
        """Return the name of a run's row, with its stage or seed where that tells runs apart."""
        stages = {"tuning": "trial", "confirm": f"confirmation {spec.repetition + 1}"}
        has_seeds = spec.repetition > 0 or any(each.repetition for each in self.specs)
        stage = stages.get(spec.stage, f"seed {spec.repetition + 1}" if has_seeds else "")
        return f"{self.names(spec.label)} {stage}".strip()


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
        layout: how the lines look; by default every run has one.
    """

    def __init__(
        self, console: Console, n_runs: int | None, protocol: Protocol, layout: Layout | None = None
    ) -> None:
        self._console = console
        self._n_runs = n_runs
        self._protocol = protocol
        self._is_narrow = console.width < ROOM_FOR_ALL
        self._layout = layout or Layout()
        self._seen: set[str] = set()
        self._n_done = self._n_kept = 0
        grouped = [spec for spec in self._layout.specs if self._layout.is_grouped(spec)]
        self._left = Counter((spec.dataset, spec.model) for spec in grouped)
        self._groups: dict[Group, list[RunRecord]] = {}
        alone = [spec for spec in self._layout.specs if not self._layout.is_grouped(spec)]
        self._widths = (
            max((len(spec.dataset) for spec in self._layout.specs), default=0),
            max((len(self._layout.name(spec)) for spec in alone), default=0),
        )
        self._bars: dict[int, WorkerBar] = {}
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            *([] if self._is_narrow else [TimeElapsedColumn()]),
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
        self._show_kept()
        for group in [*self._groups]:
            self._show_group(group)
        if kind is not None and self._n_runs is not None:
            self._console.print(f"{self._n_done} of {self._n_runs} runs are finished.")

    def run_started(self, spec: RunSpec, worker: int) -> None:
        """Show the run that a worker starts."""
        self._show_kept()
        known = self._bars.get(worker)
        bar = self._progress.add_task("", note="") if known is None else known.bar
        self._bars[worker] = WorkerBar(bar, spec.max_epochs)
        title = f"{spec.dataset} {self._layout.name(spec)}"
        self._progress.reset(bar, total=spec.max_epochs, description=title, note="building", visible=True)

    def epoch_done(self, facts: EpochFacts, worker: int) -> None:
        """Advance the run's bar and show its best validation score so far."""
        bar = self._bars[worker]
        metric = self._protocol.selection_metric
        bar.done, score = facts.epoch, facts.valid[metric]
        if score > bar.best[1]:
            bar.best = (facts.epoch, score)
        best_epoch, best_score = bar.best
        left = self._protocol.patience - (facts.epoch - best_epoch)
        note = f"{best_score:.4f} at epoch {best_epoch}"
        if not self._is_narrow:
            note = f"valid {short_metric(metric)} {note}, stops in {left}"
        self._progress.update(bar.bar, completed=facts.epoch, note=note)
        self._advance()

    def run_done(self, record: RunRecord, worker: int | None) -> None:
        """Count a finished run, advance the overall bar, and print the run's line or that of its group.

        Args:
            record: the run's record; a second one with the same key is another name of the same run.
            worker: the worker that made the run; None if its record was kept.
        """
        if record.key in self._seen:
            return
        self._seen.add(record.key)
        self._n_done += 1
        if worker in self._bars:  # a run that was lost before it started has no bar
            self._bars[worker].done = 0
            self._progress.update(self._bars[worker].bar, visible=False)
        self._advance()
        layout, spec = self._layout, record.spec
        group = (spec.dataset, spec.model)
        is_kept = worker is None and record.status == "finished" and not layout.is_verbose
        self._left[group] -= layout.is_grouped(spec)
        if is_kept:
            self._n_kept += 1
        elif layout.is_grouped(spec) and record.status == "finished":
            self._groups.setdefault(group, []).append(record)
        else:
            self._show_kept()
            self._print_line(spec.dataset, layout.name(spec), describe(record, worker is None))
        if group in self._groups and self._left[group] <= 0:
            self._show_group(group)

    def _show_kept(self) -> None:
        """Print how many runs were kept since the last time, if any."""
        if self._n_kept:
            runs = counted(self._n_kept, "run is", "runs are")
            self._console.print(f"{runs} finished already and kept", markup=False)
            self._n_kept = 0

    def _show_group(self, group: Group) -> None:
        """Print one line for the finished runs of a group."""
        records = self._groups.pop(group)
        many = counted(len(records), "variation")
        dataset, model = group
        self._print_line(dataset, f"{self._layout.names(model)}, {many}", describe_group(records))

    def _print_line(self, dataset: str, name: str, parts: Sequence[str]) -> None:
        """Print the line of a run in aligned columns, or without the alignment if it would not fit."""
        total = "" if self._n_runs is None else f"{self._n_runs}"
        index = f"[{self._n_done:>{len(total)}}/{total}]" if total else f"[{self._n_done}]"
        of_data, of_name = self._widths
        line = "  ".join((f"{index} {dataset:<{of_data}}", f"{name:<{of_name}}", *parts)).rstrip()
        if len(line) > self._console.width:
            line = "  ".join((f"{index} {dataset}", name, *parts))
        self._console.print(line, markup=False)

    def _advance(self) -> None:
        # fractions of runs, so that the estimate of the remaining time moves during long runs
        partial = sum(bar.done / bar.n_epochs for bar in self._bars.values())
        self._progress.update(self._all, completed=self._n_done + partial)

    def warn(self, message: str) -> None:
        """Print a warning above the bars."""
        self._console.print(message, style="yellow", markup=False)


def describe(record: RunRecord, is_kept: bool) -> list[str]:
    """Describe a run in a few words: validation score, best epoch, seconds; or why it failed."""
    if record.metrics is None or record.cost is None:
        return [f"FAILED: {record.error.message if record.error else 'unknown reason'}"]
    metric = record.protocol.selection_metric
    parts = [f"valid {short_metric(metric)} {record.metrics.valid.values[metric]:.4f}"]
    if record.is_trained:
        ends = {"cap": " (cap)", "pruned": " (pruned)"}
        parts.append(f"epoch {record.best_epoch}/{record.cost.epochs}{ends.get(record.stop_reason or '', '')}")
    return [*parts, in_seconds(record.cost.total_seconds), *(["(kept)"] if is_kept else [])]


def describe_group(records: Sequence[RunRecord]) -> list[str]:
    """Describe several finished runs in a few words: the range of their validation scores, all their seconds."""
    metric = records[0].protocol.selection_metric
    scores = [each.metrics.valid.values[metric] for each in records if each.metrics is not None]
    seconds = sum(each.cost.total_seconds for each in records if each.cost is not None)
    spread = f"{min(scores):.4f}" + (f" to {max(scores):.4f}" if len(scores) > 1 else "")
    return [f"valid {short_metric(metric)} {spread}", in_seconds(seconds)]
