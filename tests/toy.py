"""Small data sets and quick ways to build a model, shared by the tests; most are the contract suite's."""

from __future__ import annotations

from typing import Any

import torch

from bench.checks.contract.toys import (
    build_model,
    data_of,
    modality,
    pairs,
    random_data,
    scores,
    small,
    triples,
)
from bench.core.types import BenchmarkData
from bench.engine import registry
from bench.runs.controls import is_control

__all__ = [
    "build_model",
    "data_of",
    "is_control",
    "modality",
    "pairs",
    "random_data",
    "scores",
    "small",
    "triples",
]

GOLDEN_EDGES = [(0, 0), (0, 1), (1, 1), (1, 2)]
GOLDEN_USERS = [[1.0, 0.0], [0.0, 1.0]]
GOLDEN_ITEMS = [[1.0, 1.0], [2.0, 0.0], [0.0, 2.0]]
GOLDEN_VISUAL = [[1.0, 0.0], [2.0, 1.0], [0.0, 1.0]]
GOLDEN_ACOUSTIC = [[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [1.0, 0.0, 1.0]]


def golden() -> BenchmarkData:
    """Two users, three items, four edges: the toy with known values."""
    train = pairs(GOLDEN_EDGES, 2, 3)
    held = pairs([(0, 2), (1, 0)], 2, 3)
    return data_of(train, held, held, modality("visual", GOLDEN_VISUAL), modality("acoustic", GOLDEN_ACOUSTIC))


def set_rows(table: torch.nn.Embedding, rows: Any) -> None:
    """Fill an id table from rows without padding; the padding row becomes zero."""
    with torch.no_grad():
        table.weight.zero_()
        table.weight[1:] = torch.as_tensor(rows, dtype=table.weight.dtype)


def trained() -> list[str]:
    """Names of the models that are trained."""
    return [name for name in registry.names() if not is_control(name)]


def controls() -> list[str]:
    """Names of the controls."""
    return [name for name in registry.names() if is_control(name)]
