"""How ACF walks through histories: pairs, chunks, the cut, and what it never builds."""

from __future__ import annotations

from typing import Any

import dense
import pytest
import torch
import toy
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from models import acf
from models.layers.attention import attend, attend_without, ordered_pairs, pair_logits
from models.layers.edges import Edges

pytestmark = pytest.mark.usefixtures("float64")


SIZES, COLUMNS = torch.tensor([2, 0, 3, 1]), torch.tensor([1, 4, 0, 1, 3, 3])  # row 1 and column 2 have no pair
ROWS = torch.repeat_interleave(SIZES)
PAIRS = ordered_pairs(SIZES, COLUMNS, 5)


def test_ordered_pairs_are_those_of_any_order() -> None:
    for found, expected in zip(PAIRS, Edges.from_pairs(ROWS, COLUMNS, (4, 5)), strict=True):
        assert torch.equal(found, expected)
        assert found.dtype == expected.dtype


@pytest.mark.parametrize("n_weighted", [None, 1, 3])
def test_logits_of_pairs_equal_a_loop(n_weighted: int | None) -> None:
    torch.manual_seed(n_weighted or 0)
    left, right, vector = torch.randn(4, 6), torch.randn(3, 5, 6), torch.randn(6)
    weights = None if n_weighted is None else torch.rand(n_weighted, 6)
    inputs = [tensor.requires_grad_() for tensor in (left, right, vector, weights) if tensor is not None]
    found = pair_logits(PAIRS, *inputs)
    for pair, (row, column) in enumerate(zip(ROWS.tolist(), COLUMNS.tolist(), strict=True)):
        hidden = left[row]
        for table in range(3):
            number = table - 3 + (n_weighted or 0)
            factor = 1.0 if weights is None or number < 0 else weights[number, pair]
            hidden = hidden + factor * right[table, column]
        torch.testing.assert_close(found[pair], vector @ hidden.clamp(min=0), rtol=1e-14, atol=1e-14)
    assert torch.autograd.gradcheck(lambda *tensors: pair_logits(PAIRS, *tensors), inputs)


def test_attended_rows_equal_a_loop() -> None:
    """The mean over a row's pairs, and over all but one, for logits so far apart that one may hold all weight."""
    torch.manual_seed(5)
    logits = torch.tensor([2.0, 1.0, 800.0, 3.0, 0.5, -7.0])
    tables, factors = torch.randn(2, 5, 3), torch.rand(2, 6)
    parts = [(None, tables[0]), (factors[1], tables[1])]
    brought = tables[0][COLUMNS] + factors[1].unsqueeze(1) * tables[1][COLUMNS]

    def mean(row: int, without: int) -> Tensor:
        kept = ROWS.eq(row) & COLUMNS.ne(without)
        return torch.softmax(logits[kept], 0) @ brought[kept]

    found = attend(PAIRS, logits, parts)
    torch.testing.assert_close(found, torch.stack([mean(row, -1) for row in range(4)]))
    chosen = [(2, 0), (2, 3), (2, 4), (0, 1), (0, 4), (3, 3), (1, 2), (2, 0), (0, 0)]
    rows, columns = torch.tensor(chosen).T
    found = attend_without(PAIRS, logits, parts, rows, columns)
    torch.testing.assert_close(found, torch.stack([mean(*one) for one in chosen]))


def test_users_without_history_are_their_embeddings() -> None:
    for switches in ({}, {"acf_variant": "code"}):
        model = dense.build("acf", dense.small_data(), acf_exclude_pos=True, **switches).train()
        users, items = torch.tensor([5, 5]), torch.tensor([1, 2])
        assert torch.equal(model.embed_batch(users, items, items)[0], model.user_embedding.weight[users])


@pytest.mark.parametrize("variant", ["paper", "code"])
def test_chunks_change_nothing(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = dense.build("acf", dense.small_data(), acf_variant=variant)
    whole, longest, sizes = model.embed()[0], 4, []
    histories = model.histories.pairs

    def counted(users: Tensor) -> Any:
        found = histories(users)
        sizes.append(len(found.columns))
        return found

    monkeypatch.setattr(model.histories, "pairs", counted)
    for chunk in (1, 3, 5):
        sizes.clear()
        monkeypatch.setattr(acf, "CHUNK_PAIRS", chunk)
        torch.testing.assert_close(model.embed()[0], whole, rtol=1e-12, atol=1e-12)
        assert sum(sizes) == len(dense.EDGES)
        assert max(sizes) < chunk + longest


def test_longest_history_is_cut_and_the_choice_is_fixed() -> None:
    data = toy.random_data(n_users=300, n_items=200, per_user=20)
    before = torch.random.get_rng_state()
    model = toy.build_model("acf", data, acf_max_history=7)
    full = toy.build_model("acf", data)
    assert torch.equal(model.user_embedding.weight, full.user_embedding.weight), "took global random numbers"
    torch.random.set_rng_state(before)
    ids = torch.repeat_interleave(model.histories.offsets.diff())
    pairs = set(zip(ids.tolist(), model.histories.items.tolist(), strict=True))
    assert pairs < set(zip(full.train_users.tolist(), full.train_items.tolist(), strict=True))
    assert model.histories.offsets.diff()[1:].tolist() == [7] * data.n_users
    assert torch.equal(
        toy.build_model("acf", data, seed=2, acf_max_history=7).histories.items, model.histories.items
    )
    means = [float(one.histories.items.double().mean()) for one in (model, full)]
    assert means[0] == pytest.approx(means[1], rel=0.05), "not spread over the item ids"
    everything = toy.build_model("acf", data, acf_max_history=18)
    assert torch.equal(everything.histories.items, full.histories.items)


class Shapes(TorchDispatchMode):
    """Notes the shape of every tensor that an operation returns; a sparse one holds no such table."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for one in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(one, Tensor) and one.layout == torch.strided:
                self.seen.add(tuple(one.shape))
        return result


@pytest.mark.parametrize("switches", [{}, {"acf_variant": "code"}, {"acf_exclude_pos": True}], ids=str)
def test_no_pair_meets_the_features(switches: dict[str, Any]) -> None:
    """With 2,400 pairs or so over 60 items, no tensor has both many rows and a feature's columns."""
    data = toy.random_data(n_users=80, n_items=60, dims=(23, 29, 31), per_user=32)
    model = toy.build_model("acf", data, embedding_size=4, acf_hidden=5, **switches).train()
    with Shapes() as shapes:
        dense.loss_of(model, toy.triples(data, n=100)).backward()
    many = [shape for shape in shapes.seen if len(shape) > 1 and shape[0] > 200]
    assert many, "no pair was seen"
    assert max(shape[1] for shape in many) <= 5


@pytest.mark.parametrize("switches", [{}, {"acf_variant": "code"}, {"acf_exclude_pos": True}], ids=str)
def test_same_bits_with_two_threads(switches: dict[str, Any]) -> None:
    first, second = (dense.under_threads("acf", **switches) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("variant", ["paper", "code"])
def test_padded_histories_change_neither_loss_nor_gradient(variant: str) -> None:
    model = dense.build("acf", toy.random_data(absent=True), acf_variant=variant).train()
    batch = toy.triples(toy.random_data(absent=True))
    expected = dense.loss_of(model, batch), dense.gradients(sum(model.calculate_loss(batch)), model)
    model.histories.of_batch = model.histories.padded
    found = dense.loss_of(model, batch), dense.gradients(sum(model.calculate_loss(batch)), model)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-15)
