"""Fusion of one vector per modality into one (LUDP Eqs. 6-8 and 12, and the alternatives of its Fig. 5).

Inputs are lists of `[n, d]` tensors, one per modality, with a mask `[n, K]` of those available; the result
is `[n, d]`. A row without any modality becomes zero. Pure torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.dense import linear, matrix, vector, zeros

FusionName = Literal["attention", "sum", "mean", "concat_fc"]
Share = Literal["paper", "all", "none"]
Activation = Literal["none", "leaky_relu", "relu", "tanh"]


def masked_softmax(logits: Tensor, mask: Tensor) -> Tensor:
    """Return the softmax over the last dimension among the entries of `mask`; zero where the mask is empty."""
    weights = torch.softmax(logits.masked_fill(~mask, torch.finfo(logits.dtype).min), dim=-1)
    return weights * mask


class AttentionFusion(nn.Module):
    """Additive attention: w^m = q . tanh(W^m h^m + b), softmax over the modalities (LUDP Eqs. 6-8).

    Args:
        size: width of the fused vectors, d.
        dims: feature width d_m of each modality, used where `att_dim` is "dm".
        att_dim: width of the attention space, or "dm" for the printed d_m with q and b of each modality.
        share: "paper" q and b shared, W per modality; "all" W shared too; "none" nothing shared.
    """

    def __init__(self, size: int, dims: Sequence[int], att_dim: int | Literal["dm"], share: Share) -> None:
        super().__init__()
        n_modalities = len(dims)
        widths = list(dims) if att_dim == "dm" else [att_dim] * n_modalities
        own_vectors = share == "none" or att_dim == "dm"
        n_vectors = n_modalities if own_vectors else 1
        n_matrices = 1 if share == "all" and att_dim != "dm" else n_modalities
        self.weights = nn.ParameterList([matrix(widths[m], size) for m in range(n_matrices)])
        self.biases = nn.ParameterList([zeros(widths[m]) for m in range(n_vectors)])
        self.queries = nn.ParameterList([vector(widths[m]) for m in range(n_vectors)])

    def logits(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return unnormalised weights (Eq. 6), `[n, K]`."""
        columns = []
        for m, rows in enumerate(inputs):
            weight = self.weights[min(m, len(self.weights) - 1)]
            shared = min(m, len(self.queries) - 1)
            columns.append(torch.tanh(linear(rows, weight, self.biases[shared])) @ self.queries[shared])
        return torch.stack(columns, dim=1)

    def forward(self, values: Sequence[Tensor], mask: Tensor, inputs: Sequence[Tensor] | None = None) -> Tensor:
        """Return the sum of `values` weighted by attention over `inputs` (by default the values; Eqs. 7-8)."""
        weights = masked_softmax(self.logits(values if inputs is None else inputs), mask)
        return weighted_sum(values, weights)


class GlobalFusion(nn.Module):
    """One trained weight per modality, the same for all rows: softmax over K logits."""

    def __init__(self, n_modalities: int) -> None:
        super().__init__()
        self.modality_logits = zeros(n_modalities)

    def forward(self, values: Sequence[Tensor], mask: Tensor, inputs: Sequence[Tensor] | None = None) -> Tensor:
        """Return the weighted sum, renormalised over the available modalities."""
        return weighted_sum(values, masked_softmax(self.modality_logits.expand(mask.shape), mask))


class PlainFusion(nn.Module):
    """Sum or mean over the available modalities."""

    def __init__(self, how: Literal["sum", "mean"]) -> None:
        super().__init__()
        self.how = how

    def forward(self, values: Sequence[Tensor], mask: Tensor, inputs: Sequence[Tensor] | None = None) -> Tensor:
        """Return the sum, divided for the mean by the number of available modalities of each row."""
        weights = mask.to(values[0].dtype)
        if self.how == "mean":
            weights = weights / weights.sum(1, keepdim=True).clamp_min(1)
        return weighted_sum(values, weights)


class ConcatFusion(nn.Module):
    """Concatenation and one fully connected layer Kd -> d with bias (LUDP section 5.3.4)."""

    def __init__(self, size: int, n_modalities: int, activation: Activation, slope: float) -> None:
        super().__init__()
        self.weight = matrix(size, n_modalities * size)
        self.bias = zeros(size)
        self.activation = activation
        self.slope = slope

    def forward(self, values: Sequence[Tensor], mask: Tensor, inputs: Sequence[Tensor] | None = None) -> Tensor:
        """Transform the concatenation; absent modalities enter as zeros, and rows without any become zero."""
        parts = [rows * mask[:, m : m + 1] for m, rows in enumerate(values)]
        fused = linear(torch.cat(parts, dim=1), self.weight, self.bias)
        if self.activation == "leaky_relu":
            fused = F.leaky_relu(fused, self.slope)
        elif self.activation == "relu":
            fused = F.relu(fused)
        elif self.activation == "tanh":
            fused = torch.tanh(fused)
        return fused * mask.any(1, keepdim=True)


def weighted_sum(values: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Sum over modalities of `weights[:, m] * values[m]`, `[n, d]` (LUDP Eqs. 8 and 12)."""
    total = values[0] * weights[:, :1]
    for m in range(1, len(values)):
        total = total + values[m] * weights[:, m : m + 1]
    return total
