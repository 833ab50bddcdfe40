"""The suite: which runs, with which parameters, and how they are made and measured.

Everything happens in a fresh folder, with nothing derived beforehand, on the CPU with one thread a run: by the
runner that makes all other runs, so that a fault in any part of it is seen.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bench.checks.regression.baseline import PROFILE, SuiteFacts
from bench.checks.regression.compare import NAME, Measured, numbers_of, suite_data
from bench.core.errors import ResultsError, TrainingError
from bench.core.protocol import VERSION, Protocol
from bench.core.types import BenchmarkData, EpochFacts
from bench.engine import registry
from bench.runs.events import Listener
from bench.runs.machine import with_variables
from bench.runs.plan import PROFILES, make_plan
from bench.runs.pool import execute
from bench.runs.record_files import Damaged
from bench.runs.records import RunRecord, RunSpec
from bench.runs.store import ResultsStore
from bench.runs.task import RunOptions

SUITE_VERSION = 1  # raise it when runs are made or numbers are taken otherwise
BASE_SEED = 2023
SETTINGS: dict[str, Any] = {"learning_rate": 0.01, "train_batch_size": 256, "reg_weight": 0.01}
OWN_SETTINGS: dict[str, dict[str, Any]] = {
    "ease": {"reg_weight": 50.0},  # a count of interactions
    "ludp": {"learning_rate": 0.002},  # with more, its first epoch is its best, and no later one counts
}
MAX_EPOCHS = PROFILES[PROFILE].max_epochs or Protocol().max_epochs
SPEED_BATCH = 1024  # steps on the larger data that are long enough for the kernels to count

Overrides = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Request:
    """What is to be measured.

    Attributes:
        models: names.
        n_seeds: repetitions.
        base_seed: root of their seeds.
        overrides: parameter values beyond the suite's own, by model.
        command: for the records.
        n_workers: runs side by side, None for one a core.
        n_threads: threads of a run.
        folder: runs and their records stay below it; None removes them.
    """

    models: Sequence[str]
    n_seeds: int = 1
    base_seed: int = BASE_SEED
    overrides: Overrides = field(default_factory=dict)
    command: str = ""
    n_workers: int | None = None
    n_threads: int = 1
    folder: Path | None = None


class Silent:
    """Hears nothing; for runs that nobody watches."""

    def run_started(self, spec: RunSpec, worker: int) -> None:
        """Say nothing."""

    def epoch_done(self, facts: EpochFacts, worker: int) -> None:
        """Say nothing."""

    def run_done(self, record: RunRecord, worker: int | None) -> None:
        """Say nothing."""

    def warn(self, message: str) -> None:
        """Say nothing."""


def settings_of(name: str, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The parameters of a model that are not its defaults.

    Raises:
        UsageError: there is no such model.
        ConfigError: its files are not as they must be.
    """
    declared = registry.load(name).model_class.Params.model_fields
    common = {key: value for key, value in SETTINGS.items() if key in declared}
    return {**common, **OWN_SETTINGS.get(name, {}), **(more or {})}


def is_control(name: str) -> bool:
    """Whether a model has no seeds and no epochs: a control gives the same whatever the seed."""
    return str(registry.load(name).card.family) == "control"


def facts_of(data: BenchmarkData) -> SuiteFacts:
    """What a baseline must agree with."""
    return SuiteFacts(
        suite_version=SUITE_VERSION,
        protocol_version=VERSION,
        data_hash=data.data_hash,
        split_hash=data.split_hash,
        max_epochs=MAX_EPOCHS,
    )


def plan(request: Request) -> list[RunSpec]:
    """The runs of all seeds; controls once, for a seed changes nothing in them.

    Raises:
        BenchError: a model or parameter does not exist.
    """
    overrides = {name: settings_of(name, request.overrides.get(name)) for name in request.models}
    specs = make_plan([NAME], request.models, request.n_seeds, MAX_EPOCHS, request.base_seed, overrides)
    return [spec for spec in specs if spec.repetition == 0 or not is_control(spec.model)]


def measure(request: Request, listener: Listener | None = None) -> dict[str, list[Measured]]:
    """Make the runs; by model a measurement a seed.

    Raises:
        BenchError: the folder cannot be written, or a parameter is wrong.
    """
    data, specs = suite_data(), plan(request)
    with _folder(request.folder) as folder:
        store = ResultsStore(folder)
        options = RunOptions(
            protocol=Protocol(),
            device=torch.device("cpu"),
            on_existing="rerun",
            command=request.command,
            cache_dir=folder / "cache",
            n_workers=request.n_workers,
            n_threads=request.n_threads,
        )
        store.check_writable()
        records = execute(specs, {NAME: data}, store, options, listener or Silent())
        found: dict[str, list[Measured]] = {name: [] for name in request.models}
        for record in records:
            found[record.spec.model].append(_measured(record, store, data))
    return found


def measure_elsewhere(request: Request, variables: Mapping[str, str]) -> dict[str, list[Measured]]:
    """The same in a new process with other environment variables, which libraries read when they are loaded.

    Raises:
        BenchError: as `measure`, or the process died.
    """
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(1, mp_context=context) as pool, with_variables(variables):
            return pool.submit(measure, request).result()
    except BrokenProcessPool as problem:
        said = " ".join(f"{name}={value}" for name, value in variables.items())
        raise TrainingError(
            f"The process with {said} died, perhaps out of memory; what it printed says why. Try --workers 1."
        ) from problem


def _measured(record: RunRecord, store: ResultsStore, data: BenchmarkData) -> Measured:
    if record.error is not None:
        return Measured({}, f"failed: {record.error.message}")
    lists = store.read_lists(record)
    if isinstance(lists, Damaged):
        return Measured({}, f"no lists: {lists.problem}")
    return Measured(numbers_of(record, lists, data))


@contextlib.contextmanager
def _folder(keep_in: Path | None) -> Iterator[Path]:
    """A fresh folder, removed at the end unless it is below one that was asked for."""
    if keep_in is not None:
        ResultsStore(keep_in).check_writable()
    try:
        folder = Path(tempfile.mkdtemp(prefix="check-", dir=keep_in))
    except OSError as problem:
        raise ResultsError(
            f"No temporary folder can be made ({problem.strerror or problem}). Set TMPDIR to a folder that can be "
            f"written, or name one with --results-dir."
        ) from problem
    try:
        yield folder
    finally:
        if keep_in is None:
            shutil.rmtree(folder, ignore_errors=True)
