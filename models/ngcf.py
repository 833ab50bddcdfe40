"""NGCF: graph convolution with feature transformations and neighbour-ego products.

Paper: Wang, He, Wang, Feng, Chua, "Neural Graph Collaborative Filtering", SIGIR 2019.

| function | equation |
|---|---|
| `models.ngcf.normalised_layer` | Eq. 7: LR((L + I) E W_1 + L E * E W_2), with biases |
| `models.layers.graph.bipartite` | Eq. 8: L = D^-1/2 A D^-1/2 |
| `NGCF._views` | Eq. 9: all layers side by side |
| `NGCF.embed` | Eq. 10: dot product |
| `models.ngcf.dropout_factors`, `NGCF._thinned` | section 3.5: message and node dropout |

Deviations from the paper: each layer's rows are normalised, as in RecBole. `ngcf_variant` recbole is RecBole's
arithmetic (normalised rows feed the next layer; weights Xavier normal, zero biases) and equals it with copied
weights and `reg_form` recbole_norm, gradients and steps included. By default, though, the L2 term is squared,
degrees have no epsilon, and a dropout rate is rounded to the nearest 1 / 65,536. `official` is the released
TensorFlow code: (D + I)^-1 (A + I) instead of L, two separate LeakyReLUs, no own row beside the side one, rows
normalised only where they are read out, all weights and biases Xavier uniform. Both codes regularise the final
rows, as the default here.

Cost of a step: 2 L sparse products over all nodes, and L times two d x d products of every node's row, in the
last layer of the batch's rows only; twice that for the gradient; Adam over N d entries.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from models.base import ModelCard, ModelParams, Recommender, Tables
from models.layers.dense import linear, matrix, product, zeros
from models.layers.graph import Batch, SparseRows, bipartite, distinct, gather, repeated, spmm, spmm_rows, thirds
from models.layers.losses import l2
from models.layers.rows import inverse_norms, unit_gradient, unit_rows

SLOPE = 0.2  # of LeakyReLU
LANES = 2**16  # values of a 16-bit part of a draw


class Weights(NamedTuple):
    """W_1 and W_2, `[n_inputs, n_outputs]`, b_1 and b_2, `[n_outputs]`."""

    w1: Tensor
    w2: Tensor
    b1: Tensor
    b2: Tensor


def normalised_layer(own: Tensor, side: Tensor, weights: Weights, keep: Tensor | None) -> Tensor:
    """Return unit rows of LeakyReLU((own + side) W_1 + (own * side) W_2 + b_1 + b_2) * keep (NGCF Eq. 7).

    Args:
        own: the rows' own vectors, `[n, n_inputs]`.
        side: the sums over their neighbours, `[n, n_inputs]`.
        weights: of the layer.
        keep: factors of the dropout, `[n, n_outputs]`, or None.

    Returns:
        `[n, n_outputs]`.
    """
    return cast(Tensor, _LayerFunction.apply(own, side, *weights, keep))


def dropout_factors(n_rows: int, n_columns: int, like: Tensor, rate: float) -> Tensor:
    """Draw inverted dropout: 0 with probability `rate`, to the nearest 1 / 65,536, else 1 / (1 - rate).

    One 64-bit draw decides four entries, at half the cost of a uniform number for each.

    Args:
        n_rows, n_columns: shape of the result.
        like: a tensor of its type and device.
        rate: below 1.

    Returns:
        `[n_rows, n_columns]`.
    """
    threshold, n_entries = round(rate * LANES), n_rows * n_columns
    draws = torch.empty(-(-n_entries // 4), dtype=torch.int64, device=like.device).random_(-(2**63), None)
    lanes = draws.view(torch.int16)[:n_entries].view(n_rows, n_columns)
    return (lanes >= threshold - LANES // 2).to(like.dtype).mul_(LANES / (LANES - threshold))


class _LayerFunction(torch.autograd.Function):
    """Forward and gradient of `normalised_layer`, in place where a table is not needed again.

    Written by hand, because a layer only passes over tables of all nodes: autograd would keep and rewrite about
    three times as many of them.
    """

    @staticmethod
    def forward(
        ctx: Any, own: Tensor, side: Tensor, w1: Tensor, w2: Tensor, b1: Tensor, b2: Tensor, keep: Tensor | None
    ) -> Tensor:
        sums, products = own + side, own * side
        rows = product(sums, w1.T, b1 + b2).add_(product(products, w2.T))
        F.leaky_relu_(rows, SLOPE)
        if keep is not None:
            rows.mul_(keep)
        inverse = inverse_norms(rows)
        rows.mul_(inverse)
        ctx.save_for_backward(own, side, w1, w2, sums, products, rows, inverse, keep)
        return rows

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        own, side, w1, w2, sums, products, unit, inverse, keep = ctx.saved_tensors
        to_rows = unit_gradient(unit, inverse, grads[0])
        if keep is not None:
            to_rows.mul_(keep)
        # the signs of the unit rows are those before LeakyReLU; a dropped entry has no gradient left
        to_rows = torch.ops.aten.leaky_relu_backward(to_rows, unit, SLOPE, True)
        to_bias = to_rows.sum(0)
        to_sums, to_products = product(to_rows, w1), product(to_rows, w2)
        to_side = torch.addcmul(to_sums, to_products, own)
        to_own = to_sums.addcmul_(to_products, side)
        return to_own, to_side, sums.T @ to_rows, products.T @ to_rows, to_bias, to_bias, None


Rate = Annotated[float, Field(ge=0, lt=1)]
Variant = Literal["recbole", "official"]


class Params(ModelParams):
    """Parameters of NGCF."""

    hidden_sizes: Annotated[list[PositiveInt], Field(min_length=1)]
    """Width of each propagation layer."""
    ngcf_variant: Variant
    """"recbole": the paper's propagation with normalised rows; "official": the released code."""
    message_dropout: Rate
    """Share of a layer's output entries dropped while training."""
    node_dropout: Rate
    """Share of the graph's entries dropped while training, drawn once per step."""
    reg_ngcf: Literal["final", "ego"]
    """Rows that the L2 term acts on: the final ones, as in both codes, or the id embeddings."""


class _Layer(nn.Module):
    """One propagation step.

    Args:
        n_inputs, n_outputs: widths of the rows before and after.
        variant: whose arithmetic, and whose initialisation.
        dropout: share of the output's entries dropped while training.
    """

    def __init__(self, n_inputs: int, n_outputs: int, variant: Variant, dropout: float) -> None:
        super().__init__()
        self.variant, self.dropout = variant, dropout
        self.w1, self.w2 = matrix(n_inputs, n_outputs), matrix(n_inputs, n_outputs)
        self.b1, self.b2 = zeros(n_outputs), zeros(n_outputs)
        if variant == "official":
            for parameter in (self.w1, self.w2, self.b1, self.b2):
                nn.init.xavier_uniform_(parameter.data.view(-1, n_outputs))  # a bias counts as one row

    def forward(self, own: Tensor, side: Tensor) -> Tables:
        """Return the next layer's input and the rows to read out, `[n, n_outputs]` each.

        Args:
            own: the rows' own vectors, `[n, n_inputs]`.
            side: the sums over their neighbours, `[n, n_inputs]`.
        """
        keep = None
        if self.training and self.dropout:
            keep = dropout_factors(len(own), self.w1.shape[1], own, self.dropout)
        if self.variant == "recbole":
            rows = normalised_layer(own, side, Weights(self.w1, self.w2, self.b1, self.b2), keep)
            return rows, rows
        messages = linear(side, self.w1.T, self.b1, slope=SLOPE)
        messages = messages + linear(own * side, self.w2.T, self.b2, slope=SLOPE)
        messages = messages if keep is None else messages * keep
        return messages, unit_rows(messages)


class NGCF(Recommender):
    """All propagation layers side by side."""

    Params = Params
    static_step = True
    CARD: ClassVar = ModelCard(
        title="NGCF",
        family="gcn",
        paper="Wang et al., Neural Graph Collaborative Filtering, SIGIR 2019",
        uses_content=False,
        url="https://arxiv.org/abs/1905.08108",
    )
    transposition: Tensor

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        p = self.params
        norm: Literal["sym", "rw_self"] = "sym" if p.ngcf_variant == "recbole" else "rw_self"
        self.graph = bipartite(self.train_users, self.train_items, self.n_users, self.n_items, norm)
        sizes = [p.embedding_size, *p.hidden_sizes]
        self.layers = nn.ModuleList(
            _Layer(n_inputs, n_outputs, p.ngcf_variant, p.message_dropout)
            for n_inputs, n_outputs in pairwise(sizes)
        )
        if p.node_dropout:
            # position in the graph of each entry of the transpose, to drop the same entries from both
            n_nodes = self.n_users + self.n_items
            rows = torch.repeat_interleave(self.graph.offsets.diff().to(torch.int64))
            order = torch.argsort(self.graph.columns.to(torch.int64) * n_nodes + rows)
            self.register_buffer("transposition", order, persistent=False)

    def _thinned(self) -> SparseRows:
        """Return the graph of this step: while training, with `node_dropout` of its entries set to zero."""
        graph, rate = self.graph, self.params.node_dropout
        if not (self.training and rate):
            return graph
        values = graph.values * dropout_factors(len(graph.values), 1, graph.values, rate).squeeze(1)
        return SparseRows(
            (graph.offsets, graph.columns, values),
            (graph.t_offsets, graph.t_columns, values[self.transposition]),
        )

    def _views(self, nodes: Tensor | None) -> Tensor:
        """Return final vectors of the given nodes, or of all, `[n, d + sum(hidden_sizes)]`.

        The last layer is computed for the given nodes only.
        """
        graph, own = self._thinned(), self.ego()
        views = [own if nodes is None else gather(own, nodes)]
        for layer in self.layers:
            if layer is self.layers[-1] and nodes is not None:
                views.append(layer(gather(own, nodes), spmm_rows(graph, nodes, own))[1])
                break
            own, view = layer(own, spmm(graph, own))
            views.append(view if nodes is None else gather(view, nodes))
        return torch.cat(views, dim=1)

    def embed(self) -> Tables:
        """Return final vectors of all users and items, `[n_users, D]` and `[n_items, D]`."""
        users, items = self._views(None).split([self.n_users, self.n_items])
        return users, items

    def embed_batch(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Batch:
        """Return the batch's final vectors, `[B, D]` each; a node that occurs twice is computed once."""
        nodes, position = distinct(torch.cat([users, positives + self.n_users, negatives + self.n_users]))
        return thirds(repeated(self._views(nodes), position))

    def regularisation(self, batch: Batch, final: Batch) -> Tensor:
        """Return the L2 term on the rows that `reg_ngcf` names."""
        if self.params.reg_ngcf == "ego" or self.params.reg_form == "all_params":
            return super().regularisation(batch, final)
        return l2(self.params.reg_form, *final)
