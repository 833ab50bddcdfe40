"""Layer 11. `--check`: the suite as it is now against a baseline. Writes nothing but what it was asked to."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from bench import registry
from bench.console import RunDisplay
from bench.environment import describe
from bench.errors import UsageError, listed, nearest_hint
from bench.protocol import Protocol
from bench.regression import baseline as files
from bench.regression.baseline import Baseline
from bench.regression.compare import Row, compare_numbers, compare_speed, compare_suite, unmeasured_speed
from bench.regression.data import SPEED_SCALE, suite_data
from bench.regression.junit import write_junit
from bench.regression.show import show
from bench.regression.speed import epoch_ratio
from bench.regression.suite import (
    SPEED_BATCH,
    Overrides,
    Request,
    facts_of,
    is_control,
    measure,
    plan,
    settings_of,
)

if TYPE_CHECKING:
    from bench.regression.baseline import CheckRequest

MORE_ROUNDS = 4  # for a model that seems slow: load can only add, so the fastest round counts


def check(asked: CheckRequest, command: str, console: Console) -> int:
    """Compare and show; the exit code, 1 if anything left its band.

    Raises:
        BenchError: no such baseline or model, or a file cannot be written.
    """
    import torch

    begun = time.perf_counter()
    baseline = files.read(asked.baseline)
    names = chosen(asked.models, baseline)
    request = Request(
        names,
        base_seed=asked.base_seed,
        overrides=asked.overrides,
        command=command,
        n_workers=asked.n_workers,
        folder=asked.keep_in,
    )
    specs = plan(request)  # for its errors, before anything is compared
    rows = compare_suite(baseline.suite, facts_of(suite_data()))
    if all(row.holds for row in rows):
        with RunDisplay(console, len(specs), Protocol()) as display:
            measured = measure(request, display)
        for name in names:
            rows += compare_numbers(baseline, name, measured[name][0], asked.base_seed)
        slowdown = asked.max_slowdown or baseline.max_slowdown
        finished = [name for name in names if not measured[name][0].failure]
        rows += speed_rows(finished, baseline, request.overrides, slowdown)
    seconds = time.perf_counter() - begun
    show(rows, baseline, names, seconds, asked.all_rows, console)
    if asked.junit is not None:
        about = describe(torch.device("cpu"))
        versions = {f"version of {name}": str(version) for name, version in about["packages"].items()}
        facts = {"baseline": str(asked.baseline), "data hash": baseline.suite.data_hash, "command": command}
        write_junit(asked.junit, rows, seconds, {**facts, "processor": about["processor"], **versions})
        console.print(f"wrote {asked.junit}", markup=False, soft_wrap=True)
    return 0 if all(row.holds for row in rows) else 1


def chosen(asked: Sequence[str], baseline: Baseline) -> list[str]:
    """The models to check: those asked for, or all of the baseline.

    Raises:
        UsageError: one is not in the baseline, or no longer in the project.
    """
    for name in asked:
        if name not in baseline.models:
            raise UsageError(
                f"The model '{name}' is not in the baseline.{nearest_hint(name, baseline.models)} It has "
                f"{listed(baseline.models)}. Add it: --update-baseline FILE --models {name} --reason TEXT."
            )
    names = list(asked or baseline.models)
    gone = [name for name in names if name not in registry.names()]
    if gone:
        raise UsageError(
            f"The baseline has the model '{gone[0]}', and there is no models/{gone[0]}.py any more. Check the "
            f"others with --models, or make the baseline anew."
        )
    return names


def speed_rows(names: Sequence[str], baseline: Baseline, overrides: Overrides, max_slowdown: float) -> list[Row]:
    """The speed of every model that has epochs; what seems slow is measured again before it is said.

    The further rounds come after all models, so that a short load of the machine does not meet them all.

    Raises:
        TrainingError: a model that could be trained on the suite's data cannot on the larger.
    """
    data = suite_data(SPEED_SCALE)

    def measured(name: str) -> Row:
        settings = {**settings_of(name, overrides.get(name)), "train_batch_size": SPEED_BATCH}
        fastest[name] = min(fastest.get(name, math.inf), epoch_ratio(name, settings, data))
        return compare_speed(name, baseline.models[name], fastest[name], max_slowdown)

    fastest: dict[str, float] = {}
    rows = {name: measured(name) for name in names if baseline.models[name].speed}
    for _ in range(MORE_ROUNDS):
        rows |= {name: measured(name) for name, row in rows.items() if not row.holds}
    unknown = [name for name in names if not baseline.models[name].speed and not is_control(name)]
    return [*rows.values(), *map(unmeasured_speed, unknown)]
