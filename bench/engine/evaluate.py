"""Full-ranking evaluation: from a model's scores to top-K lists and per-user metrics. Writes nothing.

Metrics have one value per user and are never rounded. The conventions are those of `bench.core.protocol`: Recall
divides by the number of held-out items, the ideal DCG is over min(held-out, K) items, and relevance is binary
(LUDP Eqs. 16-18). An evaluator can evaluate the validation part any number of times, and the test part once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol as Structural

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.core.errors import TrainingError
from bench.core.protocol import CUTOFFS, TOPK_DEPTH, Protocol, metric_key
from bench.core.topk import hide, recommend, surely_beaten
from bench.core.types import BenchmarkData, BoolArray, IntArray, Interactions, Metrics, Part, TopK
from bench.engine.recbole import to_recbole, without_padding

Values = NDArray[np.float64]
BLOCK_CELLS = 5_000_000  # 20 MB of scores, which stay in the cache while they are ranked
BLOCK_CELLS_ON_CUDA = 250_000_000  # 1 GB: the host waits for each block, so few large ones are better


def hit_matrix(topk: TopK, held_out: Interactions) -> BoolArray:
    """Return which recommendations are held-out items of their user, `[n, depth]`."""
    keys = topk.users[:, None] * held_out.n_items + topk.items
    places = np.searchsorted(held_out.keys, keys).clip(max=len(held_out) - 1)
    found: BoolArray = (held_out.keys[places] == keys) & (topk.items >= 0)
    return found


def precision(hits: BoolArray, k: int) -> Values:
    """Compute hits among the first k, divided by k (Eq. 16), also for shorter lists. `[n]`."""
    return np.asarray(hits[:, :k].sum(axis=1) / k)


def recall(hits: BoolArray, n_held_out: IntArray, k: int) -> Values:
    """Compute hits among the first k, divided by the number of the user's held-out items (Eq. 17). `[n]`."""
    return np.asarray(hits[:, :k].sum(axis=1) / n_held_out)


def ndcg(hits: BoolArray, n_held_out: IntArray, k: int) -> Values:
    """Compute the DCG of the first k, divided by the DCG of min(held-out, k) leading hits (Eq. 18). `[n]`."""
    gains = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate(([0.0], np.cumsum(gains)))
    dcg = hits[:, :k] @ gains[: hits[:, :k].shape[1]]
    return np.asarray(dcg / ideal[np.minimum(n_held_out, k)])


def per_user(topk: TopK, held_out: Interactions, cutoffs: Sequence[int]) -> dict[str, Values]:
    """Compute every metric at every cut-off for the users of `topk`, keyed like `recall@10`, `[n]` each.

    Raises:
        ValueError: a cut-off is deeper than the stored lists, or a user has no held-out items.
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
    """Return the mean over users of each metric, at full precision."""
    return {key: float(array.mean()) for key, array in values.items()}


class Scorer(Structural):
    """Any object that scores all items for users, in RecBole's ids."""

    def score_users(self, users: Tensor) -> Tensor:
        """Return scores `[len(users), n_items + 1]`, with padding in column 0."""
        ...


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Top-K lists and per-user metrics of one evaluation, with their means."""

    topk: TopK
    per_user: dict[str, NDArray[np.float64]]
    metrics: Metrics


class Evaluator:
    """An evaluator of models on one data set under one protocol.

    Args:
        data: the data set.
        protocol: decides which items are hidden at test.
        device: where scores are ranked.
    """

    def __init__(self, data: BenchmarkData, protocol: Protocol, device: torch.device) -> None:
        self._data = data
        self._device = device
        self._test_done = False
        split = data.split
        seen_at_test = [split.train, split.valid] if protocol.hide_at_test == "train+valid" else [split.train]
        self._hidden = {"valid": _union([split.train]), "test": _union(seen_at_test)}

    def hidden(self, part: Part) -> Interactions:
        """Return the user-item pairs that cannot be recommended when a part is evaluated."""
        return self._hidden[part]

    def valid(self, model: Scorer | TopK) -> Evaluation:
        """Evaluate on the users with validation items; training items are hidden.

        The list of a user whose held-out items are all below its depth is left empty: no metric needs it.
        """
        return self._evaluate(model, "valid")

    def test(self, model: Scorer | TopK) -> Evaluation:
        """Evaluate on the users with test items; the protocol decides which items are hidden.

        Args:
            model: scores all items; or the finished lists of another program, which hold no hidden item.

        Raises:
            RuntimeError: the test part was evaluated before. No decision depends on it, so once is enough.
        """
        if self._test_done:
            raise RuntimeError("the test part was already evaluated; a run evaluates it once")
        self._test_done = True
        return self._evaluate(model, "test")

    def _evaluate(self, model: Scorer | TopK, part: Part) -> Evaluation:
        held_out = self._data.split.part(part)
        if isinstance(model, TopK):
            topk = model
        else:
            topk = rank(model, held_out, self._hidden[part], self._device, hits_only=part == "valid")
        values = per_user(topk, held_out, CUTOFFS)
        facts = Metrics(values=means(values), n_users=len(topk.users), n_skipped=topk.n_skipped)
        return Evaluation(topk, values, facts)


def rank(
    model: Scorer,
    held_out: Interactions,
    hidden: Interactions,
    device: torch.device,
    hits_only: bool = False,
) -> TopK:
    """Return the best `TOPK_DEPTH` items of every user with held-out items.

    Args:
        model: scores all items for a block of users.
        held_out: the users with interactions here are ranked.
        hidden: user-item pairs that cannot be recommended.
        device: where the scores are.
        hits_only: leave the list empty, all -1, where it is sure to hold none of the user's held-out items.

    Raises:
        TrainingError: a score is NaN, which has no place in a ranking.
    """
    users = np.unique(held_out.users)
    block = _block_size(held_out.n_items, BLOCK_CELLS if device.type == "cpu" else BLOCK_CELLS_ON_CUDA)
    lists = []
    with torch.no_grad():
        for start in range(0, len(users), block):
            block_users = users[start : start + block]
            scores = without_padding(model.score_users(to_recbole(block_users).to(device)))
            _check_scores(scores, block_users)
            rows, columns = _cells(hidden, block_users)
            hide(scores, rows.to(device), columns.to(device))
            own = _cells(held_out, block_users) if hits_only else None
            lists.append(_lists(scores, own).cpu().numpy())
    items = np.concatenate(lists) if lists else np.empty((0, TOPK_DEPTH), dtype=np.int64)
    return TopK(users, items, held_out.n_users - len(users))


def _check_scores(scores: Tensor, users: IntArray) -> None:
    # NaN sorts above every number, so that its items would fill the lists and give metrics that look right
    if not scores.sum().isnan():  # NaN + x is NaN; the sum takes a tenth of the time of looking at every score
        return
    odd = torch.isnan(scores)
    if odd.any():
        user = users[int(odd.any(dim=1).nonzero()[0])]
        raise TrainingError(
            f"{int(odd.sum()):,} of {odd.numel():,} scores of a block of users are NaN, the first of user {user} "
            "(counted from 0). A model must score every item with a number: look for a division by zero, a "
            "logarithm or a learning rate that is too high."
        )


def _lists(scores: Tensor, held_out: tuple[Tensor, Tensor] | None) -> Tensor:
    """Return the best items of each row; with cells given, of the rows that may hold one. `[n, TOPK_DEPTH]`."""
    if held_out is None:
        return recommend(scores, TOPK_DEPTH)
    rows, columns = (ids.to(scores.device) for ids in held_out)
    # finding the best items costs as much as the scores; that a user's held-out items are not among them, a tenth
    best = scores.new_full((len(scores),), -torch.inf).scatter_reduce(0, rows, scores[rows, columns], "amax")
    chosen = (~surely_beaten(scores, best, TOPK_DEPTH)).nonzero().squeeze(1)
    lists = chosen.new_full((len(scores), TOPK_DEPTH), -1)
    lists[chosen] = recommend(scores[chosen], TOPK_DEPTH)
    return lists


def _block_size(n_items: int, n_cells: int) -> int:
    """Return the number of users to rank at a time."""
    # a multiple of 64 where possible, as the matrix product otherwise takes a third longer
    n_users = max(1, n_cells // n_items)
    return n_users if n_users < 64 else n_users - n_users % 64


def _cells(pairs: Interactions, users: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Return row (position in `users`) and item of every pair of the given users."""
    starts, counts = pairs.offsets[users], np.diff(pairs.offsets)[users]
    rows = np.repeat(np.arange(len(users)), counts)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return torch.from_numpy(rows), torch.from_numpy(pairs.items[np.repeat(starts, counts) + within])


def _union(parts: list[Interactions]) -> Interactions:
    users = np.concatenate([part.users for part in parts])
    items = np.concatenate([part.items for part in parts])
    return Interactions.from_pairs(users, items, parts[0].n_users, parts[0].n_items)
