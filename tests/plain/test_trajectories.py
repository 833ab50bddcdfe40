"""Twenty training steps give the losses and the parameters that the plain formulations give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import toy

from bench.core.types import BenchmarkData
from bench.engine.recbole import batches
from bench.engine.sampling import TripleSampler
from plain import PLAIN, Tables, batch_loss, lattice

N_EPOCHS, N_STEPS = 2, 10
BATCH_SIZE = 26
SWITCHES: dict[str, dict[str, Any]] = {
    "ngcf": {"hidden_sizes": [16, 16], "message_dropout": 0.0},
    "ludp": {"ui_readout": "mean", "n_item_layers": 2},
}


def trained(data: BenchmarkData, name: str, loss: Callable[[Any, dict[str, Any], bool], torch.Tensor]) -> Any:
    """Losses of all steps, and the model after them; `loss` is told which batches begin an epoch."""
    model = toy.build_model(name, data, embedding_size=16, reg_weight=0.01, **SWITCHES.get(name, {})).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005, fused=True)
    sampler, generator = TripleSampler(data.split.train, torch.device("cpu")), torch.Generator().manual_seed(5)
    losses = []
    for _ in range(N_EPOCHS):
        for step, batch in enumerate(batches(sampler.epoch(generator), BATCH_SIZE)):
            optimizer.zero_grad()
            value = loss(model, batch, step == 0)
            value.backward()
            optimizer.step()
            losses.append(value.detach())
    return torch.stack(losses), model


def own_loss(model: Any, batch: dict[str, Any], first: bool) -> torch.Tensor:
    bpr, regularisation = model.calculate_loss(batch)
    return bpr + regularisation


def plain_loss(name: str) -> Callable[[Any, dict[str, Any], bool], torch.Tensor]:
    """The loss from plain tables; LATTICE's graph is trained by the first batch of an epoch and kept for it."""
    held: list[torch.Tensor] = []

    def tables(model: Any, first: bool) -> Tables:
        if name != "lattice":
            return PLAIN[name](model)
        given = lattice.constants(model)
        graph = lattice.item_graph(model, given) if first else held[-1]
        held.append(graph.detach())
        return lattice.tables_over(model, given, graph)

    return lambda model, batch, first: batch_loss(model, tables(model, first), batch)


@pytest.mark.parametrize(
    ("kind", "rtol"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=["double", "single"]
)
@pytest.mark.parametrize("name", toy.trained())
def test_losses_of_twenty_steps(name: str, kind: torch.dtype, rtol: float) -> None:
    data = toy.random_data(3, n_users=26, n_items=40, dims=(9, 7), per_user=12, absent=True)
    before = torch.get_default_dtype()
    torch.set_default_dtype(kind)
    try:
        own, mine = trained(data, name, own_loss)
        plain, other = trained(data, name, plain_loss(name))
    finally:
        torch.set_default_dtype(before)
    assert len(own) == N_EPOCHS * N_STEPS
    assert len(own.unique()) == len(own)
    torch.testing.assert_close(own, plain, rtol=rtol, atol=0)
    if kind is torch.float64:
        for (key, value), expected in zip(mine.named_parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(value, expected, rtol=1e-8, atol=1e-10, msg=lambda m, k=key: f"{k}: {m}")
