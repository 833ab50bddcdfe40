"""Contract checks of a model's form: its files, its tables, scores and losses, and an epoch under RecBole.

Reads the model's files; RecBole's trainer writes its logs into a temporary folder.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.checks.contract.toys import CPU, SETTINGS, build_model, random_data, require, small, total, triples
from bench.core.errors import BenchError, listed
from bench.core.places import shared_folder
from bench.core.protocol import Protocol
from bench.core.types import BenchmarkData, EpochFacts
from bench.engine import registry
from bench.engine.evaluate import Evaluator
from bench.engine.recbole import recbole_session, shielded
from bench.engine.sampling import TripleSampler
from bench.engine.trainer import train
from bench.runs.controls import is_control
from models.control import Control

FIXED_DEVICE = re.compile(r"\.cuda\(|['\"]cuda")


@dataclass(frozen=True)
class RecBoleEpoch:
    """The result of an epoch under RecBole's own trainer.

    Attributes:
        changed: parameters that RecBole's `Config` did not keep as given.
        metrics: names of its validation metrics.
        is_finite: whether all of them are finite.
        moved: whether the model's state changed.
    """

    changed: list[str]
    metrics: set[str]
    is_finite: bool
    moved: bool


def epoch_under_recbole(
    model_class: type, params: Mapping[str, Any], data: BenchmarkData, workdir: Path
) -> RecBoleEpoch:
    """Train a model for one epoch with RecBole's `Trainer`, which writes its logs into `workdir`."""
    from recbole.trainer import Trainer

    session = recbole_session(model_class, params, data, workdir, epochs=1)
    changed = [key for key, value in params.items() if session.config[key] != value]
    with shielded(), contextlib.chdir(workdir):
        model = model_class(session.config, session.train_data.dataset)
        before = {key: value.clone() for key, value in model.state_dict().items()}
        trainer = Trainer(session.config, model)
        _, result = trainer.fit(session.train_data, session.valid_data, saved=False, verbose=False)
    moved = any(not torch.equal(value, before[key]) for key, value in model.state_dict().items())
    return RecBoleEpoch(changed, set(result), bool(np.isfinite(list(result.values())).all()), moved)


def no_fixed_device(name: str) -> None:
    """Check that no file of the model names a device."""
    folder = shared_folder()
    for source in (registry.load(name).path.with_suffix(".py"), *folder.glob("layers/*.py"), folder / "base.py"):
        require(
            not FIXED_DEVICE.search(source.read_text(encoding="utf-8")),
            f"{source} names the device cuda.",
            "The runner chooses the device; a model must run on any.",
            "Create tensors on the device of the given ones: torch.zeros(n, device=users.device).",
        )


def yaml_fits_params(name: str) -> None:
    """Check that the YAML gives values to exactly the declared parameters, and candidates of the right type."""
    entry = registry.load(name)
    given, declared = set(entry.file.defaults), set(entry.model_class.Params.model_fields)
    require(
        given == declared,
        f"'defaults' in {entry.path} and the class Params differ in {listed(sorted(given ^ declared))}.",
        "Every number of a run must be in its record, so parameters have no defaults in code.",
        "Give each field of Params a value under 'defaults', and nothing else.",
    )
    for key, candidates in entry.file.search.items():
        for value in candidates:
            try:
                entry.params("toy", overrides={key: value})
            except BenchError as problem:
                require(
                    False,
                    f"'search.{key}' in {entry.path} has the candidate {value}, which is not valid: {problem}",
                    "Tuning would stop at the first trial with it.",
                    "Give candidates of the type that Params declares.",
                )


def parameters_are_documented(name: str) -> None:
    """Check that every parameter has a docstring."""
    params = registry.load(name).model_class.Params
    undocumented = [
        field
        for field, info in params.model_fields.items()
        if field in params.__annotations__ and not info.description
    ]
    require(
        not undocumented,
        f"The parameters {listed(undocumented)} have no docstring.",
        "A parameter without a description cannot be tuned or compared with a paper.",
        'Write a line below each field of Params: """Number of layers, L.""".',
    )


def trains_under_recbole(name: str) -> None:
    """Check that RecBole's own `Trainer` trains an epoch, with every parameter as it was given."""
    entry = registry.load(name)
    params = entry.params("toy", overrides={"embedding_size": 8, "train_batch_size": 32}).model_dump()
    data = random_data(n_users=20, n_items=30, per_user=8)
    with tempfile.TemporaryDirectory() as folder:
        outcome = epoch_under_recbole(entry.model_class, params, data, Path(folder))
    require(
        not outcome.changed,
        f"RecBole's Config changed {listed(outcome.changed)}.",
        "It evaluates strings and merges YAML files of its own by class name.",
        "Rename the parameter, or give it another type.",
    )
    require(
        outcome.moved and outcome.is_finite and {"recall@10", "precision@10", "ndcg@10"} <= outcome.metrics,
        "An epoch under RecBole's Trainer moves no parameter or ends without finite metrics.",
        "Models must work in RecBole unchanged, so that others can compare them there.",
        "Read batches by self.USER_ID, self.ITEM_ID and self.NEG_ITEM_ID only, and return a tuple of losses.",
    )


def tables_have_the_right_shape(name: str) -> None:
    """Check that the tables have one row per user and item, padding included, and that losses are finite."""
    data = random_data()
    model = build_model(name, data, **small(name))
    users, items = model.embed()
    sizes = (data.n_users + 1, data.n_items + 1)
    require(
        (users.shape[0], items.shape[0]) == sizes and users.shape[1] == items.shape[1],
        f"embed() returns tables of {list(users.shape)} and {list(items.shape)}.",
        "Scores are dot products of a user's row and an item's row. Expected are "
        f"{sizes[0]} rows (12 users and padding), {sizes[1]} rows (15 items and padding) and one width.",
        "Return the rows of all self.n_users users and self.n_items items, row 0 (padding) among them.",
    )
    losses = model.calculate_loss(triples(data))
    require(
        all(torch.isfinite(loss).all() for loss in losses),
        f"calculate_loss() returns {[loss.detach().tolist() for loss in losses]}.",
        "A run fails at a loss that is not finite.",
        "Look for a division by zero (isolated nodes), a log of 0 or an overflow; divide by max(degree, 1).",
    )


def scores_have_the_right_shape(name: str) -> None:
    """Check that every item gets one score, and that single pairs get the same scores."""
    data = random_data()
    model, interaction = build_model(name, data, **small(name)), triples(data)
    two = model.score_users(torch.tensor([1, 2]))
    flat = model.full_sort_predict(interaction)
    require(
        two.shape == (2, data.n_items + 1) and flat.shape == (16 * (data.n_items + 1),),
        f"score_users() of 2 users has the shape {list(two.shape)}, full_sort_predict() of 16 {list(flat.shape)}.",
        "The evaluator expects one score per item with padding in column 0; a shifted column is another item.",
        "Leave both to the base class, or return [len(users), self.n_items] and its flat form.",
    )
    pairs = model.predict(interaction)
    full = model.score_users(interaction["user_id"])[torch.arange(16), interaction["item_id"]]
    require(
        pairs.shape == full.shape and torch.allclose(pairs, full, rtol=1.3e-6, atol=1e-5),
        "predict() of a pair differs from that pair's score in score_users().",
        "Then lists and single pairs are scored by two different models.",
        "Compute both from the same vectors, or leave both to the base class.",
    )


def only_controls_have_nothing_to_train(name: str) -> None:
    """Check that a card says control if and only if the model has no parameters."""
    model = build_model(name, random_data())
    facts = (isinstance(model, Control), is_control(name), not list(model.parameters()))
    require(
        len(set(facts)) == 1,
        f"The model derives from Control: {facts[0]}; its card says control: {facts[1]}; it has nothing to train: "
        f"{facts[2]}.",
        "Controls are fitted once and take no step, so all three must agree.",
        "Derive from models.control.Control and use control_card, or register trained tensors as nn.Parameter.",
    )


def controls_have_one_epoch(name: str) -> None:
    """Check that a control has no loss and no vectors, and that its training is one epoch that changes nothing."""
    data = random_data()
    model = build_model(name, data)
    for call in (lambda: model.calculate_loss(triples(data)), model.embed):
        message = ""
        try:
            call()
        except NotImplementedError as error:
            message = str(error)
        require(
            model.CARD.title in message,
            "The control does not refuse calculate_loss() or embed() with its title in the error.",
            "It has no loss and no vectors, and a caller must get an error that says so.",
            "Leave both to the base class Control.",
        )
    before = {key: value.clone() for key, value in model.state_dict().items()}
    epochs: list[EpochFacts] = []
    evaluator, sampler = Evaluator(data, Protocol(), CPU), TripleSampler(data.split.train, CPU)
    result = train(model, sampler, lambda: evaluator.valid(model).metrics.values, SETTINGS, epochs.append)
    one_epoch = (
        result.best_epoch == len(result.curve) == 1
        and result.curve == epochs
        and result.curve[0].loss is None
        and result.curve[0].valid[SETTINGS.selection_metric] == result.best_score
    )
    unchanged = result.best_state.keys() == before.keys() and all(
        torch.equal(value, before[key]) for key, value in result.best_state.items()
    )
    require(
        one_epoch and before and unchanged,
        "The control's training is not one epoch that leaves its state as fit() made it.",
        "The results of fit() must be buffers, so that a checkpoint gives the same scores.",
        "Register results of fit() by self.keep(name=tensor), and change nothing afterwards.",
    )


def losses_are_finite_and_two(name: str) -> None:
    """Check that the loss is a pair of ranking loss and weighted regularisation, to be summed."""
    data = random_data()
    losses = build_model(name, data, **small(name)).calculate_loss(triples(data))
    require(
        isinstance(losses, tuple) and len(losses) == 2 and total(losses).requires_grad,
        f"calculate_loss() returns {type(losses).__name__} of {len(losses) if isinstance(losses, tuple) else 1}.",
        "The training loop sums two terms, the ranking loss and the weighted regularisation.",
        "Return both, with zero (loss.new_zeros(())) if there is nothing to regularise.",
    )
