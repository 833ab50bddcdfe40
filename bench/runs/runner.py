"""One run: a task in, a record out.

Holds the run's claim meanwhile, and writes through `ResultsStore` and `Checkpoint`. A finished run is repeated on
request only, and an unfinished one resumes after its last epoch. A failed run is recorded with its error, and
tried again by the next call. Validation decides everything; the test part is evaluated once, with the parameters
of the best epoch.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import torch

from bench.core.errors import ConfigError, DataError, ResultsError, UsageError
from bench.core.files import claim
from bench.core.hashing import hash_value
from bench.core.names import readable
from bench.core.protocol import Protocol
from bench.core.text import shorten_paths
from bench.core.types import BenchmarkData, FloatArray, Metrics, MetricsByPart
from bench.data.ablation import with_features
from bench.engine import registry
from bench.engine.evaluate import Evaluation, Evaluator
from bench.engine.plugins import use_plugins
from bench.engine.recbole import build_model
from bench.engine.recbole_models import sampler_for
from bench.engine.trainer import (
    NotFiniteError,
    StateMismatchError,
    TrainResult,
    TrainSettings,
    keep_freed_memory,
    train,
)
from bench.runs.cache import ArrayCache, SharedData, neighbour_code_hash, open_shared
from bench.runs.checkpoint import Checkpoint
from bench.runs.events import OnEvent, observe_run
from bench.runs.machine import CoreShare, PeakMemory, describe, load_libraries, threads
from bench.runs.record_files import run_key, seeds_of
from bench.runs.records import Cost, DataFacts, Failure, ProtocolFacts, RunRecord, RunSpec
from bench.runs.store import ResultsStore
from bench.runs.task import PlannedRun, RunOptions, RunTask, is_kept
from models.base import Recommender


def final_vectors(
    record: RunRecord, data: BenchmarkData, store: ResultsStore
) -> tuple[FloatArray, FloatArray] | None:
    """Compute the user and item vectors whose dot products are the scores of a run.

    Args:
        record: a finished run.
        data: the data set of the run.
        store: the store that holds its parameters.

    Returns:
        Vectors of users and of items without padding, `[n_users, D]` and `[n_items, D]`; None if the
        parameters are missing, damaged, or not those of the model's present code.
    """
    state = store.read_checkpoint(record)
    if state is None:
        return None
    spec = record.spec
    seen = with_features(data, spec.features, spec.base_seed, spec.repetition)
    entry = registry.load(spec.model)
    model = build_model(entry.model_class, entry.checked_before(spec.params), seen, record.seeds["init"])
    try:
        model.load_state_dict(state)
    except RuntimeError:  # raised by torch if names or shapes differ
        return None
    with torch.no_grad():
        users, items = model.eval().embed()
    return users[1:].numpy(), items[1:].numpy()


def blank_record(
    spec: RunSpec,
    key: str,
    facts: DataFacts,
    code_hash: str,
    protocol: Protocol,
    command: str,
    device: torch.device,
) -> RunRecord:
    """Make a record of everything that is known before the run; its status is failed until the run finishes."""
    return RunRecord(
        key=key,
        status="failed",
        spec=spec,
        data=facts,
        protocol=ProtocolFacts.of(protocol),
        code_hash=code_hash,
        seeds=seeds_of(spec),
        command=command,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=describe(device),
    )


@dataclass(frozen=True, eq=False)
class TrainingOutcome:
    """A trained model with the results of its training and its one test evaluation."""

    model: Recommender
    result: TrainResult
    test: Evaluation
    n_valid_users: int
    test_seconds: float


def finished_record(
    blank: RunRecord,
    outcome: TrainingOutcome,
    memory: PeakMemory,
    seconds: float,
    cpu_seconds: float,
    data: BenchmarkData,
) -> RunRecord:
    """Make the record of a finished run.

    Args:
        blank: its record before it started.
        outcome: results of training and test.
        memory: peak memory since the run started.
        seconds: wall-clock time of the whole run.
        cpu_seconds: CPU time of the run.
        data: the data set of the run.
    """
    result, curve = outcome.result, outcome.result.curve
    best = curve[result.best_epoch - 1]
    n_valid = outcome.n_valid_users
    valid = Metrics(values=best.valid, n_users=n_valid, n_skipped=data.n_users - n_valid)
    cost = Cost(
        train_seconds=sum(epoch.train_seconds for epoch in curve),
        valid_seconds=sum(epoch.valid_seconds for epoch in curve),
        test_seconds=outcome.test_seconds,
        total_seconds=seconds,
        epochs=len(curve),
        peak_memory_bytes=memory.bytes(),
        peak_memory_scope=memory.scope,
        n_parameters=sum(p.numel() for p in outcome.model.parameters() if p.requires_grad),
        cpu_seconds=cpu_seconds,
        steps=result.steps_per_epoch * len(curve),
    )
    update = {
        "status": "finished",
        "metrics": MetricsByPart(valid=valid, test=outcome.test.metrics),
        "curve": curve,
        "best_epoch": result.best_epoch,
        "cost": cost,
    }
    return blank.model_copy(update=update)


def planned_runs(
    specs: Sequence[RunSpec], data: Mapping[str, BenchmarkData], store: ResultsStore, protocol: Protocol
) -> list[PlannedRun]:
    """Return every run of a plan with its key and the path of its record; nothing is read."""
    neighbour_code_hash()  # cached now, with the models' hashes, so that a later edit does not change records
    facts = {name: DataFacts.of(each) for name, each in data.items()}
    hashes = {model: registry.code_hash(model) for model in {spec.model for spec in specs}}
    runs = []
    for spec in specs:
        data_facts, code_hash = facts[spec.dataset], hashes[spec.model]
        key = run_key(spec, data_facts, protocol, code_hash)
        path = store.record_path(key, protocol, data_facts.name, data_facts.source, spec)
        runs.append(PlannedRun(spec, data_facts, code_hash, key, path))
    return runs


def make_task(
    run: PlannedRun,
    data: BenchmarkData | SharedData | None,
    store: ResultsStore,
    options: RunOptions,
    share: CoreShare,
) -> RunTask:
    """Make the task of a run that starts now."""
    blank = blank_record(
        run.spec, run.key, run.facts, run.code_hash, options.protocol, options.command, options.device
    )
    cores = {"n_workers": share.n_workers, "threads": share.n_threads}
    blank = blank.model_copy(update={"environment": blank.environment | cores})
    return RunTask(blank, run.path, data, store.root, options, share.n_threads)


def run_task(task: RunTask, on_event: OnEvent = lambda event: None) -> RunRecord | None:
    """Make a run and write its record, lists and parameters. The result does not depend on the process.

    Args:
        task: the run.
        on_event: called with every finished epoch, with the earlier ones of a resumed run, and with warnings.

    Returns:
        Its record, or that of another process if one made it meanwhile; None if one makes it now and `task.wait`
        is not set.

    Raises:
        BenchError: a usage, configuration, data or results error. A defect of the model or of the training
            gives a record with the status "failed".
    """
    keep_freed_memory()
    with use_plugins(task.options.plugins):
        return _claim_and_run(task, on_event)


def _claim_and_run(task: RunTask, on_event: OnEvent) -> RunRecord | None:
    """Make a run under its claim; see `run_task`."""
    store, name = ResultsStore(task.results_dir), _name(task.blank.spec)
    on_wait = (lambda: on_event(f"{name}: another process makes this run; waiting for it.")) if task.wait else None
    with claim(store.claim_path(task.blank.key), on_wait) as ours:
        if not ours:
            return None
        existing = store.read(task.path)
        if isinstance(existing, RunRecord) and is_kept(existing, task.options.on_existing):
            return existing
        load_libraries()
        checkpoint = Checkpoint(store.unfinished, task.blank, task.n_threads, on_event)
        checkpoint.load()
        earlier = [] if checkpoint.state is None else checkpoint.state.result.curve
        if earlier:
            on_event(f"{name}: resumes after epoch {len(earlier)}.")
            for facts in earlier:
                on_event(facts)
        observed = observe_run(
            store.root, task.blank, checkpoint.n_threads, earlier, on_event, task.options.tensorboard
        )
        with threads(checkpoint.n_threads), observed as observer:
            record = _run(task, checkpoint, observer.handle)
            store.write_record(task.path, record)  # last, so that a run with a record is complete
            observer.ended(record)
        checkpoint.drop()
    return record


def record_lost_run(task: RunTask, reason: str) -> RunRecord:
    """Write the failed record of a run whose process died, unless another process has taken the run over.

    Raises:
        ResultsError: it cannot be written.
    """
    store = ResultsStore(task.results_dir)
    record = task.blank.model_copy(update={"error": Failure(kind="WorkerDied", message=reason)})
    with claim(store.claim_path(record.key)) as ours:
        existing = store.read(task.path)
        if isinstance(existing, RunRecord) and is_kept(existing, task.options.on_existing):
            return existing
        if ours:
            store.write_record(task.path, record)
    return record


def _name(spec: RunSpec) -> str:
    return f"{spec.dataset} {spec.label} seed {spec.repetition + 1}"


def _run(task: RunTask, checkpoint: Checkpoint, on_event: OnEvent) -> RunRecord:
    """Train and test; a training error or a defect of a model gives a failed record, a user's error is raised."""
    environment = task.blank.environment | {"threads": checkpoint.n_threads}
    memory = PeakMemory(task.options.device)
    blank = task.blank.model_copy(update={"environment": environment})
    start = time.perf_counter()
    data = _data(task)
    try:
        outcome = _train_and_test(blank, data, task.options, checkpoint, on_event)
    except (UsageError, ConfigError, DataError, ResultsError):
        raise
    except NotFiniteError as problem:
        failure = Failure(
            kind="NotFinite", message=readable(shorten_paths(str(problem))), epoch=problem.epoch, step=problem.step
        )
        return _failed(blank, failure, checkpoint)
    except Exception as problem:  # a defect of one model must not stop the other runs
        on_event(traceback.format_exc())
        return _failed(
            blank, Failure(kind=type(problem).__name__, message=readable(shorten_paths(str(problem)))), checkpoint
        )
    if blank.spec.stage == "final":
        store = ResultsStore(task.results_dir)
        lists_hash = store.write_topk(blank.key, outcome.test.topk, outcome.test.per_user)
        checkpoint_hash = store.write_checkpoint(blank.key, outcome.result.best_state, blank.spec.model_dump())
        blank = blank.model_copy(update={"lists_hash": lists_hash, "checkpoint_hash": checkpoint_hash})
    seconds = checkpoint.seconds + time.perf_counter() - start  # a rejected state counts nothing
    return finished_record(blank, outcome, memory, seconds, checkpoint.cpu_seconds(), data)


def _failed(blank: RunRecord, failure: Failure, checkpoint: Checkpoint) -> RunRecord:
    failure = failure.model_copy(update={"cpu_seconds": checkpoint.cpu_seconds()})
    return blank.model_copy(update={"error": failure})


def _data(task: RunTask) -> BenchmarkData:
    if task.data is None:
        raise DataError(f"The task of run {task.blank.key} has no data.")
    data = open_shared(task.data) if isinstance(task.data, SharedData) else task.data
    spec = task.blank.spec
    return with_features(data, spec.features, spec.base_seed, spec.repetition)


def _train_and_test(
    blank: RunRecord, data: BenchmarkData, options: RunOptions, checkpoint: Checkpoint, on_event: OnEvent
) -> TrainingOutcome:
    evaluator = Evaluator(data, options.protocol, options.device)
    settings = TrainSettings(
        max_epochs=blank.spec.max_epochs,
        patience=options.protocol.patience,
        triples_seed=blank.seeds["triples"],
        model_seed=blank.seeds["model"],
        selection_metric=options.protocol.selection_metric,
        bounds=blank.spec.bounds,
    )
    model = _build(blank, data, options)
    for remark in model.remarks:
        on_event(f"{_name(blank.spec)}: {remark}")
    sampler = sampler_for(model, data.split.train, options.device)

    def validate() -> dict[str, float]:
        return evaluator.valid(model).metrics.values

    try:
        result = train(model, sampler, validate, settings, on_event, checkpoint.state, checkpoint.keep)
    except StateMismatchError as problem:
        checkpoint.reject(str(problem))
        result = train(model, sampler, validate, settings, on_event, None, checkpoint.keep)
    model.load_state_dict(result.best_state)
    start = time.perf_counter()
    test = evaluator.test(model.eval())
    n_valid = len(np.unique(data.split.valid.users))
    return TrainingOutcome(model, result, test, n_valid, time.perf_counter() - start)


def _derivation_code_hash(blank: RunRecord) -> str:
    """Hash the code that derives a model's arrays: one for all built-in models; a plugin may have its own."""
    is_ours = blank.spec.model in registry.built_in_names()
    return hash_value([neighbour_code_hash(), "" if is_ours else blank.code_hash])


def _build(blank: RunRecord, data: BenchmarkData, options: RunOptions) -> Recommender:
    entry = registry.load(blank.spec.model)
    params = entry.checked_before(blank.spec.params)
    cache = ArrayCache(options.cache_dir / "graphs", _derivation_code_hash(blank))
    try:
        model = build_model(entry.model_class, params, data, blank.seeds["init"], cache)
    except (ConfigError, DataError) as problem:
        raise type(problem)(
            f"{blank.spec.label} cannot be trained on the data set {blank.spec.dataset}: {problem}"
        ) from problem
    on_device: Recommender = model.to(options.device)
    return on_device
