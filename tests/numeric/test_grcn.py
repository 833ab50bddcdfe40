"""GRCN against an independent reference with loops over neighbours, and finite differences."""

from __future__ import annotations

from typing import Any

import dense
import pytest
import torch
import torch.nn.functional as F
import toy
from torch import Tensor

from bench.core.types import BenchmarkData
from bench.engine.recbole import batch

pytestmark = pytest.mark.usefixtures("float64")

Weights = dict[tuple[int, int], Tensor]


def content(model: Any, data: BenchmarkData, m: int) -> tuple[Tensor, Tensor, Weights, Weights]:
    """Content vectors and both directions' affinities of one modality, neighbour by neighbour."""
    p, switches = dense.parameters(model), model.params
    weight, bias = p[f"contents.{m}.weight"], p[f"contents.{m}.bias"]
    rows, has = dense.features(data, m, switches.feat_norm)
    has = [flag or switches.missing == "zero" for flag in has]
    adjacency = dense.adjacency(data)
    n_users, n_items = adjacency.shape
    f = dense.unit(torch.stack([F.leaky_relu(weight @ row + bias, 0.01) for row in rows]))
    f = torch.stack([f[i] if has[i] else f[i] * 0 for i in range(n_items)])
    q = list(dense.unit(p[f"contents.{m}.preference"][1:]))
    of_user = [[i for i in range(n_items) if adjacency[u, i] and has[i]] for u in range(n_users)]
    of_item = [[u for u in range(n_users) if adjacency[u, i] and has[i]] for i in range(n_items)]
    for _ in range(switches.n_routings if switches.grcn_routing == "paper" else 0):
        for u in range(n_users):
            if of_user[u]:
                a = torch.softmax(torch.stack([q[u] @ f[i] for i in of_user[u]]), dim=0)
                q[u] = q[u] + sum(a[n] * f[i] for n, i in enumerate(of_user[u]))
                q[u] = q[u] / q[u].norm()
    to_users: Weights = {}
    to_items: Weights = {}
    z_u, z_i = list(q), list(f)
    for u in range(n_users):
        if of_user[u]:
            alpha = torch.softmax(torch.stack([q[u] @ f[i] for i in of_user[u]]), dim=0)
            to_users |= {(u, i): alpha[n] for n, i in enumerate(of_user[u])}
            z_u[u] = q[u] + sum(alpha[n] * f[i] for n, i in enumerate(of_user[u]))
    for i in range(n_items):
        if of_item[i]:
            alpha = torch.softmax(torch.stack([q[u] @ f[i] for u in of_item[i]]), dim=0)
            to_items |= {(u, i): alpha[n] for n, u in enumerate(of_item[i])}
            z_i[i] = f[i] + sum(alpha[n] * q[u] for n, u in enumerate(of_item[i]))
    return torch.stack(z_u), torch.stack(z_i), to_users, to_items


def message(model: Any, edge: tuple[int, int], affinities: list[Weights], sources: Tensor | None) -> Tensor:
    """Weight of one message; `sources` are the confidences of its source."""
    found = [(m, weights[edge]) for m, weights in enumerate(affinities) if edge in weights]
    if not found:
        return torch.zeros(())
    if model.params.grcn_weight == "mean":
        weight = sum((value for _, value in found), torch.zeros(())) / len(found)
    elif model.params.grcn_weight == "max" or sources is None:
        weight = torch.stack([value for _, value in found]).max()
    else:
        weight = torch.stack([value * sources[m] for m, value in found]).max()
    return weight.clamp(min=0) if model.params.pruning == "hard" else weight


def reference(model: Any, data: BenchmarkData) -> dense.Vectors:
    """Final vectors from weight matrices filled message by message."""
    p, switches = dense.parameters(model), model.params
    parts = [content(model, data, m) for m in range(len(data.modalities))]
    adjacency = dense.adjacency(data)
    n_users, n_items = adjacency.shape
    confidence = p.get("confidence")
    to_users, to_items = torch.zeros(n_users, n_items), torch.zeros(n_items, n_users)
    for u, i in adjacency.nonzero().tolist():
        of_item = None if confidence is None else confidence[n_users + 1 + i + 1]
        of_user = None if confidence is None else confidence[u + 1]
        to_users[u, i] = message(model, (u, i), [part[2] for part in parts], of_item)
        to_items[i, u] = message(model, (u, i), [part[3] for part in parts], of_user)
    users, items = dense.unit(p["user_embedding.weight"][1:]), dense.unit(p["item_embedding.weight"][1:])
    first = to_users @ items, to_items @ users
    second = to_users @ first[1], to_items @ first[0]
    all_users = [users + first[0] + second[0], *(part[0] for part in parts)]
    all_items = [items + first[1] + second[1], *(part[1] for part in parts)]
    if switches.grcn_fusion == "id":
        return all_users[0], all_items[0]
    if switches.grcn_fusion == "mean":
        return sum(all_users[1:], all_users[0]) / len(all_users), sum(all_items[1:], all_items[0]) / len(all_items)
    return torch.cat(all_users, dim=1), torch.cat(all_items, dim=1)


def reference_loss(model: Any, data: BenchmarkData, vectors: dense.Vectors) -> Tensor:
    """BPR plus lambda / 2B of the squared norms of id rows and preferences."""
    p, total = dense.parameters(model), torch.zeros(())
    for u, i, j in dense.triples():
        rows = [
            p["user_embedding.weight"][u + 1],
            p["item_embedding.weight"][i + 1],
            p["item_embedding.weight"][j + 1],
        ]
        rows += [p[f"contents.{m}.preference"][u + 1] for m in range(len(data.modalities))]
        total = total + torch.stack([row.square().sum() for row in rows]).sum()
    return dense.bpr(vectors) + model.params.reg_weight * total / (2 * len(dense.triples()))


SWITCHES = [
    {},
    {"grcn_routing": "reference"},
    {"n_routings": 0},
    {"n_routings": 1},
    {"grcn_weight": "max"},
    {"grcn_weight": "mean"},
    {"pruning": "hard"},
    {"grcn_fusion": "id"},
    {"grcn_fusion": "mean", "grcn_weight": "mean"},
    {"missing": "zero"},
    {"missing": "zero", "grcn_weight": "mean", "feat_norm": "none"},
]


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_equals_the_reference(switches: dict[str, Any]) -> None:
    data = dense.small_data()
    model = dense.build("grcn", data, **switches)
    vectors = reference(model, data)
    dense.agree(model, vectors, reference_loss(model, data, vectors))


@pytest.mark.parametrize("absent", [dense.ABSENT, ((), (), ())], ids=["absent", "complete"])
@pytest.mark.parametrize("n_modalities", [1, 2])
def test_equals_the_reference_with_fewer_modalities(n_modalities: int, absent: Any) -> None:
    data = dense.small_data(n_modalities, absent)
    model = dense.build("grcn", data)
    vectors = reference(model, data)
    dense.agree(model, vectors, reference_loss(model, data, vectors))


def test_gradcheck_of_every_parameter() -> None:
    dense.gradcheck(dense.build("grcn", dense.small_data()))


@pytest.mark.parametrize(
    "switches", [{"grcn_weight": "mean", "grcn_fusion": "mean"}, {"pruning": "hard"}], ids=str
)
def test_gradcheck_of_the_switches(switches: dict[str, Any]) -> None:
    dense.gradcheck(dense.build("grcn", dense.small_data(2), **switches), fast=True)


POSITIVES = {(user, item) for user, item, _ in dense.triples()}
ALL_HAVE = ((), (), ())
WITHOUT: list[dict[str, Any]] = [
    {},
    {"pruning": "hard"},
    {"grcn_weight": "mean"},
    {"grcn_weight": "max", "n_routings": 0},
    {"grcn_fusion": "id"},
    {"missing": "zero", "grcn_fusion": "mean"},
    {"grcn_routing": "reference", "reg_form": "elem_mean"},
]


def without_positives(data: BenchmarkData) -> BenchmarkData:
    """The same users, items and content; the batch's positive pairs are no training pairs."""
    kept = [edge for edge in dense.EDGES if edge not in POSITIVES]
    assert len(kept) == len(dense.EDGES) - len(POSITIVES)
    return toy.data_of(toy.pairs(kept, 5, 7), data.split.valid, data.split.test, *data.modalities)


@pytest.mark.parametrize("absent", [dense.ABSENT, ALL_HAVE], ids=["absent", "complete"])
@pytest.mark.parametrize("switches", WITHOUT, ids=str)
def test_a_training_step_has_the_graph_without_its_positives(switches: dict[str, Any], absent: Any) -> None:
    data = dense.small_data(absent=absent)
    fewer = without_positives(data)
    model = dense.build("grcn", data, grcn_exclude_pos=True, **switches).train()
    if "reg_form" in switches:
        expected = dense.loss_of(dense.build("grcn", fewer, **switches))
        torch.testing.assert_close(dense.loss_of(model), expected, rtol=1e-12, atol=0)
        return
    expected = reference_loss(model, data, reference(model, fewer))
    own = dense.loss_of(model)
    torch.testing.assert_close(own, expected, rtol=1e-12, atol=0)
    wanted = dense.gradients(expected, model)
    for name, gradient in dense.gradients(own, model).items():
        torch.testing.assert_close(
            gradient, wanted[name], rtol=1e-10, atol=1e-12, msg=lambda m, n=name: f"{n}: {m}"
        )
    assert not torch.allclose(expected, reference_loss(model, data, reference(model, data)))


@pytest.mark.parametrize("absent", [dense.ABSENT, ALL_HAVE], ids=["absent", "complete"])
def test_evaluation_has_all_edges(absent: Any) -> None:
    data = dense.small_data(absent=absent)
    model = dense.build("grcn", data, grcn_exclude_pos=True).train()
    dense.loss_of(model)
    model.eval()
    vectors = reference(model, data)
    dense.agree(model, vectors, reference_loss(model, data, vectors))


def test_pairs_that_are_no_edges_leave_the_graph_as_it_is() -> None:
    data = dense.small_data()
    model = dense.build("grcn", data, grcn_exclude_pos=True).train()
    foreign = batch(*[torch.tensor(ids) + 1 for ids in ([0, 4, 4], [6, 6, 0], [1, 2, 3])])
    every = dense.build("grcn", data)
    assert torch.equal(dense.loss_of(model, foreign), dense.loss_of(every, foreign))


def test_gradcheck_without_the_positives() -> None:
    dense.gradcheck(dense.build("grcn", dense.small_data(2), grcn_exclude_pos=True).train(), fast=True)
