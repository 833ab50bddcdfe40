"""Training triples: exactness, uniformity, freshness, determinism."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import toy

from bench.engine import sampling
from bench.engine.sampling import TripleSampler

CPU = torch.device("cpu")
TRAIN = toy.pairs([(0, 0), (0, 1), (0, 4), (1, 2), (2, 0), (2, 1), (2, 2), (2, 3)], 3, 5)


def test_an_epoch_is_every_pair_once_in_another_order() -> None:
    sampler, generator = TripleSampler(TRAIN, CPU), torch.Generator().manual_seed(1)
    orders = []
    for _ in range(3):
        users, items, _ = sampler.epoch(generator)
        keys = (users * 5 + items).numpy()
        np.testing.assert_array_equal(np.sort(keys), TRAIN.keys)
        orders.append(keys.tolist())
    assert orders[0] != orders[1] != orders[2]


def test_negatives_are_never_training_items_and_uniform_over_the_rest() -> None:
    sampler, generator = TripleSampler(TRAIN, CPU), torch.Generator().manual_seed(2)
    draws = torch.stack([sampler.negatives(generator) for _ in range(20_000)]).numpy()
    for pair, (user, free) in enumerate([(0, [2, 3])] * 3 + [(1, [0, 1, 3, 4])] + [(2, [4])] * 4):
        assert TRAIN.users[pair] == user
        counts = np.bincount(draws[:, pair], minlength=5) / len(draws)
        assert set(np.flatnonzero(counts)) == set(free)
        np.testing.assert_allclose(counts[free], 1 / len(free), atol=0.015)


@pytest.mark.parametrize("buckets", [0, 1, 4, 64])
@pytest.mark.parametrize("n_items", [30, 3_000, 50_000_000])
def test_a_negative_is_the_users_free_item_of_the_drawn_rank(
    buckets: int, n_items: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "BUCKETS_PER_PAIR", buckets)
    random = np.random.default_rng(5)
    chosen = [
        (user, item) for user in range(60) for item in random.choice(30, random.integers(0, 25), replace=False)
    ]
    train = toy.pairs([(user, item * (n_items // 30)) for user, item in chosen], 60, n_items)
    negatives = TripleSampler(train, CPU).negatives(torch.Generator().manual_seed(6)).numpy()
    uniform = torch.rand(len(chosen), generator=torch.Generator().manual_seed(6), dtype=torch.float64).numpy()
    for pair, (user, negative) in enumerate(zip(train.users, negatives, strict=True)):
        taken = train.items[train.offsets[user] : train.offsets[user + 1]]
        rank = int(uniform[pair] * (n_items - len(taken)))
        assert negative not in taken
        assert negative - np.searchsorted(taken, negative) == rank


def test_each_user_keeps_its_own_negatives_after_shuffling() -> None:
    data = toy.random_data(n_users=50, n_items=20)
    sampler = TripleSampler(data.split.train, CPU)
    taken = set(data.split.train.keys.tolist())
    users, _, negatives = sampler.epoch(torch.Generator().manual_seed(3))
    assert not taken & set((users * 20 + negatives).tolist())


def test_same_generator_state_same_epoch_and_fresh_draws_each_epoch() -> None:
    sampler = TripleSampler(toy.random_data(n_users=50, n_items=40).split.train, CPU)
    one, two = (sampler.epoch(torch.Generator().manual_seed(4)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    generator = torch.Generator().manual_seed(4)
    assert not torch.equal(sampler.negatives(generator), sampler.negatives(generator))
