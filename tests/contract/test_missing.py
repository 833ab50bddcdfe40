"""Items that lack a modality: every model with content honours every policy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import toy

from bench.core.types import BenchmarkData, Modality
from bench.engine import registry
from bench.engine.recbole import TrainingView, model_config, padded
from models.layers.features import N_NEIGHBOURS, FeatNorm, ItemFeatures, completed, scaled

DATA = toy.random_data(absent=True)
CONTENT = [name for name in registry.names() if registry.load(name).card.uses_content]
POLICIES = ["mask", "zero", "mean", "neighbour-mean"]


def by_hand(data: BenchmarkData, policy: str) -> BenchmarkData:
    """The data with every gap filled in, computed with dense matrices and plain loops."""
    train = np.zeros((data.n_users, data.n_items), dtype=int)
    train[data.split.train.users, data.split.train.items] = 1
    shared = train.T @ train
    return replace(data, modalities=tuple(_without_gaps(each, shared, policy) for each in data.modalities))


def _without_gaps(modality: Modality, shared: Any, policy: str) -> Modality:
    rows, has = modality.matrix.astype(np.float64), np.flatnonzero(modality.present)
    for item in np.flatnonzero(~modality.present):
        near = sorted((j for j in has if shared[item, j]), key=lambda j: (-shared[item, j], j))[:N_NEIGHBOURS]
        rows[item] = rows[near if policy == "neighbour-mean" and near else has].mean(axis=0)
    return toy.modality(modality.name, rows, np.ones(len(rows), dtype=bool))


def scores(name: str, data: BenchmarkData, **options: Any) -> torch.Tensor:
    model = toy.build_model(name, data, **toy.small(name), **options)
    with torch.no_grad():
        return toy.scores(model)


@pytest.mark.parametrize("name", CONTENT)
def test_policies_do_what_they_say(name: str, float64: None) -> None:
    found = {policy: scores(name, DATA, missing=policy) for policy in POLICIES}
    assert all(torch.isfinite(one).all() for one in found.values())
    for policy in ("mean", "neighbour-mean"):  # a model sees what is filled in as any other row
        expected = scores(name, by_hand(DATA, policy), missing="mask")
        torch.testing.assert_close(found[policy], expected, rtol=1e-6, atol=1e-9)
        assert not torch.allclose(found[policy], found["mask"])
        assert not torch.allclose(found[policy], found["zero"])
    assert not torch.allclose(found["mean"], found["neighbour-mean"])


@pytest.mark.parametrize("name", CONTENT)
def test_policies_agree_where_nothing_is_missing(name: str) -> None:
    data = toy.random_data()
    first, *others = [scores(name, data, missing=policy) for policy in POLICIES]
    assert all(torch.equal(first, other) for other in others)


@pytest.mark.parametrize("policy", POLICIES)
def test_neighbour_lists_and_their_keys(policy: str) -> None:
    """An item without the modality is in no list unless it was given a row; other rows, other keys."""
    keys: list[str] = []
    entry = registry.load("ludp")
    view = TrainingView(DATA, lambda key, compute: keys.append(key) or compute())
    model: Any = entry.model_class(model_config(entry.params("toy", overrides={"missing": policy})), view)
    filled = policy in ("mean", "neighbour-mean")
    for features, given in zip(model.features, view.item_features, strict=True):
        lists = model.neighbours(features, 100, include_self=False)
        assert not (lists.items == 0).any()
        absent = (~given.present).nonzero().squeeze(1)[1:]
        assert len(absent)
        assert torch.isin(absent, lists.items).all().item() is filled
        assert bool((lists.items[absent] >= 0).any()) is filled
    plain = [f"knn-v1-{each.fingerprint}-k" for each in view.item_features]
    same = [any(key.startswith(start) for start in plain) for key in keys]
    assert keys
    assert not any(same) if filled else all(same)


def test_filled_rows_depend_on_training_alone_and_are_named_by_it() -> None:
    train, held = DATA.split.train, DATA.split.valid
    swapped = replace(DATA, split=replace(DATA.split, valid=DATA.split.test, test=held))
    shorter = replace(DATA, split=replace(DATA.split, train=train.take(np.arange(len(train) - 8))))
    one, two, three = (
        toy.build_model("vbpr", data, missing="neighbour-mean").features for data in (DATA, swapped, shorter)
    )
    for first, second, third in zip(one, two, three, strict=True):
        assert torch.equal(first.raw, second.raw)
        assert first.fingerprint == second.fingerprint != third.fingerprint


def features_of(rows: Any, present: list[bool]) -> tuple[ItemFeatures]:
    return (padded(toy.modality("visual", rows, present)),)


def test_most_users_in_common_and_the_mean_for_the_lonely() -> None:
    """Items 1 and 4 lack the modality. 1 shares two users with 3 and one with 2; 4 shares users with 1 alone."""
    features = features_of([[9, 9], [1, 0], [0, 1], [9, 9], [7, 5]], [False, True, True, False, True])
    pairs = torch.tensor([[1, 1], [1, 3], [2, 1], [2, 3], [2, 2], [3, 4], [3, 1], [4, 5]])
    (filled,), remarks = completed(features, "neighbour-mean", pairs[:, 0], pairs[:, 1])
    assert filled.raw[1].tolist() == [0.5, 0.5]
    assert filled.raw[4].tolist() == pytest.approx([8 / 3, 2])
    assert filled.raw[0].tolist() == [0, 0]
    assert filled.present.tolist() == [False, True, True, True, True, True]
    assert len(remarks) == 1
    assert "1 of 2 items without the visual modality" in remarks[0]


def test_no_more_than_the_nearest_and_ties_to_the_lowest_id() -> None:
    n = N_NEIGHBOURS + 3
    rows = np.eye(n + 1, dtype=np.float32)
    pairs = [(1, item) for item in range(1, n + 2)] + [(2, 1), (2, n + 1)]  # the last item shares two users with 1
    ids = torch.tensor(pairs)
    (filled,), _ = completed(features_of(rows, [False] + [True] * n), "neighbour-mean", ids[:, 0], ids[:, 1])
    taken = (filled.raw[1] > 0).nonzero().squeeze(1).tolist()
    assert taken == [*range(1, N_NEIGHBOURS), n]
    assert filled.raw[1, n].item() == pytest.approx(1 / N_NEIGHBOURS)


@pytest.mark.parametrize("how", ["zscore", "center_l2"])
@pytest.mark.parametrize("constant", [0.1, 3.7, 12_345.6])
def test_a_constant_column_has_no_content(how: FeatNorm, constant: float) -> None:
    """The mean of equal float32 values is not that value; what is left of the column must not count."""
    rows = torch.stack([torch.full((1000,), constant), torch.randn(1000)], dim=1).numpy()
    table = scaled(features_of(rows, [True] * 1000)[0], how)
    assert not table[:, 0].any()
    size = table[1:, 1].abs() if how == "center_l2" else table[1:, 1].std(correction=0)
    torch.testing.assert_close(size, torch.ones_like(size))
