"""Layer 10. Tunes models: every study of a call side by side, wave by wave, through the same executor as all runs.

A trial is an ordinary run with seeds of its own: it stops by the same rule, its record is kept, and it is not
made twice. Validation alone chooses. The test part is looked at once a trial, only to show afterwards what a
smaller budget, or choosing on the test part, would have reported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from typing import Any

from bench import registry
from bench.assignment import RunOptions
from bench.digest import hash_value
from bench.environment import divide_cores, usable_cores
from bench.executor import Listener, execute
from bench.files import file_name
from bench.plan import Overrides
from bench.protocol import SELECTION_METRIC
from bench.records import DataFacts, EpochFacts, RunRecord, RunSpec
from bench.store import ResultsStore
from bench.suited import why_not
from bench.tuning.results import StudyResult
from bench.tuning.space import SearchSpace, search_space
from bench.tuning.study import Sampler, Study, Trial, opened
from bench.types import BenchmarkData


@dataclass(frozen=True)
class TuningSettings:
    """What is the same for all studies of a call.

    Attributes:
        n_trials: trials of every study.
        sampler: who proposes them.
        max_epochs: upper bound on epochs of a trial.
        base_seed: root of all seeds.
        overrides: values that the user fixed, by model.
    """

    n_trials: int
    sampler: Sampler
    max_epochs: int
    base_seed: int
    overrides: Overrides


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
            space = search_space(registry.load(model), variant, overrides.get(model, {}))
            found.append(Search(label, each, space))
    return found


def n_due(found: Sequence[Search], n_trials: int) -> int:
    """Trials of all studies together; a space may have fewer settings than the budget."""
    return sum(min(n_trials, search.space.size) for search in found)


def tune(
    found: Sequence[Search], settings: TuningSettings, store: ResultsStore, options: RunOptions, listener: Listener
) -> list[StudyResult]:
    """Make all trials of all studies and return them, in the order of `found`.

    Raises:
        BenchError: a usage, configuration, data or results error; trials that are finished are kept.
    """
    threads = options.n_threads  # they can change last digits: those of the search and not of a wave
    if options.cluster is None:
        n_trials = n_due(found, settings.n_trials)
        cores = divide_cores(options.n_workers, options.n_threads, n_trials, options.device, usable_cores())
        threads = cores.n_threads
    # a trial that failed counts and is not tried again
    options = replace(options, on_existing="only-missing", n_threads=threads)
    with ExitStack() as stack:
        studies = [stack.enter_context(_open(search, settings, store, options)) for search in found]
        made: dict[tuple[int, int], RunRecord] = {}
        while wave := _next_wave(found, studies, settings, made):
            specs = [_spec(found[place], trial.values, settings) for place, trial in wave]
            data = {found[place].data.name: found[place].data for place, _ in wave}
            for (place, trial), record in zip(wave, execute(specs, data, store, options, listener), strict=True):
                made[place, trial.number] = record
                studies[place].tell(trial, _score(record))
        return [
            _result(search, study.trials(), settings, store, options)
            for search, study in zip(found, studies, strict=True)
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
        and (record.spec.max_epochs, record.spec.base_seed) == (spec.max_epochs, spec.base_seed)
        and (record.data.data_hash, record.data.split_hash) == (about.data_hash, about.split_hash)
    ]


def _next_wave(
    found: Sequence[Search],
    studies: Sequence[Study],
    settings: TuningSettings,
    made: Mapping[tuple[int, int], RunRecord],
) -> list[tuple[int, Trial]]:
    """The next trials of all studies, long ones first, so that no worker ends alone."""

    def seconds(place: int) -> float:
        costs = [record.cost.total_seconds for (of, _), record in made.items() if of == place and record.cost]
        return sum(costs) / len(costs) if costs else 0.0

    order = sorted(range(len(found)), key=lambda place: (-seconds(place), place))
    return [(place, trial) for place in order for trial in studies[place].next_wave(settings.n_trials)]


def _open(
    search: Search, settings: TuningSettings, store: ResultsStore, options: RunOptions
) -> AbstractContextManager[Study]:
    about = DataFacts.of(search.data)
    identity = {
        "label": search.label,
        "data": [about.data_hash, about.split_hash],
        "protocol": [options.protocol.version, options.protocol.hide_at_test, options.protocol.patience],
        "code": registry.code_hash(search.model),
        "space": [dict(search.space.fixed), {name: list(v) for name, v in search.space.candidates.items()}],
        "settings": [settings.sampler, settings.max_epochs, settings.base_seed],
    }
    folder = store.record_path("", options.protocol, about.name, about.source, _spec(search, {}, settings)).parent
    path = folder / f"{file_name(search.label)}-{settings.sampler}-{hash_value(identity)}.journal"
    name = f"{about.name} {search.label} {settings.sampler}"
    return opened(path, name, search.space, settings.sampler, settings.base_seed)


def _spec(search: Search, values: Mapping[str, Any], settings: TuningSettings) -> RunSpec:
    return RunSpec(
        dataset=search.data.name,
        model=search.model,
        variant=search.label.partition("@")[2],
        stage="tuning",
        repetition=0,
        base_seed=settings.base_seed,
        max_epochs=settings.max_epochs,
        params={**search.space.fixed, **values},
    )


def _result(
    search: Search, trials: Sequence[Trial], settings: TuningSettings, store: ResultsStore, options: RunOptions
) -> StudyResult:
    """The study with the records of its trials; one that got lost is made again."""
    specs = [_spec(search, trial.values, settings) for trial in trials[: settings.n_trials]]
    records = execute(specs, {search.data.name: search.data}, store, options, Silent())
    facts = DataFacts.of(search.data)
    return StudyResult(search.label, facts, search.space, settings.sampler, settings.n_trials, records)


class Silent:
    """Shows nothing."""

    def run_started(self, spec: RunSpec, worker: int) -> None:
        """Of no interest."""

    def epoch_done(self, facts: EpochFacts, worker: int) -> None:
        """Of no interest."""

    def run_done(self, record: RunRecord, worker: int | None) -> None:
        """Of no interest."""

    def warn(self, message: str) -> None:
        """Of no interest."""


def _score(record: RunRecord) -> float | None:
    return record.metrics.valid.values[SELECTION_METRIC] if record.metrics else None
