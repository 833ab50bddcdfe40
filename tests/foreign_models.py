"""RecBole's models on small data, through our view and our training loop."""

from __future__ import annotations

from typing import Any

import torch
import toy

from bench.core.protocol import Protocol
from bench.core.types import BenchmarkData
from bench.engine.evaluate import Evaluation, Evaluator
from bench.engine.model_file import ModelEntry
from bench.engine.recbole import TrainingView, model_config
from bench.engine.recbole_entries import entry_of_class
from bench.engine.recbole_models import sampler_for
from bench.engine.trainer import TrainingState, TrainResult, TrainSettings, train

DATA = toy.random_data(n_users=60, n_items=40, per_user=8)
CPU = torch.device("cpu")


def built(entry: ModelEntry, seed: int = 1, data: BenchmarkData = DATA, **overrides: Any) -> Any:
    """A model in evaluation mode, with small batches where it has any."""
    small = {"train_batch_size": 64, "embedding_size": 8, "mlp_hidden_size": [16], "learning_rate": 0.01}
    wanted = {key: value for key, value in small.items() if key in entry.model_class.Params.model_fields}
    for needed in {"recbole:NNCF": ["mlp_hidden_size"], "recbole:ConvNCF": ["embedding_size"]}.get(entry.name, ()):
        del wanted[needed]  # these fit the other parameters
    params = entry.params("toy", overrides=wanted | overrides)
    torch.manual_seed(seed)
    return entry.model_class(model_config(params), TrainingView(data)).eval()


def trained(
    name: str, n_epochs: int, resume: TrainingState | None = None
) -> tuple[TrainResult, Evaluation, list[TrainingState]]:
    """Result, test evaluation, and copies of the states after every epoch."""
    model = built(entry_of_class(name))
    evaluator, states = Evaluator(DATA, Protocol(), CPU), list[TrainingState]()
    settings = TrainSettings(max_epochs=n_epochs, patience=9, triples_seed=3, model_seed=4)

    def keep(state: TrainingState) -> None:
        best = {key: value.clone() for key, value in state.result.best_state.items()}
        found = TrainResult(state.result.best_epoch, state.result.best_score, best, list(state.result.curve))
        states.append(TrainingState(found, {key: value.clone() for key, value in state.tensors.items()}))

    sampler = sampler_for(model, DATA.split.train, CPU)
    result = train(
        model, sampler, lambda: evaluator.valid(model).metrics.values, settings, resume=resume, keep=keep
    )
    model.load_state_dict(result.best_state)
    return result, evaluator.test(model.eval()), states
