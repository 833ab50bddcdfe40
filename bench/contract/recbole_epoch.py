"""Layer 5. An epoch of a model of ours under RecBole's own trainer. Writes into the folder that it is given."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.recbole_bridge import recbole_session, shielded
from bench.types import BenchmarkData


@dataclass(frozen=True)
class RecBoleEpoch:
    """What an epoch under RecBole's own trainer gave.

    Attributes:
        changed: parameters that RecBole's `Config` did not keep as given.
        metrics: names of its validation metrics.
        is_finite: whether all of them are numbers.
        moved: whether the model's state changed.
    """

    changed: list[str]
    metrics: set[str]
    is_finite: bool
    moved: bool


def epoch_under_recbole(
    model_class: type, params: Mapping[str, Any], data: BenchmarkData, workdir: Path
) -> RecBoleEpoch:
    """Train a model for an epoch with RecBole's `Trainer`, which writes its logs into `workdir`."""
    from recbole.trainer import Trainer

    made = recbole_session(model_class, params, data, workdir, epochs=1)
    changed = [key for key, value in params.items() if made.config[key] != value]
    with shielded(), contextlib.chdir(workdir):
        model = model_class(made.config, made.train_data.dataset)
        before = {key: value.clone() for key, value in model.state_dict().items()}
        trainer = Trainer(made.config, model)
        _, result = trainer.fit(made.train_data, made.valid_data, saved=False, verbose=False)
    moved = any(not torch.equal(value, before[key]) for key, value in model.state_dict().items())
    return RecBoleEpoch(changed, set(result), bool(np.isfinite(list(result.values())).all()), moved)
