"""Losses shared by all models: BPR and the forms of L2 regularisation. Pure torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

RegForm = Literal["half_sq", "recbole_norm", "elem_mean", "all_params"]


def bpr_loss(positive: Tensor, negative: Tensor, reduction: Literal["mean", "sum"] = "mean") -> Tensor:
    """Return -ln sigmoid(s_ui - s_uj) (Rendle et al. 2009; LUDP Eq. 15).

    As a softplus its gradient does not vanish for large differences, where log(sigmoid) would underflow.

    Args:
        positive, negative: scores of the batch, `[B]` each.
        reduction: mean over the batch, or the printed sum.
    """
    loss = F.softplus(negative - positive)
    return loss.mean() if reduction == "mean" else loss.sum()


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
        return torch.stack([row.square().sum() for row in rows]).sum() / (2 * n_rows)
    if form == "recbole_norm":
        return torch.stack([torch.linalg.vector_norm(row) for row in rows]).sum() / n_rows
    if form == "elem_mean":
        weighted = 2 * users.square().sum() + positives.square().sum() + negatives.square().sum()
        return weighted / (2 * users.numel())
    raise ValueError(f"'{form}' is not a form of L2 over batch rows")


def sum_of_squares(parameters: Iterable[Tensor]) -> Tensor:
    """Sum the squared entries of whole tensors (LUDP Eq. 15 read literally)."""
    return torch.stack([parameter.square().sum() for parameter in parameters]).sum()
