"""LATTICE: what the graph does in training and evaluation, memory, determinism."""

from __future__ import annotations

from typing import Any

import dense
import numpy as np
import pytest
import torch
import toy
from torch import Tensor

from bench.engine.recbole import batch
from models.layers import item_graphs

pytestmark = pytest.mark.usefixtures("float64")

K2 = {"knn_k": 2}


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
    original = item_graphs.nearest

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return original(*args, **kwargs)

    monkeypatch.setattr(item_graphs, "nearest", counted)
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


@pytest.mark.parametrize("schedule", ["first_batch", "every_step"])
def test_no_tensor_has_the_square_of_the_items(schedule: str) -> None:
    torch.set_default_dtype(torch.float32)
    n_items = 2500
    rng = np.random.default_rng(0)
    train = toy.pairs([(0, item) for item in range(0, n_items, 7)], 1, n_items)
    data = toy.data_of(train, train, train, toy.modality("visual", rng.normal(size=(n_items, 4))))
    with dense.Largest() as spy:
        model = toy.build_model("lattice", data, embedding_size=4, lattice_graph_grad=schedule).train()
        for _ in range(2):
            dense.loss_of(model, batch(*torch.tensor([[1, 1], [1, 8], [3, 4]]))).backward()
        toy.scores(model.eval())
    assert 10 * n_items <= spy.entries < n_items**2 / 2


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
