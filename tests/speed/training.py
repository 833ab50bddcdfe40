"""Training steps and epochs of the three sides: ours, plain, and RecBole's own trainer."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from plain import Tables, batch_loss
from torch import Tensor

from bench.core.types import BenchmarkData
from bench.engine import trainer
from bench.engine.recbole import RecBoleSession, batches, recbole_session, shielded
from bench.engine.sampling import TripleSampler
from bench.engine.trainer import Stepper, Triples, adam
from models.base import Recommender
from speed.context import Bench
from speed.measure import Task

Batch = dict[str, Tensor]


def settle(device: torch.device) -> None:
    """Wait for work that was only queued."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def per_step(steps: Callable[[int], None], n: int) -> Task:
    """A task from something that makes n steps, with the seconds of one of them."""

    def task() -> float:
        start = perf_counter()
        steps(n)
        return (perf_counter() - start) / n

    return task


class Ours:
    """A model of ours in training, by the project's own loop or step by step.

    Args:
        model: on its device.
        data: what it is trained on.
        batch_size: training pairs a single step; None takes the model's.
    """

    def __init__(self, model: Recommender, data: BenchmarkData, batch_size: int | None = None) -> None:
        self.model = model.train()
        self.device = model.user_embedding.weight.device
        self.sampler = TripleSampler(data.split.train, self.device)
        self.optimizer = adam(model)
        self.stepper = Stepper(model, self.optimizer)
        self.generator = torch.Generator(self.device).manual_seed(2)
        self.batch_size = batch_size or model.params.train_batch_size
        self.triples = self.sampler.epoch(self.generator)

    def epoch(self) -> None:
        """One epoch, negatives and order included."""
        trainer._train_epoch(self.model, self.sampler, self.stepper, self.generator, 1)
        settle(self.device)

    def steps(self, n: int) -> None:
        """Training steps on triples drawn beforehand, as an epoch of so many makes them."""
        self.stepper.epoch(self.first(n), self.batch_size)
        settle(self.device)

    def first(self, n: int) -> Triples:
        """The triples of the first n batches."""
        users, positives, negatives = (ids[: n * self.batch_size] for ids in self.triples)
        return users, positives, negatives


class Plain(Ours):
    """The same model trained by its plain formulation: same batches, loss and optimiser.

    Args:
        model: whose parameters are trained.
        data: what it is trained on.
        tables: gives the final tables, attached to the model's parameters.
    """

    def __init__(self, model: Recommender, data: BenchmarkData, tables: Callable[[], Tables]) -> None:
        super().__init__(model, data)
        self.tables = tables

    def epoch(self) -> None:
        """One epoch, negatives and order included."""
        self._over(self.sampler.epoch(self.generator))

    def steps(self, n: int) -> None:
        """Training steps on triples drawn beforehand, the same as those of `Ours`."""
        self._over(self.first(n))

    def _over(self, triples: Triples) -> None:
        for batch in batches(triples, self.batch_size):
            self.step(batch)
        settle(self.device)

    def step(self, batch: Batch) -> None:
        """One training step."""
        self.optimizer.zero_grad()
        batch_loss(self.model, self.tables(), batch).backward()
        self.optimizer.step()


@dataclass
class Peer:
    """RecBole's model, loaders and trainer on one data set."""

    session: RecBoleSession
    model: Any
    trainer: Any
    device: torch.device

    def epoch(self) -> None:
        """One epoch by RecBole's trainer over its own loader."""
        self.trainer._train_epoch(self.session.train_data, 0, show_progress=False)
        settle(self.device)

    def stepper(self, n_prepared: int = 8) -> Callable[[int], None]:
        """Training steps of RecBole's model and optimiser on batches of its loader, drawn beforehand."""
        drawn = list(itertools.islice(self.session.train_data, n_prepared))
        prepared = itertools.cycle([interaction.to(self.device) for interaction in drawn])
        self.model.train()

        def steps(n: int) -> None:
            for interaction in itertools.islice(prepared, n):
                self.trainer.optimizer.zero_grad()
                self.model.calculate_loss(interaction).backward()
                self.trainer.optimizer.step()
            settle(self.device)

        return steps


def peer(bench: Bench, name: str, data: BenchmarkData, params: dict[str, Any], **further: Any) -> Peer:
    """RecBole's general recommender of that name, with its own data set, loaders and trainer.

    Args:
        bench: device and scratch folder.
        name: class in `recbole.model.general_recommender`.
        data: the data set.
        params: all its parameters, in RecBole's names.
        further: settings of RecBole.
    """
    from recbole.model import general_recommender

    settings = {"use_gpu": bench.device.type == "cuda", **further}
    session = recbole_session(getattr(general_recommender, name), params, data, bench.folder(), **settings)
    return on_session(bench, session, name)


def on_session(bench: Bench, session: RecBoleSession, name: str) -> Peer:
    """A model of RecBole's on a session that is there; its trainer leaves its logs in a scratch folder."""
    from recbole.model import general_recommender
    from recbole.trainer import Trainer

    with shielded(), contextlib.chdir(bench.folder()):
        torch.manual_seed(1)
        model = getattr(general_recommender, name)(session.config, session.train_data.dataset).to(bench.device)
        trainer = Trainer(session.config, model)
    return Peer(session, model, trainer, bench.device)
