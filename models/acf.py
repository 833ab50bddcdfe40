"""ACF: attentive collaborative filtering; a user is an attention-weighted sum over the history.

Paper: Chen, Zhang, He, Nie, Liu, Chua, "Attentive Collaborative Filtering: Multimedia Recommendation with
Item- and Component-Level Attention", SIGIR 2017.

| function | equation |
|---|---|
| `ACF._attention` | item-level attention a(u, l) and component-level attention b(u, l, m), softmax over m |
| `models.layers.attention.attend` | alpha, softmax over the history, and sum_l alpha_ul p_l |
| `ACF.embed_with_ego` | uhat_u = u + sum_l alpha_ul p_l |
| `ACF.embed` | s_ui = uhat_u . v_i |

Deviations from the paper: the components of an item are its modalities (there: regions or frames of one), each
projected to d columns by its own W_x^m. An item without a modality leaves it out of the softmax. The constants c_1
and c_2 cancel in the softmax and are left out.

`acf_variant` code follows the structure of the authors' code: the item attention sees u and xbar only, xbar is
pooled in place of p, U and V start at zero. Deviations from that code: mean instead of summed loss, Adam, width
64, no L2 on the attention unless `acf_reg_att`. Zero tables would be a saddle point of the paper's form, so it
starts at N(0, 0.01^2). As in the code, the positive item is part of the user's history while training, and leaks
the label; `acf_exclude_pos` leaves it out.

Cost of a step: (sum(d_m) + 2K h + 2h) d multiplications for each item, since the histories of a batch hold most
items, and (2K + 4) h for each pair of the batch's distinct users and their histories; pairs do not touch the
features. Adam over the tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from models.base import ContentParams, ContentRecommender, ModelCard, Tables
from models.layers.attention import Histories, Part, attend, attend_without, pair_logits
from models.layers.dense import fill_, linear, zeros
from models.layers.edges import Edges
from models.layers.features import scaled
from models.layers.graph import Batch, gather, halves
from models.layers.losses import l2, sum_of_squares

CHUNK_PAIRS = 256_000  # pairs of user and history item that `embed` attends to at a time


class Params(ContentParams):
    """Parameters of ACF."""

    acf_variant: Literal["paper", "code"]
    """The paper's form, or the structure of the authors' code with U and V starting at zero."""
    acf_hidden: PositiveInt
    """Width of both attention networks, h."""
    acf_exclude_pos: bool
    """Leave a triple's positive item out of the user's history while training."""
    acf_reg_att: bool
    """Add half the squared norm of everything but the id tables to the L2 term."""
    acf_max_history: NonNegativeInt
    """Items kept of each history, a fixed random choice; 0 keeps all."""


class _Attention(nn.Module):
    """Additive attention w . relu(sum of W_x x over its inputs + b).

    Args:
        inputs: names of the inputs.
        size: width of each input, d.
        hidden: width of the attention space, h.
    """

    def __init__(self, inputs: Sequence[str], size: int, hidden: int) -> None:
        super().__init__()
        self.weights = nn.ParameterDict({name: _uniform(hidden, size) for name in inputs})
        self.bias = zeros(hidden)
        self.vector = nn.Parameter(0.1 * torch.randn(hidden))


class _Shares(NamedTuple):
    """Contributions of all items to the attentions over histories, computed once per item.

    Attributes:
        inner: share of each modality in the component-level hidden layer, `[K, n_items, h]`.
        outer: shares in the item-level hidden layer, of v and p first where there is p, then of each modality
            before its weight beta, `[K or K + 1, n_items, h]`.
        values: what is pooled, p, or the projected modalities before beta, `[n_items, d]` each.
    """

    inner: Tensor
    outer: Tensor
    values: list[Tensor]


class ACF(ContentRecommender):
    """(u + attention-weighted sum of p over the history) . v_i; content steers the attention."""

    Params = Params
    CARD: ClassVar = ModelCard(
        title="ACF",
        family="multimodal",
        paper="Chen et al., Attentive Collaborative Filtering: Multimedia Recommendation with Item- and "
        "Component-Level Attention, SIGIR 2017",
        uses_content=True,
        url="https://doi.org/10.1145/3077136.3080797",
    )
    available: Tensor

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        p = self.params
        size, paper = p.embedding_size, p.acf_variant == "paper"
        self.dims = [features.raw.shape[1] for features in self.features]
        self.history_embedding: nn.Embedding | None = None
        if paper:
            self.history_embedding = nn.Embedding(self.n_items, size)
            fill_(self.history_embedding.weight, p.init, p.init_std)
        else:
            nn.init.zeros_(self.user_embedding.weight)
            nn.init.zeros_(self.item_embedding.weight)
        self.projections = nn.ParameterList([_uniform(size, dim) for dim in self.dims])
        self.component_attention = _Attention(("u", "x"), size, p.acf_hidden)
        self.item_attention = _Attention(("u", "v", "p", "x") if paper else ("u", "x"), size, p.acf_hidden)
        available = torch.stack([self.participating(m) for m in self.features])
        counts = self.n_users, self.n_items
        self.histories = Histories(self.train_users, self.train_items, *counts, p.acf_max_history)
        # excluding positives treats pairs of large weight apart, so that tensor sizes depend on the batch
        self.static_step = not p.acf_exclude_pos
        for number, features in enumerate(self.features):
            self.register_buffer(f"content_{number}", scaled(features, p.feat_norm), persistent=False)
        self.register_buffer("available", available, persistent=False)

    def _item_rows(self) -> Tensor:
        """Return the rows v of all items, with p beside it if there is one, `[n_items, d]` or `[n_items, 2d]`."""
        if self.history_embedding is None:
            return self.item_embedding.weight
        return torch.cat([self.item_embedding.weight, self.history_embedding.weight], dim=1)

    def _shares(self, items: Tensor) -> _Shares:
        """Compute the shares of all items from their `_item_rows`."""
        component, item = self.component_attention.weights, self.item_attention.weights
        content = [getattr(self, f"content_{m}") for m in range(len(self.features))]
        projected = [linear(rows, weight) for rows, weight in zip(content, self.projections, strict=True)]
        every = torch.cat(projected)
        shape = len(projected), self.n_items, self.params.acf_hidden
        inner, outer = (linear(every, weights["x"]).view(shape) for weights in (component, item))
        if self.history_embedding is None:
            return _Shares(inner, outer, projected)
        known = linear(items, torch.cat([item["v"], item["p"]], dim=1))
        return _Shares(inner, torch.cat([known.unsqueeze(0), outer]), [self.history_embedding.weight])

    def _attention(self, pairs: Edges, users: Tensor, shares: _Shares) -> tuple[Tensor, list[Part]]:
        """Return each pair's item-level logit, `[n]`, and what is pooled, from the users' rows u `[n, d]`."""
        component, item = self.component_attention, self.item_attention
        both = torch.cat([component.weights["u"], item.weights["u"]])
        inner, outer = linear(users, both, torch.cat([component.bias, item.bias])).chunk(2, dim=1)
        logits = torch.stack([pair_logits(pairs, inner, table[None], component.vector) for table in shares.inner])
        available = torch.stack([row.index_select(0, pairs.columns) for row in self.available])
        beta = torch.softmax(logits.masked_fill(~available, torch.finfo(logits.dtype).min), dim=0) * available
        pooled: list[Part] = [(None, shares.values[0])]
        if self.history_embedding is None:
            pooled = list(zip(beta, shares.values, strict=True))
        return pair_logits(pairs, outer, shares.outer, item.vector, beta), pooled

    def embed(self) -> Tables:
        """Return vectors uhat of all users, some 256,000 pairs at a time, and v of all items, `[n, d]` each."""
        chunk = torch.div(self.histories.offsets[1:] - 1, CHUNK_PAIRS, rounding_mode="floor").clamp_min(0)
        sizes = torch.unique_consecutive(chunk, return_counts=True)[1].tolist()
        ids, shares, vectors = torch.arange(self.n_users, device=chunk.device), self._shares(self._item_rows()), []
        for users, rows in zip(ids.split(sizes), self.user_embedding.weight.split(sizes), strict=True):
            pairs = self.histories.pairs(users)
            vectors.append(rows + attend(pairs, *self._attention(pairs, rows, shares)))
        return torch.cat(vectors), self.item_embedding.weight

    def embed_batch(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Batch:
        """Return the batch's rows, `[B, d]` each."""
        return self.embed_with_ego(users, positives, negatives)[0]

    def embed_with_ego(self, users: Tensor, positives: Tensor, negatives: Tensor) -> tuple[Batch, Batch | None]:
        """Return the batch's rows, and those of `ego_batch`; a repeated user attends to the history once."""
        found, position, pairs = self.histories.of_batch(users)
        own, items = gather(self.user_embedding.weight, found), self._item_rows()
        attention = self._attention(pairs, own, self._shares(items))
        if self.params.acf_exclude_pos and self.training:
            attended = attend_without(pairs, *attention, position, positives)
        else:
            attended = gather(attend(pairs, *attention), position)
        rows, (first, second) = gather(own, position), halves(gather(items, torch.cat([positives, negatives])))
        final = rows + attended, first[:, : own.shape[1]], second[:, : own.shape[1]]
        return final, None if self.params.acf_reg_att else (rows, first, second)

    def ego_batch(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Batch:
        """Return the rows that the L2 term acts on: u, and v beside p of both items."""
        items = halves(gather(self._item_rows(), torch.cat([positives, negatives])))
        return gather(self.user_embedding.weight, users), *items

    def regularisation(self, batch: Batch, final: Batch) -> Tensor:
        """Return the L2 term on the batch's rows, and with `acf_reg_att` on the attention networks."""
        if self.params.reg_form == "all_params":
            return super().regularisation(batch, final)
        rows = l2(self.params.reg_form, *self.ego_batch(*batch))
        if not self.params.acf_reg_att:
            return rows
        return rows + sum_of_squares(self._attention_parameters()) / 2

    def _attention_parameters(self) -> list[nn.Parameter]:
        parts = (self.projections, self.component_attention, self.item_attention)
        return [parameter for part in parts for parameter in part.parameters()]


def _uniform(n_rows: int, n_columns: int) -> nn.Parameter:
    return nn.Parameter(fill_(torch.empty(n_rows, n_columns), "xavier_uniform", 0.0))
