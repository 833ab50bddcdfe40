"""Layer 5. Training: Adam on BPR triples, early stop on validation only. Writes nothing.

The same loop for every model: one shuffled epoch of triples, one validation pass, stop after `patience` epochs
without a strictly better validation score; an equal one is no improvement. A loss that is not finite ends the run.
A trial of a search also stops where it is below its bounds. After every epoch the state is handed out; a training
that takes it up goes on with the same bits as if it had never stopped.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

import torch

from bench.errors import TrainingError
from bench.protocol import Protocol
from bench.sampling import TripleSampler
from bench.steps import Stepper
from bench.training_state import Training, TrainingState, TrainResult
from bench.types import EpochFacts
from models._control import Control
from models.base import Recommender

Bounds = tuple[tuple[int, float], ...]
MIN_EPOCHS = 20  # no trial is stopped earlier


class NotFiniteError(TrainingError):
    """The training loss became NaN or infinite.

    Attributes:
        epoch, step: where, both counted from 1.
    """

    def __init__(self, epoch: int, step: int, value: float) -> None:
        self.epoch, self.step = epoch, step
        super().__init__(
            f"The training loss became {value} at epoch {epoch}, step {step}. Lower learning_rate, raise "
            f"reg_weight, or look at the features' scale (feat_norm)."
        )


@dataclass(frozen=True)
class TrainSettings:
    """What a training needs besides model and data.

    Attributes:
        max_epochs: upper bound on epochs.
        patience: epochs without a better validation score after which training stops.
        triples_seed: seed of order and negatives.
        model_seed: seed of what the model draws while training (dropout).
        selection_metric: validation metric that chooses the epoch.
        bounds: what a trial of a search must have reached after so many steps, or it is pruned.
    """

    max_epochs: int
    patience: int
    triples_seed: int
    model_seed: int
    selection_metric: str = Protocol().selection_metric
    bounds: Bounds = ()


def train(
    model: Recommender,
    sampler: TripleSampler,
    validate: Callable[[], dict[str, float]],
    settings: TrainSettings,
    on_epoch: Callable[[EpochFacts], None] = lambda facts: None,
    resume: TrainingState | None = None,
    keep: Callable[[TrainingState], None] = lambda state: None,
) -> TrainResult:
    """Train to the early stop and return the best epoch.

    Args:
        model: on its device; its parameters are left at the last epoch.
        sampler: training triples on the same device.
        validate: validation metrics of the model as it is.
        settings: bounds and seeds.
        on_epoch: told of every finished epoch.
        resume: the state to go on from, handed out by a training with the same arguments.
        keep: given the state after every epoch, to be written or copied before it returns.

    Raises:
        NotFiniteError: the loss became NaN or infinite.
        ForeignStateError: `resume` is of another training; the model is as it was.
    """
    if isinstance(model, Control):
        return _fitted(model, validate, settings.selection_metric, on_epoch)
    device = sampler.users.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(settings.model_seed)
        training = Training(model, device, settings.triples_seed)
        if resume is not None:
            training.take_up(resume)
        result, stepper = training.result, Stepper(model, training.optimizer)
        result.steps_per_epoch = -(-sampler.epoch_size // model.params.train_batch_size)
        while not _is_over(result, settings):
            epoch, start = len(result.curve) + 1, time.perf_counter()
            loss = _train_epoch(model, sampler, stepper, training.generator, epoch)
            trained = time.perf_counter()
            model.eval()
            scores = validate()
            facts = EpochFacts(
                epoch=epoch,
                loss=loss,
                train_seconds=trained - start,
                valid_seconds=time.perf_counter() - trained,
                valid=scores,
            )
            result.curve.append(facts)
            score = scores[settings.selection_metric]
            if score > result.best_score:
                result.best_epoch, result.best_score = epoch, score
                result.best_state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            keep(training.state())
            on_epoch(facts)
    return result


def _fitted(
    model: Control,
    validate: Callable[[], dict[str, float]],
    selection_metric: str,
    on_epoch: Callable[[EpochFacts], None],
) -> TrainResult:
    """The result of a control, which was fitted when it was built: one epoch without a step or a loss."""
    start = time.perf_counter()
    model.eval()
    scores = validate()
    seconds = time.perf_counter() - start
    facts = EpochFacts(epoch=1, loss=None, train_seconds=model.fit_seconds, valid_seconds=seconds, valid=scores)
    on_epoch(facts)
    best_state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return TrainResult(best_epoch=1, best_score=scores[selection_metric], best_state=best_state, curve=[facts])


def _is_over(result: TrainResult, settings: TrainSettings) -> bool:
    n_epochs = len(result.curve)
    if n_epochs >= settings.max_epochs or n_epochs - result.best_epoch >= settings.patience:
        return True
    bound = bound_at(settings.bounds, n_epochs, n_epochs * result.steps_per_epoch)
    return bound is not None and result.best_score < bound


def _train_epoch(
    model: Recommender,
    sampler: TripleSampler,
    stepper: Stepper,
    generator: torch.Generator,
    epoch: int,
) -> float:
    """One pass over all training pairs; the mean loss of its steps. The losses are read once, at the end."""
    model.train()
    stepper.begin(epoch)
    stacked = stepper.epoch(sampler.epoch(generator), model.params.train_batch_size).double()
    broken = (~torch.isfinite(stacked)).nonzero()
    if len(broken):
        step = int(broken[0])
        raise NotFiniteError(epoch, step + 1, float(stacked[step]))
    return float(stacked.mean())


def bound_at(bounds: Bounds, epoch: int, steps: int) -> float | None:
    """What a trial must have reached after an epoch; None where it may not be stopped yet.

    Args:
        bounds: the rungs of its `RunSpec`, ascending.
        epoch: counted from 1.
        steps: training steps made so far.
    """
    place = bisect_right(bounds, steps, key=lambda rung: rung[0])
    return bounds[place - 1][1] if place and epoch >= MIN_EPOCHS else None
