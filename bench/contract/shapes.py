"""Layer 7. Whether tables, scores and losses of a model have the form that everything else relies on. Pure."""

from __future__ import annotations

import torch

from bench.contract.problem import require
from bench.contract.toys import CPU, SETTINGS, build, is_control, random_data, small, total, triples
from bench.evaluate import Evaluator
from bench.protocol import Protocol
from bench.sampling import TripleSampler
from bench.train import train
from bench.types import EpochFacts
from models._control import Control


def tables_have_the_right_shape(name: str) -> None:
    """One row for every user and item, padding included, of one width; finite losses."""
    data = random_data()
    model = build(name, data, **small(name))
    users, items = model.embed()
    sizes = (data.n_users + 1, data.n_items + 1)
    require(
        (users.shape[0], items.shape[0]) == sizes and users.shape[1] == items.shape[1],
        f"embed() returns tables of {list(users.shape)} and {list(items.shape)}.",
        "Scores are dot products of a user's and an item's row: expected are "
        f"{sizes[0]} rows (12 users and padding), {sizes[1]} rows (15 items and padding) and one width.",
        "Return the rows of all self.n_users users and self.n_items items, row 0 (padding) among them.",
    )
    losses = model.calculate_loss(triples(data))
    require(
        all(torch.isfinite(loss).all() for loss in losses),
        f"calculate_loss() gives {[loss.detach().tolist() for loss in losses]}.",
        "A loss that is not finite ends a run as failed.",
        "Look for a division by zero (isolated nodes), a log of 0 or an overflow; divide by max(degree, 1).",
    )


def scores_have_the_right_shape(name: str) -> None:
    """One score for every item, and single pairs get the same score."""
    data = random_data()
    model, interaction = build(name, data, **small(name)), triples(data)
    two = model.score_users(torch.tensor([1, 2]))
    flat = model.full_sort_predict(interaction)
    require(
        two.shape == (2, data.n_items + 1) and flat.shape == (16 * (data.n_items + 1),),
        f"score_users() of 2 users has the shape {list(two.shape)}, full_sort_predict() of 16 {list(flat.shape)}.",
        "The evaluator takes one score for every item with padding in column 0; another column is another item.",
        "Leave both to the base class, or return [len(users), self.n_items] and its flat form.",
    )
    pairs = model.predict(interaction)
    full = model.score_users(interaction["user_id"])[torch.arange(16), interaction["item_id"]]
    require(
        pairs.shape == full.shape and torch.allclose(pairs, full, rtol=1.3e-6, atol=1e-5),
        "predict() of a pair differs from that pair's score in score_users().",
        "Then the model that is ranked is not the one that is asked for single pairs.",
        "Compute both from the same vectors, or leave both to the base class.",
    )


def only_controls_have_nothing_to_train(name: str) -> None:
    """A card says control exactly where there are no parameters."""
    model = build(name, random_data())
    facts = (isinstance(model, Control), is_control(name), not list(model.parameters()))
    require(
        len(set(facts)) == 1,
        f"The model derives from Control: {facts[0]}; its card says control: {facts[1]}; it has nothing to train: "
        f"{facts[2]}.",
        "Controls are fitted once and take no step, so all three must agree.",
        "Derive from models._control.Control and use control_card, or register what is trained as nn.Parameter.",
    )


def controls_have_one_epoch(name: str) -> None:
    """A control has no loss and no vectors, and its training is one epoch that changes nothing."""
    data = random_data()
    model = build(name, data)
    for ask in (lambda: model.calculate_loss(triples(data)), model.embed):
        said = ""
        try:
            ask()
        except NotImplementedError as refusal:
            said = str(refusal)
        require(
            model.CARD.title in said,
            "The control answers to calculate_loss() or embed().",
            "It has no loss and no vectors, and whoever asks for them must be told so.",
            "Leave both to the base class Control.",
        )
    before = {key: value.clone() for key, value in model.state_dict().items()}
    told: list[EpochFacts] = []
    evaluator, sampler = Evaluator(data, Protocol(), CPU), TripleSampler(data.split.train, CPU)
    result = train(model, sampler, lambda: evaluator.valid(model).metrics.values, SETTINGS, told.append)
    one_epoch = (
        result.best_epoch == len(result.curve) == 1
        and result.curve == told
        and result.curve[0].loss is None
        and result.curve[0].valid[SETTINGS.selection_metric] == result.best_score
    )
    unchanged = result.best_state.keys() == before.keys() and all(
        torch.equal(value, before[key]) for key, value in result.best_state.items()
    )
    require(
        one_epoch and before and unchanged,
        "The control's training is not one epoch that leaves its state as fit() made it.",
        "What fit() found must be buffers, so that a checkpoint gives the same scores.",
        "Register results of fit() by self.keep(name=tensor), and change nothing afterwards.",
    )


def losses_are_finite_and_two(name: str) -> None:
    """The loss is a pair: ranking loss and weighted regularisation, to be summed."""
    data = random_data()
    losses = build(name, data, **small(name)).calculate_loss(triples(data))
    require(
        isinstance(losses, tuple) and len(losses) == 2 and total(losses).requires_grad,
        f"calculate_loss() returns {type(losses).__name__} of {len(losses) if isinstance(losses, tuple) else 1}.",
        "The training loop sums two terms, the ranking loss and the weighted regularisation.",
        "Return both, and zero (loss.new_zeros(())) where there is nothing to regularise.",
    )
