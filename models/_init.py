"""Initialisation of tables and matrices. RecBole's helpers see modules only; these take tensors."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

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
    """A trainable `[n_rows, n_columns]` matrix, Xavier normal."""
    return nn.Parameter(nn.init.xavier_normal_(torch.empty(n_rows, n_columns)))


def vector(size: int) -> nn.Parameter:
    """A trainable vector `[size]`, drawn like one row of a Xavier-normal `[1, size]` matrix."""
    return nn.Parameter(nn.init.xavier_normal_(torch.empty(1, size))[0].detach().clone())


def zeros(size: int) -> nn.Parameter:
    """A trainable vector `[size]` of zeros: a bias."""
    return nn.Parameter(torch.zeros(size))
