"""Measures how long a training epoch takes, in units of a fixed computation in the same process. Writes nothing.

Both are the processor time of one thread, so that other programs on the machine count little. Both are the
smallest of several repetitions, because disturbances only add time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from bench.core.hashing import derive_seed
from bench.core.types import BenchmarkData, EpochFacts
from bench.engine import registry
from bench.engine.recbole import build_model
from bench.engine.sampling import TripleSampler
from bench.engine.trainer import TrainSettings, train
from bench.runs.machine import threads

N_EPOCHS = 6  # the first one, which warms up, is not counted
CPU = torch.device("cpu")


def reference() -> Callable[[], None]:
    """Return the fixed computation, which takes about ten milliseconds of one core."""
    # Plain torch that our own code cannot slow down. As in a training step, it gathers rows, multiplies matrices,
    # adds up rows, and updates a table like an optimiser.
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(20_000, 64, generator=generator)
    weight = torch.randn(64, 64, generator=generator) / 8
    rows = torch.randint(len(table), (20_000,), generator=generator)
    moment = torch.zeros_like(table)

    def run() -> None:
        with torch.no_grad():
            for _ in range(3):
                gathered = torch.relu(table.index_select(0, rows) @ weight)
                sums = torch.zeros_like(table).index_add_(0, rows, gathered)
                moment.mul_(0.9).addcmul_(sums, sums, value=0.1)
                (sums / (moment.sqrt() + 1.0)).sum()

    return run


def epoch_ratio(
    name: str, overrides: Mapping[str, Any], data: BenchmarkData, clock: Callable[[], float] = time.process_time
) -> float:
    """Return the processor time of a training epoch divided by that of the reference computation.

    Args:
        name: name of a trained model.
        overrides: parameter values that differ from its defaults.
        data: the data set for speed.
        clock: returns the seconds of work done so far.
    """
    entry = registry.load(name)
    triples_seed, model_seed = (derive_seed(0, name, purpose) for purpose in ("triples", "model"))
    settings = TrainSettings(N_EPOCHS, N_EPOCHS, triples_seed, model_seed)
    compute = reference()
    epochs: list[float] = []
    references: list[float] = []

    def timed_reference(_facts: EpochFacts | None = None) -> None:
        start = clock()
        compute()
        references.append(clock() - start)
        epochs.append(-clock())  # minus the start; `epoch_ends` adds the end

    def epoch_ends() -> dict[str, float]:
        epochs[-1] += clock()
        return {settings.selection_metric: 0.0}

    with threads(1), torch.random.fork_rng(devices=[]):
        model = build_model(entry.model_class, entry.params(data.name, overrides=dict(overrides)), data, seed=0)
        sampler = TripleSampler(data.split.train, CPU)
        timed_reference()
        train(model, sampler, epoch_ends, settings, timed_reference)
    return min(epochs[1:-1]) / min(references[1:])
