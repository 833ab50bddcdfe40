"""Layer 5. Training: Adam on BPR triples, early stop on validation only. Writes nothing.

The same loop for every model: one shuffled epoch of triples, one validation pass, stop after `patience`
epochs without a strictly better validation score. A loss that is not finite ends the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from bench.errors import TrainingError
from bench.protocol import SELECTION_METRIC
from bench.recbole_bridge import batches
from bench.records import EpochFacts
from bench.sampling import TripleSampler
from models.base import Recommender


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
    """

    max_epochs: int
    patience: int
    triples_seed: int
    model_seed: int


@dataclass
class TrainResult:
    """The outcome: the best epoch's parameters and the whole curve."""

    best_epoch: int = 0
    best_score: float = -1.0
    best_state: dict[str, Tensor] = field(default_factory=dict)
    curve: list[EpochFacts] = field(default_factory=list)


def train(
    model: Recommender,
    sampler: TripleSampler,
    validate: Callable[[], dict[str, float]],
    settings: TrainSettings,
    on_epoch: Callable[[EpochFacts], None] = lambda facts: None,
) -> TrainResult:
    """Train to the early stop and return the best epoch.

    Args:
        model: on its device; its parameters are left at the last epoch.
        sampler: training triples on the same device.
        validate: validation metrics of the model as it is.
        settings: bounds and seeds.
        on_epoch: told of every finished epoch.

    Raises:
        NotFiniteError: the loss became NaN or infinite.
    """
    device = sampler.users.device
    optimizer = torch.optim.Adam(model.parameters(), lr=model.params.learning_rate, fused=True)
    generator = torch.Generator(device).manual_seed(settings.triples_seed)
    result = TrainResult()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(settings.model_seed)
        for epoch in range(1, settings.max_epochs + 1):
            start = time.perf_counter()
            loss = _train_epoch(model, sampler, optimizer, generator, epoch)
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
            if scores[SELECTION_METRIC] > result.best_score:
                result.best_epoch, result.best_score = epoch, scores[SELECTION_METRIC]
                result.best_state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            on_epoch(facts)
            if epoch - result.best_epoch >= settings.patience:
                break
    return result


def _train_epoch(
    model: Recommender,
    sampler: TripleSampler,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    epoch: int,
) -> float:
    """One pass over all training pairs; the mean loss of its steps. The losses are read once, at the end."""
    model.train()
    losses = []
    for batch in batches(sampler.epoch(generator), model.params.train_batch_size):
        optimizer.zero_grad()
        bpr, regularisation = model.calculate_loss(batch)
        loss = bpr + regularisation
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    stacked = torch.stack(losses).double()
    broken = (~torch.isfinite(stacked)).nonzero()
    if len(broken):
        step = int(broken[0])
        raise NotFiniteError(epoch, step + 1, float(stacked[step]))
    return float(stacked.mean())
