"""ACF against a version written user by user, item by item and modality by modality, and its identities."""

from __future__ import annotations

import itertools
from typing import Any

import dense
import pytest
import torch
import toy
from torch import Tensor

pytestmark = pytest.mark.usefixtures("float64")

VARIANTS = ["paper", "code"]
HIDDEN = {"acf_hidden": 5}


def softmax(logits: list[Tensor]) -> list[Tensor]:
    highest = max(float(logit.detach()) for logit in logits)
    powers = [torch.exp(logit - highest) for logit in logits]
    return [power / sum(powers) for power in powers]


def user_vector(model: Any, data: Any, u: int, without: int | None = None) -> Tensor:
    """uhat of one user (id without padding), perhaps with one item left out."""
    p, s = model.params, dense.parameters(model)
    row = s["user_embedding.weight"][u + 1]
    history = [i for i in range(data.n_items) if dense.adjacency(data)[u, i] and i != without]
    logits, values = [], []
    for item in history:
        components = []
        for m in range(len(data.modalities)):
            rows, has = dense.features(data, m, p.feat_norm)
            if has[item] or p.missing == "zero":
                components.append(s[f"projections.{m}"] @ rows[item])
        inner = [
            s["component_attention.vector"]
            @ (
                s["component_attention.weights.u"] @ row
                + s["component_attention.weights.x"] @ x
                + s["component_attention.bias"]
            ).clamp(min=0)
            for x in components
        ]
        xbar = torch.zeros(len(row))
        for weight, x in zip(softmax(inner) if inner else [], components, strict=True):
            xbar = xbar + weight * x
        hidden = s["item_attention.weights.u"] @ row + s["item_attention.weights.x"] @ xbar
        if p.acf_variant == "paper":
            hidden = hidden + s["item_attention.weights.v"] @ s["item_embedding.weight"][item + 1]
            hidden = hidden + s["item_attention.weights.p"] @ s["history_embedding.weight"][item + 1]
        hidden = (hidden + s["item_attention.bias"]).clamp(min=0)
        logits.append(s["item_attention.vector"] @ hidden)
        values.append(s["history_embedding.weight"][item + 1] if p.acf_variant == "paper" else xbar)
    result = row
    for weight, value in zip(softmax(logits) if logits else [], values, strict=True):
        result = result + weight * value
    return result


def loss(model: Any, data: Any) -> Tensor:
    """Both terms of the batch's loss, triple by triple."""
    p, s, triples = model.params, dense.parameters(model), dense.triples()
    items = s["item_embedding.weight"][1:]
    terms, rows = [], []
    for u, i, j in triples:
        user = user_vector(model, data, u, i if p.acf_exclude_pos else None)
        terms.append(-torch.log(torch.sigmoid(user @ items[i] - user @ items[j])))
        rows += [s["user_embedding.weight"][u + 1], items[i], items[j]]
        if p.acf_variant == "paper":
            rows += [s["history_embedding.weight"][i + 1], s["history_embedding.weight"][j + 1]]
    reg = sum((row**2).sum() for row in rows) / (2 * len(triples))
    if p.acf_reg_att:
        reg = reg + sum((value**2).sum() / 2 for name, value in s.items() if "embedding" not in name)
    if p.reg_form == "all_params":
        reg = sum((value**2).sum() for value in s.values())
    return torch.stack(terms).mean() + 0.3 * reg


@pytest.mark.parametrize("n_modalities", [1, 2, 3])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"missing": "zero", "feat_norm": "none", "acf_reg_att": True},
        {"acf_exclude_pos": True},
        {"reg_form": "all_params"},
    ],
    ids=str,
)
def test_equals_the_reference(switches: dict[str, Any], variant: str, n_modalities: int) -> None:
    data = dense.small_data(n_modalities)
    model = dense.build("acf", data, acf_variant=variant, **HIDDEN, **switches).train()
    users = torch.stack([user_vector(model, data, u) for u in range(data.n_users)])
    dense.agree(model, (users, dense.parameters(model)["item_embedding.weight"][1:]), loss(model, data))


@pytest.mark.parametrize("factor", [0.0, 1.0, 40.0])
@pytest.mark.parametrize("variant", VARIANTS)
def test_leaving_out_the_positive_is_exact_however_much_weight_it_holds(variant: str, factor: float) -> None:
    """With factor 40 the attention is nearly one-hot, so that often the item left out holds all of it."""
    data = dense.small_data()
    model = dense.build("acf", data, acf_variant=variant, acf_exclude_pos=True, **HIDDEN).train()
    with torch.no_grad():
        model.item_attention.vector.mul_(factor)
    users = torch.stack([user_vector(model, data, u) for u in range(data.n_users)])
    dense.agree(model, (users, dense.parameters(model)["item_embedding.weight"][1:]), loss(model, data))


@pytest.mark.parametrize("switches", [{}, {"acf_variant": "code", "acf_reg_att": True}, {"acf_exclude_pos": True}])
def test_gradcheck(switches: dict[str, Any]) -> None:
    dense.gradcheck(dense.build("acf", dense.small_data(), **HIDDEN, **switches).train())


def test_leaving_out_the_positive_equals_never_having_seen_it() -> None:
    data = dense.small_data()
    model = dense.build("acf", data, acf_exclude_pos=True).train()
    pair = torch.tensor([3]), torch.tensor([5])  # user 2 and item 4: one of the two items of the history
    edges = [edge for edge in dense.EDGES if edge != (2, 4)]
    less = toy.data_of(toy.pairs(edges, 5, 7), data.split.valid, data.split.test, *data.modalities)
    other = dense.build("acf", less)
    batch = model.embed_batch(*pair, torch.tensor([1]))
    torch.testing.assert_close(batch[0][0], other.embed()[0][3], rtol=1e-12, atol=1e-12)
    in_evaluation = model.eval().embed_batch(*pair, torch.tensor([1]))
    torch.testing.assert_close(in_evaluation[0][0], model.embed()[0][3], rtol=1e-12, atol=1e-12)


def test_leaving_out_an_item_that_is_not_in_the_history_changes_nothing() -> None:
    model = dense.build("acf", dense.small_data(), acf_exclude_pos=True).train()
    users = torch.tensor([1, 3, 5, 3])  # user 5 has no history at all
    items = torch.tensor([3, 7, 1, 2])
    torch.testing.assert_close(model.embed_batch(users, items, items)[0], model.embed()[0][users])


def test_leaving_out_the_only_item_leaves_the_user_embedding() -> None:
    train, held = toy.pairs([(0, 1), (1, 1), (1, 2)], 2, 3), toy.pairs([(0, 0)], 2, 3)
    data = toy.data_of(train, held, held, toy.modality("visual", torch.eye(3)))
    model = dense.build("acf", data, acf_exclude_pos=True).train()
    ids = torch.tensor([1]), torch.tensor([2]), torch.tensor([1])
    assert torch.equal(model.embed_batch(*ids)[0][0], model.user_embedding.weight[1])


def test_golden_scores_with_uniform_attention() -> None:
    model = toy.build_model("acf", toy.golden(), embedding_size=2, feat_norm="none")
    toy.set_rows(model.user_embedding, toy.GOLDEN_USERS)
    toy.set_rows(model.item_embedding, toy.GOLDEN_ITEMS)
    toy.set_rows(model.history_embedding, [[0, 2], [2, 0], [1, 1]])
    with torch.no_grad():
        model.item_attention.vector.zero_()
        model.component_attention.vector.zero_()
    expected = torch.tensor([[2, 1], [1.5, 1.5]])
    torch.testing.assert_close(model.embed()[0][1:], expected, rtol=0, atol=1e-6)
    scores = torch.tensor([[3.0, 4, 2], [3, 3, 3]])
    torch.testing.assert_close(toy.scores(model), scores, rtol=0, atol=1e-6)


def test_without_item_attention_the_history_is_averaged() -> None:
    data = dense.small_data()
    model = dense.build("acf", data)
    with torch.no_grad():
        model.item_attention.vector.zero_()
    share = dense.adjacency(data) / dense.adjacency(data).sum(1, keepdim=True).clamp(min=1)
    expected = model.user_embedding.weight[1:] + share @ model.history_embedding.weight[1:]
    torch.testing.assert_close(model.embed()[0][1:], expected, rtol=1e-12, atol=1e-12)


def test_user_without_history_is_the_embedding() -> None:
    model = dense.build("acf", dense.small_data())
    assert torch.equal(model.embed()[0][5], model.user_embedding.weight[5])
    assert torch.equal(model.embed()[0][0], model.user_embedding.weight[0])


@pytest.mark.parametrize("variant", VARIANTS)
def test_one_modality_gives_the_component_attention_no_gradient(variant: str) -> None:
    data = dense.small_data(1)
    model = dense.build("acf", data, acf_variant=variant)
    found = dense.gradients(dense.loss_of(model), model)
    for name, gradient in found.items():
        reaches = "component" not in name
        assert bool(gradient.count_nonzero()) == reaches, name


def test_the_two_variants_differ_in_the_pooled_vector_and_in_the_attention() -> None:
    data = dense.small_data()
    paper, code = (dense.build("acf", data, acf_variant=variant) for variant in VARIANTS)
    code.load_state_dict({key: paper.state_dict()[key] for key in code.state_dict()})
    assert (toy.scores(paper) - toy.scores(code)).abs().max() > 1e-2
    assert set(paper.item_attention.weights) - set(code.item_attention.weights) == {"v", "p"}
    fresh = toy.build_model("acf", data, acf_variant="code")
    assert not fresh.user_embedding.weight.any()
    assert not fresh.item_embedding.weight.any()


@pytest.mark.parametrize("order", list(itertools.permutations(range(3)))[1:])
def test_order_of_modalities_does_not_matter(order: tuple[int, ...]) -> None:
    data = dense.small_data()
    model = dense.build("acf", data)
    other = dense.build("acf", data, modalities=[data.modalities[m].name for m in order])
    state = model.state_dict()
    other.load_state_dict(state | {f"projections.{n}": state[f"projections.{m}"] for n, m in enumerate(order)})
    torch.testing.assert_close(toy.scores(other), toy.scores(model), rtol=1e-12, atol=1e-12)


def test_parameter_counts() -> None:
    n_users, n_items, features = 6, 8, 4 + 3 + 2

    def count(variant: str) -> int:
        model = toy.build_model("acf", dense.small_data(), acf_variant=variant)
        return sum(parameter.numel() for parameter in model.parameters())

    expected = 64 * n_users + 128 * n_items + 64 * features + 6 * 64 * 64 + 4 * 64
    assert count("paper") == expected
    assert count("code") == expected - 64 * n_items - 2 * 64 * 64
