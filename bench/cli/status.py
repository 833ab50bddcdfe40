"""Print what `--dry-run` and `--status` show: the runs of a plan and their states.

Reads the results directory and prints; writes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.cli.ending import shown_path
from bench.cli.opening import Plan, TrialPlan
from bench.core.files import is_claimed
from bench.core.text import counted, in_seconds
from bench.runs.checkpoint import checkpoint_files
from bench.runs.record_files import Damaged
from bench.runs.records import RunRecord
from bench.runs.store import ResultsStore
from bench.runs.task import PlannedRun, RunOptions, describe_existing
from bench.runs.tuning.pruning import Budget
from bench.runs.tuning.search import Search

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


def show_status(planned: Plan, trials: TrialPlan, console: Console, is_verbose: bool) -> None:
    """Print the number of runs in each state, one line per data set and model, then runs with a remark.

    Args:
        planned: the runs.
        trials: the searches of the call.
        console: to print on.
        is_verbose: whether to print a line for every run instead of the counts.
    """
    store, options = planned.estimator.store, planned.estimator.options
    show_trials(trials, options, console)
    states = [state_of_run(run, store) for run in planned.runs]
    totals = Counter(each.state for each in states)
    console.print(f"\nstatus of {shown_path(store.root)}, protocol {options.protocol.tag}", markup=False)
    if is_verbose:
        table = plain_table("run", "data", "model", "seed", "state")
        for each in states:
            spec = each.run.spec
            row = (each.run.key, spec.dataset, spec.label, str(spec.repetition + 1), each.state)
            table.add_row(*map(Text, row))
    else:
        shown = [state for state in STATES if totals[state] or state in ("done", "missing")]
        table = plain_table("data", "model", "runs", *shown, n_words=2)
        counts: dict[tuple[str, str], Counter[str]] = {}
        for each in states:
            counts.setdefault((each.run.spec.dataset, each.run.spec.model), Counter())[each.state] += 1
        for (dataset, model), count in counts.items():
            numbers = (str(count[state] or "-") for state in shown)
            table.add_row(Text(dataset), Text(model), str(count.total()), *numbers)
    if states:
        console.print(table)
    for each in states:
        if each.state not in ("done", "missing"):
            spec = each.run.spec
            name = f"{spec.dataset} {spec.label} seed {spec.repetition + 1} ({each.run.key})"
            console.print(f"{each.state}: {name}: {each.remark}", markup=False)
    words = ", ".join(f"{totals[state]} {state}" for state in STATES if totals[state])
    console.quiet = False
    console.print(
        f"{counted(len(states), 'run')}: {words or 'nothing to do'}. The same command without --status makes all "
        "runs that are not done."
    )


def show_trials(trials: TrialPlan, options: RunOptions, console: Console) -> None:
    """Print the number of finished, failed and requested trials, one line per search.

    A budget in CPU minutes does not fix the number of trials; the minutes used are shown.
    """
    settings = trials.settings
    if settings is None:
        return
    table = plain_table("data", "model", "trials", "failed", "of", "CPU min", "best valid", n_words=2)
    for found in trials.found:
        search, records = found.search, found.records
        metric = options.protocol.selection_metric
        scores = [each.metrics.valid.values[metric] for each in records if each.metrics is not None]
        table.add_row(
            Text(search.data.name),
            Text(search.label),
            str(len(scores)),
            str(len(records) - len(scores) or "-"),
            _most_trials(search, settings.budget),
            f"{sum(each.cpu_seconds or 0 for each in records) / 60:.1f}",
            f"{max(scores):.4f}" if scores else "",
        )
    console.print()
    console.print(table)
    if trials.unfinished:
        n, of = len(trials.unfinished), counted(len(trials.searches), "search", "searches")
        console.print(
            f"{n} of {of} {'is' if n == 1 else 'are'} not finished, so the runs below use the values in the "
            "models' files. If the search chooses other values, other runs are needed."
        )


def _most_trials(search: Search, budget: Budget) -> str:
    """Return the number of trials of a search, "?" if minutes alone limit it."""
    if budget.n_trials is None:
        return "?"
    return f"{'' if budget.minutes is None else '≤ '}{budget.limit(search.space.size)}"


def show_plan(planned: Plan, trials: TrialPlan, console: Console, is_verbose: bool) -> None:
    """Print every run once, by data set and model, with its state and expected time; nothing is written.

    Args:
        planned: the runs.
        trials: the searches of the call.
        console: to print on.
        is_verbose: whether to print the keys of the runs too.
    """
    store, options = planned.estimator.store, planned.estimator.options
    show_trials(trials, options, console)
    groups: dict[tuple[str, str], list[PlannedRun]] = {}
    for run in planned.runs:
        groups.setdefault((run.spec.dataset, run.spec.model), []).append(run)
    keys = ["key"] if is_verbose else []
    table = plain_table("data", "run", *keys, "state", "expected", n_words=3 + len(keys))
    for (dataset, model), runs in groups.items():
        if len(runs) > 1:
            due = [run for run in runs if run.key in planned.due]
            words = f"{len(due)} to do" if due else "finished"
            row = (dataset, f"{model}: {len(runs)} runs", *("" for _ in keys), words, _expected(due, planned))
            table.add_row(*map(Text, row))
        for run in runs:
            name = _name_in_group(run, runs)
            state = describe_existing(store.read(run.path), options.on_existing)
            time = _expected([run], planned) if run.key in planned.due else ""
            row = ("" if len(runs) > 1 else dataset, name, *(run.key for _ in keys), state, time)
            table.add_row(*map(Text, row))
    if groups:
        console.print()
        console.print(table)
    console.quiet = False
    console.print(f"{counted(len(planned.runs), 'run')}. Nothing was trained or written.")


def _name_in_group(run: PlannedRun, runs: Sequence[PlannedRun]) -> str:
    """Return the name of a run below the line of its model, or beside the data set if it is alone."""
    seed = f", seed {run.spec.repetition + 1}" if any(each.spec.repetition for each in runs) else ""
    if len(runs) == 1:
        return run.spec.label + seed
    return f"  {run.spec.variant or run.spec.model}{seed}"


def _expected(runs: Sequence[PlannedRun], planned: Plan) -> str:
    """Return the expected time of runs on one worker, or "" if it is not known."""
    seconds = planned.estimator.total(runs, 1)
    return "" if seconds is None or not runs else in_seconds(seconds)


def plain_table(*titles: str, n_words: int | None = None) -> Table:
    """Return an empty table without frames that keeps its numbers whole.

    Args:
        titles: titles of the columns.
        n_words: number of first columns that hold text; the others are right-aligned numbers. None: all hold text.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, title in enumerate(titles):
        is_text = n_words is None or place < n_words
        table.add_column(title, justify="left" if is_text else "right", overflow="fold", no_wrap=not is_text)
    return table
