"""`--update-baseline`: measures the suite with many seeds and the speed, and writes the baseline."""

from __future__ import annotations

import getpass
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console

from bench.checks.regression import baseline as files
from bench.checks.regression.baseline import Baseline, Change, ModelRecord, NumberRecord, SuiteFacts
from bench.checks.regression.compare import SPEED_SCALE, Measured, suite_data
from bench.checks.regression.speed import epoch_ratio
from bench.checks.regression.suite import (
    BASE_SEED,
    SPEED_BATCH,
    MeasureRequest,
    facts_of,
    measure,
    plan,
    settings_of,
)
from bench.core.errors import UsageError
from bench.core.protocol import Protocol
from bench.core.text import shorten_paths
from bench.engine import registry
from bench.engine.plugins import plugin_names
from bench.runs.controls import is_control
from bench.runs.display import RunDisplay
from bench.runs.machine import describe

if TYPE_CHECKING:
    from bench.checks.regression.request import CheckRequest

FALSE_ALARM_RATE = 0.001
MAX_SLOWDOWN = 1.5
SPEED_ROUNDS = 3


def update(options: CheckRequest, command: str, console: Console) -> int:
    """Measure and write; return the exit code.

    Raises:
        BenchError: a run failed, or the file cannot be written. The old baseline is kept.
    """
    before = files.read(options.baseline) if options.baseline.exists() else None
    facts = facts_of(suite_data())
    if options.models and before is not None and before.suite != facts:
        raise UsageError(
            f"The suite differs from that of {options.baseline}, so single models cannot be replaced in it. Leave "
            f"--models out to measure all models."
        )
    names = models_to_measure(options, before)
    request = MeasureRequest(
        names,
        options.n_seeds,
        command=command,
        n_workers=options.n_workers,
        folder=options.runs_dir,
        plugins=options.plugins,
    )
    models = measure_models(request, console)
    change = _change(options, names, command)
    files.write(
        options.baseline, merged(before if options.models else None, before, models, facts, change, options)
    )
    console.print(f"wrote {options.baseline}", markup=False, soft_wrap=True)
    console.print(f"Next: {options.check_command}", markup=False, soft_wrap=True)
    return 0


def models_to_measure(options: CheckRequest, before: Baseline | None) -> list[str]:
    """Return the models to measure: the requested ones; else those of the plugins and of the file; else all."""
    if options.models:
        return list(options.models)
    if options.plugins:
        return sorted({*plugin_names(), *(before.models if before else ())})
    return registry.names()


def merged(
    kept: Baseline | None,
    before: Baseline | None,
    models: Mapping[str, ModelRecord],
    facts: SuiteFacts,
    change: Change,
    options: CheckRequest,
) -> Baseline:
    """Make the new baseline from the models of `kept`, those measured now, and the history of `before`."""
    return Baseline(
        suite=facts,
        base_seed=BASE_SEED,
        false_alarm_rate=FALSE_ALARM_RATE,
        max_slowdown=options.max_slowdown or (before.max_slowdown if before else MAX_SLOWDOWN),
        models=dict(sorted({**(kept.models if kept else {}), **models}.items())),
        history=[*(before.history if before else []), change],
    )


def measure_models(request: MeasureRequest, console: Console) -> dict[str, ModelRecord]:
    """Measure the models and return their records.

    Raises:
        BenchError: a run failed.
    """
    with RunDisplay(console, len(plan(request)), Protocol()) as display:
        measured = measure(request, display)
    numbers = {name: _numbers(name, runs) for name, runs in measured.items()}
    speeds = _speeds([name for name in numbers if not is_control(name)], console)
    return {name: ModelRecord(numbers=own, speed=speeds.get(name, [])) for name, own in numbers.items()}


def _numbers(name: str, runs: Sequence[Measured]) -> dict[str, NumberRecord]:
    """Collect the numbers of a model over its seeds.

    Raises:
        UsageError: a run failed, or a number that should not depend on the seed differs between seeds.
    """
    for run in runs:
        if run.failure:
            raise UsageError(f"{name}: {run.failure}. A baseline needs runs that finish; correct the model first.")
    first, *rest = runs
    numbers = {}
    for key, (value, step) in first.numbers.items():
        values = [value, *(run.numbers[key].value for run in rest)]
        if step == 0 and len(set(values)) > 1:
            raise UsageError(
                f"{name}: '{key}' is {value:g} with one seed and {max(values):g} with another, but must not "
                f"depend on the seed. This is a fault in the code; no baseline was written."
            )
        numbers[key] = NumberRecord(values=values if step > 0 else values[:1], step=step)
    return numbers


def _speeds(names: Sequence[str], console: Console) -> dict[str, list[float]]:
    """Measure the speed of every trained model in several rounds."""
    data = suite_data(SPEED_SCALE)
    ratios: dict[str, list[float]] = {name: [] for name in names}
    # all models in each round, so that a busy minute does not affect one model only
    for number in range(SPEED_ROUNDS):
        console.print(f"Speed, round {number + 1} of {SPEED_ROUNDS}.")
        for name in names:
            settings = {**settings_of(name), "train_batch_size": SPEED_BATCH}
            ratios[name].append(epoch_ratio(name, settings, data))
    return ratios


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # in a container whose user id has no name
        return "unknown"


def _change(options: CheckRequest, names: Sequence[str], command: str) -> Change:
    import torch

    environment = describe(torch.device("cpu"))
    git = environment.pop("git")
    return Change(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        reason=(options.reason or "").strip(),
        command=shorten_paths(command),
        user=_user(),
        commit=git["commit"],
        modified=git["modified"],
        models=list(names),
        n_seeds=options.n_seeds,
        environment={**environment, "threads": 1},
    )
