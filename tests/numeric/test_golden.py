"""Hand-checked values on a toy graph of two users and three items, to 1e-6 in double precision."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import toy

from models.layers.graph import propagate, spmm

pytestmark = pytest.mark.usefixtures("float64")


def close(actual: torch.Tensor, expected: Any) -> None:
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-6)


def build(name: str, **overrides: Any) -> Any:
    model = toy.build_model(name, toy.golden(), embedding_size=2, **overrides)
    toy.set_rows(model.user_embedding, toy.GOLDEN_USERS)
    toy.set_rows(model.item_embedding, toy.GOLDEN_ITEMS)
    return model


def split_nodes(model: Any, table: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    users, items = table.split([model.n_users, model.n_items])
    return users[1:], items[1:]


def test_lightgcn_layers() -> None:
    model = build("lightgcn")
    layers = propagate(model.graph, model.ego(), 2)
    users, items = split_nodes(model, layers[1])
    close(users, [[1.707107, 0.707107], [1, 1.414214]])
    close(items, [[0.707107, 0], [0.5, 0.5], [0, 0.707107]])
    users, items = split_nodes(model, layers[2])
    close(users, [[0.75, 0.25], [0.25, 0.75]])
    close(items, [[1.207107, 0.5], [1.353553, 1.060660], [0.707107, 1]])


@pytest.mark.parametrize(("readout", "factor"), [("sum", 1.0), ("mean", 3.0)])
def test_lightgcn_readout(readout: str, factor: float) -> None:
    users, items = build("lightgcn", ui_readout=readout).embed()
    close(users[1:] * factor, [[3.457107, 0.957107], [1.25, 3.164214]])
    close(items[1:] * factor, [[2.914214, 1.5], [3.853553, 1.560660], [0.707107, 3.707107]])


def ludp(knn_self: bool) -> Any:
    model = build("ludp", feat_norm="none", knn_k=2, knn_self=knn_self, pref_hidden=2)
    with torch.no_grad():
        for fusion in (model.item_fusion, model.user_fusion):
            for query in fusion.queries:
                query.zero_()
        for branch in model.preferences:
            branch.w1.copy_(torch.eye(*branch.w1.shape))
            branch.w2.copy_(torch.eye(2))
    return model


LUDP_SCORES = {
    True: [[28.408063, 36.656762, 17.845340], [23.518975, 23.840898, 30.661204]],
    False: [[28.408063, 30.823131, 22.220563], [23.518975, 27.785441, 27.702796]],
}


@pytest.mark.parametrize("knn_self", [True, False])
def test_ludp_scores(knn_self: bool) -> None:
    close(toy.scores(ludp(knn_self)), LUDP_SCORES[knn_self])


def test_ludp_item_views() -> None:
    model = ludp(knn_self=True)
    start = model.item_embedding.weight
    visual, acoustic = (rows[1:] for rows in spmm(model.item_graphs.first, start).chunk(2))
    close(visual, [[2.121320, 0.707107], [2.121320, 0.707107], [1.414214, 1.414214]])
    close(acoustic, [[0.707107, 2.121320], [2.121320, 0.707107], [0.707107, 2.121320]])


def test_ludp_user_preferences() -> None:
    model = ludp(knn_self=True)
    users = torch.tensor([1, 2])
    base = model.user_embedding(users)
    visual, acoustic = (branch.combined(branch.projected(users), base) for branch in model.preferences)
    close(visual, [[2.5, 0.5], [1, 2]])
    close(acoustic, [[1.75, 0.5], [0.75, 1.5]])
