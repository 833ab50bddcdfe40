"""Losses shared by all models: BPR and the forms of L2 regularisation. Pure torch.

BPR, "half_sq" and the sum of squares are one differentiable operation each with a gradient by hand: on small data
half of a step's time goes into starting operations, and these three would be forty.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor

RegForm = Literal["half_sq", "recbole_norm", "elem_mean", "all_params"]


def bpr_loss(
    users: Tensor, positives: Tensor, negatives: Tensor, reduction: Literal["mean", "sum"] = "mean"
) -> Tensor:
    """Return -ln sigmoid(s_ui - s_uj) with s_ui = u . i (Rendle et al. 2009; LUDP Eq. 15).

    As a softplus its gradient does not vanish for large differences, where log(sigmoid) would underflow.

    Args:
        users, positives, negatives: final vectors of the batch, `[B, D]` each.
        reduction: mean over the batch, or the printed sum.
    """
    return cast(Tensor, _Bpr.apply(users, positives, negatives, reduction))


class _Bpr(torch.autograd.Function):
    """`softplus(u (j - i))`; its slope is the sigmoid. The gradients lie below each other in one table."""

    @staticmethod
    def forward(ctx: Any, users: Tensor, positives: Tensor, negatives: Tensor, reduction: str) -> Tensor:
        across = negatives - positives
        margins = torch.linalg.vecdot(users, across)
        loss = F.softplus(margins)
        ctx.divisor = len(loss) if reduction == "mean" else 1
        ctx.save_for_backward(users, across, margins)
        return loss.mean() if reduction == "mean" else loss.sum()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        users, across, margins = ctx.saved_tensors
        slopes = margins.sigmoid().mul_(grads[0] / ctx.divisor).unsqueeze(1)
        of_users, of_positives, of_negatives = _below_each_other(users)
        torch.mul(across, slopes, out=of_users)
        torch.mul(users, slopes, out=of_negatives)
        torch.neg(of_negatives, out=of_positives)
        return of_users, of_positives, of_negatives, None


class _HalfSquares(torch.autograd.Function):
    """Half of the squares of the batch's rows by B; the gradients lie below each other in one table."""

    @staticmethod
    def forward(ctx: Any, *rows: Tensor) -> Tensor:
        ctx.save_for_backward(*rows)
        return torch.stack([_squares(part) for part in rows]).sum() / (2 * len(rows[0]))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        rows: tuple[Tensor, ...] = ctx.saved_tensors
        weight = grads[0] / len(rows[0])
        if any(part.shape != rows[0].shape for part in rows):
            return tuple(part * weight for part in rows)
        found = _below_each_other(rows[0])
        for part, gradient in zip(rows, found, strict=True):
            torch.mul(part, weight, out=gradient)
        return found


class _SumOfSquares(torch.autograd.Function):
    """`sum |x|^2` over several tensors; the gradient is 2 x."""

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> Tensor:
        ctx.save_for_backward(*tensors)
        return torch.stack([_squares(tensor) for tensor in tensors]).sum()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch._foreach_mul(list(ctx.saved_tensors), 2 * grads[0]))


def _squares(tensor: Tensor) -> Tensor:
    """Return the sum of the squared entries, without a tensor of the squares if it is contiguous."""
    flat = tensor.reshape(-1)
    return flat.dot(flat)


def _below_each_other(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return three empty tensors of the shape of `rows`, `[B, D]`, that are thirds of one table, `[3 B, D]`."""
    first, second, third = rows.new_empty(3, *rows.shape).unbind()
    return first, second, third


def l2(form: RegForm, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """Return the L2 term of a batch, to be multiplied by `reg_weight`.

    Args:
        form: "half_sq" 1/(2B) of the squared norms (LightGCN's own code); "recbole_norm" 1/B of the norms,
            not squared (RecBole's EmbLoss); "elem_mean" mean over 2B x d entries with the user rows counted
            twice (code of MMGCN and GRCN).
        users, positives, negatives: rows of the batch, `[B, d]` each.

    Raises:
        ValueError: the form does not act on batch rows.
    """
    rows = (users, positives, negatives)
    n_rows = len(users)
    if form == "half_sq":
        return cast(Tensor, _HalfSquares.apply(*rows))
    if form == "recbole_norm":
        return torch.stack([torch.linalg.vector_norm(row) for row in rows]).sum() / n_rows
    if form == "elem_mean":
        weighted = 2 * users.square().sum() + positives.square().sum() + negatives.square().sum()
        return weighted / (2 * users.numel())
    raise ValueError(f"'{form}' is not a form of L2 over batch rows")


def sum_of_squares(parameters: Iterable[Tensor]) -> Tensor:
    """Sum the squared entries of whole tensors (LUDP Eq. 15 read literally)."""
    return cast(Tensor, _SumOfSquares.apply(*parameters))
