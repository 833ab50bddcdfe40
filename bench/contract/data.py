"""Layer 7. Whether a model copes with what data can bring, and recommends only what may be recommended. Pure."""

from __future__ import annotations

import copy
from typing import Any

import torch
from safetensors.torch import load, save

from bench.contract.problem import require
from bench.contract.toys import CPU, build, data_of, fit, is_control, pairs, random_data, scores, small
from bench.errors import listed
from bench.evaluate import Evaluator
from bench.protocol import Protocol


def saved_model_scores_the_same(name: str) -> None:
    """A checkpoint gives the same scores in another process."""
    data = random_data()
    model = fit(name, data)
    other = build(name, data, seed=99, **small(name))
    for value in other.state_dict().values() if is_control(name) else ():
        value.zero_()  # or it would score the same without loading
    differs = not torch.equal(scores(model), scores(other))  # fills the cache, which loading must drop
    content = save({key: value.contiguous() for key, value in model.state_dict().items()})
    other.load_state_dict(load(content))
    require(
        differs and torch.equal(scores(model), scores(other)),
        "A model that is loaded from a checkpoint scores otherwise than the one that was saved.",
        "Something that the scores depend on is not in the state, or a cache outlives the loading.",
        "Make it a parameter or a buffer (self.register_buffer), and keep no tables of your own.",
    )


def only_new_items_are_recommended(name: str) -> None:
    """Lists hold every item once that the user has not seen, and never padding."""
    data = random_data()
    model = fit(name, data)
    if is_control(name):
        require(
            not model.score_users(torch.arange(data.n_users + 1))[:, 0].any(),
            "The control gives the padding id a score.",
            "Padding is no item; whatever it scores has leaked from or to another one.",
            "Keep row and column 0 empty.",
        )
    else:
        _raise_padding(model)
    topk = Evaluator(data, Protocol(), CPU).test(model).topk
    seen = set(data.split.train.keys.tolist()) | set(data.split.valid.keys.tolist())
    for user, items in zip(topk.users, topk.items, strict=True):
        given = items[items >= 0]
        require(
            len(set(given.tolist())) == len(given) == data.n_items - 5
            and not seen & {int(user) * data.n_items + int(item) for item in given},
            f"The list of user {int(user)} holds {len(given)} items, seen ones or one twice among them.",
            "Every unseen item is a candidate, once; scores that are NaN or minus infinity drop out.",
            "Return one finite score for every item.",
        )


def padding_plays_no_part(name: str) -> None:
    """No real score depends on the rows of padding."""
    model = fit(name, random_data(absent=True))
    before = scores(model).clone()
    _raise_padding(model)
    now = scores(model)
    touched = torch.unique((now != before).nonzero()[:, 1]).tolist()
    require(
        torch.equal(now, before),
        f"Scores of the items {listed(str(item) for item in touched)} (counted from 0) depend on the padding row.",
        "RecBole's id 0 is padding. Where its row enters scores, padding is recommended in place of an item, or "
        "ids are off by one.",
        "Keep row 0 of every table for padding: item i has id i + 1. Give padding no neighbours and no features.",
    )


def _raise_padding(model: Any) -> None:
    """Make padding the best item by far, if it could be reached."""
    with torch.no_grad():
        model.item_embedding.weight[0] = 1e3
    model.forget()


def any_number_of_modalities(name: str) -> None:
    """One, two and three modalities, with items that lack them."""
    data = random_data(absent=True)
    names = [modality.name for modality in data.modalities]
    for n_modalities in (1, 2, 3):
        model = fit(name, data, modalities=names[:n_modalities])
        require(
            torch.isfinite(scores(model)).all(),
            f"Scores are not finite with {n_modalities} modalities, of which some items have none.",
            "Data sets bring any number of modalities under any names, and items without some or all of them.",
            "Loop over self.features, and divide by counts that are at least 1.",
        )


def missing_features_as_zeros(name: str) -> None:
    """The policy `missing: zero` works as well as `mask`."""
    require(
        torch.isfinite(scores(fit(name, random_data(absent=True), missing="zero"))).all(),
        "Scores are not finite with missing=zero.",
        "Under this policy an item without a modality brings a row of zeros, whose norm is 0.",
        "Scale by models._features.scaled, which leaves zero rows alone.",
    )


def duplicates_change_nothing(name: str) -> None:
    """An interaction that is given twice counts once."""
    data = random_data()
    model = build(name, data, **small(name))
    doubled = copy.copy(data.split.train)
    object.__setattr__(doubled, "users", data.split.train.users.repeat(2))
    object.__setattr__(doubled, "items", data.split.train.items.repeat(2))
    twice = data_of(doubled, data.split.valid, data.split.test, *data.modalities)
    require(
        torch.equal(scores(model), scores(build(name, twice, **small(name)))),
        "Interactions that are given twice change the scores.",
        "Feedback is implicit: a pair is there or not. Graph weights must not count copies.",
        "Use self.train_users and self.train_items, which are distinct, rather than dataset.inter_matrix().",
    )


def isolated_nodes_are_finite(name: str) -> None:
    """Users and items without a training interaction have finite scores."""
    train = pairs([(0, 0), (0, 1), (1, 1)], 4, 5)
    held = pairs([(0, 2), (3, 3)], 4, 5)
    data = data_of(train, held, held, *random_data(n_items=5, per_user=4).modalities)
    require(
        torch.isfinite(scores(fit(name, data))).all(),
        "A user or item without training interactions gets a score that is not finite.",
        "Real data has cold users and items, and one NaN spoils every mean.",
        "Divide by max(degree, 1), and take no softmax or norm over nothing.",
    )
