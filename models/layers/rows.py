"""Row normalisation that is safe for zero rows. Pure torch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

SMALLEST = 1e-12  # length below which a row counts as zero


def unit_rows(table: Tensor) -> Tensor:
    """Return rows of length 1, `[n, d]`; a zero row stays zero.

    A zero row gets no gradient, whereas that of x / max(|x|, eps) is 1 / eps: it would throw off a bias that
    starts at zero for a row without features at the first step.
    """
    result: Tensor = _UnitRows.apply(table)
    return result


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
    along = torch.linalg.vecdot(unit, grad).unsqueeze(1)
    return torch.addcmul(grad, unit, along, value=-1).mul_(inverse)


class _UnitRows(torch.autograd.Function):
    """`y = x / |x|`; the gradient is `unit_gradient`."""

    @staticmethod
    def forward(ctx: FunctionCtx, table: Tensor) -> Tensor:
        inverse = inverse_norms(table)
        unit = table * inverse
        ctx.save_for_backward(unit, inverse)
        return unit

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> Tensor:
        unit, inverse = ctx.saved_tensors  # type: ignore[attr-defined]
        return unit_gradient(unit, inverse, grads[0])
