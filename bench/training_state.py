"""Layer 4. What a training remembers from epoch to epoch, as a value that it can be taken up from. Pure.

Between two epochs that is a model's parameters and buffers, Adam's moments, the random generators, and the result
so far. Whatever else a model keeps must be made anew by the first batch of an epoch, or be a buffer; the contract
suite stops and resumes every model.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from bench.errors import TrainingError
from bench.steps import adam
from bench.types import EpochFacts
from models.base import Recommender

MOMENTS = ("step", "exp_avg", "exp_avg_sq")


class ForeignStateError(TrainingError):
    """A state is not one of this training. Nothing was taken from it."""


@dataclass
class TrainResult:
    """The outcome: the best epoch's parameters, the whole curve, and the training steps of each epoch."""

    best_epoch: int = 0
    best_score: float = -1.0
    best_state: dict[str, Tensor] = field(default_factory=dict)
    curve: list[EpochFacts] = field(default_factory=list)
    steps_per_epoch: int = 0


@dataclass(frozen=True, eq=False)
class TrainingState:
    """A training between two epochs: all that the rest of it depends on.

    Attributes:
        result: the best epoch, its parameters, and the curve so far.
        tensors: parameters, Adam's moments and the random generators under names such as
            `model/user_embedding.weight`. A training hands out the living ones, which its next step changes.
    """

    result: TrainResult
    tensors: dict[str, Tensor]


class Training:
    """A model with what its training remembers.

    Args:
        model: on its device.
        device: where the triples are drawn.
        triples_seed: seed of order and negatives.
    """

    def __init__(self, model: Recommender, device: torch.device, triples_seed: int) -> None:
        self._model, self._device = model, device
        self._first_buffers = dict(model.named_buffers())
        self.optimizer = adam(model)
        self.generator = torch.Generator(device).manual_seed(triples_seed)
        self.result = TrainResult()

    def state(self) -> TrainingState:
        """All of it, by reference."""
        own = self._model.state_dict()
        tensors = _under("model", own)
        for name, buffer in self._model.named_buffers():
            # a buffer outside the model's state is made with the model; here only if an epoch replaced it
            if name not in own and buffer is not self._first_buffers.get(name):
                tensors[f"replaced/{name}"] = buffer
        for name, parameter in self._model.named_parameters():
            tensors |= _under(f"adam/{name}", self.optimizer.state.get(parameter, {}))
        tensors |= {"random/triples": self.generator.get_state(), "random/cpu": torch.get_rng_state()}
        if self._device.type == "cuda":
            tensors["random/cuda"] = torch.cuda.get_rng_state(self._device)
        return TrainingState(self.result, tensors)

    def take_up(self, state: TrainingState) -> None:
        """Go on from a state, which is copied. Sets torch's global generators.

        Raises:
            ForeignStateError: it is of another training.
        """
        self._check(state)
        given = state.tensors
        for name, buffer in _below("replaced", given).items():
            owner, _, leaf = name.rpartition(".")
            setattr(self._model.get_submodule(owner), leaf, self._copy(buffer))
        self._model.load_state_dict(_below("model", given))
        for name, parameter in self._model.named_parameters():
            moments = _below(f"adam/{name}", given)
            if moments:
                self.optimizer.state[parameter] = {key: self._copy(tensor) for key, tensor in moments.items()}
        self.generator.set_state(given["random/triples"])
        torch.set_rng_state(given["random/cpu"])
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(given["random/cuda"], self._device)
        best = {name: self._copy(tensor) for name, tensor in state.result.best_state.items()}
        self.result = replace(state.result, best_state=best, curve=list(state.result.curve))

    def _copy(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._device, copy=True)

    def _check(self, state: TrainingState) -> None:
        """Refuse names, shapes or types that are not those of this training."""
        own, model = self.state().tensors, self._model.state_dict()
        weights = dict(self._model.named_parameters())
        buffers = _under("replaced", dict(self._model.named_buffers()))
        best = _under("best", model) if state.result.best_epoch else {}
        adam = {f"adam/{name}/{key}": weight for name, weight in weights.items() for key in MOMENTS[1:]}
        adam |= {f"adam/{name}/step": torch.zeros(()) for name in weights}
        given = state.tensors | _under("best", state.result.best_state)
        fixed = own | best | adam
        wrong = [
            name
            for name, tensor in given.items()
            if (name not in buffers if name.startswith("replaced/") else not _alike(tensor, fixed.get(name)))
        ]
        missing = [name for name in own | best if name not in given]
        if wrong or missing:
            raise ForeignStateError(_listed("unexpected", wrong) or _listed("missing", missing))


def _alike(one: Tensor, other: Tensor | None) -> bool:
    return other is not None and one.shape == other.shape and one.dtype == other.dtype


def _listed(what: str, names: Iterable[str]) -> str:
    first = next(iter(names), None)
    return "" if first is None else f"{first} is {what}, or of another shape or type"


def _under(room: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{room}/{name}": tensor for name, tensor in tensors.items()}


def _below(room: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    start = f"{room}/"
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
