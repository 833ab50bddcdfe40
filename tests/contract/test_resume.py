"""A training that is stopped after an epoch and taken up anew ends with the same bits, whatever the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy

from bench.core.protocol import Protocol
from bench.engine.evaluate import Evaluation, Evaluator
from bench.engine.sampling import TripleSampler
from bench.engine.trainer import TrainingState, TrainResult, TrainSettings, train
from bench.runs.checkpoint import Checkpoint
from bench.runs.plan import make_plan
from bench.runs.records import DataFacts, RunRecord
from bench.runs.runner import blank_record

DATA = toy.random_data(absent=True)
CUDA = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"))
N_EPOCHS = 6
TRAINED = toy.trained()
CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in TRAINED),
    ("ngcf", {"message_dropout": 0.2, "node_dropout": 0.2}),
    ("lattice", {"lattice_graph_grad": "every_step"}),
    ("lattice", {"lattice_cf": "ngcf", "message_dropout": 0.2}),
    ("lattice", {"lr_decay": 0.5, "lr_decay_epochs": 2}),
    ("ludp", {"feat_trainable": True, "item_graph_refresh": "epoch"}),
    ("ludp", {"fusion": "concat_fc", "final_combine": "concat"}),
]


class Killed(BaseException):
    """The end of a process."""


def blank(device: torch.device) -> RunRecord:
    (spec,) = make_plan(["toy"], ["mf"], 1, N_EPOCHS, 2023, {})
    return blank_record(spec, "0123456789abcdef", DataFacts.of(DATA), "code", Protocol(), "a test", device)


def one_process(
    name: str, overrides: dict[str, Any], device: torch.device, folder: Path, last: int | None
) -> tuple[Any, TrainResult, Evaluation]:
    """Model, result and test evaluation; killed when the last of its epochs is kept, if there is one."""
    model = toy.build_model(name, DATA, train_batch_size=16, learning_rate=0.02, **overrides).to(device)
    evaluator = Evaluator(DATA, Protocol(), device)
    checkpoint = Checkpoint(folder, blank(device), 1, pytest.fail)
    checkpoint.load()

    def keep(state: TrainingState) -> None:
        checkpoint.keep(state)
        if len(state.result.curve) == last:
            raise Killed

    settings = TrainSettings(max_epochs=N_EPOCHS, patience=4, triples_seed=1, model_seed=2)
    sampler = TripleSampler(DATA.split.train, device)
    result = train(
        model, sampler, lambda: evaluator.valid(model).metrics.values, settings, resume=checkpoint.state, keep=keep
    )
    after = {key: value.clone() for key, value in model.state_dict().items()}
    model.load_state_dict(result.best_state)
    return after, result, evaluator.test(model.eval())


def scores_without_time(result: TrainResult) -> list[tuple[Any, ...]]:
    return [(facts.epoch, facts.loss, facts.valid) for facts in result.curve]


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize(("name", "overrides"), CASES, ids=lambda value: value if isinstance(value, str) else None)
def test_resumed_training_has_the_bits_of_an_undisturbed_one(
    name: str, overrides: dict[str, Any], device: str, tmp_path: Path
) -> None:
    arguments = name, overrides, torch.device(device)
    after, whole, test = one_process(*arguments, tmp_path / "whole", None)
    n_epochs = len(whole.curve)
    assert n_epochs > 3
    # after the last one, there is nothing left to train
    for last in (1, 3, n_epochs) if (name, overrides) == CASES[0] else (2, n_epochs):
        folder = tmp_path / str(last)
        with pytest.raises(Killed):
            one_process(*arguments, folder, last)
        torch.manual_seed(last)
        again, resumed, test_again = one_process(*arguments, folder, None)
        assert (resumed.best_epoch, resumed.best_score) == (whole.best_epoch, whole.best_score)
        assert scores_without_time(resumed) == scores_without_time(whole)
        for one, two in ((after, again), (whole.best_state, resumed.best_state)):
            assert one.keys() == two.keys()
            assert all(torch.equal(one[key], two[key]) for key in one)
        assert test_again.metrics == test.metrics
        np.testing.assert_array_equal(test_again.topk.items, test.topk.items)
