"""LATTICE against an independent dense n x n reference, and finite differences."""

from __future__ import annotations

from typing import Any

import dense
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.core.types import BenchmarkData

pytestmark = pytest.mark.usefixtures("float64")

K2 = {"knn_k": 2}
FULL: tuple[tuple[int, ...], ...] = ((), (), ())
GAP = 1e-3


def top(rows: Tensor, has: list[bool], switches: Any) -> Tensor:
    """Dense k-NN graph: the k largest cosines of each row, kept as a mask over the full matrix."""
    cosines = dense.unit(rows) @ dense.unit(rows).T
    values = cosines.tolist()
    n = len(rows)
    graph = torch.zeros(n, n)
    for i in range(n):
        if not has[i]:
            graph[i, i] = 1.0
            continue
        others = sorted((j for j in range(n) if has[j] and j != i), key=lambda j: -values[i][j])
        chosen = others[: switches.knn_k - 1]
        left = others[switches.knn_k - 1 :]
        if left and chosen and rows[i].any():
            assert values[i][chosen[-1]] - values[i][left[0]] > GAP, "no gap: choose another seed"
        for j in [i, *chosen]:
            graph[i, j] = cosines[i, j] if not switches.knn_clip_negative or values[i][j] > 0 else 0.0
    return graph


def lap(graph: Tensor) -> Tensor:
    sums = graph.sum(1)
    scale = torch.stack([1 / s.sqrt() if s > 0 else s * 0 for s in sums])
    return torch.diag(scale) @ graph @ torch.diag(scale)


def item_graph(model: Any, data: BenchmarkData) -> Tensor:
    """G as a dense matrix, `[n_items, n_items]`."""
    p, switches = dense.parameters(model), model.params
    omega = torch.softmax(p["modality_logits"], dim=0)
    learned, initial = [], []
    for m in range(len(data.modalities)):
        rows, has = dense.features(data, m, switches.feat_norm)
        if switches.missing == "zero":
            has = [True] * len(has)
        raw, _ = dense.features(data, m, "none")
        table = p[f"modalities.{m}.table"][1:] if switches.feat_trainable else rows
        weight, bias = p[f"modalities.{m}.linear.weight"], p[f"modalities.{m}.linear.bias"]
        learned.append(top(torch.stack([weight @ row + bias for row in table]), has, switches))
        initial.append(lap(top(raw, has, switches)))
    if switches.lattice_mix == "code":
        new = lap(sum((omega[m] * graph for m, graph in enumerate(learned)), torch.zeros(())))
    else:
        new = sum((omega[m] * lap(graph) for m, graph in enumerate(learned)), torch.zeros(()))
    old = sum((omega[m] * graph for m, graph in enumerate(initial)), torch.zeros(()))
    return (1 - switches.lam) * new + switches.lam * old


def collaborative(model: Any, data: BenchmarkData) -> dense.Vectors:
    p, switches = dense.parameters(model), model.params
    matrix = dense.adjacency(data)
    n_users, n_items = matrix.shape
    joint = torch.cat(
        [
            torch.cat([torch.zeros(n_users, n_users), matrix], 1),
            torch.cat([matrix.T, torch.zeros(n_items, n_items)], 1),
        ]
    )
    if switches.lattice_ui_norm == "rw_self":
        joint = joint + torch.eye(len(joint))
        joint = joint / joint.sum(1, keepdim=True)
    else:
        degrees = joint.sum(1)
        joint = joint / torch.outer(degrees, degrees).sqrt().masked_fill(torch.outer(degrees, degrees) == 0, 1.0)
    rows = torch.cat([p["user_embedding.weight"][1:], p["item_embedding.weight"][1:]])
    layers, previous = [rows], rows
    for layer in range(0 if switches.lattice_cf == "mf" else switches.n_ui_layers):
        side = rows = joint @ previous
        if switches.lattice_cf == "ngcf":
            w, b = p[f"sums.{layer}.weight"], p[f"sums.{layer}.bias"]
            w2, b2 = p[f"products.{layer}.weight"], p[f"products.{layer}.bias"]
            rows = F.leaky_relu(side @ w.T + b, 0.01) + F.leaky_relu((previous * side) @ w2.T + b2, 0.01)
        previous = rows
        layers.append(dense.unit(rows) if switches.lattice_cf == "ngcf" else rows)
    total = sum(layers[1:], layers[0]) / len(layers)
    return total[:n_users], total[n_users:]


def reference(model: Any, data: BenchmarkData) -> dense.Vectors:
    users, items = collaborative(model, data)
    h = dense.parameters(model)["item_embedding.weight"][1:]
    graph = item_graph(model, data)
    for _ in range(model.params.n_item_layers):
        h = graph @ h
    return users, items + dense.unit(h)


def reference_loss(model: Any, vectors: dense.Vectors) -> Tensor:
    """BPR plus lambda / 2B of the squared norms of the final rows."""
    users, items = vectors
    squares = [
        users[u].square().sum() + items[i].square().sum() + items[j].square().sum() for u, i, j in dense.triples()
    ]
    return dense.bpr(vectors) + model.params.reg_weight * torch.stack(squares).sum() / (2 * len(squares))


SWITCHES: list[dict[str, Any]] = [
    {},
    {"knn_k": 3},
    {"knn_k": 20},
    {"knn_k": 20, "knn_clip_negative": False, "lattice_cf": "mf", "lam": 0.95},
    {"lattice_mix": "paper"},
    {"lattice_cf": "ngcf"},
    {"lattice_cf": "mf"},
    {"lattice_ui_norm": "sym", "n_ui_layers": 1},
    {"n_item_layers": 3},
    {"lam": 0.0},
    {"lam": 1.0},
    {"feat_trainable": False},
    {"feat_trainable": False, "feat_norm": "none", "lam": 0.4},
]


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_equals_the_dense_reference(switches: dict[str, Any]) -> None:
    data = dense.small_data()
    model = dense.build("lattice", data, **{**K2, **switches})
    vectors = reference(model, data)
    dense.agree(model, vectors, reference_loss(model, vectors))


@pytest.mark.parametrize("absent", [dense.ABSENT, FULL], ids=["absent", "complete"])
@pytest.mark.parametrize("n_modalities", [1, 2])
def test_equals_the_dense_reference_with_fewer_modalities(n_modalities: int, absent: Any) -> None:
    data = dense.small_data(n_modalities, absent)
    model = dense.build("lattice", data, knn_k=3)
    vectors = reference(model, data)
    dense.agree(model, vectors, reference_loss(model, vectors))


def test_equals_the_dense_reference_with_zero_rows_for_missing_features() -> None:
    data = dense.small_data(1, ((4,),), seed=1)  # one item only, as two would tie
    model = dense.build("lattice", data, knn_k=2, missing="zero", feat_trainable=False)
    vectors = reference(model, data)
    dense.agree(model, vectors, reference_loss(model, vectors))


def test_evaluation_uses_the_graph_of_the_current_parameters() -> None:
    data = dense.small_data()
    model = dense.build("lattice", data, **K2).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.2)
    for _ in range(2):
        optimizer.zero_grad()
        dense.loss_of(model).backward()
        optimizer.step()
    for ours, theirs in zip(model.eval().final_tables(), reference(model, data), strict=True):
        torch.testing.assert_close(ours[1:], theirs.detach(), rtol=1e-10, atol=1e-10)


def test_gradcheck_of_every_parameter() -> None:
    data = dense.small_data()
    model = dense.build("lattice", data, **K2)
    reference(model, data)  # asserts the gaps
    dense.gradcheck(model)


@pytest.mark.parametrize(
    "switches", [{"lattice_mix": "paper", "lam": 0.5}, {"lattice_cf": "ngcf"}, {"n_item_layers": 2}], ids=str
)
def test_gradcheck_of_the_switches(switches: dict[str, Any]) -> None:
    data = dense.small_data(2)
    model = dense.build("lattice", data, **{**K2, **switches})
    reference(model, data)
    dense.gradcheck(model, fast=True)
