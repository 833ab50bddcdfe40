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


class _UnitRows(torch.autograd.Function):
    """`y = x / |x|`; the gradient is `(g - y (y . g)) / |x|`."""

    @staticmethod
    def forward(ctx: FunctionCtx, table: Tensor) -> Tensor:
        norms: Tensor = torch.linalg.vector_norm(table, dim=1, keepdim=True)
        inverse = norms.masked_fill_(norms < SMALLEST, torch.inf).reciprocal_()
        unit = table * inverse
        ctx.save_for_backward(unit, inverse)
        return unit

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> Tensor:
        unit, inverse = ctx.saved_tensors  # type: ignore[attr-defined]
        along = torch.linalg.vecdot(unit, grads[0]).unsqueeze(1)
        across: Tensor = torch.addcmul(grads[0], unit, along, value=-1)
        return across.mul_(inverse)
