"""Small data sets and quick ways to build a model, shared by the tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from bench import registry
from bench.digest import hash_array, hash_value
from bench.recbole_bridge import TrainingView, batch, model_config
from bench.types import BenchmarkData, Interactions, Modality, Split

GOLDEN_EDGES = [(0, 0), (0, 1), (1, 1), (1, 2)]
GOLDEN_USERS = [[1.0, 0.0], [0.0, 1.0]]
GOLDEN_ITEMS = [[1.0, 1.0], [2.0, 0.0], [0.0, 2.0]]
GOLDEN_VISUAL = [[1.0, 0.0], [2.0, 1.0], [0.0, 1.0]]
GOLDEN_ACOUSTIC = [[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [1.0, 0.0, 1.0]]


def pairs(edges: list[tuple[int, int]], n_users: int, n_items: int) -> Interactions:
    array = np.array(edges, dtype=np.int64).reshape(-1, 2)
    return Interactions.from_pairs(array[:, 0], array[:, 1], n_users, n_items)


def modality(name: str, rows: Any, present: Any = None) -> Modality:
    matrix = np.asarray(rows, dtype=np.float32)
    has = np.abs(matrix).sum(1) > 0 if present is None else np.asarray(present, dtype=bool)
    return Modality(name, matrix * has[:, None], has, hash_array(matrix), "test")


def data_of(train: Interactions, valid: Interactions, test: Interactions, *modalities: Modality) -> BenchmarkData:
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


def golden() -> BenchmarkData:
    """Two users, three items, four edges: the toy with known values."""
    train = pairs(GOLDEN_EDGES, 2, 3)
    held = pairs([(0, 2), (1, 0)], 2, 3)
    return data_of(train, held, held, modality("visual", GOLDEN_VISUAL), modality("acoustic", GOLDEN_ACOUSTIC))


def random_data(
    seed: int = 0,
    n_users: int = 12,
    n_items: int = 15,
    dims: tuple[int, ...] = (5, 4, 3),
    per_user: int = 6,
    absent: bool = False,
) -> BenchmarkData:
    """A random small data set: `per_user` items each, one for validation and one for test."""
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
    return data_of(*[pairs(part, n_users, n_items) for part in parts], *content)


def build(name: str, data: BenchmarkData, seed: int = 1, **overrides: Any) -> Any:
    """A model of the registry on a data set, in the current default floating type, in evaluation mode."""
    entry = registry.load(name)
    params = entry.params(data.name, overrides=overrides)
    torch.manual_seed(seed)
    return entry.model_class(model_config(params), TrainingView(data)).eval()


def set_rows(table: torch.nn.Embedding, rows: Any) -> None:
    """Fill an id table from rows without padding; the padding row becomes zero."""
    with torch.no_grad():
        table.weight.zero_()
        table.weight[1:] = torch.as_tensor(rows, dtype=table.weight.dtype)


def scores(model: Any) -> torch.Tensor:
    """Scores of all real users and items, `[n_users, n_items]`."""
    return model.score_users(torch.arange(1, model.n_users))[:, 1:]


def triples(data: BenchmarkData, n: int = 16, seed: int = 0) -> dict[str, torch.Tensor]:
    """A training batch in RecBole's ids."""
    rng = np.random.default_rng(seed)
    train = data.split.train
    at = rng.integers(0, len(train), n)
    negatives = []
    for user in train.users[at]:
        own = set(train.items[train.users == user].tolist())
        negatives.append(int(rng.choice([i for i in range(data.n_items) if i not in own])))
    return batch(*[torch.as_tensor(np.asarray(ids) + 1) for ids in (train.users[at], train.items[at], negatives)])


def is_control(name: str) -> bool:
    """Whether a model is fitted when it is built, and has nothing to train."""
    return registry.load(name).card.family == "control"


def trained() -> list[str]:
    """Names of the models that are trained."""
    return [name for name in registry.names() if not is_control(name)]


def controls() -> list[str]:
    """Names of the controls."""
    return [name for name in registry.names() if is_control(name)]


def small(name: str) -> dict[str, Any]:
    """Parameters for small data: narrow tables, or lists that nothing is cut from, so that no tie is at a cut."""
    wanted = {"knn_k": 100} if is_control(name) else {"embedding_size": 8}
    return {
        key: value for key, value in wanted.items() if key in registry.load(name).model_class.Params.model_fields
    }
