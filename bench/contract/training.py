"""Layer 7. Whether a model learns what it should, from what it should, and the same way each time. Pure."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.contract.problem import require
from bench.contract.toys import CPU, build, fit, float64, is_control, random_data, scores, small, total, triples
from bench.errors import listed
from bench.evaluate import Evaluator
from bench.protocol import Protocol
from bench.recbole_bridge import batches
from bench.sampling import TripleSampler
from bench.train import TrainSettings, train
from bench.training_state import TrainingState, TrainResult


def every_parameter_moves(name: str) -> None:
    """An epoch moves every parameter, and nothing that is trained is outside the parameters."""
    # an item without content gives VBPR's projection bias, which cancels otherwise, a gradient of its own
    data = random_data(absent=True)
    model = build(name, data, **small(name)).train()
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for batch in batches(TripleSampler(data.split.train, CPU).epoch(torch.Generator()), 16):
        optimizer.zero_grad()
        total(model.calculate_loss(batch)).backward()
        optimizer.step()
    still = [key for key, value in model.named_parameters() if torch.equal(value, before[key])]
    require(
        not still,
        f"An epoch never moved the parameters {listed(still)}.",
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
        f"The tensors {listed(outside)} want a gradient and are no parameters.",
        "The optimiser does not know them, so nobody trains them, and a checkpoint leaves them out.",
        "Assign them as nn.Parameter, or detach() tables that are only kept.",
    )


def batch_path_equals_all_nodes(name: str) -> None:
    """`embed_batch` gives the rows of `embed`."""
    data = random_data()
    with float64():
        model = build(name, data, **small(name)).eval()
        interaction = triples(data, n=30)
        ids = (interaction["user_id"], interaction["item_id"], interaction["neg_item_id"])
        users, items = model.embed()
        found = model.embed_batch(*ids)
    expected = (users[ids[0]], items[ids[1]], items[ids[2]])
    wrong = [
        what
        for what, rows, wanted in zip(("users", "positives", "negatives"), found, expected, strict=True)
        if rows.shape != wanted.shape or not torch.allclose(rows, wanted, rtol=1e-12, atol=1e-12)
    ]
    require(
        not wrong,
        f"embed_batch() gives other vectors than embed() for the {listed(wrong)} of a batch.",
        "Then the model is trained on vectors that it is not ranked by.",
        "Leave out embed_batch() and embed_with_ego(): the base class takes rows of embed().",
    )


def scores_follow_the_last_step(name: str) -> None:
    """Scores are computed after a step, from its parameters."""
    data = random_data()
    model = build(name, data, **small(name))
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
        "Drop out or sample only if self.training, and keep no tables of the training pass for scoring.",
    )
    require(
        not torch.equal(before, scores(model)),
        "Scores after an optimiser step are those from before it.",
        "They come from a stale cache: every validation is one step, or a whole training, late.",
        "Compute embed() from the parameters each time; the base class caches final tables and drops them.",
    )


def short_batch_is_normalised(name: str) -> None:
    """The loss of a batch does not grow with its size."""
    data = random_data()
    with float64():
        model = build(name, data, **small(name), reg_weight=0.5).eval()
        one = {key: ids[:1] for key, ids in triples(data).items()}
        twice = {key: ids.repeat(2) for key, ids in one.items()}
        losses = total(model.calculate_loss(one)), total(model.calculate_loss(twice))
    require(
        torch.allclose(*losses, rtol=1e-7, atol=1e-7),
        f"The loss of a triple is {losses[0].item():.6g}, and of the same triple twice {losses[1].item():.6g}.",
        "A term is a sum over the batch or divided by a fixed size, so a short last batch counts otherwise.",
        "Take means over the batch's own rows, in the regularisation too.",
    )


def same_seed_same_bits(name: str) -> None:
    """Two trainings with the same seed give the same scores, bit for bit."""
    data = random_data()
    require(
        torch.equal(scores(fit(name, data)), scores(fit(name, data))),
        "Two trainings with the same seed give different scores.",
        "No number of this model could be made again: something is drawn from a generator that nobody seeds, "
        "depends on time or memory addresses, or on the order of a set.",
        "Draw with torch only (torch.rand, nn.init), never with numpy's or Python's global generators.",
    )


def another_seed_differs(name: str) -> None:
    """Where something is trained, the seed matters, and elsewhere it does not."""
    data = random_data()
    other = build(name, data, seed=5, **small(name))
    same = torch.equal(scores(fit(name, data)), scores(other))
    require(
        same == is_control(name),
        "Scores depend on the seed of a control." if not same else "Another seed gives the same scores.",
        "Seeds must show how far a number varies: a control has nothing to draw, and a trained model starts anew.",
        "Do not seed torch within the model (no torch.manual_seed), and initialise parameters at random.",
    )


def interrupted_training_goes_on(name: str) -> None:
    """A training that is stopped after an epoch and taken up by a new process ends with the same bits."""
    whole, states = _train(name, None)
    again, _ = _train(name, states[1])
    same = [facts.loss for facts in whole.curve] == [facts.loss for facts in again.curve] and all(
        torch.equal(value, again.best_state[key]) for key, value in whole.best_state.items()
    )
    require(
        same,
        "A training that was interrupted after its second epoch ends with other parameters than one that was not.",
        "The model keeps something from one epoch to the next that its state does not hold: a counter, a cache.",
        "Make it a buffer (self.register_buffer), or make it anew in the first batch of every epoch.",
    )


def _train(name: str, resume: TrainingState | None) -> tuple[TrainResult, list[TrainingState]]:
    """Four epochs and copies of the states in between."""
    data = random_data(absent=True)
    model = build(name, data, **small(name), learning_rate=0.02, train_batch_size=16)
    evaluator, states = Evaluator(data, Protocol(), CPU), list[TrainingState]()
    settings = TrainSettings(max_epochs=4, patience=9, triples_seed=1, model_seed=2)

    def keep(state: TrainingState) -> None:
        best = {key: value.clone() for key, value in state.result.best_state.items()}
        found = state.result
        result = TrainResult(found.best_epoch, found.best_score, best, list(found.curve))
        states.append(TrainingState(result, {key: value.clone() for key, value in state.tensors.items()}))

    sampler = TripleSampler(data.split.train, CPU)
    scored = lambda: evaluator.valid(model).metrics.values  # noqa: E731
    result = train(model, sampler, scored, settings, resume=resume, keep=keep)
    return result, states
