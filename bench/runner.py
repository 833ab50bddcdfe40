"""Layer 7. Makes runs: spec in, record out. Knows the resume policy; writes through the store only.

A finished run is never made twice. A failed one is recorded as failed, with its error, and tried again
the next time. Validation decides everything; the test part is evaluated once, with the best epoch's parameters.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast
from typing import Protocol as Structural

import torch

from bench import registry
from bench.array_cache import ArrayCache
from bench.environment import PeakMemory
from bench.errors import ConfigError, DataError, ResultsError, UsageError, unknown_name
from bench.evaluate import Evaluator
from bench.plan import run_key
from bench.protocol import Protocol
from bench.recbole_bridge import TrainingView, model_config
from bench.recording import Outcome, blank_record, finished_record
from bench.records import (
    DataFacts,
    EpochFacts,
    Failure,
    RunRecord,
    RunSpec,
)
from bench.sampling import TripleSampler
from bench.store import Damaged, ResultsStore
from bench.train import NotFiniteError, TrainSettings, train
from bench.types import BenchmarkData

OnExisting = Literal["skip", "rerun", "only-missing"]
ON_EXISTING: dict[str, str] = {
    "skip": "keep finished runs, try failed ones again",
    "rerun": "make every run again",
    "only-missing": "keep finished and failed runs, make those without a record",
}


class Listener(Structural):
    """Told what happens, to show it."""

    def run_started(self, spec: RunSpec) -> None:
        """A run begins."""

    def epoch_done(self, facts: EpochFacts) -> None:
        """An epoch of it is over."""

    def run_done(self, record: RunRecord, reused: bool) -> None:
        """It is finished or failed, or was there already (`reused`)."""

    def warn(self, message: str) -> None:
        """Something that the user should know, and that stops nothing."""


@dataclass(frozen=True)
class RunOptions:
    """What is the same for all runs of a call.

    Attributes:
        protocol: the evaluation.
        device: where models live.
        on_existing: see `ON_EXISTING`.
        command: the command line, for the records.
        graph_cache: folder for k-NN lists.
    """

    protocol: Protocol
    device: torch.device
    on_existing: OnExisting
    command: str
    graph_cache: Path


def check_on_existing(name: str) -> OnExisting:
    """The policy of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in ON_EXISTING:
        raise unknown_name("--on-existing policy", name, ON_EXISTING)
    return cast(OnExisting, name)


def execute(
    specs: Sequence[RunSpec],
    data: Mapping[str, BenchmarkData],
    store: ResultsStore,
    options: RunOptions,
    listener: Listener,
) -> list[RunRecord]:
    """Make all runs that are due and return the records of all, each under the label it was planned with.

    Raises:
        BenchError: a usage, configuration, data or results error; nothing finished is lost.
    """
    records = []
    hashes = {spec.model: registry.code_hash(spec.model) for spec in specs}
    for spec in specs:
        listener.run_started(spec)
        facts = DataFacts.of(data[spec.dataset])
        key = run_key(spec, facts, options.protocol, hashes[spec.model])
        path = store.record_path(key, options.protocol, facts.name, facts.source, spec.model)
        existing = store.read(path)
        if isinstance(existing, Damaged):
            listener.warn(f"{existing.path} is damaged ({existing.problem}); the run is made again.")
            existing = None
        record = existing if existing is not None and _keep(existing, options.on_existing) else None
        reused = record is not None
        if record is None:
            blank = blank_record(
                spec, key, facts, hashes[spec.model], options.protocol, options.command, options.device
            )
            record = _make(blank, data[spec.dataset], store, options, listener)
            store.write_record(path, record)
        record = record.model_copy(update={"spec": spec})
        listener.run_done(record, reused)
        records.append(record)
    return records


def state_of(existing: RunRecord | Damaged | None, policy: OnExisting) -> str:
    """What is there of a run and what a policy does about it, in words."""
    if existing is None:
        return "to do"
    found = "damaged" if isinstance(existing, Damaged) else existing.status
    kept = not isinstance(existing, Damaged) and _keep(existing, policy)
    return f"{found}, kept" if kept else f"{found}, made again"


def _keep(existing: RunRecord, policy: OnExisting) -> bool:
    if policy == "rerun":
        return False
    return existing.status == "finished" or policy == "only-missing"


def _make(
    blank: RunRecord, data: BenchmarkData, store: ResultsStore, options: RunOptions, listener: Listener
) -> RunRecord:
    """One run; a training error or a defect of a model becomes a failed record, a user's error is raised."""
    memory, start = PeakMemory(), time.perf_counter()
    try:
        outcome = _train_and_test(blank, data, options, listener)
    except (UsageError, ConfigError, DataError, ResultsError):
        raise
    except NotFiniteError as problem:
        failure = Failure(kind="NotFinite", message=str(problem), epoch=problem.epoch, step=problem.step)
        return blank.model_copy(update={"error": failure})
    except Exception as problem:  # a defect of one model must not take the other runs down
        listener.warn(traceback.format_exc())
        failure = Failure(kind=type(problem).__name__, message=str(problem))
        return blank.model_copy(update={"error": failure})
    store.write_topk(blank.key, outcome.test.topk, outcome.test.per_user)
    store.write_checkpoint(blank.key, outcome.result.best_state, blank.spec.model_dump())
    return finished_record(blank, outcome, memory, time.perf_counter() - start, data)


def _train_and_test(blank: RunRecord, data: BenchmarkData, options: RunOptions, listener: Listener) -> Outcome:
    entry = registry.load(blank.spec.model)
    params = entry.model_class.Params(**blank.spec.params)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(blank.seeds["init"])
        view = TrainingView(data, ArrayCache(options.graph_cache))
        model = entry.model_class(model_config(params), view).to(options.device)
    evaluator = Evaluator(data, options.protocol, options.device)
    validations: list[int] = []

    def validate() -> dict[str, float]:
        evaluation = evaluator.valid(model)
        validations.append(evaluation.metrics.n_users)
        return evaluation.metrics.values

    settings = TrainSettings(
        max_epochs=blank.spec.max_epochs,
        patience=options.protocol.patience,
        triples_seed=blank.seeds["triples"],
        model_seed=blank.seeds["model"],
    )
    sampler = TripleSampler(data.split.train, options.device)
    result = train(model, sampler, validate, settings, listener.epoch_done)
    model.load_state_dict(result.best_state)
    start = time.perf_counter()
    test = evaluator.test(model.eval())
    return Outcome(model, result, test, validations[0], time.perf_counter() - start)
