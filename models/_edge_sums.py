"""Sums over the edges of each row, and what GRCN builds on them without a search for the largest. Pure torch.

Sums are `models._bags.bag` over the segments, as the products of `models._edges` are: nothing is scattered.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from models._bags import bag
from models._edges import Edges


def row_sums(edges: Edges, values: Tensor) -> Tensor:
    """Sum of each row's edge values, `[n_edges]` to `[n_rows]`. No gradient."""
    places = torch.arange(len(values), dtype=torch.int32, device=values.device)
    return bag(edges.offsets, places, None, values.unsqueeze(1)).squeeze(1)


def normalise_(edges: Edges, powers: Tensor, keep: Tensor | None) -> Tensor:
    """Non-negative edge values, `[n_edges]`, divided by their row's sum, in place; those not kept become 0."""
    if keep is not None:
        powers.mul_(keep)
    totals = row_sums(edges, powers)
    return powers.div_(totals.masked_fill_(totals == 0, 1.0).index_select(0, edges.rows))


def softmax_gradient_(edges: Edges, weights: Tensor, grads: Tensor) -> Tensor:
    """Gradient p (g - sum p g) of each row's softmax p, in the place of g; `[n_edges]` each."""
    flow = grads.mul_(weights)
    return flow.addcmul_(weights, row_sums(edges, flow).index_select(0, edges.rows), value=-1)


def at_columns(edges: Edges, per_column: Tensor) -> Tensor:
    """The value of each edge's column, `[n_columns]` to `[n_edges]`, row-major, with gradient."""
    return cast(Tensor, _AtColumns.apply(per_column, edges))


class _AtColumns(torch.autograd.Function):
    """A column's value at each of its edges; the gradient is the sum over them, in column-major order."""

    @staticmethod
    def forward(ctx: FunctionCtx, per_column: Tensor, edges: Edges) -> Tensor:
        ctx.edges = edges  # type: ignore[attr-defined]
        return per_column.index_select(0, edges.columns)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor, None]:
        edges: Edges = ctx.edges  # type: ignore[attr-defined]
        return row_sums(edges.transposed(), grads[0].index_select(0, edges.order)), None
