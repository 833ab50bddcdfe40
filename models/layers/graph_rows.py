"""Unit rows and raw rows of one table from one operation, with its gradient by hand. Pure torch."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from models.layers.graph import adds_in_order, scattered
from models.layers.rows import inverse_norms, unit_gradient


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
