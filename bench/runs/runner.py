"""The vectors of a finished run, from its record and its stored parameters. Reads the store.

A run as a record: what is known before it is made, and what it gave. Pure but for the clock.

Makes one run: a task in, a record out. Holds its claim meanwhile; writes through store and checkpoint.

A finished run is never made twice, and a begun one goes on after its last epoch. A failed one is recorded as
failed, with its error, and tried again the next time. Validation decides everything; the test part is evaluated
once, with the best epoch's parameters. The record is written last, so that a run with a record is whole.
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
from bench.core.text import shortened
from bench.core.types import BenchmarkData, FloatArray, Metrics, MetricsByPart
from bench.data.ablation import with_features
from bench.engine import registry
from bench.engine.evaluate import Evaluation, Evaluator
from bench.engine.plugins import plugged
from bench.engine.recbole import TrainingView, model_config
from bench.engine.recbole_models import sampler_for
from bench.engine.trainer import (
    ForeignStateError,
    NotFiniteError,
    TrainResult,
    TrainSettings,
    keep_freed_memory,
    train,
)
from bench.runs.cache import ArrayCache, SharedData, code_of_lists, open_shared
from bench.runs.checkpoint import Checkpoint
from bench.runs.events import Tell, observed
from bench.runs.machine import PeakMemory, Share, describe, threads
from bench.runs.record_files import run_key, seeds_of
from bench.runs.records import Cost, DataFacts, Failure, ProtocolFacts, RunRecord, RunSpec
from bench.runs.store import ResultsStore
from bench.runs.task import PlannedRun, RunOptions, RunTask, is_kept
from models.base import Recommender


def final_vectors(
    record: RunRecord, data: BenchmarkData, store: ResultsStore
) -> tuple[FloatArray, FloatArray] | None:
    """What the scores of a run are the dot products of.

    Args:
        record: a finished run.
        data: what it was made on.
        store: where its parameters lie.

    Returns:
        Vectors of users and of items without padding, `[n_users, D]` and `[n_items, D]`; None where the
        parameters are gone, damaged, or not those of the model as it is now.
    """
    state = store.read_checkpoint(record)
    if state is None:
        return None
    spec = record.spec
    seen = with_features(data, spec.features, spec.base_seed, spec.repetition)
    entry = registry.load(spec.model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(record.seeds["init"])
        model = entry.model_class(model_config(entry.model_class.Params(**spec.params)), TrainingView(seen))
    try:
        model.load_state_dict(state)
    except RuntimeError:  # torch's word for names or shapes that differ
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
    """A record with everything that is known before the run; its status is failed until it is not."""
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
class Outcome:
    """What a training and its one test evaluation gave."""

    model: Recommender
    result: TrainResult
    test: Evaluation
    n_valid_users: int
    test_seconds: float


def finished_record(
    blank: RunRecord,
    outcome: Outcome,
    memory: PeakMemory,
    seconds: float,
    cpu_seconds: float,
    data: BenchmarkData,
) -> RunRecord:
    """The record of a run that came to its end.

    Args:
        blank: its record from before.
        outcome: what training and test gave.
        memory: started with the run.
        seconds: the whole run.
        cpu_seconds: CPU time of it.
        data: what it was made on.
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
    """Every run of a plan with its key and the place of its record; nothing is read."""
    code_of_lists()  # now, beside the models' own: an edit while runs are made must not name later code
    facts = {name: DataFacts.of(each) for name, each in data.items()}
    hashes = {model: registry.code_hash(model) for model in {spec.model for spec in specs}}
    runs = []
    for spec in specs:
        about, code_hash = facts[spec.dataset], hashes[spec.model]
        key = run_key(spec, about, protocol, code_hash)
        path = store.record_path(key, protocol, about.name, about.source, spec)
        runs.append(PlannedRun(spec, about, code_hash, key, path))
    return runs


def make_task(
    run: PlannedRun,
    data: BenchmarkData | SharedData | None,
    store: ResultsStore,
    options: RunOptions,
    share: Share,
) -> RunTask:
    """The task of a run that begins now."""
    blank = blank_record(
        run.spec, run.key, run.facts, run.code_hash, options.protocol, options.command, options.device
    )
    cores = {"n_workers": share.n_workers, "threads": share.n_threads}
    blank = blank.model_copy(update={"environment": blank.environment | cores})
    return RunTask(blank, run.path, data, store.root, options, share.n_threads)


def run_task(task: RunTask, tell: Tell = lambda event: None) -> RunRecord | None:
    """Make a run and write its record, lists and parameters. The same in this process or in any other.

    Args:
        task: the run.
        tell: told of every finished epoch, of earlier ones where it goes on, and of warnings.

    Returns:
        Its record, that of another runner if one made it meanwhile; None where one makes it now and `task.wait`
        is not set.

    Raises:
        BenchError: a usage, configuration, data or results error. A defect of the model or of the training
            is a record with the status "failed".
    """
    keep_freed_memory()
    with plugged(task.options.plugins):
        return _claimed_run(task, tell)


def _claimed_run(task: RunTask, tell: Tell) -> RunRecord | None:
    """The same, where the task's plugins are known."""
    store, name = ResultsStore(task.results_dir), _name(task.blank.spec)
    on_wait = (lambda: tell(f"{name}: another runner makes it; waiting for that.")) if task.wait else None
    with claim(store.claim_path(task.blank.key), on_wait) as ours:
        if not ours:
            return None
        existing = store.read(task.path)
        if isinstance(existing, RunRecord) and is_kept(existing, task.options.on_existing):
            return existing
        checkpoint = Checkpoint(store.unfinished, task.blank, task.n_threads, tell)
        checkpoint.load()
        earlier = [] if checkpoint.state is None else checkpoint.state.result.curve
        if earlier:
            tell(f"{name}: goes on after epoch {len(earlier)}.")
            for facts in earlier:
                tell(facts)
        watch = observed(store.root, task.blank, checkpoint.n_threads, earlier, tell, task.options.tensorboard)
        with threads(checkpoint.n_threads), watch as seen:
            record = _make(task, checkpoint, seen.tell)
            store.write_record(task.path, record)
            seen.ended(record)
        checkpoint.drop()
    return record


def run_lost(task: RunTask, reason: str) -> RunRecord:
    """Write the failed record of a run whose process ended before it did, unless another runner took it over.

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


def _make(task: RunTask, checkpoint: Checkpoint, tell: Tell) -> RunRecord:
    """One run; a training error or a defect of a model becomes a failed record, a user's error is raised."""
    environment = task.blank.environment | {"threads": checkpoint.n_threads}
    memory = PeakMemory(task.options.device)
    blank = task.blank.model_copy(update={"environment": environment})
    start = time.perf_counter() - checkpoint.seconds
    data = _data(task)
    try:
        outcome = _train_and_test(blank, data, task.options, checkpoint, tell)
    except (UsageError, ConfigError, DataError, ResultsError):
        raise
    except NotFiniteError as problem:
        failure = Failure(
            kind="NotFinite", message=readable(shortened(str(problem))), epoch=problem.epoch, step=problem.step
        )
        return _failed(blank, failure, checkpoint)
    except Exception as problem:  # a defect of one model must not take the other runs down
        tell(traceback.format_exc())
        return _failed(
            blank, Failure(kind=type(problem).__name__, message=readable(shortened(str(problem)))), checkpoint
        )
    if blank.spec.stage == "final":
        store = ResultsStore(task.results_dir)
        lists_hash = store.write_topk(blank.key, outcome.test.topk, outcome.test.per_user)
        checkpoint_hash = store.write_checkpoint(blank.key, outcome.result.best_state, blank.spec.model_dump())
        blank = blank.model_copy(update={"lists_hash": lists_hash, "checkpoint_hash": checkpoint_hash})
    seconds, cpu_seconds = time.perf_counter() - start, checkpoint.cpu_seconds()
    return finished_record(blank, outcome, memory, seconds, cpu_seconds, data)


def _failed(blank: RunRecord, failure: Failure, checkpoint: Checkpoint) -> RunRecord:
    failure = failure.model_copy(update={"cpu_seconds": checkpoint.cpu_seconds()})
    return blank.model_copy(update={"error": failure})


def _data(task: RunTask) -> BenchmarkData:
    if task.data is None:
        raise DataError(f"The run {task.blank.key} was handed over without its data.")
    data = open_shared(task.data) if isinstance(task.data, SharedData) else task.data
    spec = task.blank.spec
    return with_features(data, spec.features, spec.base_seed, spec.repetition)


def _train_and_test(
    blank: RunRecord, data: BenchmarkData, options: RunOptions, checkpoint: Checkpoint, tell: Tell
) -> Outcome:
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
        tell(f"{_name(blank.spec)}: {remark}")
    sampler = sampler_for(model, data.split.train, options.device)

    def validate() -> dict[str, float]:
        return evaluator.valid(model).metrics.values

    try:
        result = train(model, sampler, validate, settings, tell, checkpoint.state, checkpoint.keep)
    except ForeignStateError as problem:
        checkpoint.reject(str(problem))
        result = train(model, sampler, validate, settings, tell, None, checkpoint.keep)
    model.load_state_dict(result.best_state)
    start = time.perf_counter()
    test = evaluator.test(model.eval())
    n_valid = len(np.unique(data.split.valid.users))
    return Outcome(model, result, test, n_valid, time.perf_counter() - start)


def _derivation(blank: RunRecord) -> str:
    """Hash the code of what a model derives: all of ours derive by the same code, another's may have its own."""
    is_ours = blank.spec.model in registry.built_in_names()
    return hash_value([code_of_lists(), "" if is_ours else blank.code_hash])


def _build(blank: RunRecord, data: BenchmarkData, options: RunOptions) -> Recommender:
    entry = registry.load(blank.spec.model)
    params = entry.model_class.Params(**blank.spec.params)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(blank.seeds["init"])
        view = TrainingView(data, ArrayCache(options.cache_dir / "graphs", _derivation(blank)))
        try:
            model: Recommender = entry.model_class(model_config(params), view).to(options.device)
        except (ConfigError, DataError) as problem:
            raise type(problem)(
                f"{blank.spec.label} cannot be trained on the data set {blank.spec.dataset}: {problem}"
            ) from problem
    return model
