"""The training loop: selection, early stop, failures, random state."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import toy

from bench.core.types import EpochFacts
from bench.engine.recbole import batches
from bench.engine.sampling import TripleSampler
from bench.engine.trainer import NotFiniteError, TrainSettings, train

DATA = toy.random_data()
CPU = torch.device("cpu")


def settings(max_epochs: int = 30, patience: int = 3) -> TrainSettings:
    return TrainSettings(max_epochs=max_epochs, patience=patience, triples_seed=1, model_seed=2)


def run(scores: list[float], model: Any = None, **bounds: int) -> Any:
    """Train with a scripted validation score per epoch; the states of all epochs are kept beside the result."""
    model = model or toy.build_model("mf", DATA, embedding_size=4)
    script, states = iter(scores), []

    def validate() -> dict[str, float]:
        states.append({key: value.clone() for key, value in model.state_dict().items()})
        return {"recall@20": next(script)}

    result = train(model, TripleSampler(DATA.split.train, CPU), validate, settings(**bounds))
    return result, states


def test_stops_after_patience_epochs_without_a_better_score() -> None:
    result, _ = run([0.1, 0.3, 0.2, 0.3, 0.1, 0.9], patience=3)
    assert [epoch.epoch for epoch in result.curve] == [1, 2, 3, 4, 5]
    assert result.best_epoch == 2


def test_a_tie_is_not_better() -> None:
    result, _ = run([0.3, 0.3, 0.3, 0.3, 0.3], patience=3)
    assert result.best_epoch == 1
    assert len(result.curve) == 4


def test_a_better_score_restarts_the_patience() -> None:
    result, _ = run([0.1, 0.1, 0.1, 0.2, 0.1, 0.1, 0.1], patience=3)
    assert result.best_epoch == 4
    assert len(result.curve) == 7


def test_max_epochs_is_a_bound() -> None:
    result, _ = run([0.1, 0.2, 0.3], max_epochs=3)
    assert result.best_epoch == len(result.curve) == 3


def test_the_best_epochs_parameters_are_returned() -> None:
    result, states = run([0.1, 0.3, 0.2, 0.1, 0.0], patience=3)
    for name, tensor in result.best_state.items():
        assert torch.equal(tensor, states[1][name])
        assert not torch.equal(tensor, states[-1][name])


def test_scores_that_differ_beyond_any_rounding_decide() -> None:
    result, _ = run([0.1, 0.1 + 1e-12, 0.1], max_epochs=3)
    assert result.best_epoch == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_ends_the_run_with_epoch_and_step(value: float) -> None:
    model = toy.build_model("mf", DATA, embedding_size=4, train_batch_size=16)
    n_steps = -(-len(DATA.split.train) // 16)
    inner, calls = model.calculate_loss, []

    def broken(interaction: Any) -> Any:
        calls.append(1)
        bpr, regularisation = inner(interaction)
        return bpr * (value if len(calls) == n_steps + 2 else 1.0), regularisation

    model.calculate_loss = broken
    with pytest.raises(NotFiniteError) as caught:
        run([0.1, 0.2], model)
    assert (caught.value.epoch, caught.value.step) == (2, 2)
    assert "learning_rate" in str(caught.value)


def test_training_neither_reads_nor_moves_the_global_random_state() -> None:
    states = []
    for seed in (10, 20):
        model = toy.build_model("ludp", DATA, embedding_size=4)
        torch.manual_seed(seed)
        before = torch.random.get_rng_state()
        result, _ = run([0.1, 0.2], model, max_epochs=2)
        assert torch.equal(before, torch.random.get_rng_state())
        states.append(result.best_state)
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_listener_is_told_of_every_epoch() -> None:
    told: list[EpochFacts] = []
    model = toy.build_model("mf", DATA, embedding_size=4)
    train(model, TripleSampler(DATA.split.train, CPU), lambda: {"recall@20": 0.0}, settings(2), told.append)
    assert [facts.epoch for facts in told] == [1, 2]
    assert all(facts.loss > 0 for facts in told)


def test_loss_falls_on_average() -> None:
    model = toy.build_model("lightgcn", DATA, embedding_size=8, learning_rate=0.01)
    result, _ = run([0.0] * 30, model, max_epochs=30, patience=30)
    losses = [epoch.loss for epoch in result.curve]
    thirds = [sum(losses[start : start + 10]) for start in (0, 10, 20)]
    assert thirds[0] > thirds[1] > thirds[2]


@pytest.mark.parametrize(("decay", "over"), [(1.0, 50), (0.96, 50), (0.5, 2)])
def test_the_step_size_shrinks_from_epoch_to_epoch_as_torchs_schedule_does(decay: float, over: int) -> None:
    def built() -> Any:
        switches = {"lr_decay": decay, "lr_decay_epochs": over, "train_batch_size": 16, "learning_rate": 0.01}
        return toy.build_model("lattice", toy.random_data(absent=True), embedding_size=8, **switches)

    data, model, other = toy.random_data(absent=True), built(), built()
    sampler = TripleSampler(data.split.train, CPU)
    curve = train(model, sampler, lambda: {"recall@10": 0.5, "recall@20": 0.5}, settings(4, 9)).curve
    optimizer = torch.optim.Adam(other.parameters(), lr=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: decay ** (epoch / over))
    generator, losses = torch.Generator().manual_seed(1), []
    for _ in range(4):
        other.train()
        losses.append([])
        for batch in batches(sampler.epoch(generator), 16):
            optimizer.zero_grad()
            loss = sum(other.calculate_loss(batch))
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.detach().double())
        schedule.step()
        other.eval()
    assert [facts.loss for facts in curve] == [float(torch.stack(some).mean()) for some in losses]
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name
