"""Layer 5. The one full-ranking evaluator: a model's scores to top-K lists and per-user metrics.

Validation may be asked for any number of times, the test part once per evaluator. Writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol as Structural

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench import metrics
from bench.protocol import CUTOFFS, TOPK_DEPTH, Protocol
from bench.ranking import hide, recommend
from bench.recbole_bridge import to_recbole, without_padding
from bench.types import BenchmarkData, Interactions, Metrics, Part, TopK

BLOCK_CELLS = 5_000_000  # 20 MB of scores: in the cache while they are ranked, and in memory that is reused
BLOCK_CELLS_ON_CUDA = 250_000_000  # 1 GB: there the host waits for each block


class Scorer(Structural):
    """Anything that scores all items for users, in RecBole's ids."""

    def score_users(self, users: Tensor) -> Tensor:
        """Scores `[len(users), n_items + 1]`, padding in column 0."""
        ...


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Lists and per-user values of one evaluation, with their means."""

    topk: TopK
    per_user: dict[str, NDArray[np.float64]]
    metrics: Metrics


class Evaluator:
    """Evaluates models on one data set under one protocol.

    Args:
        data: the data set.
        protocol: what is hidden at test.
        device: where scores are ranked.
    """

    def __init__(self, data: BenchmarkData, protocol: Protocol, device: torch.device) -> None:
        self._data = data
        self._device = device
        self._test_done = False
        split = data.split
        seen_at_test = [split.train, split.valid] if protocol.hide_at_test == "train+valid" else [split.train]
        self._hidden = {"valid": _union([split.train]), "test": _union(seen_at_test)}

    def valid(self, model: Scorer) -> Evaluation:
        """Rank for the users with validation items; training items are hidden."""
        return self._evaluate(model, "valid")

    def test(self, model: Scorer) -> Evaluation:
        """Rank for the users with test items; what the protocol says is hidden.

        Raises:
            RuntimeError: the test part was evaluated before; it decides nothing, so once is enough.
        """
        if self._test_done:
            raise RuntimeError("the test part is evaluated once in a run, and it was already")
        self._test_done = True
        return self._evaluate(model, "test")

    def _evaluate(self, model: Scorer, part: Part) -> Evaluation:
        held_out = self._data.split.part(part)
        topk = rank(model, held_out, self._hidden[part], self._device)
        values = metrics.per_user(topk, held_out, CUTOFFS)
        facts = Metrics(values=metrics.means(values), n_users=len(topk.users), n_skipped=topk.n_skipped)
        return Evaluation(topk, values, facts)


def rank(
    model: Scorer, held_out: Interactions, hidden: Interactions, device: torch.device, depth: int = TOPK_DEPTH
) -> TopK:
    """The best `depth` items of every user with held-out items.

    Args:
        model: scores all items for a block of users.
        held_out: whose users are ranked for.
        hidden: cells that cannot be recommended.
        device: where the scores are.
        depth: length of the lists.
    """
    users = np.unique(held_out.users)
    block = _block_users(held_out.n_items, BLOCK_CELLS if device.type == "cpu" else BLOCK_CELLS_ON_CUDA)
    lists = []
    with torch.no_grad():
        for start in range(0, len(users), block):
            some = users[start : start + block]
            scores = without_padding(model.score_users(to_recbole(some).to(device)))
            rows, columns = _cells(hidden, some)
            hide(scores, rows.to(device), columns.to(device))
            lists.append(recommend(scores, depth).cpu().numpy())
    items = np.concatenate(lists) if lists else np.empty((0, depth), dtype=np.int64)
    return TopK(users, items, held_out.n_users - len(users))


def _block_users(n_items: int, n_cells: int) -> int:
    """Users ranked at a time; whole 64s where there is room, or the matrix product takes a third longer."""
    n_users = max(1, n_cells // n_items)
    return n_users if n_users < 64 else n_users - n_users % 64


def _cells(hidden: Interactions, users: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Row (position in `users`) and item of every hidden cell of the given users."""
    starts, counts = hidden.offsets[users], np.diff(hidden.offsets)[users]
    rows = np.repeat(np.arange(len(users)), counts)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return torch.from_numpy(rows), torch.from_numpy(hidden.items[np.repeat(starts, counts) + within])


def _union(parts: list[Interactions]) -> Interactions:
    users = np.concatenate([part.users for part in parts])
    items = np.concatenate([part.items for part in parts])
    return Interactions.from_pairs(users, items, parts[0].n_users, parts[0].n_items)
