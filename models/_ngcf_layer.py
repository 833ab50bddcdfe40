"""One layer of NGCF as one differentiable operation. Pure torch.

Written out by hand since a layer is nothing but passes over tables of all nodes: autograd would keep and rewrite
about three times as many of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from models._dense import product
from models._rows import SMALLEST

SLOPE = 0.2
LANES = 2**16


class Weights(NamedTuple):
    """W_1 and W_2, `[n_inputs, n_outputs]`, b_1 and b_2, `[n_outputs]`."""

    w1: Tensor
    w2: Tensor
    b1: Tensor
    b2: Tensor


def normalised_layer(own: Tensor, side: Tensor, weights: Weights, keep: Tensor | None) -> Tensor:
    """Unit rows of LeakyReLU((own + side) W_1 + (own * side) W_2 + b_1 + b_2) * keep (NGCF Eq. 7).

    Args:
        own: the rows' own vectors, `[n, n_inputs]`.
        side: the sums over their neighbours, `[n, n_inputs]`.
        weights: of the layer.
        keep: factors of the dropout, `[n, n_outputs]`, or None.

    Returns:
        `[n, n_outputs]`.
    """
    return cast(Tensor, _Layer.apply(own, side, *weights, keep))


def dropout_factors(n_rows: int, n_columns: int, like: Tensor, rate: float) -> Tensor:
    """Inverted dropout: 0 with probability `rate`, to the nearest 1 / 65,536, and else 1 / (1 - rate).

    Four entries are decided by one 64-bit draw, at half the cost of a uniform number for each.

    Args:
        n_rows, n_columns: shape of the result.
        like: a tensor of its type and device.
        rate: below 1.
    """
    threshold, n_entries = round(rate * LANES), n_rows * n_columns
    draws = torch.empty(-(-n_entries // 4), dtype=torch.int64, device=like.device).random_(-(2**63), None)
    lanes = draws.view(torch.int16)[:n_entries].view(n_rows, n_columns)
    return (lanes >= threshold - LANES // 2).to(like.dtype).mul_(LANES / (LANES - threshold))


class _Layer(torch.autograd.Function):
    """Forward and gradient of `normalised_layer`, in place where a table is not needed again."""

    @staticmethod
    def forward(
        ctx: Any, own: Tensor, side: Tensor, w1: Tensor, w2: Tensor, b1: Tensor, b2: Tensor, keep: Tensor | None
    ) -> Tensor:
        sums, products = own + side, own * side
        rows = product(sums, w1.T, b1 + b2).add_(product(products, w2.T))
        F.leaky_relu_(rows, SLOPE)
        if keep is not None:
            rows.mul_(keep)
        norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        inverse = norms.masked_fill_(norms < SMALLEST, torch.inf).reciprocal_()
        rows.mul_(inverse)
        ctx.save_for_backward(own, side, w1, w2, sums, products, rows, inverse, keep)
        return rows

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        own, side, w1, w2, sums, products, unit, inverse, keep = ctx.saved_tensors
        along = torch.linalg.vecdot(unit, grads[0]).unsqueeze(1)
        to_rows = torch.addcmul(grads[0], unit, along, value=-1).mul_(inverse)
        if keep is not None:
            to_rows.mul_(keep)
        # the signs of the unit rows are those before LeakyReLU; a dropped entry has no gradient left
        to_rows = torch.ops.aten.leaky_relu_backward(to_rows, unit, SLOPE, True)
        to_bias = to_rows.sum(0)
        to_sums, to_products = product(to_rows, w1), product(to_rows, w2)
        to_side = torch.addcmul(to_sums, to_products, own)
        to_own = to_sums.addcmul_(to_products, side)
        return to_own, to_side, sums.T @ to_rows, products.T @ to_rows, to_bias, to_bias, None
