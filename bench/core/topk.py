"""Turn scores into ranked lists, deterministic under ties. Pure torch.

`torch.topk` leaves the order of equal values open, so results differ between devices and block sizes. Here the
lower index always wins a tie. Long rows are first reduced to maxima of column groups in vector instructions,
because `torch.topk` visits every entry one by one; only the groups with the k best maxima are then searched.
"""

from __future__ import annotations

import torch
from torch import Tensor

GROUP = 8  # columns per group


def stable_topk(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k best of each row, best first; the lower index wins a tie.

    Args:
        scores: `[n, m]`, without NaN.
        k: how many; at most m are returned.

    Returns:
        Values and indices, `[n, min(k, m)]` each.
    """
    n_columns = scores.shape[1]
    k = min(k, n_columns)
    probe = min(k + 1, n_columns)
    values, indices = largest(scores, probe)  # one more than k shows whether the cut goes through a tie
    cut_ties = values[:, k - 1] == values[:, -1] if probe > k else values.new_zeros(len(values), dtype=torch.bool)
    values, indices = _order(values[:, :k], indices[:, :k])
    tied = cut_ties.nonzero().squeeze(1)
    if len(tied):
        exact_values, exact_indices = torch.sort(scores[tied], dim=1, descending=True, stable=True)
        values[tied], indices[tied] = exact_values[:, :k], exact_indices[:, :k]
    return values, indices


def largest(scores: Tensor, k: int, in_order: bool = True) -> tuple[Tensor, Tensor]:
    """Return the k largest of each row like `torch.topk`; the order of ties, and which are cut off, is arbitrary.

    Columns j, j + m/g, j + 2m/g, ... make a group. Take the k groups with the highest maxima. An entry of any
    other group is at most as high as each of those k maxima, so k largest values are among these groups.

    Args:
        scores: `[n, m]`, without NaN, m >= k.
        k: how many.
        in_order: best first; otherwise in any order.

    Returns:
        Values and indices, `[n, k]` each.
    """
    n_columns = scores.shape[1]
    n_groups = n_columns // GROUP
    if n_groups < 2 * k:
        return torch.topk(scores, k, dim=1, sorted=in_order)
    grouped = n_groups * GROUP
    maxima = scores[:, :grouped].unflatten(1, (GROUP, n_groups)).amax(1)
    groups = largest(maxima, k, in_order=False)[1]
    members = torch.arange(0, grouped, n_groups, device=scores.device).unsqueeze(1)
    rest = torch.arange(grouped, n_columns, device=scores.device).expand(len(scores), -1)
    candidates = torch.cat([(groups.unsqueeze(1) + members).flatten(1), rest], dim=1)
    values, places = torch.topk(scores.gather(1, candidates), k, dim=1, sorted=in_order)
    return values, candidates.gather(1, places)


def surely_beaten(scores: Tensor, best: Tensor, depth: int) -> Tensor:
    """Return which rows have `depth` scores above a given one, `[n]` bool; a few such rows may be missed.

    It counts the groups of columns whose maximum is above, since each holds at least one such score.

    Args:
        scores: `[n, m]`.
        best: a score of each row, `[n]`.
        depth: how many.
    """
    n_groups = scores.shape[1] // GROUP
    maxima = scores[:, : n_groups * GROUP].unflatten(1, (GROUP, n_groups)).amax(1)
    n_above: Tensor = (maxima > best.unsqueeze(1)).sum(1, dtype=torch.int32)
    return n_above.ge(depth)


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
    """Return item ids by rank, `[n, depth]`; -1 where a row has fewer than `depth` items that are not hidden."""
    values, indices = stable_topk(scores, depth)
    indices = indices.masked_fill(values == -torch.inf, -1)
    if indices.shape[1] < depth:
        indices = torch.nn.functional.pad(indices, (0, depth - indices.shape[1]), value=-1)
    return indices
