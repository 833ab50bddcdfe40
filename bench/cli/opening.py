"""The first lines of a call: program and profile, number of runs, expected time, two lines per data set.

Reads records for the estimate; prints only.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from bench import __version__
from bench.cli.options import Options
from bench.core.protocol import Protocol, short_metric
from bench.core.text import counted
from bench.core.types import BenchmarkData
from bench.data.cards import DatasetCard
from bench.data.load import describe_source
from bench.runs.estimate import Estimator, about
from bench.runs.machine import divide_cores, usable_cores
from bench.runs.plan import Tuned, split_by_content
from bench.runs.records import RunSpec
from bench.runs.runner import planned_runs
from bench.runs.store import ResultsStore
from bench.runs.task import PlannedRun, RunOptions, is_kept
from bench.runs.tuning.search import Search, TuningSettings, count_runs, plan_searches, tuned_values

if TYPE_CHECKING:
    from bench.runs.tuning.lookup import Found

SYNTHETIC = "SYNTHETIC DATA"
KINDS = {"real": "real data", "embedded": "real data, but not the data set of the paper", "surrogate": SYNTHETIC}
SOURCE_STYLE = {"real": "green", "embedded": "yellow", "surrogate": "bold red"}
LONGEST_CLAUSE = 40  # characters of the words on a source


@dataclass(frozen=True)
class Plan:
    """The runs of a call.

    Attributes:
        specs: what is to be run, by label.
        runs: the runs, each once under the first of its labels: labels with the same parameters are one run.
        due: those that will be made.
        named: labels of the models of the call; the other runs are variations that an artifact shows.
        estimator: tells how long a run takes.
    """

    specs: Sequence[RunSpec]
    runs: Sequence[PlannedRun]
    due: Collection[str]
    named: Sequence[str]
    estimator: Estimator

    @classmethod
    def of(
        cls,
        specs: Sequence[RunSpec],
        data: Mapping[str, BenchmarkData],
        named: Sequence[str],
        store: ResultsStore,
        options: RunOptions,
    ) -> Plan:
        """Leave out runs whose content the data lacks, and look up which are finished; nothing is written."""
        content = {name: [modality.name for modality in each.modalities] for name, each in data.items()}
        specs, _ = split_by_content(specs, content)
        runs: dict[str, PlannedRun] = {}
        for run in planned_runs(specs, data, store, options.protocol):
            runs.setdefault(run.key, run)
        due = {key for key, run in runs.items() if not is_kept(store.read(run.path), options.on_existing)}
        return cls(specs, [*runs.values()], due, named, Estimator(store, options))

    def size(self) -> str:
        """Return the number of runs in words: models x data sets x seeds, and variations."""
        own = [run.spec for run in self.runs if run.spec.label in self.named]
        factors = {
            "model": len({spec.label for spec in own}),
            "data set": len({spec.dataset for spec in own}),
            "seed": len({spec.repetition for spec in own}),
        }
        n_more = len(self.runs) - len(own)
        words = " x ".join(counted(n, name) for name, n in factors.items() if name != "seed" or n > 1)
        is_full = len(own) == factors["model"] * factors["data set"] * factors["seed"]
        parts = [f"{words} = {counted(len(own), 'run')}" if own and is_full else counted(len(own), "run")]
        if n_more:
            parts += [f"{counted(n_more, 'run')} of variations"]
        return ", and ".join(parts if own else parts[1:] or parts)

    def time(self, trials: TrialPlan) -> str:
        """Return the expected time of the trials and of the runs that are due, in words."""
        due = [run for run in self.runs if run.key in self.due]
        if not due and not trials.unfinished:
            return "all kept from earlier"
        options, n_workers = self.estimator.options, 1
        if options.cluster is None:
            n_runs = len(due) + trials.count
            given = (options.n_workers, options.n_threads, n_runs, options.device, usable_cores())
            n_workers = divide_cores(*given).n_workers
        seconds = self.estimator.total(due, min(n_workers, max(1, len(due))))
        for_trials = trials.seconds(self.estimator)
        if seconds is None or for_trials is None:
            return "time unknown: no run of some models was made on such a device yet"
        words = about(seconds + for_trials / n_workers)
        if options.cluster is not None:
            return f"{words} of computing, shared by the workers of the cluster"
        return f"{words} with {counted(n_workers, 'worker')}"


@dataclass(frozen=True)
class TrialPlan:
    """The searches of a call, none without `--tune`, and what exists of them."""

    searches: Sequence[Search]
    settings: TuningSettings | None
    found: Sequence[Found] = ()

    @classmethod
    def of(
        cls,
        labels: Sequence[str],
        data: Mapping[str, BenchmarkData],
        settings: TuningSettings | None,
        store: ResultsStore,
        protocol: Protocol,
    ) -> TrialPlan:
        """Plan the searches of a call and look up what exists of them; see `plan_searches` for its errors."""
        if settings is None:
            return cls([], None)
        from bench.runs.tuning.lookup import look_up  # heavy

        searches = plan_searches(labels, data, settings.overrides)
        return cls(searches, settings, [look_up(search, settings, store, protocol) for search in searches])

    @property
    def tuned(self) -> Tuned:
        """Return the values that finished searches chose, by data set and label."""
        return tuned_values([each.result for each in self.found if each.result is not None])

    @property
    def unfinished(self) -> list[Search]:
        """Return the searches that still have trials or confirmation runs to make."""
        return [each.search for each in self.found if each.result is None]

    @property
    def count(self) -> int:
        """Return the largest number of trials and confirmation runs; of searches, if only minutes limit them."""
        if self.settings is None:
            return 0
        counts = count_runs(self.searches, self.settings)
        return len(self.searches) if counts is None else sum(counts)

    @property
    def size(self) -> str:
        """Return the number of trials and confirmation runs in words, "" without a search."""
        if self.settings is None:
            return ""
        of_searches = counted(len(self.searches), "search", "searches")
        if self.settings.budget.minutes is not None:
            return f"{of_searches} of {self.settings.budget.words}"
        n_trials, n_confirmations = count_runs(self.searches, self.settings) or (0, 0)
        more = f" and {counted(n_confirmations, 'confirmation')}" if n_confirmations else ""
        return f"{counted(n_trials, 'trial')}{more} of {of_searches}"

    def seconds(self, estimator: Estimator) -> float | None:
        """Return the seconds of all unfinished searches on one worker, as if none of their trials was made yet.

        None if they are not known.
        """
        if self.settings is None:
            return 0.0
        minutes, n_trials = self.settings.budget.minutes, self.settings.budget.n_trials
        most = None if minutes is None else 60 * minutes
        if n_trials is None and most is not None:
            return most * len(self.unfinished)
        each = [_seconds_of_search(search, self.settings, estimator) for search in self.unfinished]
        if most is not None:
            return sum(most if one is None else min(one, most) for one in each)
        return None if None in each else sum(filter(None, each))


def _seconds_of_search(search: Search, settings: TuningSettings, estimator: Estimator) -> float | None:
    spec = RunSpec(
        dataset=search.data.name,
        model=search.model,
        stage="tuning",
        repetition=0,
        base_seed=settings.base_seed,
        max_epochs=settings.max_epochs,
        params={},
    )
    data = {search.data.name: search.data}
    (run,) = planned_runs([spec], data, estimator.store, estimator.options.protocol)
    seconds = estimator.seconds(run)
    return None if seconds is None else seconds * sum(count_runs([search], settings) or ())


def show_profile(options: Options, console: Console) -> None:
    """Print program, version, profile and protocol."""
    seeds, epochs = counted(options.n_seeds, "seed"), counted(options.epochs_at_most, "epoch")
    console.print(
        f"ludp-bench {__version__}, profile {options.profile}: {seeds}, at most {epochs}",
        style="bold",
        markup=False,
    )
    console.print(_protocol_line(options.protocol), markup=False)


def _protocol_line(used: Protocol) -> str:
    return (
        f"protocol {used.tag}: validation {short_metric(used.selection_metric)} chooses the epoch, patience "
        f"{used.patience}"
    )


def show_opening(
    planned: Plan,
    trials: TrialPlan,
    data: Sequence[tuple[BenchmarkData, DatasetCard]],
    sentences: Iterable[str],
    console: Console,
    is_verbose: bool,
) -> None:
    """Print the number of runs and trials, the expected time, the data sets, and what is left out.

    Args:
        planned: the runs.
        trials: the trials.
        data: data sets with their cards.
        sentences: what is left out; "" is skipped.
        console: to print on.
        is_verbose: whether to print everything about the data.
    """
    show_size(planned, trials, console)
    for each, card in data:
        show_data(each, card, console, is_verbose)
    for sentence in filter(None, sentences):
        console.print(sentence, style="bold yellow", markup=False)


def show_size(planned: Plan, trials: TrialPlan, console: Console) -> None:
    """Print the number of runs and trials, and the expected time, on one line or two."""
    n_done = len(planned.runs) - len(planned.due)
    done = f" ({n_done} kept from earlier)" if n_done and planned.due else ""
    size = ", then ".join(filter(None, (trials.size, planned.size() if planned.runs else "")))
    if not size:
        return
    text, time = f"{size}{done}", planned.time(trials)
    lines = [f"{text}: {time}"] if len(text) + len(time) + 2 <= console.width else [text, time]
    for line in lines:
        console.print(line, style="bold", markup=False)


def show_data(data: BenchmarkData, card: DatasetCard, console: Console, is_verbose: bool = False) -> None:
    """Print two lines on a data set: its source and its counts; or everything, if verbose."""
    if is_verbose:
        announce(console, data.name, describe_source(data), data.source)
        return
    style = "bold red" if data.source == "surrogate" else ""
    console.print(_first_fitting((f"{data.name}: {words}" for words in _sources(data)), console), style=style)
    counts = f"  {counted(data.n_users, 'user')}, {counted(data.n_items, 'item')}"
    more = f", {counted(data.n_interactions, 'interaction')}"
    n_notes = len(data.notes) + len(data.missing)
    notes = f"; {counted(n_notes, 'note')} in the report" if n_notes else ""
    can_fetch = any(each.kind == "real" and getattr(each, "download", None) for each in card.sources)
    real = f". Real: ludp-bench prepare {card.name}" if data.source != "real" and can_fetch else ""
    lines = (counts + more + notes + real, counts + notes + real, counts + notes, counts)
    console.print(_first_fitting(lines, console), markup=False)


def announce(console: Console, title: str, text: str, source: str) -> None:
    """Print in a panel, or as plain lines when piped, where the data came from."""
    if not console.is_terminal:
        console.print(text, markup=False, soft_wrap=True)
        return
    # Text instead of str, because rich would read brackets as markup
    console.print(Panel(Text(text), title=Text(title), border_style=SOURCE_STYLE[source], title_align="left"))


def _first_fitting(lines: Iterable[str], console: Console) -> str:
    """Return the first line that fits the console, else the last one."""
    each = [*lines]
    return next((line for line in each if len(line) <= console.width), each[-1])


def _sources(data: BenchmarkData) -> list[str]:
    """Return where data comes from, in words of several lengths, the longest first."""
    if data.source == "surrogate":
        size = f"{SYNTHETIC}, {data.scale or 1:.4g} x the paper's size"
        return [f"{size}: says nothing of real users", size, SYNTHETIC]
    clause, words = "", re.split(r"[,;(]", data.origin)[0].split()
    while words and len(clause) + len(words[0]) < LONGEST_CLAUSE:
        clause = f"{clause} {words.pop(0)}".strip()
    return [*([f"{clause} ({KINDS[data.source]})"] if clause else []), KINDS[data.source]]
