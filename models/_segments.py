"""Rows that belong to groups: spread, sum, softmax and attention within them. Pure torch; touches no file.

Spreading (one row a group to one row an entry) and collecting (the sum over a group's entries) are each
other's gradient, and both run over sorted segments, so nothing is scattered atomically and the same input
gives the same bits, whatever the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

DOMINANT = 0.9


@dataclass(frozen=True, eq=False)
class Groups:
    """Which group each of n entries belongs to.

    Attributes:
        index: group of each entry, `[n]` int64.
        order: entries sorted by group, `[n]` int64.
        offsets: where each group starts in `order`, `[n_groups + 1]` int64.
    """

    index: Tensor
    order: Tensor
    offsets: Tensor

    @classmethod
    def by(cls, index: Tensor, n_groups: int) -> Groups:
        """Groups from the group of each entry, `[n]`, in any order."""
        return cls(index, torch.argsort(index, stable=True), _offsets(torch.bincount(index, minlength=n_groups)))

    @classmethod
    def of_sizes(cls, sizes: Tensor) -> Groups:
        """Groups of consecutive entries, from the number of entries of each, `[n_groups]`."""
        index = torch.repeat_interleave(sizes)
        return cls(index, torch.arange(len(index), device=index.device), _offsets(sizes))


def _offsets(sizes: Tensor) -> Tensor:
    return F.pad(torch.cumsum(sizes, 0), (1, 0))


def segments(offsets: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """The entries of chosen groups of a compressed array.

    Args:
        offsets: where each group starts, `[n_groups + 1]`.
        groups: chosen groups, `[b]`.

    Returns:
        Positions of the entries, group after group, `[n]`, and the number of each group's entries, `[b]`.
    """
    starts = offsets[groups]
    sizes = offsets[groups + 1] - starts
    first = torch.cumsum(sizes, 0) - sizes
    positions = torch.arange(int(sizes.sum()), device=offsets.device)
    return positions + torch.repeat_interleave(starts - first, sizes), sizes


class _Spread(torch.autograd.Function):
    """One row a group to one row an entry; the gradient is `_Collect`."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, rows: Tensor, groups: Groups) -> Tensor:
        ctx.groups = groups  # type: ignore[attr-defined]
        return rows.index_select(0, groups.index)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None]:
        return _sums(grads[0].contiguous(), ctx.groups), None  # type: ignore[attr-defined]


class _Collect(torch.autograd.Function):
    """The sum over each group's entries; the gradient is `_Spread`."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, entries: Tensor, groups: Groups) -> Tensor:
        ctx.groups = groups  # type: ignore[attr-defined]
        return _sums(entries.contiguous(), groups)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0].index_select(0, ctx.groups.index), None  # type: ignore[attr-defined]


def _sums(entries: Tensor, groups: Groups) -> Tensor:
    if not len(entries):
        return entries.new_zeros((len(groups.offsets) - 1, entries.shape[1]))
    return F.embedding_bag(groups.order, entries, groups.offsets, mode="sum", include_last_offset=True)


def spread(rows: Tensor, groups: Groups) -> Tensor:
    """Each entry's copy of its group's row: `[n_groups, d]` to `[n, d]`."""
    result: Tensor = _Spread.apply(rows, groups)
    return result


def collect(entries: Tensor, groups: Groups) -> Tensor:
    """The sum of each group's entries: `[n, d]` to `[n_groups, d]`; an empty group's is zero."""
    result: Tensor = _Collect.apply(entries, groups)
    return result


def group_softmax(logits: Tensor, groups: Groups) -> Tensor:
    """Softmax of `[n, 1]` logits within each group, `[n, 1]`."""
    highest = logits.new_full((len(groups.offsets) - 1,), -torch.inf)
    highest.scatter_reduce_(0, groups.index, logits.detach().squeeze(1), "amax")
    exponentials = torch.exp(logits - highest[groups.index].unsqueeze(1))
    return exponentials / spread(collect(exponentials, groups), groups)


def attend(logits: Tensor, values: Tensor, groups: Groups) -> Tensor:
    """Each group's mean of `values` `[n, d]`, weighted by the softmax of `logits` `[n, 1]`: `[n_groups, d]`.

    An empty group's is zero.
    """
    return collect(group_softmax(logits, groups) * values, groups)


def attend_without(
    logits: Tensor, values: Tensor, groups: Groups, chosen: Tensor, entry: Tensor, inside: Tensor
) -> Tensor:
    """`attend` for chosen groups, with one entry of each left out, `[b, d]`.

    The entry is subtracted from its group's mean, so the group is not gone through once more. Where it holds
    most of the weight this would lose digits, and the mean is taken again over the rest.

    Args:
        logits, values: as in `attend`.
        groups: of consecutive entries.
        chosen: groups, any number of times each, `[b]`.
        entry: the entry to leave out of each, `[b]`.
        inside: whether there is one to leave out, `[b]` bool.
    """
    weights = group_softmax(logits, groups)
    means = F.embedding(chosen, collect(weights * values, groups))
    share = F.embedding(entry, weights) * inside.unsqueeze(1)
    dominant = share.detach() > DOMINANT
    share = share.masked_fill(dominant, 0.0)
    rest = (means - share * F.embedding(entry, values)) / (1 - share)
    again = dominant.squeeze(1).nonzero().squeeze(1)
    if not len(again):
        return rest
    members, sizes = segments(groups.offsets, chosen[again])
    owner = torch.repeat_interleave(sizes)
    kept = members != entry[again][owner]
    copies = Groups.by(members[kept], len(values))
    owners = Groups.of_sizes(torch.bincount(owner[kept], minlength=len(again)))
    return rest.index_copy(0, again, attend(spread(logits, copies), spread(values, copies), owners))
