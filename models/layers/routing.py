"""GRCN's content of one modality: projected features, prototype routing, affinities, content vectors. Pure torch.

Routing and affinities are one differentiable operation each, written by hand: both only pass over tables of all
nodes and values of all edges, and a hand-written gradient adds up the rounds in place.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from models.layers.dense import linear, matrix, zeros
from models.layers.edges import Edges, normalise_, sddmm, softmax_gradient_, weighted_spmm
from models.layers.rows import inverse_norms, unit_gradient, unit_rows

SLOPE = 0.01


class Affinities(NamedTuple):
    """Content vectors and edge affinities of one modality.

    Attributes:
        users, items: `[n_users, d]` and `[n_items, d]`.
        to_users: weight of each message from item to user, `[n_edges]`, user-major.
        to_items: weight of each message from user to item, `[n_edges]`, item-major.
    """

    users: Tensor
    items: Tensor
    to_users: Tensor
    to_items: Tensor


class Content(nn.Module):
    """Preferences and projected features of one modality.

    Args:
        table: scaled features, `[n_items, d_m]`.
        available: items whose features count, `[n_items]` bool; False for padding.
        n_users: number of users, padding included.
        size: width of the vectors.
        n_routings: rounds that reach the users.
    """

    def __init__(self, table: Tensor, available: Tensor, n_users: int, size: int, n_routings: int) -> None:
        super().__init__()
        self.preference = matrix(n_users, size)
        self.weight = matrix(size, table.shape[1])
        self.bias = zeros(size)
        self.n_routings = n_routings
        self.table: Tensor
        self.available: Tensor
        self.register_buffer("table", table, persistent=False)
        self.register_buffer("available", available, persistent=False)

    def items(self) -> Tensor:
        """Return projected features f, `[n_items, d]`; zero for items without the modality."""
        return unit_rows(linear(self.table, self.weight, self.bias, slope=SLOPE) * self.available.unsqueeze(1))

    def forward(self, edges: Edges, keep: Tensor | None, users: Tensor) -> Affinities:
        """Return affinities and content vectors.

        Args:
            edges: training edges, users as rows.
            keep: edges that take part, `[n_edges]` bool, or None for all.
            users: first prototypes, rn(preference), `[n_users, d]`.
        """
        items = self.items()
        return affinities(edges, routed(edges, users, items, keep, self.n_routings), items, keep)


def routed(edges: Edges, users: Tensor, items: Tensor, keep: Tensor | None, n_rounds: int) -> Tensor:
    """Return prototypes after the rounds q <- rn(q + sum_i a_i f_i), a = softmax of q . f over the user's items.

    Args:
        edges: users as rows, items as columns.
        users: first prototypes q, rows of length 1 or 0, `[n_users, d]`.
        items: features f, rows of length 1 or 0, `[n_items, d]`.
        keep: edges that take part, `[n_edges]` bool, or None for all.
        n_rounds: number of rounds.

    Returns:
        `[n_users, d]`.
    """
    return cast(Tensor, _Routed.apply(users, items, edges, keep, n_rounds)) if n_rounds else users


def affinities(edges: Edges, users: Tensor, items: Tensor, keep: Tensor | None) -> Affinities:
    """Return the softmaxes of q . f over each user's items and each item's users, and q and f plus messages.

    Args:
        edges, users, items, keep: as in `routed`.
    """
    return Affinities(*_Affinities.apply(users, items, edges, keep))


class _Routed(torch.autograd.Function):
    """Saves each round's weights, prototypes and inverse lengths for the gradient."""

    @staticmethod
    def forward(
        ctx: Any, users: Tensor, items: Tensor, edges: Edges, keep: Tensor | None, n_rounds: int
    ) -> Tensor:
        kept = [users, items]
        for _ in range(n_rounds):
            # exp without subtracting the largest logit: dots of unit vectors lie between -1 and 1
            weights = normalise_(edges, sddmm(edges, users, items).exp_(), keep)
            users = weighted_spmm(edges, weights, items).add_(users)
            inverse = inverse_norms(users)
            users.mul_(inverse)
            kept += [weights, inverse, users]
        ctx.edges = edges
        ctx.save_for_backward(*kept)
        return users

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        edges: Edges = ctx.edges
        first, items, *kept = ctx.saved_tensors
        back, to_users, to_items = edges.transposed(), grads[0], torch.zeros_like(items)
        for at in range(len(kept) - 3, -1, -3):
            weights, inverse, users = kept[at : at + 3]
            before = kept[at - 1] if at else first
            flow = unit_gradient(users, inverse, to_users)
            to_logits = softmax_gradient_(edges, weights, sddmm(edges, flow, items))
            to_items.add_(weighted_spmm(back, weights.index_select(0, edges.order), flow))
            to_items.add_(weighted_spmm(back, to_logits.index_select(0, edges.order), before))
            to_users = weighted_spmm(edges, to_logits, items).add_(flow)
        return to_users, to_items, None, None, None


class _Affinities(torch.autograd.Function):
    """Computes both softmaxes from the same powers."""

    @staticmethod
    def forward(
        ctx: Any, users: Tensor, items: Tensor, edges: Edges, keep: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        back, powers = edges.transposed(), sddmm(edges, users, items).exp_()
        keep_by_item = None if keep is None else keep.index_select(0, edges.order)
        to_items = normalise_(back, powers.index_select(0, edges.order), keep_by_item)
        to_users = normalise_(edges, powers, keep)
        ctx.edges = edges
        ctx.save_for_backward(users, items, to_users, to_items)
        all_users = weighted_spmm(edges, to_users, items).add_(users)
        return all_users, weighted_spmm(back, to_items, users).add_(items), to_users, to_items

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        edges: Edges = ctx.edges
        users, items, to_users, to_items = ctx.saved_tensors
        back, (of_users, of_items, of_to_users, of_to_items) = edges.transposed(), grads
        flow = softmax_gradient_(edges, to_users, sddmm(edges, of_users, items).add_(of_to_users))
        other = softmax_gradient_(back, to_items, sddmm(back, of_items, users).add_(of_to_items))
        flow.add_(other.index_select(0, edges.inverse))
        for_users = weighted_spmm(edges, flow, items).add_(of_users)
        for_users.add_(weighted_spmm(edges, to_items.index_select(0, edges.inverse), of_items))
        for_items = weighted_spmm(back, flow.index_select(0, edges.order), users).add_(of_items)
        for_items.add_(weighted_spmm(back, to_users.index_select(0, edges.order), of_users))
        return for_users, for_items, None, None
