"""The suite of the regression check: which runs, with which parameters, and how they are made and measured.

Works in a new folder, with empty caches, on the CPU with one thread per run. The runs go through the same runner
as all others, so that a fault in any part of it shows.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bench.checks.regression.baseline import SuiteFacts
from bench.checks.regression.compare import NAME, Measured, numbers_of, suite_data
from bench.checks.regression.request import PROFILE
from bench.core.files import os_errors
from bench.core.protocol import VERSION, Protocol
from bench.core.types import BenchmarkData
from bench.engine import registry
from bench.engine.plugins import use_plugins
from bench.runs.controls import is_control
from bench.runs.events import Listener
from bench.runs.plan import PROFILES, make_plan
from bench.runs.pool import execute
from bench.runs.record_files import Damaged
from bench.runs.records import RunRecord, RunSpec
from bench.runs.store import ResultsStore
from bench.runs.task import RunOptions

SUITE_VERSION = 1  # raise it when the runs or the measured numbers change
BASE_SEED = 2023
SETTINGS: dict[str, Any] = {"learning_rate": 0.01, "train_batch_size": 256, "reg_weight": 0.01}
OWN_SETTINGS: dict[str, dict[str, Any]] = {
    "ease": {"reg_weight": 50.0},  # a count of interactions
    "ludp": {"learning_rate": 0.002},  # with more, its first epoch is its best, and later ones do not count
}
MAX_EPOCHS = PROFILES[PROFILE].max_epochs or Protocol().max_epochs
SPEED_BATCH = 1024  # makes steps on the larger data long enough for the kernels to matter

Overrides = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class MeasureRequest:
    """The runs to measure.

    Attributes:
        models: names of the models.
        n_seeds: repetitions.
        base_seed: root of their seeds.
        overrides: parameter values that replace the suite's own, by model.
        command: the command line, for the records.
        n_workers: number of parallel runs; None for one per core.
        folder: directory that keeps the runs; None removes them.
        plugins: locations of models outside of this project.
    """

    models: Sequence[str]
    n_seeds: int = 1
    base_seed: int = BASE_SEED
    overrides: Overrides = field(default_factory=dict)
    command: str = ""
    n_workers: int | None = None
    folder: Path | None = None
    plugins: tuple[str, ...] = ()


def settings_of(name: str, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the parameters of a model that differ from its defaults.

    Raises:
        UsageError: the model does not exist.
        ConfigError: its files are not valid.
    """
    declared = registry.load(name).model_class.Params.model_fields
    common = {key: value for key, value in SETTINGS.items() if key in declared}
    return {**common, **OWN_SETTINGS.get(name, {}), **(more or {})}


def facts_of(data: BenchmarkData) -> SuiteFacts:
    """Return the facts that must equal those of a baseline."""
    return SuiteFacts(
        suite_version=SUITE_VERSION,
        protocol_version=VERSION,
        data_hash=data.data_hash,
        split_hash=data.split_hash,
        max_epochs=MAX_EPOCHS,
    )


def plan(request: MeasureRequest) -> list[RunSpec]:
    """Plan the runs of all seeds; a control runs once, because it does not depend on the seed.

    Raises:
        BenchError: a model or parameter does not exist.
    """
    overrides = {name: settings_of(name, request.overrides.get(name)) for name in request.models}
    specs = make_plan([NAME], request.models, request.n_seeds, MAX_EPOCHS, request.base_seed, overrides)
    return [spec for spec in specs if spec.repetition == 0 or not is_control(spec.model)]


def measure(request: MeasureRequest, listener: Listener) -> dict[str, list[Measured]]:
    """Make the runs, and return one measurement per seed by model.

    Raises:
        BenchError: the folder cannot be written, or a parameter is wrong.
    """
    with use_plugins(request.plugins), _folder(request.folder) as folder:  # another process does not know them yet
        data, specs = suite_data(), plan(request)
        store = ResultsStore(folder)
        options = RunOptions(
            protocol=Protocol(),
            device=torch.device("cpu"),
            on_existing="rerun",
            command=request.command,
            cache_dir=folder / "cache",
            n_workers=request.n_workers,
            n_threads=1,
            plugins=request.plugins,
        )
        store.check_writable()
        records = execute(specs, {NAME: data}, store, options, listener)
        measured: dict[str, list[Measured]] = {name: [] for name in request.models}
        for record in records:
            measured[record.spec.model].append(_measured(record, store, data))
    return measured


def _measured(record: RunRecord, store: ResultsStore, data: BenchmarkData) -> Measured:
    if record.error is not None:
        return Measured({}, f"failed: {record.error.message}")
    lists = store.read_lists(record)
    if isinstance(lists, Damaged):
        return Measured({}, f"no lists: {lists.problem}")
    return Measured(numbers_of(record, lists, data))


@contextlib.contextmanager
def _folder(parent: Path | None) -> Iterator[Path]:
    """Make a new folder, below `parent` or else a temporary one, which is removed at the end."""
    if parent is not None:
        ResultsStore(parent).check_writable()
    with os_errors(
        "No temporary folder can be created", "Set TMPDIR to a writable folder, or choose one with --results-dir."
    ):
        folder = Path(tempfile.mkdtemp(prefix="check-", dir=parent))
    try:
        yield folder
    finally:
        if parent is None:
            shutil.rmtree(folder, ignore_errors=True)
