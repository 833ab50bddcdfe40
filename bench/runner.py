"""Layer 7. Makes one run: a task in, a record out. Knows the resume policy; writes through the store only.

A finished run is never made twice. A failed one is recorded as failed, with its error, and tried again
the next time. Validation decides everything; the test part is evaluated once, with the best epoch's parameters.
"""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import torch

from bench import registry
from bench.allocator import keep_freed_memory
from bench.array_cache import ArrayCache
from bench.environment import PeakMemory, Share
from bench.errors import ConfigError, DataError, ResultsError, UsageError, unknown_name
from bench.evaluate import Evaluator
from bench.plan import run_key
from bench.protocol import Protocol
from bench.recbole_bridge import TrainingView, model_config
from bench.recording import Outcome, blank_record, finished_record
from bench.records import DataFacts, EpochFacts, Failure, RunRecord, RunSpec
from bench.sampling import TripleSampler
from bench.shared_data import SharedData, open_shared
from bench.store import Damaged, ResultsStore
from bench.train import NotFiniteError, TrainSettings, train
from bench.types import BenchmarkData

OnExisting = Literal["skip", "rerun", "only-missing"]
ON_EXISTING: dict[str, str] = {
    "skip": "keep finished runs, try failed ones again",
    "rerun": "make every run again",
    "only-missing": "keep finished and failed runs, make those without a record",
}

Event = EpochFacts | str
Tell = Callable[[Event], None]


@dataclass(frozen=True)
class RunOptions:
    """What is the same for all runs of a call.

    Attributes:
        protocol: the evaluation.
        device: where models live.
        on_existing: see `ON_EXISTING`.
        command: the command line, for the records.
        cache_dir: folder for k-NN lists and for arrays that processes share.
        n_workers: processes that make runs side by side, None for our choice.
        n_threads: threads of each run, likewise.
    """

    protocol: Protocol
    device: torch.device
    on_existing: OnExisting
    command: str
    cache_dir: Path
    n_workers: int | None = None
    n_threads: int | None = None


@dataclass(frozen=True)
class PlannedRun:
    """A run of the plan, with its identity and the place of its record."""

    spec: RunSpec
    facts: DataFacts
    code_hash: str
    key: str
    path: Path


@dataclass(frozen=True, eq=False)
class RunTask:
    """A run to be made, with all that this takes; kilobytes to send where `data` is a reference.

    Attributes:
        blank: its record from before.
        path: where its record will lie.
        data: the data set, or where another process finds it.
        results_dir: root of the results store.
        options: those of the call.
        n_threads: threads that the run may take.
    """

    blank: RunRecord
    path: Path
    data: BenchmarkData | SharedData
    results_dir: Path
    options: RunOptions
    n_threads: int


def check_on_existing(name: str) -> OnExisting:
    """The policy of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in ON_EXISTING:
        raise unknown_name("--on-existing policy", name, ON_EXISTING)
    return cast(OnExisting, name)


def planned_runs(
    specs: Sequence[RunSpec], data: Mapping[str, BenchmarkData], store: ResultsStore, protocol: Protocol
) -> list[PlannedRun]:
    """Every run of a plan with its key and the place of its record; nothing is read."""
    facts = {name: DataFacts.of(each) for name, each in data.items()}
    hashes = {model: registry.code_hash(model) for model in {spec.model for spec in specs}}
    runs = []
    for spec in specs:
        about, code_hash = facts[spec.dataset], hashes[spec.model]
        key = run_key(spec, about, protocol, code_hash)
        path = store.record_path(key, protocol, about.name, about.source, spec)
        runs.append(PlannedRun(spec, about, code_hash, key, path))
    return runs


def is_kept(existing: RunRecord, policy: OnExisting) -> bool:
    """Whether a record stands, so that its run is not made."""
    if policy == "rerun":
        return False
    return existing.status == "finished" or policy == "only-missing"


def state_of(existing: RunRecord | Damaged | None, policy: OnExisting) -> str:
    """What is there of a run and what a policy does about it, in words."""
    if existing is None:
        return "to do"
    found = "damaged" if isinstance(existing, Damaged) else existing.status
    kept = not isinstance(existing, Damaged) and is_kept(existing, policy)
    return f"{found}, kept" if kept else f"{found}, made again"


def make_task(
    run: PlannedRun, data: BenchmarkData | SharedData, store: ResultsStore, options: RunOptions, share: Share
) -> RunTask:
    """The task of a run that begins now."""
    blank = blank_record(
        run.spec, run.key, run.facts, run.code_hash, options.protocol, options.command, options.device
    )
    cores = {"n_workers": share.n_workers, "threads": share.n_threads}
    blank = blank.model_copy(update={"environment": blank.environment | cores})
    return RunTask(blank, run.path, data, store.root, options, share.n_threads)


def run_task(task: RunTask, tell: Tell = lambda event: None) -> RunRecord:
    """Make a run and write its record, lists and checkpoint. The same in this process or in any other.

    Args:
        task: the run.
        tell: told of every finished epoch, and of warnings.

    Raises:
        BenchError: a usage, configuration, data or results error. A defect of the model or of the training
            is a record with the status "failed".
    """
    keep_freed_memory()
    store = ResultsStore(task.results_dir)
    with _threads(task.n_threads):
        record = _make(task, store, tell)
    store.write_record(task.path, record)
    return record


def run_lost(task: RunTask, reason: str) -> RunRecord:
    """Write the failed record of a run whose process ended before it did.

    Raises:
        ResultsError: it cannot be written.
    """
    record = task.blank.model_copy(update={"error": Failure(kind="WorkerDied", message=reason)})
    ResultsStore(task.results_dir).write_record(task.path, record)
    return record


@contextlib.contextmanager
def _threads(n_threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _make(task: RunTask, store: ResultsStore, tell: Tell) -> RunRecord:
    """One run; a training error or a defect of a model becomes a failed record, a user's error is raised."""
    blank, memory, start = task.blank, PeakMemory(), time.perf_counter()
    data = open_shared(task.data) if isinstance(task.data, SharedData) else task.data
    try:
        outcome = _train_and_test(blank, data, task.options, tell)
    except (UsageError, ConfigError, DataError, ResultsError):
        raise
    except NotFiniteError as problem:
        failure = Failure(kind="NotFinite", message=str(problem), epoch=problem.epoch, step=problem.step)
        return blank.model_copy(update={"error": failure})
    except Exception as problem:  # a defect of one model must not take the other runs down
        tell(traceback.format_exc())
        failure = Failure(kind=type(problem).__name__, message=str(problem))
        return blank.model_copy(update={"error": failure})
    if blank.spec.stage == "final":
        store.write_topk(blank.key, outcome.test.topk, outcome.test.per_user)
        store.write_checkpoint(blank.key, outcome.result.best_state, blank.spec.model_dump())
    return finished_record(blank, outcome, memory, time.perf_counter() - start, data)


def _train_and_test(blank: RunRecord, data: BenchmarkData, options: RunOptions, tell: Tell) -> Outcome:
    entry = registry.load(blank.spec.model)
    params = entry.model_class.Params(**blank.spec.params)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(blank.seeds["init"])
        view = TrainingView(data, ArrayCache(options.cache_dir / "graphs"))
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
    result = train(model, sampler, validate, settings, tell)
    model.load_state_dict(result.best_state)
    start = time.perf_counter()
    test = evaluator.test(model.eval())
    return Outcome(model, result, test, validations[0], time.perf_counter() - start)
