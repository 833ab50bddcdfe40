"""How ACF walks through histories: groups, chunks, the cut, and what it never builds."""

from __future__ import annotations

from typing import Any

import dense
import pytest
import torch
import toy
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from models import acf
from models._segments import Groups, collect, group_softmax, spread

pytestmark = pytest.mark.usefixtures("float64")


def test_groups() -> None:
    """Entries in any order, an empty group in the middle: sums, copies, softmax, and their gradients."""
    groups = Groups.by(torch.tensor([2, 0, 2, 3, 0, 2]), 4)
    entries = torch.arange(12.0).reshape(6, 2).requires_grad_()
    sums = collect(entries, groups)
    assert sums.tolist() == [[10, 12], [0, 0], [14, 17], [6, 7]]
    weights = group_softmax(torch.tensor([[1000.0], [0], [1000], [5], [0], [-1000]]), groups)
    assert weights.squeeze(1).tolist() == [0.5, 0.5, 0.5, 1, 0.5, 0]
    assert torch.autograd.gradcheck(lambda rows: collect(rows, groups), entries)
    table = torch.randn(4, 2, requires_grad=True)
    assert torch.equal(spread(table, groups), table[groups.index])
    assert torch.autograd.gradcheck(lambda rows: spread(rows, groups), table)
    logits = torch.randn(6, 1, requires_grad=True)
    assert torch.autograd.gradcheck(lambda values: group_softmax(values, groups), logits)


@pytest.mark.parametrize("variant", ["paper", "code"])
def test_chunks_change_nothing(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = dense.build("acf", dense.small_data(), acf_variant=variant)
    whole, longest, sizes = model.embed()[0], 4, []
    histories = model._histories

    def counted(users: Tensor) -> Any:
        found = histories(users)
        sizes.append(len(found.items))
        return found

    monkeypatch.setattr(model, "_histories", counted)
    for chunk in (1, 3, 5):
        sizes.clear()
        monkeypatch.setattr(acf, "CHUNK_PAIRS", chunk)
        torch.testing.assert_close(model.embed()[0], whole, rtol=1e-12, atol=1e-12)
        assert sum(sizes) == len(dense.EDGES)
        assert max(sizes) < chunk + longest


def test_longest_history_is_cut_and_the_choice_is_fixed() -> None:
    data = toy.random_data(n_users=300, n_items=200, per_user=20)
    before = torch.random.get_rng_state()
    model = toy.build("acf", data, acf_max_history=7)
    full = toy.build("acf", data)
    assert torch.equal(model.user_embedding.weight, full.user_embedding.weight), "took global random numbers"
    torch.random.set_rng_state(before)
    ids = torch.repeat_interleave(model.history_offsets.diff())
    pairs = set(zip(ids.tolist(), model.history_items.tolist(), strict=True))
    assert pairs < set(zip(full.train_users.tolist(), full.train_items.tolist(), strict=True))
    assert model.history_offsets.diff()[1:].tolist() == [7] * data.n_users
    assert torch.equal(toy.build("acf", data, seed=2, acf_max_history=7).history_items, model.history_items)
    means = [float(one.history_items.double().mean()) for one in (model, full)]
    assert means[0] == pytest.approx(means[1], rel=0.05), "not spread over the item ids"
    everything = toy.build("acf", data, acf_max_history=18)
    assert torch.equal(everything.history_items, full.history_items)


class Shapes(TorchDispatchMode):
    """Notes the shape of every tensor that an operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for one in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(one, Tensor):
                self.seen.add(tuple(one.shape))
        return result


@pytest.mark.parametrize("switches", [{}, {"acf_variant": "code"}, {"acf_exclude_pos": True}], ids=str)
def test_no_pair_meets_the_features(switches: dict[str, Any]) -> None:
    """With 2,400 pairs or so over 60 items, no tensor has both many rows and a feature's columns."""
    data = toy.random_data(n_users=80, n_items=60, dims=(23, 29, 31), per_user=32)
    model = toy.build("acf", data, embedding_size=4, acf_hidden=5, **switches).train()
    with Shapes() as shapes:
        dense.loss_of(model, toy.triples(data, n=100)).backward()
    many = [shape for shape in shapes.seen if len(shape) > 1 and shape[0] > 200]
    assert many, "no pair was seen"
    assert max(shape[1] for shape in many) <= 5


@pytest.mark.parametrize("switches", [{}, {"acf_variant": "code"}, {"acf_exclude_pos": True}], ids=str)
def test_same_bits_with_two_threads(switches: dict[str, Any]) -> None:
    first, second = (dense.under_threads("acf", **switches) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
