"""LATTICE: known values, an independent dense n x n reference, the training schedule, identities, memory."""

from __future__ import annotations

from typing import Any

import dense
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import toy
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from bench.types import BenchmarkData
from models import _latent_graph

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


def golden(**overrides: Any) -> Any:
    """Y = X, so that the projections are identities of the features' widths."""
    model = toy.build("lattice", toy.golden(), embedding_size=2, feat_norm="none", **{**K2, **overrides})
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
            toy.build("lattice", d, embedding_size=3, feat_trainable=not frozen, **K2) for d in (data, scaled)
        )
        torch.testing.assert_close(toy.scores(one), toy.scores(other), rtol=1e-9, atol=1e-12)


def stepper(model: Any, lr: float = 0.05) -> Any:
    """A function that trains one batch, half an epoch, and returns the gradients by name."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    batch = {key: ids.repeat(2)[:6] for key, ids in dense.BATCH.items()}

    def step() -> dict[str, Tensor | None]:
        optimizer.zero_grad()
        dense.loss_of(model.train(), batch).backward()
        optimizer.step()
        return {name: value.grad for name, value in model.named_parameters()}

    return step


def behind_the_graph(gradients: dict[str, Tensor | None]) -> list[bool]:
    """Whether features, projections and modality weights got a gradient, one by one."""
    return [value is not None for name, value in gradients.items() if name.startswith("modalit")]


def test_only_the_first_batch_of_an_epoch_trains_the_graph() -> None:
    step = stepper(dense.build("lattice", dense.small_data(), **K2))
    assert len(dense.EDGES) == 12
    for expected in (True, False, True, False):
        gradients = step()
        assert set(behind_the_graph(gradients)) == {expected}
        assert gradients["item_embedding.weight"] is not None


def test_every_step_trains_the_graph_on_the_epochs_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    model = dense.build("lattice", dense.small_data(), lattice_graph_grad="every_step", **K2)
    calls = count_searches(monkeypatch)
    step = stepper(model)
    for searches in (3, 3, 6):
        before = model._held
        assert all(behind_the_graph(step()))
        assert len(calls) == searches
        assert (before is model._held) == (searches == 3 and before is not None)
    values = model._graph(model._held[1].pairs).values
    assert not any(torch.equal(new, old) for new, old in zip(values, model._held[1].values, strict=True))


def count_searches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Calls of the neighbour search from now on."""
    calls: list[int] = []
    original = _latent_graph.nearest

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return original(*args, **kwargs)

    monkeypatch.setattr(_latent_graph, "nearest", counted)
    return calls


def test_one_search_an_epoch_serves_evaluation_and_the_next_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    model = dense.build("lattice", dense.small_data(1), **K2)
    calls = count_searches(monkeypatch)
    step = stepper(model)
    step()
    step()
    assert len(calls) == 1
    toy.scores(model.eval())
    toy.scores(model)
    assert len(calls) == 2  # the parameters moved in the first batch
    step()
    assert len(calls) == 2  # and have not since


def test_evaluation_in_the_middle_of_an_epoch_leaves_training_alone() -> None:
    results = []
    for look in (False, True):
        model = dense.build("lattice", dense.small_data(), **K2)
        step = stepper(model, lr=0.5)
        step()
        if look:
            toy.scores(model.eval())
        step()
        results.append(model.item_embedding.weight.detach().clone())
    assert torch.equal(*results)


def test_evaluation_uses_the_graph_of_the_current_parameters() -> None:
    data = dense.small_data()
    model = dense.build("lattice", data, **K2)
    step = stepper(model, lr=0.2)
    step()
    step()
    users, items = model.eval().final_tables()
    for ours, theirs in zip((users, items), reference(model, data), strict=True):
        torch.testing.assert_close(ours[1:], theirs.detach(), rtol=1e-10, atol=1e-10)


def test_graph_work_draws_no_random_number() -> None:
    model = dense.build("lattice", dense.small_data(), **K2).train()
    state = torch.get_rng_state()
    dense.loss_of(model)
    toy.scores(model.eval())
    assert torch.equal(state, torch.get_rng_state())


def test_dropout_acts_in_training_only_and_in_ngcf_only() -> None:
    for part, changes in (("ngcf", True), ("lightgcn", False)):
        model = dense.build("lattice", dense.small_data(), lattice_cf=part, message_dropout=0.5, **K2)
        torch.manual_seed(0)
        trained = model.train()._collaborative()[0]
        assert torch.equal(trained, model.eval()._collaborative()[0]) != changes


class Largest(TorchDispatchMode):
    """The number of entries of the largest tensor that an operation returns."""

    entries = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, Tensor) and tensor.layout == torch.strided:
                self.entries = max(self.entries, tensor.numel())
        return result


@pytest.mark.parametrize("schedule", ["first_batch", "every_step"])
def test_no_tensor_has_the_square_of_the_items(schedule: str) -> None:
    torch.set_default_dtype(torch.float32)
    n_items = 2500
    rng = np.random.default_rng(0)
    train = toy.pairs([(0, item) for item in range(0, n_items, 7)], 1, n_items)
    data = toy.data_of(train, train, train, toy.modality("visual", rng.normal(size=(n_items, 4))))
    with Largest() as spy:
        model = toy.build("lattice", data, embedding_size=4, lattice_graph_grad=schedule).train()
        for _ in range(2):
            dense.loss_of(model, toy.batch(*torch.tensor([[1, 1], [1, 8], [3, 4]]))).backward()
        toy.scores(model.eval())
    assert 10 * n_items <= spy.entries < n_items**2 / 2


@pytest.mark.parametrize("trainable", [True, False])
@pytest.mark.parametrize("n_modalities", [1, 2, 3])
def test_parameter_count(n_modalities: int, trainable: bool) -> None:
    dims = (30, 20, 10)[:n_modalities]
    data = toy.random_data(dims=dims)
    model = toy.build("lattice", data, feat_trainable=trainable)
    n_nodes, n_items = data.n_users + data.n_items + 2, data.n_items + 1
    expected = 64 * n_nodes + 64 * sum(dims) + 64 * n_modalities + n_modalities
    assert sum(value.numel() for value in model.parameters()) == expected + trainable * n_items * sum(dims)


def test_moves_between_floating_types_in_the_middle_of_an_epoch() -> None:
    model = dense.build("lattice", dense.small_data(), **K2)
    step = stepper(model)
    step()
    model.to(torch.float32)
    assert torch.isfinite(dense.loss_of(model))
    assert model.embed()[1].dtype == torch.float32


def test_bit_equal_under_threads() -> None:
    for one, other in zip(dense.under_threads("lattice"), dense.under_threads("lattice"), strict=True):
        assert torch.equal(one, other)
