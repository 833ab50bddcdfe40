"""GRCN: known values, an independent reference with loops over neighbours, identities and regressions."""

from __future__ import annotations

from typing import Any

import dense
import pytest
import torch
import torch.nn.functional as F
import toy
from torch import Tensor

from bench import registry
from bench.types import BenchmarkData
from models._edges import edge_softmax, sddmm
from models._rows import unit_rows

pytestmark = pytest.mark.usefixtures("float64")

Weights = dict[tuple[int, int], Tensor]
OPEN = {"grcn_conf_init": "one"}


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


def golden(n_routings: int, **overrides: Any) -> Any:
    """One modality, identity projection."""
    train = toy.pairs(toy.GOLDEN_EDGES, 2, 3)
    data = toy.data_of(train, train, train, toy.modality("visual", [[1, 0], [1, 1], [0, 1]]))
    settings = {"embedding_size": 2, "feat_norm": "none", "n_routings": n_routings, **overrides}
    model = toy.build("grcn", data, **settings)
    with torch.no_grad():
        model.contents[0].preference[1:] = torch.tensor([[1, 0.5], [0.2, 1]])
        model.contents[0].weight.copy_(torch.eye(2))
    return model


def close(actual: Tensor, expected: Any) -> None:
    torch.testing.assert_close(actual, torch.tensor(expected), rtol=0, atol=1e-6)


def test_golden_values() -> None:
    model = golden(1)
    edges, part = model.graph.edges, model.contents[0]
    first = edge_softmax(edges, sddmm(edges, unit_rows(part.preference), part.items()))
    close(first, [0.486439, 0.513561, 0.462936, 0.537064])
    close(part.routed(edges, part.items(), None)[1:], [[0.906882, 0.421384], [0.272947, 0.962029]])
    users, items, to_users, to_items = part(edges, None)
    close(to_items, [1, 0.516486, 0.483514, 1])
    close(to_users, [0.491915, 0.508085, 0.477822, 0.522178])
    close(users[1:], [[1.758068, 0.780655], [0.610818, 1.822078]])
    close(items[1:], [[1.906882, 0.421384], [1.307472, 1.389900], [0.272947, 1.962029]])


def test_without_routing_and_preferences_affinities_are_uniform() -> None:
    model = golden(0)
    with torch.no_grad():
        model.contents[0].preference.zero_()
    _, _, to_users, to_items = model.contents[0](model.graph.edges, None)
    close(to_users, [0.5, 0.5, 0.5, 0.5])
    close(to_items, [1.0, 0.5, 0.5, 1.0])


def test_one_routing_from_nothing_gives_the_direction_of_the_mean() -> None:
    model = golden(1)
    with torch.no_grad():
        model.contents[0].preference.zero_()
    items = model.contents[0].items()
    routed = model.contents[0].routed(model.graph.edges, items, None)
    means = torch.stack([(items[1] + items[2]) / 2, (items[2] + items[3]) / 2])
    torch.testing.assert_close(routed[1:], F.normalize(means))


def test_number_of_routings_counts_in_the_paper_and_not_in_the_released_code() -> None:
    data = dense.small_data()
    scores = {
        (routing, n): toy.scores(dense.build("grcn", data, grcn_routing=routing, n_routings=n, **OPEN))
        for routing in ("paper", "reference")
        for n in (0, 1, 3)
    }
    assert not torch.allclose(scores["paper", 1], scores["paper", 3])
    assert not torch.allclose(scores["paper", 0], scores["paper", 1])
    for n in (0, 1, 3):
        assert torch.equal(scores["reference", n], scores["paper", 0])


def test_variant_reference_is_the_released_code() -> None:
    values = registry.load("grcn").file.variants["reference"]
    params = registry.load("grcn").params("tiktok", "reference")
    assert (params.grcn_routing, params.pruning, params.grcn_weight) == ("reference", "soft", "confid")
    assert torch.isfinite(toy.scores(dense.build("grcn", dense.small_data(), **values))).all()


@pytest.mark.parametrize("name", dense.NAMES)
def test_a_single_modality_runs_and_sends_gradients(name: str) -> None:
    model = dense.build("grcn", dense.small_data(), modalities=[name])
    assert torch.isfinite(toy.scores(model)).all()
    assert all(gradient.any() for gradient in dense.gradients(dense.loss_of(model), model).values())


def test_every_parameter_gets_a_gradient() -> None:
    model = dense.build("grcn", dense.small_data())
    gradients = dense.gradients(dense.loss_of(model), model)
    assert "confidence" in gradients
    assert all(gradient.any() for gradient in gradients.values())


def test_an_item_without_any_modality_passes_no_message() -> None:
    model = dense.build("grcn", dense.small_data(), grcn_fusion="id")
    before = toy.scores(model)[1]  # user 1 has item 2, which lacks all; users 1 and 3 have it
    with torch.no_grad():
        model.item_embedding.weight[3] += torch.tensor([5.0, -3.0, 1.0])
    model.forget()
    after = toy.scores(model)[1]
    others = [0, 1, 3, 4, 5, 6]
    torch.testing.assert_close(before[others], after[others])
    assert not torch.allclose(before[2], after[2])


def test_confidences_start_as_asked() -> None:
    data = toy.random_data()
    ones = toy.build("grcn", data, grcn_conf_init="one").confidence
    assert torch.equal(ones, torch.ones_like(ones))
    drawn = toy.build("grcn", data).confidence
    assert (drawn < 0).any()
    assert (drawn > 0).any()
    assert toy.build("grcn", data, grcn_weight="mean").confidence is None


def test_order_of_modalities_does_not_matter() -> None:
    data = dense.small_data()
    one = dense.build("grcn", data)
    other = dense.build("grcn", data, modalities=["textual", "acoustic", "visual"])
    renamed = {"contents.0": "contents.2", "contents.2": "contents.0"}
    state = {renamed.get(key[:10], key[:10]) + key[10:]: value for key, value in one.state_dict().items()}
    other.load_state_dict({**state, "confidence": one.confidence.detach().flip(1)})
    torch.testing.assert_close(toy.scores(one), toy.scores(other), rtol=1e-12, atol=1e-12)


def test_scale_of_features_does_not_matter() -> None:
    data = dense.small_data()
    parts = (data.split.train, data.split.valid, data.split.test)
    scaled = toy.data_of(*parts, *(toy.modality(m.name, m.matrix * 8, m.present) for m in data.modalities))
    one, other = dense.build("grcn", data), dense.build("grcn", scaled)
    torch.testing.assert_close(toy.scores(one), toy.scores(other), rtol=1e-9, atol=1e-12)
    raw, large = (dense.build("grcn", each, feat_norm="none") for each in (data, scaled))
    assert not torch.allclose(toy.scores(raw), toy.scores(large))


@pytest.mark.parametrize("n_modalities", [1, 2, 3])
def test_parameter_count(n_modalities: int) -> None:
    data = toy.random_data(dims=(30, 20, 10)[:n_modalities])
    model = toy.build("grcn", data)
    n_users, n_nodes = data.n_users + 1, data.n_users + data.n_items + 2
    content = sum(64 * n_users + 64 * (dim + 1) for dim in (30, 20, 10)[:n_modalities])
    expected = 64 * n_nodes + n_modalities * n_nodes + content
    assert sum(value.numel() for value in model.parameters()) == expected
    width = 64 * (1 + n_modalities)
    assert model.embed()[0].shape == (n_users, width)


def test_elem_mean_is_the_mean_of_each_table() -> None:
    model = dense.build("grcn", dense.small_data(2), reg_form="elem_mean", reg_weight=1.0)
    p = dense.parameters(model)
    users, positives, negatives = dense.BATCH["user_id"], dense.BATCH["item_id"], dense.BATCH["neg_item_id"]
    twice, items = users.repeat(2), torch.cat([positives, negatives])
    ids = (p["user_embedding.weight"][twice].square() + p["item_embedding.weight"][items].square()).mean()
    expected = ids + sum(p[f"contents.{m}.preference"][users].square().mean() for m in range(2))
    torch.testing.assert_close(model.calculate_loss(dense.BATCH)[1], expected)


def test_a_zero_projection_does_not_explode() -> None:
    """With zero rows for missing features and zero biases, an unsafe normalisation sends gradients of 1e12."""
    model = toy.build("grcn", dense.small_data(), embedding_size=3, missing="zero")
    gradients = dense.gradients(dense.loss_of(model), model)
    assert all(gradient.abs().max() < 100 for gradient in gradients.values())


def test_bit_equal_under_threads() -> None:
    for one, other in zip(dense.under_threads("grcn"), dense.under_threads("grcn"), strict=True):
        assert torch.equal(one, other)
