"""NGCF against a version written node by node, against RecBole's own, and its identities."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dense
import numpy as np
import pytest
import torch
import toy
from recbole.model.general_recommender import NGCF as RecBoleNGCF
from torch import Tensor

from bench.engine import registry
from bench.engine.recbole import ITEM_FIELD, NEG_PREFIX, recbole_session
from models.ngcf import dropout_factors

float64 = pytest.mark.usefixtures("float64")
VARIANTS = ["recbole", "official"]
SIZES = {"hidden_sizes": [4, 2]}


def neighbourhoods(data: Any, variant: str) -> Tensor:
    """The normalised adjacency over users and items without padding, entry by entry."""
    n_users, n_nodes = data.n_users, data.n_users + data.n_items
    plain = torch.zeros(n_nodes, n_nodes)
    plain[:n_users, n_users:] = dense.adjacency(data)
    plain[n_users:, :n_users] = dense.adjacency(data).T
    result = torch.zeros(n_nodes, n_nodes)
    for i in range(n_nodes):
        for j in range(n_nodes):
            degree_i, degree_j = plain[i].sum(), plain[j].sum()
            if variant == "official":
                result[i, j] = (plain[i, j] + float(i == j)) / (degree_i + 1)
            elif plain[i, j]:
                result[i, j] = 1 / (degree_i * degree_j).sqrt()
    return result


def leaky(row: Tensor) -> Tensor:
    return torch.where(row > 0, row, 0.2 * row)


def vectors(model: Any, data: Any) -> dense.Vectors:
    state, variant = dense.parameters(model), model.params.ngcf_variant
    graph = neighbourhoods(data, variant)
    rows = torch.cat([state["user_embedding.weight"][1:], state["item_embedding.weight"][1:]])
    views = [rows]
    for layer in range(len(model.params.hidden_sizes)):
        w1, b1, w2, b2 = (state[f"layers.{layer}.{name}"] for name in ("w1", "b1", "w2", "b2"))
        messages = []
        for node in range(len(rows)):
            own, side = rows[node], graph[node] @ rows
            if variant == "official":
                messages.append(leaky(w1.T @ side + b1) + leaky(w2.T @ (own * side) + b2))
            else:
                messages.append(leaky(w1.T @ (own + side) + b1 + w2.T @ (side * own) + b2))
        views.append(torch.stack([message / message.norm() for message in messages]))
        rows = torch.stack(messages) if variant == "official" else views[-1]
    table = torch.cat(views, dim=1)
    return table[: data.n_users], table[data.n_users :]


def regularisation(model: Any, users: Tensor, items: Tensor) -> Tensor:
    p, n = model.params, len(dense.triples())
    if p.reg_form == "all_params":
        return sum((value**2).sum() for value in dense.parameters(model).values())
    width = p.embedding_size if p.reg_ngcf == "ego" else users.shape[1]
    rows = [(users[u, :width], items[i, :width], items[j, :width]) for u, i, j in dense.triples()]
    squares = [sum((row**2).sum() for row in column) for column in zip(*rows, strict=True)]
    if p.reg_form == "half_sq":
        return sum(squares) / (2 * n)
    return sum(square.sqrt() for square in squares) / n


@float64
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    "switches",
    [{}, {"reg_ngcf": "ego"}, {"reg_form": "recbole_norm"}, {"reg_form": "all_params"}, {"hidden_sizes": [3]}],
    ids=str,
)
def test_equals_the_reference(variant: str, switches: dict[str, Any]) -> None:
    data = dense.small_data()
    model = dense.build("ngcf", data, **{**SIZES, "ngcf_variant": variant, **switches})
    users, items = vectors(model, data)
    loss = dense.bpr((users, items)) + 0.3 * regularisation(model, users, items)
    dense.agree(model, (users, items), loss)


@float64
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dropout", [{"message_dropout": 0.0}, {"message_dropout": 0.3, "node_dropout": 0.4}])
def test_gradcheck(variant: str, dropout: dict[str, float]) -> None:
    """With dropout too: the same entries are drawn each time, and dropped from the graph's transpose as well."""
    model = dense.build("ngcf", dense.small_data(), ngcf_variant=variant, **SIZES, **dropout).train()

    def loss(one: Any) -> Tensor:
        torch.manual_seed(4)
        return dense.loss_of(one)

    dense.gradcheck(model, loss)


def golden(variant: str) -> tuple[Tensor, Tensor]:
    model = toy.build_model("ngcf", toy.golden(), embedding_size=2, hidden_sizes=[2, 2], ngcf_variant=variant)
    toy.set_rows(model.user_embedding, toy.GOLDEN_USERS)
    toy.set_rows(model.item_embedding, toy.GOLDEN_ITEMS)
    with torch.no_grad():
        for layer in model.layers:
            for weight in (layer.w1, layer.w2):
                weight.copy_(torch.eye(2))
            for bias in (layer.b1, layer.b2):
                bias.zero_()
    users, items = model.embed()
    return users[1:], items[1:]


@float64
def test_golden_vectors() -> None:
    users, items = golden("recbole")
    official, _ = golden("official")
    for row, expected in (
        (users[0], [1, 0, 0.987412, 0.158172, 0.985972, 0.166909]),
        (items[1], [2, 0, 0.989949, 0.141421, 0.943125, 0.332438]),
        (official[0], [1, 0, 0.992278, 0.124035, 0.996890, 0.078806]),
    ):
        torch.testing.assert_close(row, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-6)


@float64
def test_the_two_variants_differ() -> None:
    data = dense.small_data()
    first, second = (toy.scores(dense.build("ngcf", data, ngcf_variant=variant)) for variant in VARIANTS)
    assert (first - second).abs().max() > 1e-2


@float64
def test_node_dropout_thins_graph_and_transpose_alike() -> None:
    model = dense.build(
        "ngcf", toy.random_data(n_users=300, n_items=200), ngcf_variant="official", node_dropout=0.25
    )
    assert model._thinned() is model.graph
    whole, thin = model.graph.dense(), model.train()._thinned()
    kept = thin.dense() != 0
    torch.testing.assert_close(thin.dense(), torch.where(kept, whole / 0.75, 0.0))
    shares = [(model._thinned().values != 0).double().mean() for _ in range(100)]
    assert abs(float(torch.stack(shares).mean()) - 0.75) < 0.004  # five standard deviations
    transposed = type(thin)(
        (thin.t_offsets, thin.t_columns, thin.t_values), (thin.offsets, thin.columns, thin.values)
    )
    assert torch.equal(transposed.dense(), thin.dense().T)


@float64
@pytest.mark.parametrize("kind", ["message_dropout", "node_dropout"])
def test_dropout_acts_in_training_only(kind: str) -> None:
    data = dense.small_data()
    switches = {"message_dropout": 0.0, kind: 0.5}
    model = dense.build("ngcf", data, **switches)
    plain = dense.build("ngcf", data, message_dropout=0.0)
    torch.testing.assert_close(model.embed(), plain.embed(), rtol=1e-12, atol=1e-12)
    model.train()
    assert not torch.equal(model.embed()[0], model.embed()[0])


@float64
def test_message_dropout_drops_its_share_and_keeps_the_mean() -> None:
    rows = dropout_factors(1000, 100, torch.ones(1), 0.1)
    assert abs(float((rows == 0).double().mean()) - 0.1) < 0.005  # five standard deviations
    share = round(0.1 * 65_536) / 65_536  # the share is set to that precision, and the mean is kept for it
    assert torch.equal(rows[rows != 0].unique(), torch.tensor([1 / (1 - share)]))
    assert abs(share - 0.1) < 1e-5


def test_parameter_counts() -> None:
    data = dense.small_data()
    model = toy.build_model("ngcf", data)
    assert sum(parameter.numel() for parameter in model.parameters()) == 64 * (6 + 8) + 24_960


def test_same_bits_with_two_threads() -> None:
    first, second = (dense.under_threads("ngcf", node_dropout=0.1, message_dropout=0.1) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def twins(folder: Path, dropout: float) -> tuple[Any, Any, Any]:
    """Our model and RecBole's on RecBole's own data set with the same weights, and a batch."""
    data = toy.random_data(n_users=20, n_items=30, per_user=8)
    entry = registry.load("ngcf")
    switches = {"embedding_size": 16, "hidden_sizes": [12, 8], "reg_form": "recbole_norm", "reg_weight": 0.01}
    params = entry.params("toy", overrides={**switches, "message_dropout": dropout}).model_dump()
    made = recbole_session(RecBoleNGCF, {**params, "hidden_size_list": [12, 8]}, data, folder)
    torch.manual_seed(7)
    mine = entry.model_class(made.config, made.train_data.dataset)
    other = RecBoleNGCF(made.config, made.train_data.dataset)
    with torch.no_grad():
        for layer in mine.layers:  # biases away from their zeros
            layer.b1.normal_(std=0.1)
            layer.b2.normal_(std=0.1)
    other.load_state_dict(renamed({name: value.detach() for name, value in mine.named_parameters()}))
    np.random.seed(1)  # noqa: NPY002 -- RecBole draws from numpy's global state
    interaction = next(iter(made.train_data))
    assert NEG_PREFIX + ITEM_FIELD in interaction.interaction
    return mine, other, interaction


def renamed(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our parameters, or their gradients, under RecBole's names and in its shapes."""
    result = {}
    for name, value in values.items():
        for ours, theirs in (("1", "linear"), ("2", "interActTransform")):
            name = name.replace(f".w{ours}", f".{theirs}.weight").replace(f".b{ours}", f".{theirs}.bias")
        transposed = ".weight" in name and "layers" in name
        result[name.replace("layers.", "GNNlayers.")] = (value.T if transposed else value).clone()
    return result


def saying(name: str) -> Callable[[str], str]:
    return lambda message: f"{name}: {message}"


def test_equals_recbole(tmp_path: Path) -> None:
    """Loss, scores, every gradient, and the parameters after three steps of Adam."""
    mine, other, interaction = twins(tmp_path, dropout=0.0)
    # With Adam's own epsilon a gradient that is 0 but for rounding makes a step of full size.
    optimizers = [torch.optim.Adam(model.parameters(), lr=0.01, eps=1e-4) for model in (mine, other)]
    for _ in range(3):
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss, theirs = dense.loss_of(mine.train(), interaction), other.train().calculate_loss(interaction)
        torch.testing.assert_close(loss, theirs.reshape(()), rtol=1e-5, atol=0)
        loss.backward()
        theirs.backward()
        gradients = renamed({name: value.grad for name, value in mine.named_parameters()})
        for name, value in other.named_parameters():
            torch.testing.assert_close(gradients[name], value.grad, rtol=1e-5, atol=1e-7, msg=saying(name))
        for optimizer in optimizers:
            optimizer.step()
    stepped = renamed({name: value.detach() for name, value in mine.named_parameters()})
    for name, value in other.named_parameters():
        torch.testing.assert_close(stepped[name], value.detach(), rtol=1e-5, atol=1e-6, msg=saying(name))
    assert_equal_scores(mine, other, interaction)


def test_equals_recbole_in_evaluation_with_dropout_set(tmp_path: Path) -> None:
    assert_equal_scores(*twins(tmp_path, dropout=0.3))


def assert_equal_scores(mine: Any, other: Any, interaction: Any) -> None:
    mine.forget()
    with torch.no_grad():
        scores, theirs = (model.eval().full_sort_predict(interaction) for model in (mine, other))
    torch.testing.assert_close(scores, theirs.reshape(-1), rtol=1e-5, atol=1e-6)
