"""Layer 2. Ranking metrics: small pure functions on numpy arrays, one value a user, never rounded.

Conventions are those of `bench.protocol`: Recall divides by the number of held-out items, the ideal DCG is
over min(held-out, K) items, relevance is binary (LUDP Eqs. 16-18).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.protocol import metric_key
from bench.types import BoolArray, IntArray, Interactions, TopK

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
