"""Kernels over the edges of a graph: softmax, sums, dots and products with trained weights. Pure torch.

Edge values are arrays of one number per edge; no tensor with one row per edge is ever built. A pattern is stored
in both orders, by rows and by columns, so that every gradient is again a segmented product and nothing is
scattered: results have the same bits at every call. Products and sums are `models.layers.segments.bag` over the
segments; dots are `torch.sparse.sampled_addmm`, which reads the two rows of an edge in place.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from models.layers.segments import bag


class Edges(NamedTuple):
    """Distinct edges in row-major and in column-major order.

    Attributes:
        offsets: start of each row's segment, `[n_rows + 1]` int32.
        rows, columns: ends of each edge in row-major order, `[n_edges]` int32 each.
        t_offsets, t_rows, t_columns: the same arrays of the transpose; `t_rows` are columns, ascending.
        order: row-major position of each column-major edge, `[n_edges]` int64.
        inverse: column-major position of each row-major edge, `[n_edges]` int64.
    """

    offsets: Tensor
    rows: Tensor
    columns: Tensor
    t_offsets: Tensor
    t_rows: Tensor
    t_columns: Tensor
    order: Tensor
    inverse: Tensor

    @classmethod
    def from_pairs(cls, rows: Tensor, columns: Tensor, shape: tuple[int, int]) -> Edges:
        """Build from distinct pairs in any order, `[n_edges]` each, of a matrix of the given shape."""
        by_row = torch.argsort(rows * shape[1] + columns)
        rows, columns = rows[by_row].to(torch.int64), columns[by_row].to(torch.int64)
        order = torch.argsort(columns * shape[0] + rows)
        inverse = torch.empty_like(order)
        inverse[order] = torch.arange(len(order), device=order.device)
        forward = (_offsets(rows, shape[0]), rows.to(torch.int32), columns.to(torch.int32))
        back = (_offsets(columns, shape[1]), columns[order].to(torch.int32), rows[order].to(torch.int32))
        return cls(*forward, *back, order, inverse)

    @property
    def shape(self) -> tuple[int, int]:
        """Return the number of rows and of columns."""
        return len(self.offsets) - 1, len(self.t_offsets) - 1

    def transposed(self) -> Edges:
        """Return the edges of the transpose; its row-major order is this one's column-major order."""
        return Edges(*self[3:6], *self[0:3], self.inverse, self.order)


class EdgeGraph(nn.Module):
    """Constant `Edges` that follow their model to a device; not part of the model's state."""

    def __init__(self, edges: Edges) -> None:
        super().__init__()
        for name, tensor in zip(Edges._fields, edges, strict=True):
            self.register_buffer(name, tensor, persistent=False)

    @property
    def edges(self) -> Edges:
        """Return the edges, on the module's device."""
        return Edges(*[getattr(self, name) for name in Edges._fields])


def edge_softmax(edges: Edges, logits: Tensor, keep: Tensor | None = None) -> Tensor:
    """Return the softmax over the edges of each row.

    Args:
        edges: the pattern.
        logits: one number per edge, row-major, `[n_edges]`.
        keep: edges that take part, `[n_edges]` bool; the others get weight 0. None keeps all.

    Returns:
        `[n_edges]`; the weights of a row with a kept edge sum to 1.
    """
    return cast(Tensor, _EdgeSoftmax.apply(logits, edges, keep))


def sddmm(edges: Edges, left: Tensor, right: Tensor) -> Tensor:
    """Return the dot product of the two end points of each edge.

    Args:
        edges: the pattern, `[n_rows, n_columns]`.
        left, right: `[n_rows, d]` and `[n_columns, d]`.

    Returns:
        `[n_edges]`, row-major.
    """
    return cast(Tensor, _EdgeDots.apply(left, right, edges))


def weighted_spmm(edges: Edges, values: Tensor, dense: Tensor) -> Tensor:
    """Multiply sparse by dense, with gradients to the sparse values too.

    Args:
        edges: the pattern, `[n_rows, n_columns]`.
        values: one number per edge, row-major, `[n_edges]`.
        dense: `[n_columns, d]`.

    Returns:
        `[n_rows, d]`; a row without edges is zero.
    """
    return cast(Tensor, _WeightedProduct.apply(values, dense, edges))


def spread(edges: Edges, per_row: Tensor) -> Tensor:
    """Return the value of each edge's row, `[n_rows, ...]` to `[n_edges, ...]`, row-major."""
    return cast(Tensor, _Spread.apply(per_row, edges))


def column_major(edges: Edges, values: Tensor) -> Tensor:
    """Return row-major values, `[n_edges, ...]`, in column-major order: that of `edges.transposed()`."""
    return cast(Tensor, _Permuted.apply(values, edges))


def _offsets(ascending: Tensor, n_segments: int) -> Tensor:
    offsets = torch.zeros(n_segments + 1, dtype=torch.int32, device=ascending.device)
    offsets[1:] = torch.cumsum(torch.bincount(ascending, minlength=n_segments), 0)
    return offsets


def _product(edges: Edges, values: Tensor, dense: Tensor) -> Tensor:
    return bag(edges.offsets, edges.columns, values.contiguous(), dense.contiguous())


def _dots(edges: Edges, left: Tensor, right: Tensor) -> Tensor:
    zeros = left.new_zeros(len(edges.columns))
    if not len(zeros):
        return zeros
    arrays = (edges.offsets, edges.columns, zeros)
    with warnings.catch_warnings():  # torch warns once per process that compressed rows are a beta feature
        warnings.simplefilter("ignore", UserWarning)
        pattern = torch.sparse_csr_tensor(*arrays, size=edges.shape, check_invariants=False)
    dots: Tensor = torch.sparse.sampled_addmm(pattern, left.contiguous(), right.contiguous().T, beta=0.0)
    return dots.values()


def _segments(edges: Edges, values: Tensor, how: str) -> Tensor:
    return torch.segment_reduce(values.contiguous(), how, offsets=edges.offsets.long(), unsafe=True)


class _WeightedProduct(torch.autograd.Function):
    """`A(v) X`; the gradients are the dots `g_r . x_c` and `A(v)^T G`."""

    @staticmethod
    def forward(ctx: FunctionCtx, values: Tensor, dense: Tensor, edges: Edges) -> Tensor:
        ctx.edges = edges  # type: ignore[attr-defined]
        ctx.save_for_backward(values, dense)
        return _product(edges, values, dense)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        values, dense = ctx.saved_tensors  # type: ignore[attr-defined]
        edges: Edges = ctx.edges  # type: ignore[attr-defined]
        to_values, to_dense, _ = ctx.needs_input_grad  # type: ignore[attr-defined]
        by_column = values.index_select(0, edges.order)
        return (
            _dots(edges, grads[0], dense) if to_values else None,
            _product(edges.transposed(), by_column, grads[0]) if to_dense else None,
            None,
        )


class _EdgeDots(torch.autograd.Function):
    """`x_r . y_c` on the edges; the gradients are products with the incoming gradient as edge values."""

    @staticmethod
    def forward(ctx: FunctionCtx, left: Tensor, right: Tensor, edges: Edges) -> Tensor:
        ctx.edges = edges  # type: ignore[attr-defined]
        ctx.save_for_backward(left, right)
        return _dots(edges, left, right)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        left, right = ctx.saved_tensors  # type: ignore[attr-defined]
        edges: Edges = ctx.edges  # type: ignore[attr-defined]
        to_left, to_right, _ = ctx.needs_input_grad  # type: ignore[attr-defined]
        return (
            _product(edges, grads[0], right) if to_left else None,
            _product(edges.transposed(), grads[0].index_select(0, edges.order), left) if to_right else None,
            None,
        )


class _EdgeSoftmax(torch.autograd.Function):
    """`p = exp(s) / sum exp(s)` in each row; the gradient is `p (g - sum p g)`."""

    @staticmethod
    def forward(ctx: FunctionCtx, logits: Tensor, edges: Edges, keep: Tensor | None) -> Tensor:
        if keep is not None:
            logits = logits.masked_fill(~keep, torch.finfo(logits.dtype).min)
        powers = (logits - _segments(edges, logits, "max").index_select(0, edges.rows)).exp()
        if keep is not None:
            powers = powers * keep
        totals = _segments(edges, powers, "sum")
        weights = powers / totals.masked_fill(totals == 0, 1.0).index_select(0, edges.rows)
        ctx.edges = edges  # type: ignore[attr-defined]
        ctx.save_for_backward(weights)
        return weights

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor, None, None]:
        (weights,) = ctx.saved_tensors  # type: ignore[attr-defined]
        edges: Edges = ctx.edges  # type: ignore[attr-defined]
        flow = weights * grads[0]
        return flow - weights * _segments(edges, flow, "sum").index_select(0, edges.rows), None, None


class _Spread(torch.autograd.Function):
    """A row's value at each of its edges; the gradient is the sum over the edges."""

    @staticmethod
    def forward(ctx: FunctionCtx, per_row: Tensor, edges: Edges) -> Tensor:
        ctx.edges = edges  # type: ignore[attr-defined]
        return per_row.index_select(0, edges.rows)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor, None]:
        return _segments(ctx.edges, grads[0], "sum"), None  # type: ignore[attr-defined]


class _Permuted(torch.autograd.Function):
    """Values at `order`; the gradient is reordered by `inverse`, without a scatter."""

    @staticmethod
    def forward(ctx: FunctionCtx, values: Tensor, edges: Edges) -> Tensor:
        ctx.inverse = edges.inverse  # type: ignore[attr-defined]
        return values.index_select(0, edges.order)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0].index_select(0, ctx.inverse), None  # type: ignore[attr-defined]


def row_sums(edges: Edges, values: Tensor) -> Tensor:
    """Sum of each row's edge values, `[n_edges]` to `[n_rows]`. No gradient."""
    places = torch.arange(len(values), dtype=torch.int32, device=values.device)
    return bag(edges.offsets, places, None, values.unsqueeze(1)).squeeze(1)


def normalise_(edges: Edges, powers: Tensor, keep: Tensor | None) -> Tensor:
    """Divide non-negative edge values, `[n_edges]`, by their row's sum, in place; those not kept become 0."""
    if keep is not None:
        powers.mul_(keep)
    totals = row_sums(edges, powers)
    return powers.div_(totals.masked_fill_(totals == 0, 1.0).index_select(0, edges.rows))


def softmax_gradient_(edges: Edges, weights: Tensor, grads: Tensor) -> Tensor:
    """Compute the gradient p (g - sum p g) of each row's softmax p, in place of g; `[n_edges]` each."""
    flow = grads.mul_(weights)
    return flow.addcmul_(weights, row_sums(edges, flow).index_select(0, edges.rows), value=-1)


def at_columns(edges: Edges, per_column: Tensor) -> Tensor:
    """Return the value of each edge's column, `[n_columns]` to `[n_edges]`, row-major, with gradient."""
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
