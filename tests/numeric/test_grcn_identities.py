"""GRCN: known values, identities and regressions."""

from __future__ import annotations

from typing import Any

import dense
import pytest
import torch
import torch.nn.functional as F
import toy
from torch import Tensor

from bench.engine import registry
from models.layers.edges import edge_softmax, sddmm
from models.layers.routing import routed
from models.layers.rows import unit_rows

pytestmark = pytest.mark.usefixtures("float64")

OPEN = {"grcn_conf_init": "one"}


def golden(n_routings: int, **overrides: Any) -> Any:
    """One modality, identity projection."""
    train = toy.pairs(toy.GOLDEN_EDGES, 2, 3)
    data = toy.data_of(train, train, train, toy.modality("visual", [[1, 0], [1, 1], [0, 1]]))
    settings = {"embedding_size": 2, "feat_norm": "none", "n_routings": n_routings, **overrides}
    model = toy.build_model("grcn", data, **settings)
    with torch.no_grad():
        model.contents[0].preference[1:] = torch.tensor([[1, 0.5], [0.2, 1]])
        model.contents[0].weight.copy_(torch.eye(2))
    return model


def close(actual: Tensor, expected: Any) -> None:
    torch.testing.assert_close(actual, torch.tensor(expected), rtol=0, atol=1e-6)


def test_golden_values() -> None:
    model = golden(1)
    edges, part = model.graph.edges, model.contents[0]
    drawn = unit_rows(part.preference)
    first = edge_softmax(edges, sddmm(edges, drawn, part.items()))
    close(first, [0.486439, 0.513561, 0.462936, 0.537064])
    close(routed(edges, drawn, part.items(), None, 1)[1:], [[0.906882, 0.421384], [0.272947, 0.962029]])
    users, items, to_users, to_items = part(edges, None, drawn)
    close(to_items, [1, 0.516486, 0.483514, 1])
    close(to_users, [0.491915, 0.508085, 0.477822, 0.522178])
    close(users[1:], [[1.758068, 0.780655], [0.610818, 1.822078]])
    close(items[1:], [[1.906882, 0.421384], [1.307472, 1.389900], [0.272947, 1.962029]])


def test_without_routing_and_preferences_affinities_are_uniform() -> None:
    model = golden(0)
    nothing = torch.zeros_like(model.contents[0].preference)
    _, _, to_users, to_items = model.contents[0](model.graph.edges, None, nothing)
    close(to_users, [0.5, 0.5, 0.5, 0.5])
    close(to_items, [1.0, 0.5, 0.5, 1.0])


def test_one_routing_from_nothing_gives_the_direction_of_the_mean() -> None:
    model = golden(1)
    items, nothing = model.contents[0].items(), torch.zeros_like(model.contents[0].preference)
    found = routed(model.graph.edges, nothing, items, None, 1)
    means = torch.stack([(items[1] + items[2]) / 2, (items[2] + items[3]) / 2])
    torch.testing.assert_close(found[1:], F.normalize(means))


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
    ones = toy.build_model("grcn", data, grcn_conf_init="one").confidence
    assert torch.equal(ones, torch.ones_like(ones))
    drawn = toy.build_model("grcn", data).confidence
    assert (drawn < 0).any()
    assert (drawn > 0).any()
    assert toy.build_model("grcn", data, grcn_weight="mean").confidence is None


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
    model = toy.build_model("grcn", data)
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
    model = toy.build_model("grcn", dense.small_data(), embedding_size=3, missing="zero")
    gradients = dense.gradients(dense.loss_of(model), model)
    assert all(gradient.abs().max() < 100 for gradient in gradients.values())


def test_bit_equal_under_threads() -> None:
    for one, other in zip(dense.under_threads("grcn"), dense.under_threads("grcn"), strict=True):
        assert torch.equal(one, other)
