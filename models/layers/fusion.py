"""Fusion of one vector per modality into one (LUDP Eqs. 6-8 and 12, and the alternatives of its Fig. 5).

Inputs are lists of `[n, d]` tensors, one per modality, with a mask `[n, K]` of those available; the result
is `[n, d]`. A row without any modality becomes zero. Pure torch.

Attention is one differentiable operation with a gradient by hand: only its products cost computation, and every
other operation that torch would record is a pass over tables of a few thousand rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.dense import linear, matrix, product, vector, zeros

FusionName = Literal["attention", "sum", "mean", "concat_fc"]
Share = Literal["paper", "all", "none"]
Activation = Literal["none", "leaky_relu", "relu", "tanh"]


def masked_softmax(logits: Tensor, mask: Tensor, dim: int = -1) -> Tensor:
    """Return the softmax over a dimension among the entries of `mask`; zero where the mask is empty."""
    weights = torch.softmax(logits.masked_fill(~mask, torch.finfo(logits.dtype).min), dim=dim)
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

    def forward(self, values: Sequence[Tensor], mask: Tensor, inputs: Sequence[Tensor] | None = None) -> Tensor:
        """Return the sum of `values` weighted by attention over `inputs` (by default the values; Eqs. 7-8)."""
        layers = [
            list(part)[min(m, len(part) - 1)]
            for m in range(len(values))
            for part in (self.weights, self.biases, self.queries)
        ]
        return cast(Tensor, _Attention.apply(mask, len(values), *values, *(inputs or ()), *layers))


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


class _Attention(torch.autograd.Function):
    """`sum_m w_m v_m` with w, `[K, n]`, the softmax over the modalities of `q_m . tanh(W_m x_m + b_m)`.

    Takes the values v, the inputs x if they are others, and W, b and q of each modality.
    """

    @staticmethod
    def forward(ctx: Any, mask: Tensor, n_modalities: int, *tensors: Tensor) -> Tensor:
        values, inputs, layers = _Attention._parts(n_modalities, tensors)
        hidden = [product(rows, w, b).tanh_() for rows, (w, b, _) in zip(inputs, layers, strict=True)]
        logits = torch.stack([rows.mv(q) for rows, (_, _, q) in zip(hidden, layers, strict=True)])
        weights = masked_softmax(logits, mask.T, dim=0)
        ctx.n_modalities = n_modalities
        ctx.save_for_backward(weights, *hidden, *tensors)
        return weighted_sum(values, weights.T)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        n, grad = ctx.n_modalities, grads[0].contiguous()
        weights, *saved = ctx.saved_tensors
        hidden, tensors = saved[:n], saved[n:]
        values, inputs, layers = _Attention._parts(n, tensors)
        flow = torch.stack([torch.linalg.vecdot(grad, rows) for rows in values]).mul_(weights)
        to_logits = flow.addcmul_(weights, flow.sum(0, keepdim=True), value=-1)
        # the values' gradients lie below each other, for where the values do so themselves
        of_values = grad.new_empty(n, *grad.shape).unbind()
        of_inputs, of_layers = [], []
        for m, (rows, (weight, _, query)) in enumerate(zip(inputs, layers, strict=True)):
            inner = torch.ops.aten.tanh_backward(torch.outer(to_logits[m], query), hidden[m])
            of_layers += [inner.T @ rows, inner.sum(0), hidden[m].T.mv(to_logits[m])]
            of_rows, share = product(inner, weight.T), weights[m].unsqueeze(1)
            if inputs is values:
                torch.addcmul(of_rows, grad, share, out=of_values[m])
            else:
                torch.mul(grad, share, out=of_values[m])
                of_inputs.append(of_rows)
        return None, None, *of_values, *of_inputs, *of_layers

    @staticmethod
    def _parts(
        n: int, tensors: Sequence[Tensor]
    ) -> tuple[Sequence[Tensor], Sequence[Tensor], list[Sequence[Tensor]]]:
        """Return values, inputs, and W, b, q of each modality."""
        values, rest = tensors[:n], tensors[n:]
        inputs, flat = (values, rest) if len(rest) == 3 * n else (rest[:n], rest[n:])
        return values, inputs, [flat[at : at + 3] for at in range(0, len(flat), 3)]


def weighted_sum(values: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Sum over modalities of `weights[:, m] * values[m]`, `[n, d]` (LUDP Eqs. 8 and 12)."""
    total = values[0] * weights[:, :1]
    for m in range(1, len(values)):
        total = torch.addcmul(total, values[m], weights[:, m : m + 1])
    return total
