"""ACF: attentive collaborative filtering; a user is an attention-weighted sum over the history.

Paper: Chen, Zhang, He, Nie, Liu, Chua, "Attentive Collaborative Filtering: Multimedia Recommendation with
Item- and Component-Level Attention", SIGIR 2017.

| function | equation |
|---|---|
| `ACF._histories` | item-level attention a(u, l) and component-level attention b(u, l, m), softmax over m |
| `ACF._users`, `models._segments.attend` | alpha, softmax over the history; uhat_u = u + sum_l alpha_ul p_l |
| `ACF.embed` | s_ui = uhat_u . v_i |

Deviations from the paper: the components of an item are its modalities (there: regions or frames of one),
each brought to d columns by a W_x^m of its own; an item without a modality leaves it out of the softmax; the
constants c_1 and c_2 cancel in the softmax and are left out. From the authors' code, which `acf_variant` code
follows in structure (the item attention sees u and xbar only, xbar is pooled in place of p, U and V start at
zero): mean instead of summed loss, Adam, width 64, no L2 on the attention unless `acf_reg_att`. Zero tables
would be a saddle point of the paper's form, so it starts at N(0, 0.01^2). The positive item is part of the
user's history while training, as there, and leaks the label; `acf_exclude_pos` leaves it out.

Cost of a step: sum(d_m) d multiplications for each distinct item in the histories of the batch's distinct
users, and (2K + 4) h for each of their pairs; pairs never meet the features. Adam over the tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from models._features import scaled
from models._fusion import masked_softmax, weighted_sum
from models._init import fill_, zeros
from models._losses import l2, sum_of_squares
from models._segments import Groups, attend, attend_without, segments, spread
from models.base import ContentParams, ContentRecommender, ModelCard, Tables

CHUNK_PAIRS = 256_000
Batch = tuple[Tensor, Tensor, Tensor]


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

    def part(self, name: str, rows: Tensor) -> Tensor:
        """One input's share of the hidden layer, `[n, d]` to `[n, h]`; the bias is part of u's."""
        return F.linear(rows, self.weights[name], self.bias if name == "u" else None)

    def logits(self, hidden: Tensor) -> Tensor:
        """Unnormalised weights from the summed shares, `[n, h]` to `[n]`."""
        return torch.relu(hidden) @ self.vector


class _Histories(NamedTuple):
    """The pairs of distinct users and the items of their histories, user after user.

    Attributes:
        items: item of each pair, `[n]`.
        owners: user of each pair, as a position among the users.
        logits: item-level attention a_ul, `[n, 1]`.
        values: what is pooled, p_l or xbar_ul, `[n, d]`.
    """

    items: Tensor
    owners: Groups
    logits: Tensor
    values: Tensor


class ACF(ContentRecommender):
    """(u + attention-weighted sum of p over the history) . v_i; content steers the attention."""

    Params = Params
    CARD: ClassVar = ModelCard(
        title="ACF",
        family="multimodal",
        paper="Chen et al., Attentive Collaborative Filtering: Multimedia Recommendation with Item- and "
        "Component-Level Attention, SIGIR 2017",
        uses_content=True,
    )
    content: Tensor
    available: Tensor
    history_items: Tensor
    history_offsets: Tensor

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
        content = torch.cat([scaled(m, p.feat_norm) for m in self.features], dim=1)
        available = torch.stack([self.participating(m) for m in self.features], dim=1)
        items, sizes = self._kept_history()
        self.register_buffer("content", content, persistent=False)
        self.register_buffer("available", available, persistent=False)
        self.register_buffer("history_items", items, persistent=False)
        self.register_buffer("history_offsets", F.pad(torch.cumsum(sizes, 0), (1, 0)), persistent=False)

    def _kept_history(self) -> tuple[Tensor, Tensor]:
        """Items of all histories, user after user, and their lengths, cut to `acf_max_history`."""
        users, items, most = self.train_users, self.train_items, self.params.acf_max_history
        sizes = torch.bincount(users, minlength=self.n_users)
        if not most:
            return items, sizes
        shuffled = torch.randperm(len(users), generator=torch.Generator().manual_seed(0))
        shuffled = shuffled[torch.argsort(users[shuffled], stable=True)]
        rank = torch.arange(len(users)) - torch.repeat_interleave(torch.cumsum(sizes, 0) - sizes, sizes)
        kept = shuffled[rank < most].sort().values
        return items[kept], sizes.clamp_max(most)

    def _histories(self, users: Tensor) -> _Histories:
        """Both attentions up to the item-level softmax, for distinct users `[n_users]`."""
        positions, sizes = segments(self.history_offsets, users)
        items = self.history_items[positions]
        distinct, member = torch.unique(items, return_inverse=True)
        owners, members = Groups.of_sizes(sizes), Groups.by(member, len(distinct))
        component, item = self.component_attention, self.item_attention
        features = self.content[distinct].split(self.dims, dim=1)
        projected = [rows @ weight.T for rows, weight in zip(features, self.projections, strict=True)]
        user_rows = self.user_embedding(users)

        own = spread(component.part("u", user_rows), owners)
        logits = [component.logits(own + spread(component.part("x", x), members)) for x in projected]
        beta = masked_softmax(torch.stack(logits, dim=1), self.available[items])
        hidden = spread(item.part("u", user_rows), owners)
        hidden = hidden + weighted_sum([spread(item.part("x", x), members) for x in projected], beta)
        if self.history_embedding is None:
            values = weighted_sum([spread(x, members) for x in projected], beta)
        else:
            pooled = self.history_embedding(distinct)
            known = item.part("v", self.item_embedding(distinct)) + item.part("p", pooled)
            hidden = hidden + spread(known, members)
            values = spread(pooled, members)
        return _Histories(items, owners, item.logits(hidden).unsqueeze(1), values)

    def _users(self, users: Tensor, left_out: Tensor | None = None) -> Tensor:
        """Vectors uhat, `[n, d]`; the plain embedding where the history is empty.

        Args:
            users: user ids, `[n]`; the history of one that occurs twice is attended to once.
            left_out: an item of each to leave out of the history, `[n]`, or None.
        """
        distinct, position = torch.unique(users, return_inverse=True)
        pairs = self._histories(distinct)
        rows: Tensor = self.user_embedding(users)
        if left_out is None or not len(pairs.items):
            return rows + F.embedding(position, attend(pairs.logits, pairs.values, pairs.owners))
        keys = pairs.owners.index * self.n_items + pairs.items  # ascending, like the histories
        wanted = position * self.n_items + left_out
        entry = torch.searchsorted(keys, wanted).clamp_max(len(keys) - 1)
        inside = keys[entry] == wanted
        return rows + attend_without(pairs.logits, pairs.values, pairs.owners, position, entry, inside)

    def embed(self) -> Tables:
        """Vectors uhat of all users, some 256,000 pairs at a time, and v of all items, `[n, d]` each."""
        chunk = torch.div(self.history_offsets[1:] - 1, CHUNK_PAIRS, rounding_mode="floor").clamp_min(0)
        sizes = torch.unique_consecutive(chunk, return_counts=True)[1].tolist()
        parts = torch.arange(self.n_users, device=chunk.device).split(sizes)
        return torch.cat([self._users(part) for part in parts]), self.item_embedding.weight

    def embed_batch(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Batch:
        """The batch's rows, `[B, d]` each."""
        left_out = positives if self.params.acf_exclude_pos and self.training else None
        return self._users(users, left_out), self.item_embedding(positives), self.item_embedding(negatives)

    def ego_batch(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Batch:
        """Rows that the L2 term acts on: u, and v beside p of both items."""
        rows = super().ego_batch(users, positives, negatives)
        if self.history_embedding is None:
            return rows
        pooled = self.history_embedding(positives), self.history_embedding(negatives)
        return rows[0], torch.cat([rows[1], pooled[0]], dim=1), torch.cat([rows[2], pooled[1]], dim=1)

    def regularisation(self, batch: Batch, final: Batch) -> Tensor:
        """The L2 term on the batch's rows, and with `acf_reg_att` on the attention networks."""
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
