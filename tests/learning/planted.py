"""Data with planted blocks, where content tells what interactions cannot, and a short training on it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
import toy

from bench.core.protocol import Protocol
from bench.core.types import BenchmarkData
from bench.engine.evaluate import Evaluation, Evaluator
from bench.engine.sampling import TripleSampler
from bench.engine.trainer import TrainSettings, train

CPU = torch.device("cpu")
N_BLOCKS, USERS_A_BLOCK, ITEMS_A_BLOCK = 16, 20, 18
N_WARM, WARM_A_USER = 9, 4  # items of a block with about nine training users each; of these, per user
COLD_DEGREES = (0, 0, 1, 2)  # training users of the block's other items, in turn
COLD_SHARE = 0.75  # of the held-out interactions
NOISE = 0.25


def planted(seed: int) -> BenchmarkData:
    """320 users and 288 items in 16 blocks; all items of a user are of the own block.

    Half of the items have at most two training users, a quarter none, and three of four held-out interactions
    are with them. Each of two modalities is the one-hot of the item's block plus Gaussian noise.
    """
    rng = np.random.default_rng(seed)
    parts: tuple[list[tuple[int, int]], ...] = ([], [], [])
    for block in range(N_BLOCKS):
        users = block * USERS_A_BLOCK + np.arange(USERS_A_BLOCK)
        warm, cold = np.split(block * ITEMS_A_BLOCK + np.arange(ITEMS_A_BLOCK), [N_WARM])
        known = {int(user): set(rng.choice(warm, WARM_A_USER, replace=False).tolist()) for user in users}
        for rank, item in enumerate(cold):
            for user in rng.choice(users, COLD_DEGREES[rank % len(COLD_DEGREES)], replace=False):
                known[int(user)].add(int(item))
        for user, own in known.items():
            parts[0].extend((user, item) for item in own)
            for part in (1, 2, 2):
                pool = cold if rng.random() < COLD_SHARE else warm
                item = int(rng.choice([item for item in pool if item not in own]))
                own.add(item)
                parts[part].append((user, item))
    n_users, n_items = N_BLOCKS * USERS_A_BLOCK, N_BLOCKS * ITEMS_A_BLOCK
    blocks = np.eye(N_BLOCKS).repeat(ITEMS_A_BLOCK, axis=0)
    content = [
        toy.modality(name, blocks + NOISE * rng.normal(size=blocks.shape)) for name in ("visual", "acoustic")
    ]
    return toy.data_of(*[toy.pairs(part, n_users, n_items) for part in parts], *content)


def shuffled(data: BenchmarkData, seed: int) -> BenchmarkData:
    """The same data, with the content of every item, all modalities together, given to another item."""
    order = np.random.default_rng(seed).permutation(data.n_items)
    content = [toy.modality(m.name, m.matrix[order], m.present[order]) for m in data.modalities]
    return replace(data, modalities=tuple(content))


class Fit(NamedTuple):
    """What a training gave.

    Attributes:
        recall: Recall@10 on the test part, at the best epoch by validation.
        untouched: share of the test interactions with items without any training user that are in the top 10.
        losses: mean loss of each epoch.
    """

    recall: float
    untouched: float
    losses: list[float]


def fit(name: str, data: BenchmarkData, seed: int, epochs: int, **overrides: Any) -> Fit:
    """Train a model of the registry for some epochs, select by validation, test once."""
    model = toy.build_model(name, data, seed, **{"train_batch_size": 256, **overrides})
    evaluator = Evaluator(data, Protocol(), CPU)
    result = train(
        model,
        TripleSampler(data.split.train, CPU),
        lambda: evaluator.valid(model).metrics.values,
        TrainSettings(max_epochs=epochs, patience=epochs, triples_seed=seed, model_seed=seed),
    )
    model.load_state_dict(result.best_state)
    test = evaluator.test(model.eval())
    losses = [epoch.loss for epoch in result.curve]
    return Fit(test.metrics.values["recall@10"], _untouched(data, test), losses)


def _untouched(data: BenchmarkData, evaluation: Evaluation) -> float:
    degrees = np.bincount(data.split.train.items, minlength=data.n_items)
    test, topk = data.split.test, evaluation.topk
    lists = topk.items[np.searchsorted(topk.users, test.users), :10]
    hits = (lists == test.items[:, None]).any(1)
    return float(hits[degrees[test.items] == 0].mean())
