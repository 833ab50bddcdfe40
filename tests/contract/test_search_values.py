"""Every value that a tuning may try trains: the loss of a step is finite, and so is what it leaves behind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import toy

from bench import registry

DATA = toy.random_data(absent=True)
FILES = {name: registry.load(name).file for name in registry.names()}
CASES = [
    (name, key, value)
    for name, file in FILES.items()
    if "learning_rate" in file.defaults
    for key, candidates in file.search.items()
    for value in candidates
    if file.defaults[key] != value
]


@pytest.mark.parametrize(("name", "key", "value"), CASES, ids=lambda value: str(value))
def test_a_step_with_every_searched_value(name: str, key: str, value: Any) -> None:
    model = toy.build(name, DATA, **{"embedding_size": 8, key: value}).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=model.params.learning_rate)
    for seed in (0, 1):
        optimizer.zero_grad()
        bpr, regularisation = model.calculate_loss(toy.triples(DATA, seed=seed))
        loss = bpr + regularisation
        assert torch.isfinite(loss)
        loss.backward()
        optimizer.step()
    assert torch.isfinite(toy.scores(model.eval())).all()


def test_the_searches_name_something() -> None:
    assert {("grcn", "grcn_exclude_pos", True), ("vbpr", "reg_vbpr", "final")} <= set(CASES)
