"""Ranking metrics: small pure functions on numpy arrays, one value a user, never rounded.

Conventions are those of `bench.core.protocol`: Recall divides by the number of held-out items, the ideal DCG is
over min(held-out, K) items, relevance is binary (LUDP Eqs. 16-18).

The one full-ranking evaluator: a model's scores to top-K lists and per-user metrics.

Validation may be asked for any number of times, the test part once per evaluator. Writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol as Structural

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.core.protocol import CUTOFFS, TOPK_DEPTH, Protocol, metric_key
from bench.core.topk import hide, recommend
from bench.core.types import BenchmarkData, BoolArray, IntArray, Interactions, Metrics, Part, TopK
from bench.engine.recbole import to_recbole, without_padding

Values = NDArray[np.float64]


def hit_matrix(topk: TopK, held_out: Interactions) -> BoolArray:
    """Which recommendations are held-out items of their user, `[n, depth]`."""
    keys = topk.users[:, None] * held_out.n_items + topk.items
    places = np.searchsorted(held_out.keys, keys).clip(max=len(held_out) - 1)
    found: BoolArray = (held_out.keys[places] == keys) & (topk.items >= 0)
    return found


def precision(hits: BoolArray, k: int) -> Values:
    """Hits among the first k, divided by k (Eq. 16); a shorter list still divides by k. `[n]`."""
    return np.asarray(hits[:, :k].sum(axis=1) / k)


def recall(hits: BoolArray, n_held_out: IntArray, k: int) -> Values:
    """Hits among the first k, divided by the user's held-out items (Eq. 17). `[n]`."""
    return np.asarray(hits[:, :k].sum(axis=1) / n_held_out)


def ndcg(hits: BoolArray, n_held_out: IntArray, k: int) -> Values:
    """DCG of the first k over the DCG of min(held-out, k) hits in front (Eq. 18). `[n]`."""
    gains = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate(([0.0], np.cumsum(gains)))
    dcg = hits[:, :k] @ gains[: hits[:, :k].shape[1]]
    return np.asarray(dcg / ideal[np.minimum(n_held_out, k)])


def per_user(topk: TopK, held_out: Interactions, cutoffs: Sequence[int]) -> dict[str, Values]:
    """Every metric at every cut-off for the users of `topk`, keyed like `recall@10`, `[n]` each.

    Raises:
        ValueError: a cut-off is deeper than the stored lists, or a user has nothing held out.
    """
    if max(cutoffs) > topk.items.shape[1]:
        raise ValueError(
            f"cut-off {max(cutoffs)} is deeper than the {topk.items.shape[1]} items stored for each user"
        )
    counts = np.diff(held_out.offsets)[topk.users]
    if (counts == 0).any():
        raise ValueError("users without held-out items have no recall; leave them out")
    hits = hit_matrix(topk, held_out)
    values: dict[str, Values] = {}
    for k in cutoffs:
        values[metric_key("precision", k)] = precision(hits, k)
        values[metric_key("recall", k)] = recall(hits, counts, k)
        values[metric_key("ndcg", k)] = ndcg(hits, counts, k)
    return values


def means(values: dict[str, Values]) -> dict[str, float]:
    """Mean over users of each metric, at full precision."""
    return {key: float(array.mean()) for key, array in values.items()}


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
        values = per_user(topk, held_out, CUTOFFS)
        facts = Metrics(values=means(values), n_users=len(topk.users), n_skipped=topk.n_skipped)
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
