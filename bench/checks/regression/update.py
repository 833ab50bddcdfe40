"""`--update-baseline`: measure the suite with many seeds and on two kinds of machine, and say why.

The other kind of machine is this one with torch and the linear algebra held to their oldest vector instructions:
rounding then differs as it does between processors, and what comes of that after ten epochs is seen.
"""

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
    Request,
    facts_of,
    is_control,
    measure,
    measure_elsewhere,
    plan,
    settings_of,
)
from bench.core.errors import UsageError
from bench.core.protocol import Protocol
from bench.core.text import shortened
from bench.engine import registry
from bench.runs.display import RunDisplay
from bench.runs.machine import describe

if TYPE_CHECKING:
    from bench.checks.regression.baseline import CheckRequest

FALSE_ALARM_RATE = 0.001
MAX_SLOWDOWN = 1.5
SPEED_ROUNDS = 3
OLD_INSTRUCTIONS = {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE", "OPENBLAS_CORETYPE": "NEHALEM"}
DRIFT_SEEDS = 2


def update(asked: CheckRequest, command: str, console: Console) -> int:
    """Measure and write; the exit code.

    Raises:
        BenchError: a run failed, or the file cannot be written, and it is as it was.
    """
    before = files.read(asked.baseline) if asked.baseline.exists() else None
    facts = facts_of(suite_data())
    if asked.models and before is not None and before.suite != facts:
        raise UsageError(
            f"The suite is not the one of {asked.baseline}, so that single models cannot be replaced in it. Leave "
            f"--models out: then all are measured."
        )
    names = list(asked.models) or registry.names()
    request = Request(names, asked.n_seeds, command=command, n_workers=asked.n_workers, folder=asked.keep_in)
    models = measured_models(request, console)
    change = _change(asked, names, command)
    files.write(asked.baseline, merged(before if asked.models else None, before, models, facts, change, asked))
    console.print(f"wrote {asked.baseline}", markup=False, soft_wrap=True)
    return 0


def merged(
    kept: Baseline | None,
    before: Baseline | None,
    models: Mapping[str, ModelRecord],
    facts: SuiteFacts,
    change: Change,
    asked: CheckRequest,
) -> Baseline:
    """The new baseline: the models of `kept` with those measured now, after the history of `before`."""
    return Baseline(
        suite=facts,
        base_seed=BASE_SEED,
        false_alarm_rate=FALSE_ALARM_RATE,
        max_slowdown=asked.max_slowdown or (before.max_slowdown if before else MAX_SLOWDOWN),
        models=dict(sorted({**(kept.models if kept else {}), **models}.items())),
        history=[*(before.history if before else []), change],
    )


def measured_models(request: Request, console: Console) -> dict[str, ModelRecord]:
    """The models' records.

    Raises:
        BenchError: a run failed.
    """
    with RunDisplay(console, len(plan(request)), Protocol()) as display:
        found = measure(request, display)
    whole = {name: _numbers(name, runs) for name, runs in found.items()}
    few = Request(request.models, min(DRIFT_SEEDS, request.n_seeds), n_workers=request.n_workers)
    console.print("The first seeds again with old vector instructions.")
    other = measure_elsewhere(few, OLD_INSTRUCTIONS)
    drifts = {name: _drifts(whole[name], other[name]) for name in whole}
    speeds = _speeds([name for name in whole if not is_control(name)], console)
    return {
        name: ModelRecord(
            numbers={key: each.model_copy(update={"drift": drifts[name][key]}) for key, each in numbers.items()},
            speed=speeds.get(name, []),
        )
        for name, numbers in whole.items()
    }


def _numbers(name: str, runs: Sequence[Measured]) -> dict[str, NumberRecord]:
    """The numbers of a model over its seeds.

    Raises:
        UsageError: a run failed, or gave other numbers than the first, or a count differs between seeds.
    """
    for run in runs:
        if run.failure:
            raise UsageError(f"{name}: {run.failure}. A baseline is made of runs that finish; mend that first.")
    first, *rest = runs
    numbers = {}
    for key, (value, step) in first.numbers.items():
        values = [value, *(run.numbers[key].value for run in rest)]
        if step == 0 and len(set(values)) > 1:
            raise UsageError(
                f"{name}: '{key}' is {value:g} with one seed and {max(values):g} with another, and no seed has a "
                f"say in it. The code is at fault; no baseline was written."
            )
        numbers[key] = NumberRecord(values=values if step > 0 else values[:1], step=step)
    return numbers


def _drifts(numbers: Mapping[str, NumberRecord], runs: Sequence[Measured]) -> dict[str, float]:
    """The largest difference of each number at equal seeds."""
    return {
        key: max(
            abs(run.numbers[key].value - own)
            for run, own in zip(runs, each.values, strict=False)  # fewer seeds, or one value for all
        )
        for key, each in numbers.items()
    }


def _speeds(names: Sequence[str], console: Console) -> dict[str, list[float]]:
    """Rounds of every trained model, round by round, so that a busy minute does not hit all of one model's."""
    data = suite_data(SPEED_SCALE)
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(SPEED_ROUNDS):
        console.print(f"Speed, round {number + 1} of {SPEED_ROUNDS}.")
        for name in names:
            settings = {**settings_of(name), "train_batch_size": SPEED_BATCH}
            found[name].append(epoch_ratio(name, settings, data))
    return found


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container under a number that has no name
        return "unknown"


def _change(asked: CheckRequest, names: Sequence[str], command: str) -> Change:
    import torch

    about = describe(torch.device("cpu"))
    git = about.pop("git")
    return Change(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        reason=(asked.reason or "").strip(),
        command=shortened(command),
        user=_user(),
        commit=git["commit"],
        modified=git["modified"],
        models=list(names),
        n_seeds=asked.n_seeds,
        drift_over=OLD_INSTRUCTIONS,
        environment={**about, "threads": 1},
    )
