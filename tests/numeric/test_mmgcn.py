"""MMGCN: known values, an independent dense reference, identities and regressions."""

from __future__ import annotations

from typing import Any

import dense
import pytest
import torch
import torch.nn.functional as F
import toy
from torch import Tensor

from bench.core.types import BenchmarkData
from bench.engine import registry

pytestmark = pytest.mark.usefixtures("float64")


def reference(model: Any, data: BenchmarkData) -> dense.Vectors:
    """Final vectors node by node: every message is transformed, then averaged."""
    p, switches = dense.parameters(model), model.params
    adjacency = dense.adjacency(data)
    n_users, n_items = adjacency.shape
    ids = torch.cat([p["user_embedding.weight"][1:], p["item_embedding.weight"][1:]])
    total = torch.zeros_like(ids)
    for m in range(len(data.modalities)):
        rows, has = dense.features(data, m, switches.feat_norm)
        own = {key.removeprefix(f"branches.{m}."): value for key, value in p.items() if f"branches.{m}." in key}
        if "w0" in own:
            projected = [own["w0"] @ row + own["b0"] for row in rows]
            zero = torch.zeros(len(own["w0"]))
            keep = [flag or switches.missing == "zero" for flag in has]
            rows = torch.stack([row if flag else zero for row, flag in zip(projected, keep, strict=True)])
        nodes = list(dense.unit(torch.cat([own["preference"][1:], rows])))
        for layer in range(switches.n_layers):
            w1, w2, w3 = (own[f"{name}.{layer}"] for name in ("w1", "w2", "w3"))
            b2, b3 = own[f"b2.{layer}"], own[f"b3.{layer}"]
            after = []
            for node in range(n_users + n_items):
                if node < n_users:
                    near = [n_users + i for i in range(n_items) if adjacency[node, i]]
                else:
                    near = [u for u in range(n_users) if adjacency[u, node - n_users]]
                mean = sum((w1 @ nodes[j] for j in near), torch.zeros(len(w1))) / max(len(near), 1)
                h = F.leaky_relu(mean, 0.01)
                xhat = F.leaky_relu(w2 @ nodes[node] + b2, 0.01) + ids[node]
                mixed = (
                    w3 @ torch.cat([h, xhat]) + b3 if switches.mmgcn_combine == "concat" else w3 @ h + b3 + xhat
                )
                after.append(F.leaky_relu(mixed, 0.01))
            nodes = after
        total = total + torch.stack(nodes)
    if switches.mm_readout == "mean":
        total = total / len(data.modalities)
    return total[:n_users], total[n_users:]


def reference_loss(model: Any, data: BenchmarkData, vectors: dense.Vectors) -> Tensor:
    """BPR plus lambda / 2B of the squared norms of id rows and preferences."""
    p, total = dense.parameters(model), torch.zeros(())
    for u, i, j in dense.triples():
        rows = [
            p["user_embedding.weight"][u + 1],
            p["item_embedding.weight"][i + 1],
            p["item_embedding.weight"][j + 1],
        ]
        rows += [p[f"branches.{m}.preference"][u + 1] for m in range(len(data.modalities))]
        total = total + torch.stack([row.square().sum() for row in rows]).sum()
    return dense.bpr(vectors) + model.params.reg_weight * total / (2 * len(dense.triples()))


SWITCHES = [
    {},
    {"mmgcn_latent": 2},
    {"mmgcn_latent": 3, "missing": "zero"},
    {"mmgcn_combine": "ele"},
    {"mmgcn_combine": "ele", "mmgcn_latent": 2, "n_layers": 3},
    {"n_layers": 1},
    {"mm_readout": "sum"},
    {"mmgcn_train_embeddings": False},
    {"feat_norm": "none"},
]


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_equals_the_dense_reference(switches: dict[str, Any]) -> None:
    data = dense.small_data()
    model = dense.build("mmgcn", data, **switches)
    vectors = reference(model, data)
    dense.agree(model, vectors, reference_loss(model, data, vectors))


@pytest.mark.parametrize("n_modalities", [1, 2])
def test_equals_the_dense_reference_with_fewer_modalities(n_modalities: int) -> None:
    data = dense.small_data(n_modalities)
    model = dense.build("mmgcn", data, mmgcn_latent=3)
    vectors = reference(model, data)
    dense.agree(model, vectors, reference_loss(model, data, vectors))


def test_gradcheck_of_every_parameter() -> None:
    dense.gradcheck(dense.build("mmgcn", dense.small_data(), mmgcn_latent=3))


@pytest.mark.parametrize("switches", [{"mmgcn_combine": "ele"}, {"mm_readout": "sum", "n_layers": 1}], ids=str)
def test_gradcheck_of_the_switches(switches: dict[str, Any]) -> None:
    dense.gradcheck(dense.build("mmgcn", dense.small_data(2), **switches), fast=True)


def golden(**overrides: Any) -> Any:
    """One modality, one layer, identity matrices, no biases."""
    train = toy.pairs(toy.GOLDEN_EDGES, 2, 3)
    data = toy.data_of(train, train, train, toy.modality("visual", [[1, 0], [1, 1], [0, 1]]))
    settings = {"embedding_size": 2, "n_layers": 1, "mmgcn_combine": "ele", "feat_norm": "none", **overrides}
    model = toy.build_model("mmgcn", data, **settings)
    toy.set_rows(model.user_embedding, toy.GOLDEN_USERS)
    toy.set_rows(model.item_embedding, toy.GOLDEN_ITEMS)
    branch = model.branches[0]
    with torch.no_grad():
        branch.preference[1:] = torch.tensor([[1, 0.5], [0.2, 1]])
        for weights in (branch.w1, branch.w2, branch.w3):
            for weight in weights:
                weight.copy_(torch.eye(2))
    return model


def test_golden_values() -> None:
    users, items = golden().embed()
    expected_users = torch.tensor([[2.747981, 0.800767], [0.549670, 2.834134]])
    expected_items = torch.tensor([[2.894427, 1.447214], [3.252378, 1.421004], [0.196116, 3.980581]])
    torch.testing.assert_close(users[1:], expected_users, rtol=0, atol=1e-6)
    torch.testing.assert_close(items[1:], expected_items, rtol=0, atol=1e-6)


def test_without_w1_no_message_passes() -> None:
    model = golden()
    with torch.no_grad():
        model.branches[0].w1[0].zero_()
    users, items = model.embed()
    expected = F.normalize(torch.tensor([[1, 0.5], [0.2, 1]])) + torch.tensor(toy.GOLDEN_USERS)
    torch.testing.assert_close(users[1:], expected)
    expected = F.normalize(torch.tensor([[1.0, 0], [1, 1], [0, 1]])) + torch.tensor(toy.GOLDEN_ITEMS)
    torch.testing.assert_close(items[1:], expected)


def test_every_table_is_trained_by_default() -> None:
    model = dense.build("mmgcn", dense.small_data(), mmgcn_latent=3)
    gradients = dense.gradients(dense.loss_of(model), model)
    for name in (
        "user_embedding.weight",
        "item_embedding.weight",
        *(f"branches.{m}.preference" for m in range(3)),
    ):
        assert gradients[name].abs().sum() > 0, name
    assert all(gradient.any() for gradient in gradients.values())


def test_reference_leaves_the_tables_as_drawn() -> None:
    model = dense.build("mmgcn", dense.small_data(), mmgcn_train_embeddings=False)
    frozen = {name for name, value in model.named_parameters() if not value.requires_grad}
    tables = {"user_embedding.weight", "item_embedding.weight", *(f"branches.{m}.preference" for m in range(3))}
    assert frozen == tables
    with_reg = dense.gradients(dense.loss_of(model), model)
    without = dense.gradients(model.calculate_loss(dense.BATCH)[0], model)
    assert all(torch.equal(with_reg[name], without[name]) for name in without)


def test_variant_reference_is_the_released_code() -> None:
    values = registry.load("mmgcn").file.variants["reference"]
    params = registry.load("mmgcn").params("tiktok", "reference")
    assert (params.n_layers, params.mmgcn_latent, params.mmgcn_combine) == (3, "reference", "concat")
    assert not params.mmgcn_train_embeddings
    model = dense.build("mmgcn", dense.small_data(), **values)
    assert torch.isfinite(toy.scores(model)).all()
    assert [branch.w0 is not None for branch in model.branches] == [True, False, False]


def test_two_copies_of_a_modality_change_nothing() -> None:
    data = dense.small_data(1)
    first = data.modalities[0]
    twice = toy.data_of(*_parts(data), first, toy.modality("again", first.matrix, first.present))
    one, two = dense.build("mmgcn", data), dense.build("mmgcn", twice)
    state = one.state_dict()
    copies = {key.replace("branches.0", "branches.1"): value for key, value in state.items()}
    two.load_state_dict({**copies, **state})
    torch.testing.assert_close(toy.scores(one), toy.scores(two), rtol=1e-12, atol=1e-12)
    summed = dense.build("mmgcn", twice, mm_readout="sum")
    summed.load_state_dict({**copies, **state})
    torch.testing.assert_close(toy.scores(one) * 4, toy.scores(summed), rtol=1e-12, atol=1e-12)


def test_order_of_modalities_does_not_matter() -> None:
    data = dense.small_data()
    one = dense.build("mmgcn", data)
    other = dense.build("mmgcn", data, modalities=["textual", "acoustic", "visual"])
    renamed = {"branches.0": "branches.2", "branches.2": "branches.0"}
    other.load_state_dict(
        {renamed.get(key[:10], key[:10]) + key[10:]: value for key, value in one.state_dict().items()}
    )
    torch.testing.assert_close(toy.scores(one), toy.scores(other), rtol=1e-12, atol=1e-12)


def test_scale_of_features_does_not_matter() -> None:
    data = dense.small_data()
    scaled = [toy.modality(m.name, m.matrix * 8, m.present) for m in data.modalities]
    one, other = dense.build("mmgcn", data), dense.build("mmgcn", toy.data_of(*_parts(data), *scaled))
    torch.testing.assert_close(toy.scores(one), toy.scores(other), rtol=1e-9, atol=1e-12)
    raw = dense.build("mmgcn", toy.data_of(*_parts(data), *scaled), feat_norm="none", mmgcn_latent=2)
    assert not torch.allclose(
        toy.scores(raw), toy.scores(dense.build("mmgcn", data, feat_norm="none", mmgcn_latent=2))
    )


@pytest.mark.parametrize(
    ("latent", "widths"), [(256, (128, 256, 256)), (64, (64, 64, 64)), ("reference", (256, 300, 768))]
)
@pytest.mark.parametrize("combine", ["concat", "ele"])
def test_parameter_count(latent: Any, widths: tuple[int, ...], combine: str) -> None:
    dims = (128, 300, 768)
    data = toy.random_data(dims=dims)
    model = toy.build_model("mmgcn", data, mmgcn_latent=latent, mmgcn_combine=combine)
    n_users, n_nodes = data.n_users + 1, data.n_users + data.n_items + 2
    expected = 64 * n_nodes
    for g, dim, name in zip(widths, dims, ("visual", "acoustic", "textual"), strict=True):
        projected = name == "visual" if latent == "reference" else dim > latent
        both = 64 if combine == "concat" else 0
        expected += g * n_users + (g * (dim + 1) if projected else 0)
        expected += g * g + 64 * (g + 1) + 64 * (g + both + 1)
        expected += 64 * 64 + 64 * 65 + 64 * (64 + both + 1)
    assert sum(value.numel() for value in model.parameters()) == expected


def test_elem_mean_is_the_mean_of_each_table() -> None:
    model = dense.build("mmgcn", dense.small_data(2), reg_form="elem_mean", reg_weight=1.0)
    p = dense.parameters(model)
    users, positives, negatives = dense.BATCH["user_id"], dense.BATCH["item_id"], dense.BATCH["neg_item_id"]
    twice, items = users.repeat(2), torch.cat([positives, negatives])
    ids = (p["user_embedding.weight"][twice].square() + p["item_embedding.weight"][items].square()).mean()
    expected = ids + sum(p[f"branches.{m}.preference"][users].square().mean() for m in range(2))
    torch.testing.assert_close(model.calculate_loss(dense.BATCH)[1], expected)


def test_bit_equal_under_threads() -> None:
    for one, other in zip(dense.under_threads("mmgcn"), dense.under_threads("mmgcn"), strict=True):
        assert torch.equal(one, other)


def _parts(data: BenchmarkData) -> tuple[Any, Any, Any]:
    return data.split.train, data.split.valid, data.split.test
