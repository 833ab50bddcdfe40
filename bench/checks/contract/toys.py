"""What contract checks build on: the error that they raise, small data sets, and models built on them. Pure."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.core.errors import BenchError
from bench.core.hashing import hash_array, hash_value
from bench.core.protocol import Protocol
from bench.core.types import BenchmarkData, Interactions, Modality, Split
from bench.engine import registry
from bench.engine.evaluate import Evaluator
from bench.engine.recbole import TrainingView, batch, model_config
from bench.engine.sampling import TripleSampler
from bench.engine.trainer import TrainSettings, train
from bench.runs.controls import is_control

CPU = torch.device("cpu")
SETTINGS = TrainSettings(max_epochs=2, patience=5, triples_seed=3, model_seed=4)


class ContractError(BenchError):
    """A model breaks a rule of the contract.

    Attributes:
        finding: what the check found.
        reason: why that matters.
        fix: what to do about it.
    """

    exit_code = 1

    def __init__(self, finding: str, reason: str, fix: str) -> None:
        self.finding, self.reason, self.fix = finding, reason, fix
        super().__init__(f"{finding} {reason} {fix}")


def require(condition: object, finding: str, reason: str, fix: str) -> None:
    """Check a condition.

    Raises:
        ContractError: the condition is false.
    """
    if not condition:
        raise ContractError(finding, reason, fix)


def pairs(edges: list[tuple[int, int]], n_users: int, n_items: int) -> Interactions:
    """Make interactions from (user, item) pairs."""
    array = np.array(edges, dtype=np.int64).reshape(-1, 2)
    return Interactions.from_pairs(array[:, 0], array[:, 1], n_users, n_items)


def modality(name: str, rows: Any, present: Any = None) -> Modality:
    """Make item content from rows; items with a zero row lack it, unless `present` is given."""
    matrix = np.asarray(rows, dtype=np.float32)
    has = np.abs(matrix).sum(1) > 0 if present is None else np.asarray(present, dtype=bool)
    return Modality(name, matrix * has[:, None], has, hash_array(matrix), "test")


def data_of(train: Interactions, valid: Interactions, test: Interactions, *modalities: Modality) -> BenchmarkData:
    """Make a data set from its parts."""
    split_hash = hash_value([hash_array(part.keys) for part in (train, valid, test)])
    return BenchmarkData(
        name="toy",
        source="surrogate",
        origin="made for a test",
        split=Split("random", train, valid, test),
        modalities=modalities,
        data_hash=hash_value([split_hash, *[m.fingerprint for m in modalities]]),
        split_hash=split_hash,
        scale=1.0,
    )


def random_data(
    seed: int = 0,
    n_users: int = 12,
    n_items: int = 15,
    dims: tuple[int, ...] = (5, 4, 3),
    per_user: int = 6,
    absent: bool = False,
) -> BenchmarkData:
    """Make a small random data set with `per_user` items per user, one for validation and one for test."""
    rng = np.random.default_rng(seed)
    chosen = [rng.choice(n_items, per_user, replace=False) for _ in range(n_users)]
    parts: list[list[tuple[int, int]]] = [[], [], []]
    for user, items in enumerate(chosen):
        parts[1].append((user, int(items[0])))
        parts[2].append((user, int(items[1])))
        parts[0] += [(user, int(item)) for item in items[2:]]
    content = []
    for name, dim in zip(("visual", "acoustic", "textual"), dims, strict=False):
        has = np.ones(n_items, dtype=bool)
        if absent:
            has[rng.choice(n_items, 3, replace=False)] = False
            has[0] = False  # item 0 has no modality at all
        content.append(modality(name, rng.normal(size=(n_items, dim)), has))
    train_part, valid, test = (pairs(part, n_users, n_items) for part in parts)
    return data_of(train_part, valid, test, *content)


def build_model(name: str, data: BenchmarkData, seed: int = 1, **overrides: Any) -> Any:
    """Build a model of the registry on a data set, in the current default floating type and evaluation mode."""
    entry = registry.load(name)
    params = entry.params(data.name, overrides=overrides)
    torch.manual_seed(seed)
    return entry.model_class(model_config(params), TrainingView(data)).eval()


def fit(name: str, data: BenchmarkData, **overrides: Any) -> Any:
    """Train a small model for two epochs."""
    model = build_model(name, data, **small(name), **overrides)
    evaluator, sampler = Evaluator(data, Protocol(), CPU), TripleSampler(data.split.train, CPU)
    train(model, sampler, lambda: evaluator.valid(model).metrics.values, SETTINGS)
    return model.eval()


def scores(model: Any) -> Tensor:
    """Return the scores of all real users and items, `[n_users, n_items]`."""
    table: Tensor = model.score_users(torch.arange(1, model.n_users))[:, 1:]
    return table


def total(losses: tuple[Tensor, ...]) -> Tensor:
    """Return the sum of the losses, which training minimises."""
    return torch.stack([loss.reshape(()) for loss in losses]).sum()


def triples(data: BenchmarkData, n: int = 16, seed: int = 0) -> dict[str, Tensor]:
    """Draw a training batch in RecBole's ids."""
    rng = np.random.default_rng(seed)
    part = data.split.train
    at = rng.integers(0, len(part), n)
    negatives = []
    for user in part.users[at]:
        own = set(part.items[part.users == user].tolist())
        negatives.append(int(rng.choice([i for i in range(data.n_items) if i not in own])))
    return batch(*[torch.as_tensor(np.asarray(ids) + 1) for ids in (part.users[at], part.items[at], negatives)])


def small(name: str) -> dict[str, Any]:
    """Return parameters for small data: narrow tables, or neighbour lists longer than the number of items."""
    # with lists that are never cut off, no tie at the end of a list can change scores
    values = {"knn_k": 100} if is_control(name) else {"embedding_size": 8}
    return {
        key: value for key, value in values.items() if key in registry.load(name).model_class.Params.model_fields
    }


@contextlib.contextmanager
def float64() -> Iterator[None]:
    """Make models that are built in the body compute in double precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
