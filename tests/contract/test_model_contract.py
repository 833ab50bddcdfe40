"""What every model must honour; the subjects are found in the registry."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from safetensors.torch import load, save

from bench import registry
from bench.evaluate import Evaluator
from bench.protocol import Protocol
from bench.recbole_bridge import batches
from bench.sampling import TripleSampler
from bench.train import TrainSettings, train
from models._control import Control

MODELS, TRAINED, CONTROLS = registry.names(), toy.trained(), toy.controls()
DATA = toy.random_data()
CPU = torch.device("cpu")
SETTINGS = TrainSettings(max_epochs=2, patience=5, triples_seed=3, model_seed=4)


CONTENT = [name for name in MODELS if registry.load(name).card.uses_content]


def total(losses: tuple[torch.Tensor, ...]) -> torch.Tensor:
    return torch.stack([loss.reshape(()) for loss in losses]).sum()


def fit(name: str, data: Any = DATA, **overrides: Any) -> Any:
    model = toy.build(name, data, **toy.small(name), **overrides)
    evaluator = Evaluator(data, Protocol(), CPU)
    sampler = TripleSampler(data.split.train, CPU)
    train(model, sampler, lambda: evaluator.valid(model).metrics.values, SETTINGS)
    return model.eval()


@pytest.mark.parametrize("name", TRAINED)
def test_shapes_of_tables_and_finite_loss(name: str) -> None:
    model = toy.build(name, DATA, **toy.small(name))
    users, items = model.embed()
    assert users.shape[0] == DATA.n_users + 1
    assert items.shape[0] == DATA.n_items + 1
    assert users.shape[1] == items.shape[1]
    losses = model.calculate_loss(toy.triples(DATA))
    assert all(torch.isfinite(loss).all() for loss in losses)


@pytest.mark.parametrize("name", MODELS)
def test_shapes_of_scores(name: str) -> None:
    model, interaction = toy.build(name, DATA, **toy.small(name)), toy.triples(DATA)
    assert model.score_users(torch.tensor([1, 2])).shape == (2, DATA.n_items + 1)
    assert model.full_sort_predict(interaction).shape == (16 * (DATA.n_items + 1),)
    pairs = model.predict(interaction)
    full = model.score_users(interaction["user_id"])[torch.arange(16), interaction["item_id"]]
    torch.testing.assert_close(pairs, full)


@pytest.mark.parametrize("name", MODELS)
def test_only_controls_have_nothing_to_train(name: str) -> None:
    model = toy.build(name, DATA)
    assert isinstance(model, Control) == toy.is_control(name) == (not list(model.parameters()))


@pytest.mark.parametrize("name", CONTROLS)
def test_controls_have_no_loss_and_one_epoch(name: str) -> None:
    model = toy.build(name, DATA)
    for ask in (lambda: model.calculate_loss(toy.triples(DATA)), model.embed):
        with pytest.raises(NotImplementedError, match=re.escape(model.CARD.title)):
            ask()
    before, told = {key: value.clone() for key, value in model.state_dict().items()}, []
    evaluator, sampler = Evaluator(DATA, Protocol(), CPU), TripleSampler(DATA.split.train, CPU)
    result = train(model, sampler, lambda: evaluator.valid(model).metrics.values, SETTINGS, told.append)
    assert result.best_epoch == len(result.curve) == 1
    assert result.curve == told
    assert result.curve[0].loss is None
    assert result.curve[0].valid["recall@10"] == result.best_score
    assert result.best_state.keys() == before.keys()
    assert before
    assert all(torch.equal(value, before[key]) for key, value in result.best_state.items())


@pytest.mark.parametrize("name", TRAINED)
def test_one_step_moves_every_parameter_and_nothing_trainable_is_outside(name: str) -> None:
    # an item without content gives VBPR's projection bias, which cancels otherwise, a gradient of its own
    data = toy.random_data(absent=True)
    model = toy.build(name, data, **toy.small(name)).train()
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for batch in batches(TripleSampler(data.split.train, CPU).epoch(torch.Generator()), 16):
        optimizer.zero_grad()
        total(model.calculate_loss(batch)).backward()
        optimizer.step()
    still = [key for key, value in model.named_parameters() if torch.equal(value, before[key])]
    assert not still, f"never moved: {still}"
    registered = {id(parameter) for parameter in model.parameters()}
    for module in model.modules():
        for key, value in vars(module).items():
            if isinstance(value, torch.Tensor):
                assert not value.requires_grad or id(value) in registered, f"{key} is trained by nobody"


@pytest.mark.parametrize("name", MODELS)
def test_saved_and_loaded_model_scores_the_same(name: str) -> None:
    model = fit(name)
    other = toy.build(name, DATA, seed=99, **toy.small(name))
    for value in other.state_dict().values() if name in CONTROLS else ():
        value.zero_()  # or it would score the same without loading
    assert not torch.equal(toy.scores(model), toy.scores(other))  # fills the cache, which loading must drop
    other.load_state_dict(load(save({key: value.contiguous() for key, value in model.state_dict().items()})))
    assert torch.equal(toy.scores(model), toy.scores(other))


@pytest.mark.parametrize("name", MODELS)
def test_same_seed_twice_is_bit_equal(name: str) -> None:
    assert torch.equal(toy.scores(fit(name)), toy.scores(fit(name)))


@pytest.mark.parametrize("name", MODELS)
def test_another_seed_differs_where_something_is_trained(name: str) -> None:
    other = toy.build(name, DATA, seed=5, **toy.small(name))
    assert torch.equal(toy.scores(fit(name)), toy.scores(other)) == (name in CONTROLS)


@pytest.mark.parametrize("name", TRAINED)
def test_batch_path_equals_all_nodes_path(name: str, float64: None) -> None:
    model = toy.build(name, DATA, **toy.small(name)).eval()
    interaction = toy.triples(DATA, n=30)
    ids = (interaction["user_id"], interaction["item_id"], interaction["neg_item_id"])
    users, items = model.embed()
    for rows, expected in zip(model.embed_batch(*ids), (users[ids[0]], items[ids[1]], items[ids[2]]), strict=True):
        torch.testing.assert_close(rows, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", TRAINED)
def test_scores_are_taken_after_the_last_step(name: str) -> None:
    model = toy.build(name, DATA, **toy.small(name))
    before = toy.scores(model).clone()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    model.train()
    total(model.calculate_loss(toy.triples(DATA))).backward()
    stale = toy.scores(model.eval()).clone()
    optimizer.step()
    model.forget()
    assert torch.equal(before, stale)
    assert not torch.equal(before, toy.scores(model))


@pytest.mark.parametrize("name", MODELS)
def test_seen_items_and_padding_are_never_recommended(name: str) -> None:
    model = fit(name)
    if name in TRAINED:
        with torch.no_grad():  # make padding the best item by far, if it could be reached
            model.item_embedding.weight[0] = 1e3
        model.forget()
    else:
        assert not model.score_users(torch.arange(DATA.n_users + 1))[:, 0].any()
    topk = Evaluator(DATA, Protocol(), CPU).test(model).topk
    seen = set(DATA.split.train.keys.tolist()) | set(DATA.split.valid.keys.tolist())
    for user, items in zip(topk.users, topk.items, strict=True):
        listed = items[items >= 0]
        assert len(set(listed.tolist())) == len(listed) == DATA.n_items - 5
        assert not seen & {int(user) * DATA.n_items + int(item) for item in listed}


@pytest.mark.parametrize("name", CONTENT)
@pytest.mark.parametrize("n_modalities", [1, 2, 3])
def test_any_number_of_modalities_and_absent_items(name: str, n_modalities: int) -> None:
    data = toy.random_data(absent=True)
    names = [m.name for m in data.modalities][:n_modalities]
    model = fit(name, data, modalities=names)
    assert torch.isfinite(toy.scores(model)).all()


@pytest.mark.parametrize("name", CONTENT)
def test_zero_policy_for_missing_features_runs(name: str) -> None:
    assert torch.isfinite(toy.scores(fit(name, toy.random_data(absent=True), missing="zero"))).all()


@pytest.mark.parametrize("name", TRAINED)
def test_last_short_batch_is_normalised_by_its_own_size(name: str, float64: None) -> None:
    model = toy.build(name, DATA, **toy.small(name), reg_weight=0.5).eval()
    one = {key: ids[:1] for key, ids in toy.triples(DATA).items()}
    twice = {key: ids.repeat(2) for key, ids in one.items()}
    torch.testing.assert_close(total(model.calculate_loss(one)), total(model.calculate_loss(twice)))


@pytest.mark.parametrize("name", MODELS)
def test_duplicated_interactions_change_nothing(name: str) -> None:
    model = toy.build(name, DATA, **toy.small(name))
    doubled = copy.copy(DATA.split.train)
    object.__setattr__(doubled, "users", DATA.split.train.users.repeat(2))
    object.__setattr__(doubled, "items", DATA.split.train.items.repeat(2))
    data = toy.data_of(doubled, DATA.split.valid, DATA.split.test, *DATA.modalities)
    assert torch.equal(toy.scores(model), toy.scores(toy.build(name, data, **toy.small(name))))


@pytest.mark.parametrize("name", MODELS)
def test_isolated_user_and_item_have_finite_scores(name: str) -> None:
    train = toy.pairs([(0, 0), (0, 1), (1, 1)], 4, 5)
    held = toy.pairs([(0, 2), (3, 3)], 4, 5)
    data = toy.data_of(train, held, held, *toy.random_data(n_items=5, per_user=4).modalities)
    assert torch.isfinite(toy.scores(fit(name, data))).all()


@pytest.mark.parametrize("name", MODELS)
def test_no_hard_coded_device(name: str) -> None:
    sources = [registry.load(name).path.with_suffix(".py"), *Path("models").glob("_*.py"), Path("models/base.py")]
    for source in sources:
        assert not re.search(r"\.cuda\(|['\"]cuda", source.read_text(encoding="utf-8")), source


@pytest.mark.parametrize("name", MODELS)
def test_yaml_gives_exactly_the_declared_parameters(name: str) -> None:
    entry = registry.load(name)
    assert set(entry.file.defaults) == set(entry.model_class.Params.model_fields)
    for key, candidates in entry.file.search.items():
        for value in candidates:
            entry.params("toy", overrides={key: value})


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_is_documented(name: str) -> None:
    source = registry.load(name).model_class.Params
    undocumented = [
        field
        for field, info in source.model_fields.items()
        if field in source.__annotations__ and not info.description
    ]
    assert not undocumented
