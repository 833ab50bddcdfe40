"""Every value that a tuning may try trains: the loss of a step is finite, and so is what it leaves behind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import toy

from bench.engine import registry
from bench.engine.tuned import TunedFile
from bench.report import experiments

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

PARTS = {*experiments.own_part_labels().values(), *experiments.own_modality_labels().values()}


@pytest.mark.parametrize(("name", "key", "value"), CASES, ids=lambda value: str(value))
def test_a_step_with_every_searched_value(name: str, key: str, value: Any) -> None:
    model = toy.build_model(name, DATA, **{"embedding_size": 8, key: value}).train()
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


@pytest.mark.parametrize("name", registry.names())
def test_a_variant_stays_what_it_is_whatever_was_tuned(name: str) -> None:
    """Values tuned on a data set may move a variant's numbers, but not the reading that it stands for.

    Variants that stand for a part or a modality take the readings of the model.
    """
    entry = registry.load(name)
    of_readings = {key: own for key, own in entry.file.variants.items() if f"{name}@{key}" not in PARTS}
    for variant, pinned in of_readings.items():
        for each in TunedFile.of(entry).entries:
            if not each.variant:
                readings = {key for key, value in each.values.items() if isinstance(value, (bool, str))}
                assert readings <= pinned.keys(), f"{name}@{variant} takes readings that were tuned for {name}"


@pytest.mark.parametrize("name", toy.trained())
def test_every_trained_model_searches_the_papers_lists_and_few_switches(name: str) -> None:
    search = registry.load(name).file.search
    assert search["train_batch_size"] == [128, 256, 512, 1024]
    assert search["learning_rate"] == [0.0001, 0.0005, 0.001, 0.005, 0.01]
    assert search["reg_weight"] == [0.0, 0.00001, 0.0001, 0.001, 0.01, 0.1]
    assert len([key for key, values in search.items() if isinstance(values[0], str | bool)]) <= 3


def test_no_search_switches_a_component_off() -> None:
    searched = {(name, key) for name, file in FILES.items() for key in file.search}
    assert not searched & {("ludp", "use_item_graph"), ("ludp", "use_user_pref"), ("grcn", "n_routings")}
