"""LATTICE: known values of the item graph, identities, parameter counts."""

from __future__ import annotations

from typing import Any

import dense
import pytest
import torch
import torch.nn.functional as F
import toy
from torch import Tensor, nn

pytestmark = pytest.mark.usefixtures("float64")

K2 = {"knn_k": 2}
FULL: tuple[tuple[int, ...], ...] = ((), (), ())


def densify(model: Any) -> Tensor:
    """The model's own G as a dense matrix without padding."""
    graph = model._graph()
    n = model.n_items
    total = torch.zeros(n, n)
    for pairs, values in zip(graph.pairs, graph.values, strict=True):
        total = total.index_put((pairs.rows.long(), pairs.columns.long()), values, accumulate=True)
    for weight, modality in zip(graph.initial, model.modalities, strict=True):
        total = total + weight * modality.initial.dense()
    assert not total[0].any()
    assert not total[:, 0].any()
    return total[1:, 1:]


def golden(**overrides: Any) -> Any:
    """Y = X, so that the projections are identities of the features' widths."""
    model = toy.build_model("lattice", toy.golden(), embedding_size=2, feat_norm="none", **{**K2, **overrides})
    toy.set_rows(model.user_embedding, toy.GOLDEN_USERS)
    toy.set_rows(model.item_embedding, toy.GOLDEN_ITEMS)
    for modality in model.modalities:
        width = modality.table.shape[1]
        modality.linear = nn.Linear(width, width)
        with torch.no_grad():
            modality.linear.weight.copy_(torch.eye(width))
            modality.linear.bias.zero_()
    return model


def close(actual: Tensor, expected: Any) -> None:
    torch.testing.assert_close(actual, torch.tensor(expected), rtol=0, atol=1e-6)


def test_golden_values() -> None:
    model = golden()
    close(
        densify(model).detach(),
        [[0.556675, 0.238243, 0.207375], [0.379170, 0.608332, 0], [0.207375, 0.135316, 0.637951]],
    )
    propagated = model._propagated(model._graph())[1:].detach()
    close(propagated, [[1.033162, 0.971425], [1.595834, 0.379170], [0.478006, 1.483278]])


def test_user_item_rows_sum_to_one() -> None:
    model = golden()
    matrix = model.graph.dense()
    close(matrix[1], [0, 1 / 3, 0, 0, 1 / 3, 1 / 3, 0])  # padding, users, padding, items
    torch.testing.assert_close(matrix.sum(1), torch.ones(7))


def test_lam_one_sends_nothing_to_the_projections() -> None:
    model = dense.build("lattice", dense.small_data(), lam=1.0)
    dense.loss_of(model).backward()
    for modality in model.modalities:
        assert modality.linear.weight.grad is None
        assert modality.table.grad is None
    assert model.modality_logits.grad.abs().sum() > 0


def test_lam_zero_with_all_neighbours_is_the_full_cosine_graph() -> None:
    data = dense.small_data(2, FULL)
    model = dense.build("lattice", data, lam=0.0, knn_k=7, lattice_mix="paper")
    expected = torch.zeros(7, 7)
    for omega, modality in zip(torch.softmax(model.modality_logits, 0), model.modalities, strict=True):
        rows = F.normalize(modality.projected()[1:])
        cosines = (rows @ rows.T).clamp(min=0)
        degrees = cosines.sum(1)
        expected = expected + omega * cosines / torch.outer(degrees, degrees).sqrt()
    torch.testing.assert_close(densify(model), expected, rtol=1e-12, atol=1e-12)


def test_a_single_modality_has_no_weight_to_learn() -> None:
    model = dense.build("lattice", dense.small_data(1))
    dense.loss_of(model).backward()
    assert not model.modality_logits.grad.any()


def test_two_copies_of_a_modality_change_nothing() -> None:
    data = dense.small_data(1)
    first = data.modalities[0]
    parts = (data.split.train, data.split.valid, data.split.test)
    twice = toy.data_of(*parts, first, toy.modality("again", first.matrix, first.present))
    one, two = dense.build("lattice", data, **K2), dense.build("lattice", twice, **K2)
    state = one.state_dict()
    copies = {key.replace("modalities.0", "modalities.1"): value for key, value in state.items()}
    two.load_state_dict({**copies, **state, "modality_logits": torch.zeros(2)})
    torch.testing.assert_close(toy.scores(one), toy.scores(two), rtol=1e-12, atol=1e-12)


def test_order_of_modalities_does_not_matter() -> None:
    data = dense.small_data()
    one = dense.build("lattice", data, **K2)
    other = dense.build("lattice", data, modalities=["textual", "acoustic", "visual"], **K2)
    renamed = {"modalities.0": "modalities.2", "modalities.2": "modalities.0"}
    state = {renamed.get(key[:12], key[:12]) + key[12:]: value for key, value in one.state_dict().items()}
    other.load_state_dict({**state, "modality_logits": one.modality_logits.detach().flip(0)})
    torch.testing.assert_close(toy.scores(one), toy.scores(other), rtol=1e-12, atol=1e-12)


def test_scale_of_features_does_not_matter() -> None:
    data = dense.small_data()
    parts = (data.split.train, data.split.valid, data.split.test)
    scaled = toy.data_of(*parts, *(toy.modality(m.name, m.matrix * 8, m.present) for m in data.modalities))
    for frozen in (False, True):
        one, other = (
            toy.build_model("lattice", d, embedding_size=3, feat_trainable=not frozen, **K2)
            for d in (data, scaled)
        )
        torch.testing.assert_close(toy.scores(one), toy.scores(other), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("trainable", [True, False])
@pytest.mark.parametrize("n_modalities", [1, 2, 3])
def test_parameter_count(n_modalities: int, trainable: bool) -> None:
    dims = (30, 20, 10)[:n_modalities]
    data = toy.random_data(dims=dims)
    model = toy.build_model("lattice", data, feat_trainable=trainable)
    n_nodes, n_items = data.n_users + data.n_items + 2, data.n_items + 1
    expected = 64 * n_nodes + 64 * sum(dims) + 64 * n_modalities + n_modalities
    assert sum(value.numel() for value in model.parameters()) == expected + trainable * n_items * sum(dims)
