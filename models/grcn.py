"""GRCN: edges of the user-item graph are refined by content before id embeddings are propagated.

Paper: Wei, Wang, Nie, He, Chua, "Graph-Refined Convolutional Network for Multimedia Recommendation with
Implicit Feedback", ACM MM 2020.

| function | equation |
|---|---|
| `Content.items` | f_i = rn(LR(W x_i + b)) |
| `Content.routed` | T times: a_ui = softmax over N_u of q_u . f_i, then q_u <- rn(q_u + sum_i a_ui f_i) |
| `Content.forward`, affinities | softmax of q_u . f_i over the items of u, and over the users of i |
| `Content.forward`, content | z_u = q_u + sum_i alpha_iu f_i, z_i = f_i + sum_u alpha_ui q_u |
| `GRCN._edge_weights` | w_jt = max over m of alpha^m_jt C_jm, C the confidence of the message's source |
| `GRCN._identities` | x^0 = rn(E_id), x^(l+1)_t = sum_j w_jt x^l_j, z^id = x^0 + x^1 + x^2 |
| `GRCN.embed` | z = [z^id, z^1, ..., z^K] |
| `GRCN.regularisation` | L2 on the batch's rows of E_id and of its users' preferences, all modalities |

Deviations from the released code: there the routing is without effect, since the messages are sent from users
to items and the slice taken for the users is all zero, whatever T is. `grcn_routing` paper sends them to the
users; reference keeps what ran. The mean fusion divides by the vectors that there are (the code: always 4),
any subset of modalities runs (the code fails on text alone). The width of the content vectors is that of the
id embeddings. The variant `reference` gives the released code's values to all switches.

An item without a modality takes no part in that modality's softmaxes and maxima; edges of an item without any
get weight 0.

Cost of a step: for each modality T + 1 dots and T + 2 products over the E edges of one direction, 4 products
for the ids, about 2.5 times that backwards; memory O(E) for the edge values.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from pydantic import NonNegativeInt
from torch import Tensor, nn

from models._edges import EdgeGraph, Edges, column_major, edge_softmax, sddmm, spread, weighted_spmm
from models._features import scaled
from models._init import matrix, zeros
from models._losses import l2
from models._rows import unit_rows
from models.base import ContentParams, ContentRecommender, ModelCard, Tables

Batch = tuple[Tensor, Tensor, Tensor]
SLOPE = 0.01
N_ID_LAYERS = 2


class Params(ContentParams):
    """Parameters of GRCN."""

    n_routings: NonNegativeInt
    """Rounds of prototype routing, T."""
    grcn_routing: Literal["paper", "reference"]
    """Whether routing reaches the users, or is without effect as in the released code."""
    grcn_weight: Literal["confid", "max", "mean"]
    """Edge weight from the modalities' affinities: max weighted by confidence, plain max, or mean."""
    grcn_conf_init: Literal["xavier", "one"]
    """Initial confidences: small with random sign, or all 1."""
    pruning: Literal["soft", "hard"]
    """Edge weights as they are, or without the negative ones."""
    grcn_fusion: Literal["concat", "id", "mean"]
    """Final vector: id and content side by side, id alone, or their mean."""


class Affinities(NamedTuple):
    """Content vectors and edge affinities of one modality.

    Attributes:
        users, items: `[n_users, d]` and `[n_items, d]`.
        to_users: weight of each message from item to user, `[n_edges]`, user-major.
        to_items: weight of each message from user to item, `[n_edges]`, item-major.
    """

    users: Tensor
    items: Tensor
    to_users: Tensor
    to_items: Tensor


class Content(nn.Module):
    """Preferences and projected features of one modality.

    Args:
        table: scaled features, `[n_items, d_m]`.
        available: items whose features count, `[n_items]` bool; False for padding.
        n_users: number of users, padding included.
        size: width of the vectors.
        n_routings: rounds that reach the users.
    """

    def __init__(self, table: Tensor, available: Tensor, n_users: int, size: int, n_routings: int) -> None:
        super().__init__()
        self.preference = matrix(n_users, size)
        self.weight = matrix(size, table.shape[1])
        self.bias = zeros(size)
        self.n_routings = n_routings
        self.table: Tensor
        self.available: Tensor
        self.register_buffer("table", table, persistent=False)
        self.register_buffer("available", available, persistent=False)

    def items(self) -> Tensor:
        """Projected features f, `[n_items, d]`; zero for items without the modality."""
        projected = F.leaky_relu(F.linear(self.table, self.weight, self.bias), SLOPE)
        return unit_rows(projected * self.available.unsqueeze(1))

    def routed(self, edges: Edges, items: Tensor, keep: Tensor | None) -> Tensor:
        """User prototypes q after the routings, `[n_users, d]`."""
        users = unit_rows(self.preference)
        for _ in range(self.n_routings):
            weights = edge_softmax(edges, sddmm(edges, users, items), keep)
            users = unit_rows(users + weighted_spmm(edges, weights, items))
        return users

    def forward(self, edges: Edges, keep: Tensor | None) -> Affinities:
        """Affinities and content vectors.

        Args:
            edges: training edges, users as rows.
            keep: edges whose item has the modality, `[n_edges]` bool, or None where all have.
        """
        back = edges.transposed()
        items = self.items()
        users = self.routed(edges, items, keep)
        affinity = sddmm(edges, users, items)
        to_users = edge_softmax(edges, affinity, keep)
        to_items = edge_softmax(back, column_major(edges, affinity), None if keep is None else keep[edges.order])
        return Affinities(
            users + weighted_spmm(edges, to_users, items),
            items + weighted_spmm(back, to_items, users),
            to_users,
            to_items,
        )


class GRCN(ContentRecommender):
    """Id embeddings over the refined graph, beside the content vectors."""

    Params = Params
    CARD: ClassVar = ModelCard(
        title="GRCN",
        family="multimodal",
        paper="Wei et al., Graph-Refined Convolutional Network for Multimedia Recommendation with Implicit "
        "Feedback, ACM MM 2020",
        uses_content=True,
    )

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        p = self.params
        shape = (self.n_users, self.n_items)
        self.graph = EdgeGraph(Edges.from_pairs(self.train_users, self.train_items, shape))
        n_routings = p.n_routings if p.grcn_routing == "paper" else 0
        masks = [self.participating(features) for features in self.features]
        self.contents = nn.ModuleList(
            Content(scaled(features, p.feat_norm), mask, self.n_users, p.embedding_size, n_routings)
            for features, mask in zip(self.features, masks, strict=True)
        )
        item_has = torch.stack(masks, dim=1)
        edge_has = item_has[self.graph.edges.columns]
        self.edge_has: Tensor | None
        self.register_buffer("edge_has", None if edge_has.all() else edge_has, persistent=False)
        self.confidence: nn.Parameter | None = None
        if p.grcn_weight == "confid":
            self.confidence = matrix(self.n_users + self.n_items, len(masks))
            if p.grcn_conf_init == "one":
                nn.init.ones_(self.confidence)

    def embed(self) -> Tables:
        """Final vectors of all users and items."""
        edges = self.graph.edges
        contents = []
        for m, content in enumerate(self.contents):
            contents.append(content(edges, None if self.edge_has is None else self.edge_has[:, m]))
        users, items = self._identities(edges, contents)
        if self.params.grcn_fusion == "id":
            return users, items
        all_users = [users, *(content.users for content in contents)]
        all_items = [items, *(content.items for content in contents)]
        if self.params.grcn_fusion == "mean":
            return torch.stack(all_users).mean(0), torch.stack(all_items).mean(0)
        return torch.cat(all_users, dim=1), torch.cat(all_items, dim=1)

    def _identities(self, edges: Edges, contents: list[Affinities]) -> Tables:
        """Id vectors over the refined graph, `[n_users, d]` and `[n_items, d]`."""
        back = edges.transposed()
        confidences: tuple[Tensor | None, Tensor | None] = (None, None)
        if self.confidence is not None:
            of_users, of_items = self.confidence.split([self.n_users, self.n_items])
            confidences = column_major(back, spread(back, of_items)), column_major(edges, spread(edges, of_users))
        has = self.edge_has
        to_users = torch.stack([content.to_users for content in contents], dim=1)
        to_items = torch.stack([content.to_items for content in contents], dim=1)
        user_weights = self._edge_weights(to_users, confidences[0], has)
        item_weights = self._edge_weights(to_items, confidences[1], None if has is None else has[edges.order])
        users, items = unit_rows(self.user_embedding.weight), unit_rows(self.item_embedding.weight)
        total_users, total_items = users, items
        for _ in range(N_ID_LAYERS):
            users, items = weighted_spmm(edges, user_weights, items), weighted_spmm(back, item_weights, users)
            total_users, total_items = total_users + users, total_items + items
        return total_users, total_items

    def _edge_weights(self, affinities: Tensor, confidences: Tensor | None, has: Tensor | None) -> Tensor:
        """One weight a message, `[n_edges]`.

        Args:
            affinities: `[n_edges, K]`.
            confidences: those of the messages' sources, `[n_edges, K]`, or None.
            has: whether the edge's item has each modality, `[n_edges, K]` bool, or None where all have.
        """
        scores = affinities if confidences is None else affinities * confidences
        if self.params.grcn_weight == "mean":
            counts = scores.shape[1] if has is None else has.sum(1).clamp_min(1)
            weights = scores.sum(1) / counts  # an absent modality has affinity 0
        elif has is None:
            weights = scores.max(dim=1).values
        else:
            best = scores.masked_fill(~has, torch.finfo(scores.dtype).min).max(dim=1).values
            weights = best.masked_fill(~has.any(1), 0.0)
        return F.relu(weights) if self.params.pruning == "hard" else weights

    def regularisation(self, batch: Batch, final: Batch) -> Tensor:
        """L2 on the batch's id embeddings and on its users' preferences, all modalities."""
        total = super().regularisation(batch, final)
        if self.params.reg_form == "all_params":
            return total
        for content in cast(list[Content], self.contents):
            rows = F.embedding(batch[0], content.preference)
            total = total + l2(self.params.reg_form, rows, rows[:0], rows[:0])
        return total
