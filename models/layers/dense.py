"""Dense layers and their initial values: product, bias, sum and LeakyReLU as one differentiable step. Pure torch.

In single precision on a CPU large products are oneDNN's, which uses the full vector width of every processor.
Torch's own product calls MKL, which uses half of it on processors of another make than its own. Small products
and the gradients of weights are torch's, since oneDNN takes longer to prepare those than to compute them. All
other cases, and builds of torch without oneDNN, use torch's own product: the same sums in another order.
"""

from __future__ import annotations

from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALL = 2**18  # cells of a product below which torch's is faster


def linear(
    rows: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    plus: Tensor | None = None,
    slope: float | None = None,
) -> Tensor:
    """Return LR(X W^T + b + Y), `[n, out]`.

    Args:
        rows: X, `[n, in]`.
        weight: W, `[out, in]`.
        bias: b, `[out]`, or None.
        plus: Y, `[n, out]`, or None.
        slope: of the LeakyReLU below zero, above 0; None for no activation.
    """
    return cast(Tensor, _Linear.apply(rows, weight, bias, plus, slope))


def product(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return A B^T + b without gradient, of `[n, k]`, `[m, k]` and `[m]`: `[n, m]`, contiguous."""
    large = len(left) * len(right) > SMALL and left.device.type == "cpu" and left.dtype == torch.float32
    if large and torch.backends.mkldnn.is_available():
        # oneDNN is a thousand times slower on columns of a wider matrix
        right = right if right.is_contiguous() or right.T.is_contiguous() else right.contiguous()
        return cast(Tensor, torch.ops.mkldnn._linear_pointwise(_whole(left), _whole(right), bias, "none", [], ""))
    return F.linear(left, right, bias)


def _whole(operand: Tensor) -> Tensor:
    """Return the operand, copied if it is part of a wider one: for those oneDNN is a thousand times slower."""
    return operand if operand.is_contiguous() or operand.T.is_contiguous() else operand.contiguous()


class _Linear(torch.autograd.Function):
    """Saves the activated output for the gradient of LeakyReLU, since its sign is that of the sum."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        plus: Tensor | None,
        slope: float | None,
    ) -> Tensor:
        result = product(rows, weight, bias)
        if plus is not None:
            result.add_(plus)
        if slope is not None:
            F.leaky_relu_(result, slope)
        ctx.slope = slope
        ctx.save_for_backward(rows, weight, None if slope is None else result)
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, result = ctx.saved_tensors
        needed: tuple[bool, ...] = ctx.needs_input_grad
        grad = grads[0].contiguous()
        if result is not None:
            grad = torch.ops.aten.leaky_relu_backward(grad, result, ctx.slope, True)
        return (
            product(grad, weight.T) if needed[0] else None,
            grad.T @ rows if needed[1] else None,
            grad.sum(0) if needed[2] else None,
            grad if needed[3] else None,
            None,
        )


Init = Literal["xavier_normal", "xavier_uniform", "normal"]


def fill_(tensor: Tensor, init: Init, std: float) -> Tensor:
    """Fill a matrix in place: Xavier normal or uniform, or a Gaussian of the given deviation."""
    with torch.no_grad():
        if init == "xavier_normal":
            return nn.init.xavier_normal_(tensor)
        if init == "xavier_uniform":
            return nn.init.xavier_uniform_(tensor)
        return nn.init.normal_(tensor, std=std)


def matrix(n_rows: int, n_columns: int) -> nn.Parameter:
    """Return a trainable `[n_rows, n_columns]` matrix, Xavier normal."""
    return nn.Parameter(nn.init.xavier_normal_(torch.empty(n_rows, n_columns)))


def vector(size: int) -> nn.Parameter:
    """Return a trainable vector `[size]`, drawn like one row of a Xavier-normal `[1, size]` matrix."""
    return nn.Parameter(nn.init.xavier_normal_(torch.empty(1, size))[0].detach().clone())


def zeros(size: int) -> nn.Parameter:
    """Return a trainable vector `[size]` of zeros: a bias."""
    return nn.Parameter(torch.zeros(size))
