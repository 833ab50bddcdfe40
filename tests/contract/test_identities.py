"""Identities that hold for every model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import toy

from bench.core.types import BenchmarkData, Modality

pytestmark = pytest.mark.usefixtures("float64")

DATA = toy.random_data(seed=6, n_users=9, n_items=14, absent=True)


def permuted(data: BenchmarkData, users: np.ndarray, items: np.ndarray) -> BenchmarkData:
    """The same data with user u renamed users[u] and item i renamed items[i]."""
    parts = []
    for part in (data.split.train, data.split.valid, data.split.test):
        edges = zip(users[part.users].tolist(), items[part.items].tolist(), strict=True)
        parts.append(toy.pairs(list(edges), data.n_users, data.n_items))
    back = np.argsort(items)
    content = [Modality(m.name, m.matrix[back], m.present[back], "permuted", "test") for m in data.modalities]
    return toy.data_of(*parts, *content)


def reordered(state: dict[str, torch.Tensor], users: np.ndarray, items: np.ndarray) -> dict[str, torch.Tensor]:
    """Parameters with their user rows, item rows or node rows moved to the new names."""
    user_rows = torch.as_tensor(np.concatenate([[0], np.argsort(users) + 1]))
    item_rows = torch.as_tensor(np.concatenate([[0], np.argsort(items) + 1]))
    node_rows = torch.cat([user_rows, item_rows + len(user_rows)])
    rows = {len(user_rows): user_rows, len(item_rows): item_rows, len(node_rows): node_rows}
    return {key: value[rows[len(value)]] if len(value) in rows else value for key, value in state.items()}


@pytest.mark.parametrize("name", toy.trained())
def test_renaming_users_and_items_renames_the_scores(name: str) -> None:
    rng = np.random.default_rng(8)
    users, items = rng.permutation(DATA.n_users), rng.permutation(DATA.n_items)
    # no other parameter may have as many rows as there are users, items or nodes
    sizes: dict[str, Any] = {"embedding_size": 8}
    model = toy.build_model(name, DATA, **sizes)
    other = toy.build_model(name, permuted(DATA, users, items), **sizes)
    other.load_state_dict(reordered(model.state_dict(), users, items))
    renamed = toy.scores(other)[users][:, items]
    torch.testing.assert_close(renamed, toy.scores(model), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", toy.controls())
def test_renaming_users_and_items_renames_the_scores_of_controls(name: str) -> None:
    rng = np.random.default_rng(8)
    users, items = rng.permutation(DATA.n_users), rng.permutation(DATA.n_items)
    model = toy.build_model(name, DATA, **toy.small(name))
    other = toy.build_model(name, permuted(DATA, users, items), **toy.small(name))
    torch.testing.assert_close(toy.scores(other)[users][:, items], toy.scores(model), rtol=1e-9, atol=1e-12)
