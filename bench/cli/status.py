"""Print what `--dry-run` and `--status` show: the runs of a plan and their states.

Reads the results directory and prints; writes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.core.files import is_claimed
from bench.core.types import BenchmarkData
from bench.runs.checkpoint import checkpoint_files
from bench.runs.record_files import Damaged
from bench.runs.records import DataFacts, RunRecord, RunSpec
from bench.runs.runner import planned_runs
from bench.runs.store import ResultsStore
from bench.runs.task import PlannedRun, RunOptions
from bench.runs.tuning.search import Search, TuningSettings, trial_records

STATES = ("done", "running", "interrupted", "failed", "damaged", "missing")


@dataclass(frozen=True)
class RunState:
    """The progress of one run.

    Attributes:
        run: the run.
        state: one of `STATES`.
        remark: details in words.
    """

    run: PlannedRun
    state: str
    remark: str = ""


def state_of_run(run: PlannedRun, store: ResultsStore) -> RunState:
    """Determine the progress of a run; nothing is written."""
    found = store.read(run.path)
    if isinstance(found, RunRecord) and found.status == "finished":
        return RunState(run, "done")
    kept = checkpoint_files(store.unfinished, run.key)
    epoch = int(kept[-1].stem.rpartition("-")[2]) if kept else 0
    begun = f"after epoch {epoch} of {run.spec.max_epochs} at most"
    if is_claimed(store.claim_path(run.key)):
        return RunState(run, "running", begun)
    if isinstance(found, Damaged):
        return RunState(run, "damaged", f"{found.path}: {found.problem}")
    if isinstance(found, RunRecord) and found.error is not None:
        return RunState(run, "failed", f"{found.error.kind}: {found.error.message}")
    if kept:
        return RunState(run, "interrupted", f"resumes {begun}")
    return RunState(run, "missing")


def show_status(
    specs: Sequence[RunSpec],
    data: Mapping[str, BenchmarkData],
    store: ResultsStore,
    options: RunOptions,
    console: Console,
) -> None:
    """Print the number of runs in each state, one line per data set and model, then runs with a remark."""
    states = [state_of_run(run, store) for run in planned_runs(specs, data, store, options.protocol)]
    title = Text(f"status of {store.root}, protocol {options.protocol.tag}")
    table = Table("data", "model", *STATES, title=title)
    counts: dict[tuple[str, str], Counter[str]] = {}
    for each in states:
        counts.setdefault((each.run.facts.label, each.run.spec.label), Counter())[each.state] += 1
    for (label, model), count in counts.items():
        table.add_row(Text(label), Text(model), *(str(count[state] or "") for state in STATES))
    console.print(table)
    for each in states:
        if each.state not in ("done", "missing"):
            spec = each.run.spec
            name = f"{spec.dataset} {spec.label} seed {spec.repetition + 1} ({each.run.key})"
            console.print(f"{each.state}: {name}: {each.remark}", markup=False, soft_wrap=True)
    totals = Counter(each.state for each in states)
    words = ", ".join(f"{totals[state]} {state}" for state in STATES if totals[state])
    console.print(
        f"{len(states)} runs: {words}. The same command without --status makes all runs that are not done."
    )


def show_trials(
    searches: Sequence[Search],
    settings: TuningSettings,
    store: ResultsStore,
    options: RunOptions,
    console: Console,
) -> None:
    """Print the number of finished, failed and requested trials, one line per search.

    A budget in CPU minutes does not fix the number of trials; the minutes used are shown.
    """
    table = Table("data", "model", "finished", "failed", "of", "CPU minutes", "best valid", title="trials")
    for search in searches:
        records = trial_records(search, settings, store, options)
        metric = options.protocol.selection_metric
        scores = [each.metrics.valid.values[metric] for each in records if each.metrics is not None]
        table.add_row(
            Text(DataFacts.of(search.data).label),
            Text(search.label),
            str(len(scores)),
            str(len(records) - len(scores) or ""),
            str(settings.budget.limit(search.space.size)) if settings.budget.minutes is None else "?",
            f"{sum(each.cpu_seconds or 0 for each in records) / 60:.1f}",
            f"{max(scores):.4f}" if scores else "",
        )
    console.print(table)


def show_plan(
    specs: Sequence[RunSpec],
    data: Mapping[str, BenchmarkData],
    store: ResultsStore,
    options: RunOptions,
    console: Console,
) -> None:
    """Print every run of a plan with its key and state; nothing is written."""
    from bench.runs.task import describe_existing

    table = Table(
        "run", "data", "model", "seed", "max epochs", "state", title=f"plan, protocol {options.protocol.tag}"
    )
    for run in planned_runs(specs, data, store, options.protocol):
        spec, state = run.spec, describe_existing(store.read(run.path), options.on_existing)
        table.add_row(
            run.key, Text(run.facts.label), Text(spec.label), str(spec.repetition + 1), str(spec.max_epochs), state
        )
    console.print(table)
    console.print(f"{len(specs)} runs. Nothing was trained or written.")
