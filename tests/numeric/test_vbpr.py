"""VBPR against a version written item by item from its equation, and its identities."""

from __future__ import annotations

import itertools
from typing import Any

import dense
import pytest
import torch
import toy
from torch import Tensor

from bench.core.errors import ConfigError

pytestmark = pytest.mark.usefixtures("float64")

SWITCHES: list[dict[str, Any]] = [
    {},
    {"use_bias": True},
    {"vbpr_proj_bias": False},
    {"missing": "zero"},
    {"feat_norm": "none", "use_bias": True, "missing": "zero"},
    {"reg_vbpr": "final", "use_bias": True},
    {"vbpr_dim": "half", "embedding_size": 4, "reg_vbpr": "final"},
    {"reg_form": "recbole_norm"},
    {"reg_form": "recbole_norm", "reg_vbpr": "final"},
    {"reg_form": "all_params", "use_bias": True},
]


def vectors(model: Any, data: Any) -> dense.Vectors:
    """Final vectors without padding: [gamma_u, theta_u, 1] and [gamma_i, theta_i, bias of i]."""
    p, state = model.params, dense.parameters(model)
    users, items = [], []
    for u in range(1, data.n_users + 1):
        users.append(
            torch.cat([state["user_embedding.weight"][u], state["user_content.weight"][u], torch.ones(1)])
        )
    for i in range(data.n_items):
        theta, bias, described = torch.zeros(model.width), torch.zeros(1), False
        for m in range(len(data.modalities)):
            rows, has = dense.features(data, m, p.feat_norm)
            if has[i]:
                theta = theta + state[f"projections.{m}"] @ rows[i]
                described = True
                if p.use_bias:
                    bias = bias + state[f"content_biases.{m}"] @ rows[i]
        if p.vbpr_proj_bias and (described or p.missing == "zero"):
            theta = theta + state["projection_bias"]
        if p.use_bias:
            bias = bias + state["item_bias.weight"][i + 1]
        items.append(torch.cat([state["item_embedding.weight"][i + 1], theta, bias]))
    return torch.stack(users), torch.stack(items)


def regularisation(model: Any, users: Tensor, items: Tensor) -> Tensor:
    """The L2 term, row by row."""
    p, n = model.params, len(dense.triples())
    if p.reg_form == "all_params":
        return sum((value**2).sum() for value in dense.parameters(model).values())
    end = model.width if p.reg_vbpr == "ego" else 2 * model.width
    parts = [
        torch.stack([users[u, : 2 * model.width] for u, _, _ in dense.triples()]),
        torch.stack([items[i, :end] for _, i, _ in dense.triples()]),
        torch.stack([items[j, :end] for _, _, j in dense.triples()]),
    ]
    if p.reg_form == "half_sq":
        return sum((part**2).sum() for part in parts) / (2 * n)
    return sum((part**2).sum().sqrt() for part in parts) / n


@pytest.mark.parametrize("n_modalities", [1, 2, 3])
@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_equals_the_reference(switches: dict[str, Any], n_modalities: int) -> None:
    data = dense.small_data(n_modalities)
    model = dense.build("vbpr", data, **switches)
    users, items = vectors(model, data)
    loss = dense.bpr((users, items)) + 0.3 * regularisation(model, users, items)
    if not model.params.use_bias:
        users, items = users[:, :-1], items[:, :-1]
    dense.agree(model, (users, items), loss)


@pytest.mark.parametrize("switches", [{}, SWITCHES[5], SWITCHES[6]], ids=str)
def test_gradcheck(switches: dict[str, Any]) -> None:
    dense.gradcheck(dense.build("vbpr", dense.small_data(), **switches).train())


def golden(**overrides: Any) -> Any:
    model = toy.build_model("vbpr", toy.golden(), embedding_size=2, feat_norm="none", **overrides)
    for table, rows in (
        (model.user_embedding, toy.GOLDEN_USERS),
        (model.item_embedding, toy.GOLDEN_ITEMS),
        (model.user_content, toy.GOLDEN_USERS),
    ):
        toy.set_rows(table, rows)
    with torch.no_grad():
        for weight in model.projections:
            weight.copy_(torch.eye(*weight.shape))
    return model


def test_golden_scores() -> None:
    """Content vectors x^v + (x^a)_1..2 = [[2,0],[2.5,2],[1,1]] on top of MF's scores [[1,2,0],[1,0,2]]."""
    expected = torch.tensor([[3, 4.5, 1], [1, 2, 3]], dtype=torch.float64)
    torch.testing.assert_close(toy.scores(golden()), expected, rtol=0, atol=1e-6)


def test_biases_move_items_for_all_users_alike() -> None:
    model = golden(use_bias=True)
    with torch.no_grad():
        model.item_bias.weight[3] = 10.0
        model.content_biases[0][0] = 1.0
    expected = torch.tensor([[4, 6.5, 11], [2, 4, 13]], dtype=torch.float64)
    torch.testing.assert_close(toy.scores(model), expected, rtol=0, atol=1e-6)


def test_without_user_content_it_is_mf() -> None:
    data = dense.small_data()
    model, plain = dense.build("vbpr", data), dense.build("mf", data)
    with torch.no_grad():
        model.user_content.weight.zero_()
        plain.user_embedding.weight.copy_(model.user_embedding.weight)
        plain.item_embedding.weight.copy_(model.item_embedding.weight)
    torch.testing.assert_close(toy.scores(model), toy.scores(plain), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(dense.loss_of(model), dense.loss_of(plain), rtol=1e-12, atol=1e-12)
    found, expected = (dense.gradients(dense.loss_of(one), one) for one in (model, plain))
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3)))[1:])
def test_order_of_modalities_does_not_matter(order: tuple[int, ...]) -> None:
    data = dense.small_data()
    model = dense.build("vbpr", data)
    other = dense.build("vbpr", data, modalities=[data.modalities[m].name for m in order])
    state = model.state_dict()
    other.load_state_dict(state | {f"projections.{n}": state[f"projections.{m}"] for n, m in enumerate(order)})
    torch.testing.assert_close(toy.scores(other), toy.scores(model), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("norm", "same"), [("l2", True), ("none", False)])
def test_scale_of_features_matters_only_without_normalisation(norm: str, same: bool) -> None:
    data = dense.small_data()
    scaled = toy.data_of(
        data.split.train,
        data.split.valid,
        data.split.test,
        *[toy.modality(m.name, 7 * m.matrix, m.present) for m in data.modalities],
    )
    model, other = (dense.build("vbpr", one, feat_norm=norm) for one in (data, scaled))
    assert torch.allclose(toy.scores(model), toy.scores(other), rtol=1e-6, atol=1e-6) == same


def test_projection_bias_ranks_nothing_where_every_item_has_content() -> None:
    data = dense.small_data(absent=((), (), ()))
    model = dense.build("vbpr", data)
    gradient = dense.gradients(dense.loss_of(model), model)["projection_bias"]
    torch.testing.assert_close(gradient, torch.zeros(3), rtol=0, atol=1e-14)


def test_an_item_without_content_is_scored_by_its_id_alone() -> None:
    model = dense.build("vbpr", dense.small_data())
    expected = model.user_embedding.weight[1:] @ model.item_embedding.weight[3]
    torch.testing.assert_close(toy.scores(model)[:, 2], expected, rtol=1e-12, atol=1e-12)


def test_parameter_counts() -> None:
    data = dense.small_data()
    n_users, n_items, features = 6, 8, 4 + 3 + 2

    def count(**overrides: Any) -> int:
        model = toy.build_model("vbpr", data, embedding_size=64, **overrides)
        return sum(parameter.numel() for parameter in model.parameters())

    base = 128 * n_users + 64 * n_items + 64 * features
    assert count() == base + 64
    assert count(vbpr_proj_bias=False) == base
    assert count(use_bias=True) == base + 64 + n_items + features
    assert count(vbpr_dim="half") == (base + 64) / 2


def test_half_needs_an_even_width() -> None:
    with pytest.raises(ConfigError, match="even embedding_size"):
        toy.build_model("vbpr", dense.small_data(), embedding_size=3, vbpr_dim="half")


def test_same_bits_with_two_threads() -> None:
    first, second = (dense.under_threads("vbpr", use_bias=True) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
