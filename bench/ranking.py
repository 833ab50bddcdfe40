"""Layer 2. Scores to ranked lists: pure torch, deterministic under ties, touches no model.

`torch.topk` leaves the order of equal values open, so that devices and block sizes disagree. Here equal
scores are ranked by the lower index, always.
"""

from __future__ import annotations

import torch
from torch import Tensor


def stable_topk(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k best of each row, best first, ties to the lowest index.

    Args:
        scores: `[n, m]`, without NaN.
        k: how many; at most m are returned.

    Returns:
        Values and indices, `[n, min(k, m)]` each.
    """
    n_columns = scores.shape[1]
    k = min(k, n_columns)
    probe = min(k + 1, n_columns)
    values, indices = torch.topk(scores, probe, dim=1)
    cut_ties = values[:, k - 1] == values[:, -1] if probe > k else values.new_zeros(len(values), dtype=torch.bool)
    values, indices = _order(values[:, :k], indices[:, :k])
    tied = cut_ties.nonzero().squeeze(1)
    if len(tied):
        exact_values, exact_indices = torch.sort(scores[tied], dim=1, descending=True, stable=True)
        values[tied], indices[tied] = exact_values[:, :k], exact_indices[:, :k]
    return values, indices


def _order(values: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Rank by value, then by index, within the chosen columns."""
    indices, by_index = torch.sort(indices, dim=1)
    values, by_value = torch.sort(values.gather(1, by_index), dim=1, descending=True, stable=True)
    return values, indices.gather(1, by_value)


def hide(scores: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Set `scores[rows, columns]` to minus infinity in place, so that no such cell can be ranked above another.

    Args:
        scores: `[n, m]`.
        rows, columns: cells to hide, `[c]` each.
    """
    scores[rows, columns] = -torch.inf
    return scores


def recommend(scores: Tensor, depth: int) -> Tensor:
    """Item ids by rank, `[n, depth]`; -1 where a row has fewer than `depth` items that are not hidden."""
    values, indices = stable_topk(scores, depth)
    indices = indices.masked_fill(values == -torch.inf, -1)
    if indices.shape[1] < depth:
        indices = torch.nn.functional.pad(indices, (0, depth - indices.shape[1]), value=-1)
    return indices
