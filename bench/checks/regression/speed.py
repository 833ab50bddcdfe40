"""How long an epoch takes, in units of a fixed computation of the same process. Writes nothing.

Both are processor time of one thread, so that what else runs on the machine counts little, and the smallest of
several repetitions, because disturbances only add. The reference is plain torch that none of our code can slow
down: rows gathered, a product, rows added up, and an optimiser's pass over a table, as in a training step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from bench.core.hashing import derive_seed
from bench.core.types import BenchmarkData, EpochFacts
from bench.engine import registry
from bench.engine.recbole import TrainingView, model_config
from bench.engine.sampling import TripleSampler
from bench.engine.trainer import TrainSettings, train
from bench.runs.machine import threads
from models.base import Recommender

N_EPOCHS = 6  # the first one, which warms up, is not counted
CPU = torch.device("cpu")


def reference() -> Callable[[], None]:
    """The fixed computation, some ten milliseconds of one core."""
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
    """Processor time of a training epoch over that of the reference computation.

    Args:
        name: of a trained model.
        overrides: parameter values other than its defaults.
        data: the speed's data set.
        clock: seconds of work done so far.
    """
    triples_seed, model_seed = (derive_seed(0, name, purpose) for purpose in ("triples", "model"))
    settings = TrainSettings(N_EPOCHS, N_EPOCHS, triples_seed, model_seed)
    compute = reference()
    epochs: list[float] = []
    references: list[float] = []

    def timed_reference(_facts: EpochFacts | None = None) -> None:
        begun = clock()
        compute()
        references.append(clock() - begun)
        epochs.append(-clock())  # completed when the next epoch ends

    def epoch_ends() -> dict[str, float]:
        epochs[-1] += clock()
        return {settings.selection_metric: 0.0}

    with threads(1), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = _built(name, overrides, data)
        sampler = TripleSampler(data.split.train, CPU)
        timed_reference()
        train(model, sampler, epoch_ends, settings, timed_reference)
    return min(epochs[1:-1]) / min(references[1:])


def _built(name: str, overrides: Mapping[str, Any], data: BenchmarkData) -> Recommender:
    entry = registry.load(name)
    params = entry.params(data.name, overrides=dict(overrides))
    model: Recommender = entry.model_class(model_config(params), TrainingView(data))
    return model
