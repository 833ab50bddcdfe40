"""Additive attention of users over the items of their histories (ACF). Pure torch.

A pair is a user and an item of the history. The only row that is kept per pair is its hidden row in an attention
network: the rows of user and item are weighted and added up as they are gathered. All gradients are weighted sums
over the pairs of a user or of an item. They run over sorted segments, so nothing is scattered, and the same input
gives the same bits for any number of threads.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from models.layers.edges import Edges, edge_softmax, weighted_spmm
from models.layers.graph import distinct_padded, gather
from models.layers.segments import bag

DOMINANT = 0.9  # share of a row's weight above which subtracting a pair would lose digits
Part = tuple[Tensor | None, Tensor]  # factor of each pair, or None for 1, and a table


def segments(offsets: Tensor, groups: Tensor, n_entries: int | None = None) -> tuple[Tensor, Tensor]:
    """Find the entries of chosen groups of a compressed array.

    Args:
        offsets: where each group starts, `[n_groups + 1]`.
        groups: chosen groups, `[b]`.
        n_entries: fixed number of positions to return, so that CUDA need not synchronise to count them; None for
            the exact number.

    Returns:
        Positions of the entries, group after group, `[n]`, and the number of each group's entries, `[b]`. Surplus
        positions belong to the last group and point to the array's first entry.
    """
    starts = offsets[groups]
    sizes = offsets[groups + 1] - starts
    ends = torch.cumsum(sizes, 0)
    shifts, n_found = starts + sizes - ends, ends[-1:] if len(ends) else ends.new_zeros(1)
    wanted = torch.arange(int(n_found) if n_entries is None else n_entries, device=offsets.device)
    if n_entries is not None:
        sizes = torch.cat([sizes[:-1], sizes[-1:] + n_entries - n_found])
    positions = wanted + torch.repeat_interleave(shifts, sizes, output_size=len(wanted))
    return positions if n_entries is None else positions.where(wanted < n_found, 0), sizes


def ordered_pairs(sizes: Tensor, columns: Tensor, n_columns: int) -> Edges:
    """Build edges from pairs sorted by row, and within a row by ascending column.

    Args:
        sizes: number of pairs of each row, `[n_rows]`.
        columns: column of each pair, `[n_pairs]`.
        n_columns: number of columns.
    """
    rows = torch.repeat_interleave(sizes, output_size=len(columns))
    ascending, order = torch.sort(columns, stable=True)
    inverse = torch.empty_like(order)
    inverse[order] = torch.arange(len(order), device=order.device)
    by_row = _offsets(sizes), rows.to(torch.int32), columns.to(torch.int32)
    t_offsets = torch.searchsorted(ascending, torch.arange(n_columns + 1, device=order.device), out_int32=True)
    return Edges(*by_row, t_offsets, by_row[2][order], by_row[1][order], order, inverse)


def _offsets(sizes: Tensor) -> Tensor:
    return F.pad(torch.cumsum(sizes, 0), (1, 0)).to(torch.int32)


def pair_logits(
    edges: Edges, left: Tensor, right: Tensor, vector: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Compute additive attention w . relu(a_r + sum_t g_t b^t_c) of every pair (r, c), `[n_pairs]`.

    Args:
        edges: the pairs, `[n_rows, n_columns]`.
        left: a, `[n_rows, h]`.
        right: the tables b^t, `[T, n_columns, h]`.
        vector: w, `[h]`.
        weights: g of the last tables, `[t, n_pairs]` with t <= T; 1 for the others, and for all if None.
    """
    return cast(Tensor, _PairLogits.apply(left, right, vector, weights, edges))


def attend(edges: Edges, logits: Tensor, parts: Sequence[Part]) -> Tensor:
    """Return each row's mean of its pairs' values, weighted by the softmax of their logits: `[n_rows, d]`.

    A row without pairs is zero.

    Args:
        edges: the pairs, `[n_rows, n_columns]`.
        logits: one number per pair, `[n_pairs]`.
        parts: a pair's value is the sum of these: rows of a table, `[n_columns, d]`, times a factor, `[n_pairs]`
            or None for 1.
    """
    return _pooled(edges, edge_softmax(edges, logits), parts)


def attend_without(
    edges: Edges, logits: Tensor, parts: Sequence[Part], chosen: Tensor, left_out: Tensor
) -> Tensor:
    """Return `attend` for chosen rows, with the pair of one column left out of each, `[b, d]`.

    The pair is subtracted from its row's mean, which saves a second pass over the row. Where the pair holds most
    of the weight, this would lose digits, and the mean is computed again over the rest.

    Args:
        edges, logits, parts: as in `attend`.
        chosen: rows, any number of times each, `[b]`.
        left_out: a column for each, `[b]`; a column without a pair in its row changes nothing.
    """
    if not len(logits):
        return gather(attend(edges, logits, parts), chosen)
    weights = edge_softmax(edges, logits)
    means = gather(_pooled(edges, weights, parts), chosen)
    pair, inside = _find(edges, chosen, left_out)
    share = gather(weights.unsqueeze(1), pair) * inside.unsqueeze(1)
    dominant = share.detach() > DOMINANT
    share = share.masked_fill(dominant, 0.0)
    rest = (means - share * _brought(edges, parts, pair)) / (1 - share)
    again = dominant.squeeze(1).nonzero().squeeze(1)
    if not len(again):
        return rest
    members, sizes = segments(edges.offsets, chosen[again])
    owners = torch.repeat_interleave(sizes)
    kept = members != pair[again][owners]
    members, sizes = members[kept], torch.bincount(owners[kept], minlength=len(again))
    fewer = ordered_pairs(sizes, edges.columns[members], edges.shape[1])
    brought = [(None if factor is None else _entries(factor, members), table) for factor, table in parts]
    return rest.index_copy(0, again, attend(fewer, _entries(logits, members), brought))


def _find(edges: Edges, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Find the pair of each row and column, `[b]` each, and whether it exists; if not, return any pair."""
    keys = edges.rows.long() * edges.shape[1] + edges.columns
    wanted = rows * edges.shape[1] + columns
    found = torch.searchsorted(keys, wanted).clamp_max(len(keys) - 1)
    return found, keys[found] == wanted


def _pooled(edges: Edges, weights: Tensor, parts: Sequence[Part]) -> Tensor:
    products = [
        weighted_spmm(edges, weights if factor is None else weights * factor, table) for factor, table in parts
    ]
    return torch.stack(products).sum(0) if len(products) > 1 else products[0]


def _brought(edges: Edges, parts: Sequence[Part], pair: Tensor) -> Tensor:
    """Return the values of the listed pairs, `[b, d]`."""
    rows = [gather(table, edges.columns[pair]) for _, table in parts]
    factors = [1.0 if factor is None else gather(factor.unsqueeze(1), pair) for factor, _ in parts]
    return torch.stack([row * factor for row, factor in zip(rows, factors, strict=True)]).sum(0)


def _entries(values: Tensor, index: Tensor) -> Tensor:
    """Return entries of a vector, `[n]`; the gradient adds up those taken more than once."""
    return gather(values.unsqueeze(1), index).squeeze(1)


class _PairLogits(torch.autograd.Function):
    """Saves where hidden rows are above 0: the gradient of a_r is w times the sum of g over those pairs of r."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, left: Tensor, right: Tensor, vector: Tensor, weights: Tensor | None, edges: Edges
    ) -> Tensor:
        index = torch.cat([edges.rows.unsqueeze(1), _places(edges, len(right)) + len(left)], dim=1)
        factors = None if weights is None else F.pad(weights.T, (index.shape[1] - len(weights), 0), value=1.0)
        table = torch.cat([left, right.flatten(0, 1)])
        hidden = F.embedding_bag(index, table, mode="sum", per_sample_weights=factors).relu_()
        logits = hidden @ vector
        ctx.edges = edges  # type: ignore[attr-defined]
        ctx.save_for_backward(hidden.sign_(), left, right, vector, weights)  # type: ignore[arg-type]
        return logits

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor | None, ...]:
        active, left, right, vector, weights = ctx.saved_tensors  # type: ignore[attr-defined]
        edges: Edges = ctx.edges  # type: ignore[attr-defined]
        flow, n_fixed = grads[0].contiguous(), len(right) - (0 if weights is None else len(weights))
        pairs = torch.arange(len(active), dtype=torch.int32, device=active.device)
        by_row = bag(edges.offsets, pairs, flow, active)
        order = edges.order.to(torch.int32)
        flows = [flow] * n_fixed + ([] if weights is None else list(flow * weights))
        sums = [bag(edges.t_offsets, order, one.index_select(0, order), active) for one in flows]
        to_vector = torch.stack([(one * table).sum(0) for one, table in zip(sums, right, strict=True)]).sum(0)
        to_vector += (by_row * left).sum(0)
        to_right = torch.stack([one.mul_(vector) for one in sums])
        to_weights = None if weights is None else flow * _dots(edges, active, right[n_fixed:] * vector)
        return by_row.mul_(vector), to_right, to_vector, to_weights, None


def _places(edges: Edges, n_tables: int) -> Tensor:
    """Return each pair's row in the tables stacked below each other, `[n_pairs, n_tables]` int32."""
    starts = torch.arange(n_tables, dtype=torch.int32, device=edges.columns.device) * edges.shape[1]
    return edges.columns.unsqueeze(1) + starts


def _dots(edges: Edges, rows: Tensor, tables: Tensor) -> Tensor:
    """Return dots of each pair's row, `[n_pairs, h]`, with its column's row in every table: `[T, n_pairs]`."""
    places, table = _places(edges, len(tables)), tables.flatten(0, 1)
    offsets = torch.arange(0, places.numel() + 1, len(tables), dtype=torch.int32, device=rows.device)
    arrays = offsets, places.flatten(), rows.new_zeros(places.numel())
    with warnings.catch_warnings():  # torch warns once per process that compressed rows are a beta feature
        warnings.simplefilter("ignore", UserWarning)
        pattern = torch.sparse_csr_tensor(*arrays, size=(len(rows), len(table)), check_invariants=False)
    found: Tensor = torch.sparse.sampled_addmm(pattern, rows, table.T, beta=0.0).values()
    return found.view(places.shape).T


class Histories(nn.Module):
    """The histories of all users as buffers of a module, so that they follow their model to a device.

    Args:
        users, items: distinct training pairs, user after user, `[n]` each.
        n_users, n_items: number of users and of items, padding included.
        most: maximum number of items kept of each history, a fixed random choice; 0 keeps all.

    Attributes:
        items: items of all histories, user after user, `[n_kept]`.
        offsets: where each user's items start, `[n_users + 1]`.
    """

    items: Tensor
    offsets: Tensor

    def __init__(self, users: Tensor, items: Tensor, n_users: int, n_items: int, most: int) -> None:
        super().__init__()
        self.n_items = n_items
        sizes = torch.bincount(users, minlength=n_users)
        if most:
            items, sizes = items[_chosen(users, sizes, most)], sizes.clamp_max(most)
        self.register_buffer("items", items, persistent=False)
        self.register_buffer("offsets", F.pad(torch.cumsum(sizes, 0), (1, 0)), persistent=False)
        self._most_pairs: list[int] = [0, *torch.cumsum(sizes.sort(descending=True).values, 0).tolist()]

    def pairs(self, users: Tensor, n_pairs: int | None = None) -> Edges:
        """Return pairs of distinct users, `[b]`, with the items of their histories, `[b, n_items]`.

        Args:
            users: user ids; with `n_pairs` the last one is padding.
            n_pairs: fixed number of pairs; surplus pairs belong to the last user. None for the exact number.
        """
        positions, sizes = segments(self.offsets, users, n_pairs)
        return ordered_pairs(sizes, self.items[positions], self.n_items)

    def of_batch(self, users: Tensor) -> tuple[Tensor, Tensor, Edges]:
        """Return the distinct users of a batch, the position of each user among them, and their pairs."""
        if users.device.type != "cpu":
            return self.padded(users)
        found, position = torch.unique(users, return_inverse=True)
        return found, position, self.pairs(found)

    def padded(self, users: Tensor) -> tuple[Tensor, Tensor, Edges]:
        """Return `of_batch` with the largest number of pairs of such a batch; padding gets the surplus pairs.

        The fixed size means that CUDA need not synchronise to count them.
        """
        found, position = distinct_padded(users)
        return found, position, self.pairs(found, self._most_pairs[min(len(users), len(self._most_pairs) - 1)])


def _chosen(users: Tensor, sizes: Tensor, most: int) -> Tensor:
    """Draw the positions of the pairs to keep, ascending."""
    shuffled = torch.randperm(len(users), generator=torch.Generator().manual_seed(0))
    shuffled = shuffled[torch.argsort(users[shuffled], stable=True)]
    rank = torch.arange(len(users)) - torch.repeat_interleave(torch.cumsum(sizes, 0) - sizes, sizes)
    return shuffled[rank < most].sort().values
