"""Rows of length 1 in parts, for operations whose gradient is written by hand. Pure torch."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from models.layers.graph import adds_in_order, scattered
from models.layers.rows import SMALLEST


def inverse_norms(table: Tensor) -> Tensor:
    """Return 1 / |x| of each row, `[n, 1]`; 0 for a zero row. No gradient."""
    norms: Tensor = torch.linalg.vector_norm(table, dim=1, keepdim=True)
    return norms.masked_fill_(norms < SMALLEST, torch.inf).reciprocal_()


def unit_gradient(unit: Tensor, inverse: Tensor, grad: Tensor) -> Tensor:
    """Return `(g - y (y . g)) / |x|`, `[n, d]`: the gradient of y = x / |x| from that of y.

    Args:
        unit: y, `[n, d]`.
        inverse: 1 / |x|, `[n, 1]`; 0 for rows without gradient.
        grad: g, `[n, d]`.
    """
    across = unit * grad  # one table serves the products and the result
    along = across.sum(1, keepdim=True)
    return torch.addcmul(grad, unit, along, value=-1, out=across).mul_(inverse)


def unit_rows_and_own(table: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Return `models.layers.rows.unit_rows` of a table and some of its raw rows, with one gradient for both.

    Args:
        table: `[n, d]`.
        index: row ids, `[b]`.

    Returns:
        `[n, d]` and `[b, d]`.
    """
    return cast(tuple[Tensor, Tensor], _UnitRowsAndOwn.apply(table, index))


class _UnitRowsAndOwn(torch.autograd.Function):
    """`x / |x|` and `x[i]`; the gradient is `unit_gradient` with the rows' gradients added at their places."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        inverse = inverse_norms(table)
        unit = table * inverse
        ctx.save_for_backward(unit, inverse, index)
        return unit, table.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        unit, inverse, index = ctx.saved_tensors
        grad = unit_gradient(unit, inverse, grads[0])
        if adds_in_order(grad):
            return grad.index_add_(0, index, grads[1]), None
        return grad.add_(scattered(index, grads[1], len(grad))), None
