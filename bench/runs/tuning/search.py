"""Tunes models: all studies of a call in parallel, wave by wave, through the executor of all runs.

Writes the results directory and the chosen values beside the models' files. Validation alone decides. The best
settings of a search are trained again with fresh seeds and the best mean is chosen, because the best of many
trials by one seed is partly the luckiest. Each trial also evaluates the test part once, only to report afterwards
what a smaller budget, or choosing on the test part, would have given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from rich.console import Console

from bench.core.errors import unknown_name
from bench.core.hashing import hash_value
from bench.core.names import file_name, model_of, split_label
from bench.core.protocol import Bounds, Protocol
from bench.core.types import BenchmarkData
from bench.engine import registry
from bench.engine.tuned import tuned_path
from bench.runs.controls import is_control
from bench.runs.display import RunDisplay
from bench.runs.machine import divide_cores, usable_cores
from bench.runs.plan import Overrides, Tuned, content_problem
from bench.runs.pool import execute
from bench.runs.records import DataFacts, RunRecord, RunSpec, Stage
from bench.runs.store import ResultsStore
from bench.runs.task import RunOptions
from bench.runs.tuning.keep import describe_dropped, export_trials, may_be_kept, write_chosen
from bench.runs.tuning.pruning import MEDIAN, N_SEEDS, N_SETTINGS, Budget, PruningRule
from bench.runs.tuning.results import ConfirmedSetting, StudyResult, best_trials, valid_score
from bench.runs.tuning.space import SearchSpace, search_space
from bench.runs.tuning.study import N_STARTUP, SAMPLERS, WAVES, Sampler, Study, Trial, open_study, wave_of

Make = Callable[[Sequence[RunSpec], Mapping[str, BenchmarkData]], list[RunRecord]]


@dataclass(frozen=True)
class TuningSettings:
    """The settings that all studies of a call share.

    Attributes:
        budget: budget of every study.
        sampler: name of the sampler that proposes trials.
        max_epochs: upper bound on epochs of a trial.
        base_seed: root of all seeds.
        overrides: values that the user fixed, by model.
        rule: rule that stops trials early; None for no pruning.
        n_settings: number of best settings that are trained again; below 2 there is no confirmation.
        n_seeds: number of fresh seeds of each; below 2 there is no confirmation.
        may_write: whether to write chosen values beside the models' files.
    """

    budget: Budget
    sampler: Sampler
    max_epochs: int
    base_seed: int
    overrides: Overrides
    rule: PruningRule | None = MEDIAN
    n_settings: int = N_SETTINGS
    n_seeds: int = N_SEEDS
    may_write: bool = True

    def n_confirmed(self, search: Search) -> int:
        """Return the number of settings of a search that are trained again."""
        # none of a control, whose fit does not depend on a seed
        if self.n_settings < 2 or self.n_seeds < 2 or is_control(search.model):
            return 0
        return self.n_settings


@dataclass(frozen=True)
class Search:
    """One model or variant, a data set to tune it on, and its search space."""

    label: str
    data: BenchmarkData
    space: SearchSpace

    @property
    def model(self) -> str:
        """Return the name of the model's file."""
        return model_of(self.label)


@dataclass
class Progress:
    """A search in progress.

    Attributes:
        search: the search.
        study: its study.
        records: records of the trials of all finished waves, in order.
    """

    search: Search
    study: Study
    records: list[RunRecord] = field(default_factory=list)

    @property
    def mean_seconds(self) -> float:
        """Return the mean wall-clock time of a trial; 0 while it is not known."""
        costs = [record.cost.total_seconds for record in self.records if record.cost]
        return sum(costs) / len(costs) if costs else 0.0

    def next_wave(self, budget: Budget) -> list[Trial]:
        """Return the trials of the next wave; an empty list at the end of the search."""
        first = len(self.records)
        # the first wave is complete even if it takes more than the CPU minutes
        if first >= WAVES[0] and budget.is_used_up(self.records):
            return []
        return self.study.wave(first, budget.limit(self.search.space.size))

    def specs(self, wave: Sequence[Trial], settings: TuningSettings, protocol: Protocol) -> list[RunSpec]:
        """Return the runs of a wave, with the pruning bounds from the trials of earlier waves."""
        bounds: Bounds = ()
        if settings.rule is not None and wave:
            earlier = self.records[: wave_of(wave[0].number).start]
            bounds = settings.rule.bounds(earlier, protocol.selection_metric)
        return [_spec(self.search, trial.values, settings, bounds=bounds) for trial in wave]


def plan_searches(labels: Sequence[str], data: Mapping[str, BenchmarkData], overrides: Overrides) -> list[Search]:
    """Plan the search of every label on every data set that has the content the model needs.

    Every search space is checked before the first trial.

    Raises:
        ConfigError: a candidate has a wrong type.
        UsageError: a model, variant or fixed parameter does not exist.
    """
    searches = []
    for each in data.values():
        for label in labels:
            model, variant = split_label(label)
            space = search_space(registry.load(model), variant, overrides.get(model, {}), each.name)
            # by the fixed values, because a variant such as ludp@visual needs a modality
            if content_problem(model, space.fixed, [one.name for one in each.modalities]) is None:
                searches.append(Search(label, each, space))
    return searches


def count_runs(searches: Sequence[Search], settings: TuningSettings) -> tuple[int, int] | None:
    """Count the trials and the confirmation runs of all studies, at most; None if only CPU minutes limit them."""
    if settings.budget.n_trials is None:
        return None
    # a space may have fewer settings than the budget
    trials = [settings.budget.limit(search.space.size) for search in searches]
    confirmed = [min(settings.n_confirmed(search), n) for search, n in zip(searches, trials, strict=True)]
    return sum(trials), settings.n_seeds * sum(confirmed)


def tune(
    searches: Sequence[Search],
    settings: TuningSettings,
    store: ResultsStore,
    protocol: Protocol,
    make: Make,
    journals: Path | None = None,
) -> list[StudyResult]:
    """Make all trials of all studies, confirm the best, and return the results in the order of `searches`.

    Args:
        searches: the searches.
        settings: their settings.
        store: where the journals are.
        protocol: protocol of the runs.
        make: makes or reads the runs of a plan, given the data sets by name.
        journals: folder with the journals, in place of that in the store.

    Raises:
        BenchError: a usage, configuration, data or results error; finished trials are kept.
    """
    data = {search.data.name: search.data for search in searches}
    with ExitStack() as stack:
        paths = [journal_path(search, settings, store, protocol) for search in searches]
        places = [path if journals is None else journals / path.name for path in paths]
        studies = [
            Progress(search, stack.enter_context(_open(search, settings, place, path)))
            for search, place, path in zip(searches, places, paths, strict=True)
        ]
        while waves := _next_waves(studies, settings.budget):
            specs = [each.specs(wave, settings, protocol) for each, wave in waves]
            records = iter(make([spec for own in specs for spec in own], data))
            for each, wave in waves:
                for trial in wave:
                    record = next(records)
                    each.records.append(record)
                    if trial.state == "running":
                        each.study.tell(trial, None if record.metrics is None else valid_score(record))
    confirmed = _confirm(studies, settings, data, make)
    return [
        StudyResult(
            label=each.search.label,
            facts=DataFacts.of(each.search.data),
            space=each.search.space,
            sampler=settings.sampler,
            budget=settings.budget,
            records=each.records,
            confirmed=own,
            search_id=_identity(each.search, settings, protocol),
            pruning="none" if settings.rule is None else settings.rule.words,
        )
        for each, own in zip(studies, confirmed, strict=True)
    ]


def _threads(searches: Sequence[Search], settings: TuningSettings, options: RunOptions) -> int | None:
    """Return the threads of each trial, which can change last digits: by the whole search, not by a wave."""
    if options.cluster is not None:
        return options.n_threads
    limit = N_STARTUP if settings.budget.n_trials is None else settings.budget.n_trials
    n_trials = sum(min(limit, search.space.size) for search in searches)
    return divide_cores(options.n_workers, options.n_threads, n_trials, options.device, usable_cores()).n_threads


def _next_waves(studies: Sequence[Progress], budget: Budget) -> list[tuple[Progress, list[Trial]]]:
    """Return the next waves of all studies, those with the longest trials first."""
    # so that no worker is left with a long trial at the end; a stable sort
    order = sorted(studies, key=lambda each: -each.mean_seconds)
    waves = [(each, each.next_wave(budget)) for each in order]
    return [(each, wave) for each, wave in waves if wave]


def _confirm(
    studies: Sequence[Progress],
    settings: TuningSettings,
    data: Mapping[str, BenchmarkData],
    make: Make,
) -> list[list[ConfirmedSetting]]:
    """Train the best settings of all searches again with fresh seeds, in one parallel plan."""
    best = [best_trials(each.records, settings.n_confirmed(each.search)) for each in studies]
    specs = [
        _spec(each.search, each.records[number].spec.params, settings, "confirm", repetition)
        for each, numbers in zip(studies, best, strict=True)
        for number in numbers
        for repetition in range(settings.n_seeds)
    ]
    records = iter(make(specs, data) if specs else [])
    return [
        [ConfirmedSetting(number, [next(records) for _ in range(settings.n_seeds)]) for number in numbers]
        for numbers in best
    ]


def _identity(search: Search, settings: TuningSettings, protocol: Protocol) -> str:
    """Hash everything on which the proposals of a search depend."""
    facts = DataFacts.of(search.data)
    return hash_value(
        {
            "label": search.label,
            "data": [facts.data_hash, facts.split_hash],
            "protocol": protocol.identity,
            "code": registry.code_hash(search.model),
            "space": [dict(search.space.fixed), {name: list(v) for name, v in search.space.candidates.items()}],
            "settings": [settings.sampler, settings.max_epochs, settings.base_seed],
            "waves": WAVES,
            "pruning": None if settings.rule is None else settings.rule.identity,
        }
    )


def journal_path(search: Search, settings: TuningSettings, store: ResultsStore, protocol: Protocol) -> Path:
    """Return the path of a search's journal."""
    facts = DataFacts.of(search.data)
    folder = store.record_path("", protocol, facts.name, facts.source, _spec(search, {}, settings)).parent
    name = f"{file_name(search.label)}-{settings.sampler}-{_identity(search, settings, protocol)}.journal"
    return folder / name


def _open(search: Search, settings: TuningSettings, path: Path, original: Path) -> AbstractContextManager[Study]:
    title = f"{search.data.name} {search.label} {settings.sampler}"
    return open_study(path, title, search.space, settings.sampler, settings.base_seed, original)


def _spec(
    search: Search,
    values: Mapping[str, Any],
    settings: TuningSettings,
    stage: Stage = "tuning",
    repetition: int = 0,
    bounds: Bounds = (),
) -> RunSpec:
    return RunSpec(
        dataset=search.data.name,
        model=search.model,
        variant=split_label(search.label)[1],
        stage=stage,
        repetition=repetition,
        base_seed=settings.base_seed,
        max_epochs=settings.max_epochs,
        params={**search.space.fixed, **values},
        bounds=bounds,
    )


def check_sampler(name: str) -> Sampler:
    """Check the name of a sampler and return it.

    Raises:
        UsageError: the name is unknown.
    """
    if name not in SAMPLERS:
        raise unknown_name("--tune-sampler", name, SAMPLERS)
    return cast(Sampler, name)


def run_tuning(
    labels: Sequence[str],
    data: Mapping[str, BenchmarkData],
    settings: TuningSettings,
    store: ResultsStore,
    options: RunOptions,
    console: Console,
) -> list[StudyResult]:
    """Search for every label on every data set, and write chosen values beside the models' files.

    Raises:
        BenchError: an error that the user can correct; finished trials are kept.
    """
    searches = plan_searches(labels, data, settings.overrides)
    if warning := unsaved_warning(searches, settings, options.protocol):
        console.print(warning, style="bold yellow", markup=False)
    for search in searches:
        size = search.space.size
        if settings.budget.minutes is None and size < (settings.budget.n_trials or 0):
            console.print(f"{search.label}: its search space has {size} settings; all are tried.")
    # CPU minutes may end a search before its number of trials
    counts = count_runs(searches, settings) if settings.budget.minutes is None else None
    # a failed trial counts and is not repeated
    of_trials = replace(options, on_existing="only-missing", n_threads=_threads(searches, settings, options))
    with RunDisplay(console, None if counts is None else sum(counts), options.protocol) as display:

        def make(specs: Sequence[RunSpec], data: Mapping[str, BenchmarkData]) -> list[RunRecord]:
            return execute(specs, data, store, of_trials, display)

        results = tune(searches, settings, store, options.protocol, make)
    for result in results:
        _write_chosen(result, settings, options, console)
    for name in dict.fromkeys(result.facts.name for result in results):
        own = [result for result in results if result.facts.name == name]
        source, spec = own[0].facts.source, own[0].default.spec
        folder = store.record_path("", options.protocol, name, source, spec).parent.parent
        path = export_trials(
            own, folder, options.protocol, lambda text: console.print(text, style="yellow", markup=False)
        )
        console.print(f"wrote {path}", markup=False)
    return results


def unsaved_warning(searches: Sequence[Search], settings: TuningSettings, protocol: Protocol) -> str:
    """Return a warning if the chosen values will not be written, as protocol or epoch limit differ; else ""."""
    if settings.may_write or all(search.data.source == "surrogate" for search in searches):
        return ""
    return (
        f"{_other_rule(settings, protocol)}, so the values that they choose hold for this call only. --save-tuned "
        f"writes them all the same."
    )


def _other_rule(settings: TuningSettings, protocol: Protocol) -> str:
    """Say how the trials differ from those whose values are kept for later calls."""
    own = Protocol()
    if protocol != own:
        return f"The trials are under protocol {protocol.tag}, not the default {own.tag}"
    return f"The trials have at most {settings.max_epochs:,} epochs, not the {own.max_epochs:,} of the protocol"


def tuned_values(results: Sequence[StudyResult]) -> Tuned:
    """Return all parameters of the chosen trials by data set and label; searches without one are left out."""
    return {
        (result.facts.name, result.label): dict(result.chosen.spec.params)
        for result in results
        if result.chosen is not None
    }


def _write_chosen(result: StudyResult, settings: TuningSettings, options: RunOptions, console: Console) -> None:
    """Write the chosen values beside the model's file, or print why they are not written."""
    entry = registry.load(model_of(result.label))
    subject, path = f"{result.label} on {result.facts.label}", tuned_path(entry)
    if dropped := describe_dropped(result):
        console.print(f"{subject}: {dropped}.", style="yellow", markup=False)
    if result.chosen is None:
        message = f"{subject}: all {len(result.records)} trials failed; nothing is chosen."
    elif not result.space.candidates:
        message = f"{subject}: there is nothing to tune."
    elif settings.overrides.get(entry.name):
        message = f"{subject}: chosen under --set, so {path} stays as it is: {result.chosen_values}."
    elif not may_be_kept(result):
        message = f"{subject}: chosen for data drawn at random, so {path} stays as it is."
    elif not entry.takes_values:
        message = (
            f"{subject}: {entry.path} belongs to another package, so no file is written beside it. The chosen "
            f"values hold for this call: {result.chosen_values}."
        )
    elif not settings.may_write:
        message = (
            f"{subject}: {_other_rule(settings, options.protocol)}. So {path} stays as it is, and the chosen "
            f"values hold for this call: {result.chosen_values}. Add --save-tuned to write them."
        )
    else:
        write_chosen(result, entry, options.protocol)
        message = f"{subject}: chosen values written to {path}."
    console.print(message, markup=False)
