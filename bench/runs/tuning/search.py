"""Tunes models: every study of a call side by side, wave by wave, through the same executor as all runs.

A trial is an ordinary run with seeds of its own: its record is kept, and it is not made twice. It stops by the
same rule, or earlier where it is pruned, which counts as a trial all the same. Validation alone chooses: the best
settings of a search are trained again with fresh seeds, and the best mean is taken, for the best of many trials by
one seed is in part the luckiest. The test part is looked at once a trial, only to show afterwards what a smaller
budget, or choosing on the test part, would have reported.

`--tune` as a step of the command line: searches under the live display, keeps what was chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, cast

from rich.console import Console

from bench.core.errors import unknown_name
from bench.core.files import file_name
from bench.core.hashing import hash_value
from bench.core.protocol import Bounds, Protocol
from bench.core.types import BenchmarkData
from bench.engine import registry
from bench.engine.tuned import tuned_path
from bench.runs.display import RunDisplay
from bench.runs.events import Listener
from bench.runs.machine import divide_cores, usable_cores
from bench.runs.plan import Overrides, Tuned, why_not
from bench.runs.pool import execute
from bench.runs.records import DataFacts, RunRecord, RunSpec, Stage
from bench.runs.store import ResultsStore
from bench.runs.task import RunOptions
from bench.runs.tuning.keep import dropped_words, export_trials, may_be_kept, write_chosen
from bench.runs.tuning.pruning import MEDIAN, N_SEEDS, N_SETTINGS, Budget, PruningRule
from bench.runs.tuning.results import Confirmed, StudyResult, best_trials, valid_score
from bench.runs.tuning.space import SearchSpace, search_space
from bench.runs.tuning.study import N_STARTUP, SAMPLERS, WAVES, Sampler, Study, Trial, opened, wave_of


@dataclass(frozen=True)
class TuningSettings:
    """What is the same for all studies of a call.

    Attributes:
        budget: of every study.
        sampler: who proposes trials.
        max_epochs: upper bound on epochs of a trial.
        base_seed: root of all seeds.
        overrides: values that the user fixed, by model.
        rule: which trials are stopped early, None for none.
        n_settings: best settings that are trained again; below 2 the search's one seed chooses.
        n_seeds: fresh seeds of each; likewise.
        may_write: whether chosen values are written beside the models' files.
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
        """Settings of a search that are trained again: none of a control, whose fit does not depend on a seed."""
        if self.n_settings < 2 or self.n_seeds < 2 or registry.load(search.model).card.family == "control":
            return 0
        return self.n_settings


@dataclass(frozen=True)
class Search:
    """One model, or variant, on one data set."""

    label: str
    data: BenchmarkData
    space: SearchSpace

    @property
    def model(self) -> str:
        """Name of the model's file."""
        return self.label.partition("@")[0]


@dataclass
class Progress:
    """A search while it is made.

    Attributes:
        search: what is searched.
        study: its journal.
        records: of its trials, in order, as far as whole waves are made.
    """

    search: Search
    study: Study
    records: list[RunRecord] = field(default_factory=list)

    @property
    def mean_seconds(self) -> float:
        """What a trial took; 0 while nothing is known."""
        costs = [record.cost.total_seconds for record in self.records if record.cost]
        return sum(costs) / len(costs) if costs else 0.0

    def next_wave(self, budget: Budget) -> list[Trial]:
        """The trials to make or to look up now; none at the end. CPU minutes end a search after its first wave."""
        first = len(self.records)
        if first >= WAVES[0] and budget.is_used_up(self.records):
            return []
        return self.study.wave(first, budget.limit(self.search.space.size))

    def specs(self, wave: Sequence[Trial], settings: TuningSettings, protocol: Protocol) -> list[RunSpec]:
        """The runs of a wave, bounded by what the trials of earlier waves had reached."""
        bounds: Bounds = ()
        if settings.rule is not None and wave:
            earlier = self.records[: wave_of(wave[0].number).start]
            bounds = settings.rule.bounds(earlier, protocol.selection_metric)
        return [_spec(self.search, trial.values, settings, bounds=bounds) for trial in wave]


def searches(labels: Sequence[str], data: Mapping[str, BenchmarkData], overrides: Overrides) -> list[Search]:
    """What there is to tune where the data has the content; every space is checked before the first trial.

    Raises:
        ConfigError: a candidate has a wrong type.
        UsageError: a model, variant or fixed parameter does not exist.
    """
    found = []
    for each in data.values():
        for label in labels:
            model, _, variant = label.partition("@")
            if why_not(model, overrides.get(model, {}), [one.name for one in each.modalities]) is not None:
                continue
            space = search_space(registry.load(model), variant, overrides.get(model, {}), each.name)
            found.append(Search(label, each, space))
    return found


def n_due(found: Sequence[Search], settings: TuningSettings) -> int | None:
    """Trials and confirmation runs of all studies together; None where CPU minutes decide.

    A space may have fewer settings than the budget.
    """
    if settings.budget.n_trials is None:
        return None
    due = [settings.budget.limit(search.space.size) for search in found]
    again = [min(settings.n_confirmed(search), n) for search, n in zip(found, due, strict=True)]
    return sum(due) + settings.n_seeds * sum(again)


def tune(
    found: Sequence[Search], settings: TuningSettings, store: ResultsStore, options: RunOptions, listener: Listener
) -> list[StudyResult]:
    """Make all trials of all studies, confirm the best, and return all, in the order of `found`.

    Raises:
        BenchError: a usage, configuration, data or results error; trials that are finished are kept.
    """
    threads = options.n_threads  # they can change last digits: those of the search and not of a wave
    if options.cluster is None:
        limit = N_STARTUP if settings.budget.n_trials is None else settings.budget.n_trials
        n_trials = sum(min(limit, search.space.size) for search in found)
        cores = divide_cores(options.n_workers, options.n_threads, n_trials, options.device, usable_cores())
        threads = cores.n_threads
    # a trial that failed counts and is not tried again
    options = replace(options, on_existing="only-missing", n_threads=threads)
    data = {search.data.name: search.data for search in found}
    with ExitStack() as stack:
        studies = [
            Progress(search, stack.enter_context(_open(search, settings, store, options))) for search in found
        ]
        while waves := _next_waves(studies, settings.budget):
            specs = [each.specs(wave, settings, options.protocol) for each, wave in waves]
            records = iter(execute([spec for own in specs for spec in own], data, store, options, listener))
            for each, wave in waves:
                for trial in wave:
                    record = next(records)
                    each.records.append(record)
                    if trial.state == "running":
                        each.study.tell(trial, None if record.metrics is None else valid_score(record))
    confirmed = _confirm(studies, settings, data, store, options, listener)
    return [
        StudyResult(
            label=each.search.label,
            facts=DataFacts.of(each.search.data),
            space=each.search.space,
            sampler=settings.sampler,
            budget=settings.budget,
            records=each.records,
            confirmed=own,
            search_id=_identity(each.search, settings, options.protocol),
            pruning="none" if settings.rule is None else settings.rule.words,
        )
        for each, own in zip(studies, confirmed, strict=True)
    ]


def trial_records(
    search: Search, settings: TuningSettings, store: ResultsStore, options: RunOptions
) -> list[RunRecord]:
    """Records of the trials of a search that were made so far; the search may be going on meanwhile."""
    about, code = DataFacts.of(search.data), registry.code_hash(search.model)
    spec = _spec(search, {}, settings)
    folder = store.record_path("", options.protocol, about.name, about.source, spec).parent
    found = (store.read(path) for path in sorted(folder.glob("*.json")))
    return [
        record
        for record in found
        if isinstance(record, RunRecord)
        and (record.spec.label, record.code_hash) == (search.label, code)
        and (record.spec.stage, record.spec.max_epochs, record.spec.base_seed)
        == (spec.stage, spec.max_epochs, spec.base_seed)
        and (record.data.data_hash, record.data.split_hash) == (about.data_hash, about.split_hash)
    ]


def _next_waves(studies: Sequence[Progress], budget: Budget) -> list[tuple[Progress, list[Trial]]]:
    """The next trials of all studies, long ones first, so that no worker ends alone."""
    order = sorted(range(len(studies)), key=lambda place: (-studies[place].mean_seconds, place))
    waves = [(studies[place], studies[place].next_wave(budget)) for place in order]
    return [(each, wave) for each, wave in waves if wave]


def _confirm(
    studies: Sequence[Progress],
    settings: TuningSettings,
    data: Mapping[str, BenchmarkData],
    store: ResultsStore,
    options: RunOptions,
    listener: Listener,
) -> list[list[Confirmed]]:
    """Train the best settings of every search again with fresh seeds, those of all searches side by side."""
    best = [best_trials(each.records, settings.n_confirmed(each.search)) for each in studies]
    specs = [
        _spec(each.search, each.records[number].spec.params, settings, "confirm", repetition)
        for each, numbers in zip(studies, best, strict=True)
        for number in numbers
        for repetition in range(settings.n_seeds)
    ]
    records = iter(execute(specs, data, store, options, listener) if specs else [])
    return [
        [Confirmed(number, [next(records) for _ in range(settings.n_seeds)]) for number in numbers]
        for numbers in best
    ]


def _identity(search: Search, settings: TuningSettings, protocol: Protocol) -> str:
    """Hash of all that the proposals of a search depend on."""
    about = DataFacts.of(search.data)
    return hash_value(
        {
            "label": search.label,
            "data": [about.data_hash, about.split_hash],
            "protocol": protocol.identity,
            "code": registry.code_hash(search.model),
            "space": [dict(search.space.fixed), {name: list(v) for name, v in search.space.candidates.items()}],
            "settings": [settings.sampler, settings.max_epochs, settings.base_seed],
            "waves": WAVES,
            "pruning": None if settings.rule is None else settings.rule.identity,
        }
    )


def _open(
    search: Search, settings: TuningSettings, store: ResultsStore, options: RunOptions
) -> AbstractContextManager[Study]:
    about = DataFacts.of(search.data)
    folder = store.record_path("", options.protocol, about.name, about.source, _spec(search, {}, settings)).parent
    name = f"{file_name(search.label)}-{settings.sampler}-{_identity(search, settings, options.protocol)}.journal"
    title = f"{about.name} {search.label} {settings.sampler}"
    return opened(folder / name, title, search.space, settings.sampler, settings.base_seed)


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
        variant=search.label.partition("@")[2],
        stage=stage,
        repetition=repetition,
        base_seed=settings.base_seed,
        max_epochs=settings.max_epochs,
        params={**search.space.fixed, **values},
        bounds=bounds,
    )


def check_sampler(name: str) -> Sampler:
    """The sampler of that name.

    Raises:
        UsageError: there is none.
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
        BenchError: the user can mend it; finished trials are kept.
    """
    found = searches(labels, data, settings.overrides)
    for search in found:
        size = search.space.size
        if settings.budget.n_trials is not None and size < settings.budget.n_trials:
            console.print(f"{search.label}: its search space has {size} settings; all are tried.")
    with RunDisplay(console, n_due(found, settings), options.protocol) as display:
        results = tune(found, settings, store, options, display)
    for result in results:
        _keep(result, settings, options, console)
    for name in dict.fromkeys(result.facts.name for result in results):
        own = [result for result in results if result.facts.name == name]
        source, spec = own[0].facts.source, own[0].default.spec
        folder = store.record_path("", options.protocol, name, source, spec).parent.parent
        path = export_trials(own, folder, options.protocol)
        console.print(f"wrote {path}", markup=False, soft_wrap=True)
    return results


def tuned_values(results: Sequence[StudyResult]) -> Tuned:
    """All parameters of the chosen trials by data set and label; those without a finished trial are left out."""
    return {
        (result.facts.name, result.label): dict(result.chosen.spec.params)
        for result in results
        if result.chosen is not None
    }


def _keep(result: StudyResult, settings: TuningSettings, options: RunOptions, console: Console) -> None:
    """Write chosen values beside the model's file where they belong there, and say why where they do not."""
    entry = registry.load(result.label.partition("@")[0])
    about, path = f"{result.label} on {result.facts.label}", tuned_path(entry)
    if dropped := dropped_words(result):
        console.print(f"{about}: {dropped}.", style="yellow", markup=False, soft_wrap=True)
    if result.chosen is None:
        message = f"{about}: all {len(result.records)} trials failed; nothing is chosen."
    elif not result.space.candidates:
        message = f"{about}: there is nothing to tune."
    elif settings.overrides.get(entry.name):
        message = f"{about}: chosen under --set, so {path} stays as it is: {result.chosen_values}."
    elif not may_be_kept(result):
        message = f"{about}: chosen for data drawn at random, so {path} stays as it is."
    elif not entry.takes_values:
        message = f"{about}: {entry.path} is not ours to write; the chosen values hold for this call: "
        message += f"{result.chosen_values}."
    elif not settings.may_write:
        message = (
            f"{about}: the trials had {settings.max_epochs} epochs at most, fewer than without --epochs, so "
            f"{path} stays as it is and the chosen values hold for this call: {result.chosen_values}. Add "
            f"--save-tuned to write them."
        )
    else:
        write_chosen(result, entry, options.protocol)
        message = f"{about}: chosen values written to {path}."
    console.print(message, markup=False, soft_wrap=True)
