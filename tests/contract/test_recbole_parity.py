"""Our models beside RecBole's own, on RecBole's own data set, loaders, trainer and evaluator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy
from recbole.evaluator import Collector, Evaluator
from recbole.model.general_recommender import BPR, EASE, ItemKNN, LightGCN

from bench.core.types import Interactions, TopK
from bench.engine import evaluate, registry
from bench.engine.recbole import ITEM_FIELD, NEG_PREFIX, USER_FIELD, RecBoleSession, batch, recbole_session

DATA = toy.random_data(n_users=20, n_items=30, per_user=8)


def session(model_class: type, params: dict[str, Any], folder: Path, **overrides: Any) -> RecBoleSession:
    return recbole_session(model_class, params, DATA, folder, **overrides)


def recbole_batch(made: RecBoleSession, n: int = 40, seed: int = 0) -> Any:
    """A batch in RecBole's ids of this data set, for both models."""
    rng = np.random.default_rng(seed)
    matrix = made.train_data.dataset.inter_matrix(form="coo")
    at = rng.integers(0, matrix.nnz, n)
    negatives = rng.integers(1, made.dataset.num(ITEM_FIELD), n)
    return batch(*[torch.as_tensor(ids, dtype=torch.int64) for ids in (matrix.row[at], matrix.col[at], negatives)])


def twin(ours: str, theirs: type, folder: Path, extra: dict[str, Any], **overrides: Any) -> tuple[Any, Any, Any]:
    """Our model and RecBole's on one RecBole data set, with equal weights, and a batch."""
    entry = registry.load(ours)
    params = entry.params("toy", overrides={"embedding_size": 16, **overrides}).model_dump()
    made = session(entry.model_class, {**params, **extra}, folder)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        mine = entry.model_class(made.config, made.train_data.dataset)
        other = theirs(made.config, made.train_data.dataset)
    other.load_state_dict({key: value.clone() for key, value in mine.state_dict().items()})
    return mine, other, recbole_batch(made)


def total(losses: Any) -> torch.Tensor:
    return sum(losses).reshape(()) if isinstance(losses, tuple) else losses.reshape(())


def assert_twins(mine: Any, other: Any, interaction: Any) -> None:
    """Loss, scores, every gradient and the parameters after three Adam steps agree."""
    optimizers = [torch.optim.Adam(model.parameters(), lr=0.01) for model in (mine, other)]
    close = {"rtol": 1e-5, "atol": 1e-7}
    for _ in range(3):
        losses = []
        for model, optimizer in zip((mine, other), optimizers, strict=True):
            optimizer.zero_grad()
            loss = total(model.train().calculate_loss(interaction))
            loss.backward()
            losses.append(loss.detach())
        torch.testing.assert_close(*losses, **close)
        theirs = dict(other.named_parameters())
        for name, parameter in mine.named_parameters():
            torch.testing.assert_close(parameter.grad, theirs[name].grad, rtol=1e-5, atol=1e-6, msg=name)
        for optimizer in optimizers:
            optimizer.step()
    for name, parameter in mine.named_parameters():
        torch.testing.assert_close(parameter, dict(other.named_parameters())[name], rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        mine.forget()
        scores = [model.eval().full_sort_predict(interaction) for model in (mine, other)]
    torch.testing.assert_close(*scores, rtol=1e-5, atol=1e-6)


def test_mf_equals_recbole_bpr(tmp_path: Path) -> None:
    assert_twins(*twin("mf", BPR, tmp_path, {}, reg_weight=0.0))


@pytest.mark.parametrize(("reg_form", "require_pow"), [("recbole_norm", False), ("half_sq", True)])
@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_lightgcn_equals_recbole(tmp_path: Path, reg_form: str, require_pow: bool, n_layers: int) -> None:
    models = twin(
        "lightgcn",
        LightGCN,
        tmp_path,
        {"require_pow": require_pow},
        reg_form=reg_form,
        reg_weight=0.1,
        n_layers=n_layers,
        init="xavier_uniform",
    )
    assert_twins(*models)


@pytest.mark.parametrize("name", registry.names())
def test_features_follow_recboles_item_numbering(name: str, tmp_path: Path) -> None:
    """Scores by token agree between our view and RecBole's data set, whose ids are in another order."""
    entry = registry.load(name)
    params = entry.params("toy", overrides=toy.small(name))
    made = session(entry.model_class, params.model_dump(), tmp_path)
    ours = toy.build_model(name, DATA, **toy.small(name))
    theirs = entry.model_class(made.config, made.train_data.dataset).eval()
    users = made.dataset.field2id_token[USER_FIELD][1:].astype(int)
    items = made.dataset.field2id_token[ITEM_FIELD][1:].astype(int)
    assert sorted(items.tolist()) == list(range(DATA.n_items))
    user_order = torch.as_tensor(np.concatenate([[0], users + 1]))
    item_order = torch.as_tensor(np.concatenate([[0], items + 1]))
    node_order = torch.cat([user_order, item_order + DATA.n_users + 1])
    orders = {DATA.n_users + 1: user_order, DATA.n_items + 1: item_order, len(node_order): node_order}
    if not toy.is_control(name):  # a control was fitted to that data set itself
        state = {
            key: value[orders[len(value)]] if len(value) in orders else value
            for key, value in ours.state_dict().items()
        }
        theirs.load_state_dict(state)
    expected = toy.scores(ours)[users][:, items]
    torch.testing.assert_close(toy.scores(theirs), expected, rtol=1e-4, atol=1e-5)


def test_metrics_equal_recboles_on_the_same_scores(tmp_path: Path) -> None:
    """Our per-user metrics, averaged, against RecBole's evaluator on random scores without ties."""
    rng = np.random.default_rng(3)
    scores = rng.permutation(DATA.n_users * DATA.n_items).reshape(DATA.n_users, DATA.n_items).astype(np.float32)
    held_out = _varied_test_part(rng)
    ranked = np.argsort(-scores, axis=1)[:, :20]
    users = np.unique(held_out.users)
    ours = evaluate.means(evaluate.per_user(TopK(users, ranked[users], 0), held_out, (5, 10, 20)))

    made = session(BPR, {"embedding_size": 8}, tmp_path, topk=[5, 10, 20], metric_decimal_place=12)
    collector, evaluator = Collector(made.config), Evaluator(made.config)
    rows, columns = [], []
    for position, user in enumerate(users):
        for item in held_out.items[held_out.users == user]:
            rows.append(position)
            columns.append(int(item) + 1)
    padded = torch.full((len(users), DATA.n_items + 1), -np.inf)
    padded[:, 1:] = torch.from_numpy(scores[users])
    collector.eval_batch_collect(padded, None, torch.tensor(rows), torch.tensor(columns))
    theirs = evaluator.evaluate(collector.get_data_struct())
    for key, value in ours.items():
        assert theirs[key] == pytest.approx(value, abs=1e-9), key


def _varied_test_part(rng: np.random.Generator) -> Interactions:
    """One to twelve held-out items a user, more than some cut-offs, and a user without any."""
    edges = [
        (user, int(item))
        for user in range(1, DATA.n_users)
        for item in rng.choice(DATA.n_items, 1 + user % 12, replace=False)
    ]
    return toy.pairs(edges, DATA.n_users, DATA.n_items)


def test_bridge_shields_arguments_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import sys

    monkeypatch.setattr(sys, "argv", ["run_all.py", "--learning_rate=7", "--topk=[3]"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    state = torch.random.get_rng_state()
    made = session(BPR, {"embedding_size": 8, "learning_rate": 0.5}, tmp_path)
    assert made.config["learning_rate"] == 0.5
    assert made.config["topk"] == [10, 20]
    assert sys.argv[1] == "--learning_rate=7"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "5"
    assert torch.equal(state, torch.random.get_rng_state())


def test_view_agrees_with_recboles_dataset(tmp_path: Path) -> None:
    from bench.engine.recbole import TrainingView

    made = session(BPR, {"embedding_size": 8}, tmp_path)
    view = TrainingView(DATA)
    assert view.num(USER_FIELD) == made.dataset.num(USER_FIELD)
    assert view.num(ITEM_FIELD) == made.dataset.num(ITEM_FIELD)
    assert view.inter_matrix().nnz == made.train_data.dataset.inter_matrix(form="coo").nnz
    assert made.config["NEG_PREFIX"] == NEG_PREFIX


@pytest.mark.parametrize(
    ("name", "theirs", "params"),
    [
        ("ease", EASE, {"reg_weight": 20.0}),
        # lists of all items, for RecBole leaves open who of equals is cut off
        ("itemknn", ItemKNN, {"knn_k": 100, "shrink": 1.5, "asymmetry": 0.5, "weighting": "none"}),
    ],
)
def test_controls_equal_recboles(name: str, theirs: type, params: dict[str, Any], tmp_path: Path) -> None:
    entry = registry.load(name)
    values = entry.params("toy", overrides=params).model_dump()
    made = session(entry.model_class, {**values, "k": 100, "knn_method": "item"}, tmp_path)
    mine = entry.model_class(made.config, made.train_data.dataset)
    other = theirs(made.config, made.train_data.dataset)
    interaction = recbole_batch(made)
    expected = torch.as_tensor(np.asarray(other.full_sort_predict(interaction)).ravel(), dtype=torch.float32)
    torch.testing.assert_close(mine.full_sort_predict(interaction), expected, rtol=1e-5, atol=1e-6)
