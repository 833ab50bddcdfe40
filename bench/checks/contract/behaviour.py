"""Contract checks of a model's behaviour. Pure.

They check that a model copes with every kind of data, recommends only new items, learns what it should, and
repeats its numbers.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from bench.checks.contract.toys import (
    CPU,
    build_model,
    data_of,
    fit,
    float64,
    pairs,
    random_data,
    require,
    scores,
    small,
    total,
    triples,
)
from bench.core.errors import listed
from bench.core.protocol import Protocol
from bench.engine.evaluate import Evaluator
from bench.engine.recbole import batches
from bench.engine.sampling import TripleSampler
from bench.engine.trainer import TrainingState, TrainResult, TrainSettings, train
from bench.runs.controls import is_control


def saved_model_scores_the_same(name: str) -> None:
    """Check that a model loaded from a checkpoint scores as the one that was saved."""
    data = random_data()
    model = fit(name, data)
    other = build_model(name, data, seed=99, **small(name))
    for value in other.state_dict().values() if is_control(name) else ():
        value.zero_()  # or it would score the same without loading
    differs = not torch.equal(scores(model), scores(other))  # fills the cache, which loading must drop
    content = save({key: value.contiguous() for key, value in model.state_dict().items()})
    other.load_state_dict(load(content))
    require(
        differs and torch.equal(scores(model), scores(other)),
        "A model that is loaded from a checkpoint has other scores than the one that was saved.",
        "Something that the scores depend on is not in the state, or a cache is not cleared by loading.",
        "Make it a parameter or a buffer (self.register_buffer), and keep no tables of your own.",
    )


def only_new_items_are_recommended(name: str) -> None:
    """Check that lists hold every item that the user has not seen exactly once, and never padding."""
    data = random_data()
    model = fit(name, data)
    if is_control(name):
        require(
            not model.score_users(torch.arange(data.n_users + 1))[:, 0].any(),
            "The control gives the padding id a score.",
            "Padding is not an item, so its score comes from or goes to another item.",
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
            f"The list of user {int(user)} has {len(given)} items. It lacks some, repeats one or has a seen one.",
            "Every unseen item is a candidate, once; items whose score is NaN or minus infinity drop out.",
            "Return one finite score for every item.",
        )


def padding_plays_no_part(name: str) -> None:
    """Check that no real score depends on the rows of padding."""
    model = fit(name, random_data(absent=True))
    before = scores(model).clone()
    _raise_padding(model)
    now = scores(model)
    touched = torch.unique((now != before).nonzero()[:, 1]).tolist()
    require(
        torch.equal(now, before),
        f"Scores of the items {listed(str(item) for item in touched)} (counted from 0) depend on the padding row.",
        "RecBole's id 0 is padding. If its row enters scores, padding is recommended in place of an item, or "
        "ids are off by one.",
        "Keep row 0 of every table for padding: item i has id i + 1. Give padding no neighbours and no features.",
    )


def _raise_padding(model: Any) -> None:
    """Give padding so large a vector that it is the best item wherever it enters scores."""
    with torch.no_grad():
        model.item_embedding.weight[0] = 1e3
    model.forget()


def any_number_of_modalities(name: str) -> None:
    """Check one, two and three modalities, with items that lack some."""
    data = random_data(absent=True)
    names = [modality.name for modality in data.modalities]
    for n_modalities in (1, 2, 3):
        model = fit(name, data, modalities=names[:n_modalities])
        require(
            torch.isfinite(scores(model)).all(),
            f"Scores are not finite with {n_modalities} modalities that some items lack.",
            "Data sets have any number of modalities under any names, and items without some or all of them.",
            "Loop over self.features, and divide by counts that are at least 1.",
        )


def missing_features_as_zeros(name: str) -> None:
    """Check that the policy `missing: zero` works as well as `mask`."""
    require(
        torch.isfinite(scores(fit(name, random_data(absent=True), missing="zero"))).all(),
        "Scores are not finite with missing=zero.",
        "Under this policy an item without a modality has a row of zeros, whose norm is 0.",
        "Scale by models.layers.features.scaled, which leaves zero rows alone.",
    )


def duplicates_change_nothing(name: str) -> None:
    """Check that an interaction that is given twice counts once."""
    data = random_data()
    model = build_model(name, data, **small(name))
    doubled = copy.copy(data.split.train)
    object.__setattr__(doubled, "users", data.split.train.users.repeat(2))
    object.__setattr__(doubled, "items", data.split.train.items.repeat(2))
    twice = data_of(doubled, data.split.valid, data.split.test, *data.modalities)
    require(
        torch.equal(scores(model), scores(build_model(name, twice, **small(name)))),
        "Interactions that are given twice change the scores.",
        "Feedback is implicit: a pair exists or not. Graph weights must not count copies.",
        "Use self.train_users and self.train_items, which are distinct, rather than dataset.inter_matrix().",
    )


def isolated_nodes_are_finite(name: str) -> None:
    """Check that users and items without a training interaction have finite scores."""
    train = pairs([(0, 0), (0, 1), (1, 1)], 4, 5)
    held = pairs([(0, 2), (3, 3)], 4, 5)
    data = data_of(train, held, held, *random_data(n_items=5, per_user=4).modalities)
    require(
        torch.isfinite(scores(fit(name, data))).all(),
        "A user or item without training interactions gets a score that is not finite.",
        "Real data has cold users and items, and one NaN spoils every mean.",
        "Divide by max(degree, 1), and take no softmax or norm over nothing.",
    )


def every_parameter_moves(name: str) -> None:
    """Check that an epoch moves every parameter, and that every trained tensor is a parameter."""
    # an item without content gives VBPR's projection bias, which cancels otherwise, a gradient of its own
    data = random_data(absent=True)
    model = build_model(name, data, **small(name)).train()
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for batch in batches(TripleSampler(data.split.train, CPU).epoch(torch.Generator()), 16):
        optimizer.zero_grad()
        total(model.calculate_loss(batch)).backward()
        optimizer.step()
    unmoved = [key for key, value in model.named_parameters() if torch.equal(value, before[key])]
    require(
        not unmoved,
        f"An epoch never moved the parameters {listed(unmoved)}.",
        "They get no gradient: the loss does not depend on them, or a detach(), .data or no_grad() cuts them off.",
        "Use them in embed() or calculate_loss(), or make a constant a buffer (self.register_buffer).",
    )
    registered = {id(parameter) for parameter in model.parameters()}
    outside = [
        key
        for module in model.modules()
        for key, value in vars(module).items()
        if isinstance(value, Tensor) and value.requires_grad and id(value) not in registered
    ]
    require(
        not outside,
        f"The tensors {listed(outside)} require a gradient but are not parameters.",
        "The optimiser does not know them, so they are not trained, and a checkpoint leaves them out.",
        "Assign them as nn.Parameter, or detach() tables that are only kept.",
    )


def batch_path_equals_all_nodes(name: str) -> None:
    """Check that `embed_batch` returns the rows of `embed`."""
    data = random_data()
    with float64():
        model = build_model(name, data, **small(name)).eval()
        interaction = triples(data, n=30)
        ids = (interaction["user_id"], interaction["item_id"], interaction["neg_item_id"])
        users, items = model.embed()
        of_batch = model.embed_batch(*ids)
    expected = (users[ids[0]], items[ids[1]], items[ids[2]])
    wrong = [
        part
        for part, rows, right in zip(("users", "positives", "negatives"), of_batch, expected, strict=True)
        if rows.shape != right.shape or not torch.allclose(rows, right, rtol=1e-12, atol=1e-12)
    ]
    require(
        not wrong,
        f"embed_batch() returns other vectors than embed() for the {listed(wrong)} of a batch.",
        "Then the model is trained on other vectors than it is ranked by.",
        "Leave out embed_batch() and embed_with_ego(): the base class takes rows of embed().",
    )


def scores_follow_the_last_step(name: str) -> None:
    """Check that scores are computed from the parameters after the last step."""
    data = random_data()
    model = build_model(name, data, **small(name))
    before = scores(model).clone()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    model.train()
    total(model.calculate_loss(triples(data))).backward()
    stale = scores(model.eval()).clone()
    optimizer.step()
    model.forget()
    require(
        torch.equal(before, stale),
        "Scores changed between two evaluations without a step between them.",
        "In evaluation mode scores may depend on the parameters alone, not on what the last loss left behind.",
        "Use dropout and sampling only if self.training, and keep no tables of the training pass for scoring.",
    )
    require(
        not torch.equal(before, scores(model)),
        "Scores after an optimiser step equal those before it.",
        "They come from a stale cache, so every validation is one step, or a whole training, behind.",
        "Compute embed() from the parameters each time; the base class caches final tables and drops them.",
    )


def short_batch_is_normalised(name: str) -> None:
    """Check that the loss of a batch does not grow with its size."""
    data = random_data()
    with float64():
        model = build_model(name, data, **small(name), reg_weight=0.5).eval()
        one = {key: ids[:1] for key, ids in triples(data).items()}
        twice = {key: ids.repeat(2) for key, ids in one.items()}
        losses = total(model.calculate_loss(one)), total(model.calculate_loss(twice))
    require(
        torch.allclose(*losses, rtol=1e-7, atol=1e-7),
        f"The loss of a triple is {losses[0].item():.6g}, and of the same triple twice {losses[1].item():.6g}.",
        "A term is a sum over the batch or divided by a fixed size, so a short last batch has another weight.",
        "Take means over the batch's own rows, in the regularisation too.",
    )


def same_seed_same_bits(name: str) -> None:
    """Check that two trainings with the same seed give the same scores, bit for bit."""
    data = random_data()
    require(
        torch.equal(scores(fit(name, data)), scores(fit(name, data))),
        "Two trainings with the same seed give different scores.",
        "No number of this model can be reproduced: something is drawn from a generator without a seed, or "
        "depends on time, on memory addresses or on the order of a set.",
        "Draw with torch only (torch.rand, nn.init), never with numpy's or Python's global generators.",
    )


def another_seed_differs(name: str) -> None:
    """Check that the seed matters for a trained model, and not for a control."""
    data = random_data()
    other = build_model(name, data, seed=5, **small(name))
    same = torch.equal(scores(fit(name, data)), scores(other))
    require(
        same == is_control(name),
        "Scores depend on the seed of a control." if not same else "Another seed gives the same scores.",
        "Seeds must show how much a number varies: a control draws nothing, and a trained model starts at random.",
        "Do not seed torch within the model (no torch.manual_seed), and initialise parameters at random.",
    )


def interrupted_training_goes_on(name: str) -> None:
    """Check that a training that is stopped after an epoch and resumed ends with the same bits."""
    whole, states = _train(name, None)
    again, _ = _train(name, states[1])
    same = [facts.loss for facts in whole.curve] == [facts.loss for facts in again.curve] and all(
        torch.equal(value, again.best_state[key]) for key, value in whole.best_state.items()
    )
    require(
        same,
        "A training that was interrupted after its second epoch ends with other parameters than one that was not.",
        "The model keeps something between epochs that its state does not hold, such as a counter or a cache.",
        "Make it a buffer (self.register_buffer), or create it again in the first batch of every epoch.",
    )


def _train(name: str, resume: TrainingState | None) -> tuple[TrainResult, list[TrainingState]]:
    """Train four epochs; return the result and copies of the states after each."""
    data = random_data(absent=True)
    model = build_model(name, data, **small(name), learning_rate=0.02, train_batch_size=16)
    evaluator, states = Evaluator(data, Protocol(), CPU), list[TrainingState]()
    settings = TrainSettings(max_epochs=4, patience=9, triples_seed=1, model_seed=2)

    def keep(state: TrainingState) -> None:
        so_far = state.result
        best = {key: value.clone() for key, value in so_far.best_state.items()}
        result = TrainResult(so_far.best_epoch, so_far.best_score, best, list(so_far.curve))
        states.append(TrainingState(result, {key: value.clone() for key, value in state.tensors.items()}))

    sampler = TripleSampler(data.split.train, CPU)
    result = train(
        model, sampler, lambda: evaluator.valid(model).metrics.values, settings, resume=resume, keep=keep
    )
    return result, states
