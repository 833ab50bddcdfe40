"""GRCN: edges of the user-item graph are refined by content before id embeddings are propagated.

Paper: Wei, Wang, Nie, He, Chua, "Graph-Refined Convolutional Network for Multimedia Recommendation with
Implicit Feedback", ACM MM 2020.

| function | equation |
|---|---|
| `routing.Content.items` | f_i = rn(LR(W x_i + b)) |
| `routing.routed` | T times: a_ui = softmax over N_u of q_u . f_i, then q_u <- rn(q_u + sum_i a_ui f_i) |
| `routing.affinities`, weights | softmax of q_u . f_i over the items of u, and over the users of i |
| `routing.affinities`, vectors | z_u = q_u + sum_i alpha_iu f_i, z_i = f_i + sum_u alpha_ui q_u |
| `GRCN._edge_weights` | w_jt = max over m of alpha^m_jt C_jm, C the confidence of the message's source |
| `GRCN._identities` | x^0 = rn(E_id), x^(l+1)_t = sum_j w_jt x^l_j, z^id = x^0 + x^1 + x^2 |
| `GRCN.embed` | z = [z^id, z^1, ..., z^K] |
| `GRCN.regularisation` | L2 on the batch's rows of E_id and of its users' preferences, all modalities |

Deviations from the released code: its routing has no effect, because the messages are sent from users to items and
the slice taken for the users is all zero, whatever T is. `grcn_routing` paper sends them to the users; reference
keeps the behaviour of the code. The mean fusion divides by the number of vectors (the code: always by 4), and any
subset of modalities runs (the code fails on text alone). The width of the content vectors is that of the id
embeddings. The variant `reference` sets all switches to the released code's values.

An item without a modality takes no part in that modality's softmaxes and maxima; edges of an item without any
modality get weight 0.

As printed, the edge of a positive item takes part in the routing, in the affinities and in the messages behind its
own score, so that the score leaks the label. With `grcn_exclude_pos` a training step uses the graph without the
edges of its batch's positive pairs, in all of these; evaluation uses all edges.

Cost of a step: for each modality T + 1 dots and T + 2 products over the E edges of one direction, 4 products
for the ids, about 2.5 times that backwards; memory O(E) for the edge values. Every round also passes over a few
tables of all nodes, which takes as long as the edges where nodes have few edges.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from pydantic import NonNegativeInt
from torch import Tensor, nn

from models.base import ContentParams, ContentRecommender, ModelCard, Tables
from models.layers.dense import matrix
from models.layers.edges import EdgeGraph, Edges, at_columns, weighted_spmm
from models.layers.features import scaled
from models.layers.graph import Batch, gather, halves
from models.layers.graph_rows import unit_rows_and_own
from models.layers.losses import l2
from models.layers.routing import Affinities, Content
from models.layers.rows import unit_rows

N_ID_LAYERS = 2


class Params(ContentParams):
    """Parameters of GRCN."""

    n_routings: NonNegativeInt
    """Rounds of prototype routing, T."""
    grcn_routing: Literal["paper", "reference"]
    """Whether routing reaches the users, or has no effect, as in the released code."""
    grcn_weight: Literal["confid", "max", "mean"]
    """Edge weight from the modalities' affinities: max weighted by confidence, plain max, or mean."""
    grcn_conf_init: Literal["xavier", "one"]
    """Initial confidences: small with random sign, or all 1."""
    pruning: Literal["soft", "hard"]
    """Edge weights as they are, or without the negative ones."""
    grcn_fusion: Literal["concat", "id", "mean"]
    """Final vector: id and content side by side, id alone, or their mean."""
    grcn_exclude_pos: bool
    """Leave the edges of its own positive pairs out of a training step's graph."""


class GRCN(ContentRecommender):
    """Id embeddings over the refined graph, beside the content vectors."""

    Params = Params
    static_step = True
    CARD: ClassVar = ModelCard(
        title="GRCN",
        family="multimodal",
        paper="Wei et al., Graph-Refined Convolutional Network for Multimedia Recommendation with Implicit "
        "Feedback, ACM MM 2020",
        uses_content=True,
        url="https://doi.org/10.1145/3394171.3413556",
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
        edge_has = torch.stack(masks)[:, self.graph.edges.columns]
        self.edge_has: Tensor | None
        self.register_buffer("edge_has", None if edge_has.all() else edge_has, persistent=False)
        self.confidence: nn.Parameter | None = None
        if p.grcn_weight == "confid":
            self.confidence = matrix(self.n_users + self.n_items, len(masks))
            if p.grcn_conf_init == "one":
                nn.init.ones_(self.confidence)

    def embed(self) -> Tables:
        """Return final vectors of all users and items."""
        ids = unit_rows(self.user_embedding.weight), unit_rows(self.item_embedding.weight)
        preferences = [unit_rows(content.preference) for content in self._contents()]
        parts = self._parts(preferences, ids, self.edge_has)
        return self._fused([users for users, _ in parts]), self._fused([items for _, items in parts])

    def embed_batch(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Batch:
        """Return the batch's final vectors, `[B, D]` each."""
        return self.embed_with_ego(users, positives, negatives)[0]

    def embed_with_ego(self, users: Tensor, positives: Tensor, negatives: Tensor) -> tuple[Batch, Batch | None]:
        """Compute final vectors for a batch and, if `reg_form` is half_sq, the rows to regularise.

        The parts are concatenated for the batch's rows only. Under half_sq the norms of concatenated rows add up,
        so that one call regularises ids and preferences together.
        """
        items = torch.cat([positives, negatives])
        of_users, ego_users = unit_rows_and_own(self.user_embedding.weight, users)
        of_items, ego_items = unit_rows_and_own(self.item_embedding.weight, items)
        drawn = [unit_rows_and_own(content.preference, users) for content in self._contents()]
        has = self.edge_has
        if self.params.grcn_exclude_pos and self.training:
            has = self._without(users, positives)
        parts = self._parts([unit for unit, _ in drawn], (of_users, of_items), has)
        final_users = self._fused([gather(table, users) for table, _ in parts])
        final = final_users, *halves(self._fused([gather(table, items) for _, table in parts]))
        if self.params.reg_form != "half_sq":
            return final, None
        return final, (torch.cat([ego_users, *(rows for _, rows in drawn)], dim=1), *halves(ego_items))

    def _contents(self) -> list[Content]:
        return cast(list[Content], list(self.contents))

    def _without(self, users: Tensor, items: Tensor) -> Tensor:
        """Return `edge_has`, `[K, n_edges]`, with no modality for the edges of the given pairs, `[B]` each."""
        edges = self.graph.edges
        keys, wanted = edges.rows.long() * self.n_items + edges.columns, users * self.n_items + items
        at = torch.searchsorted(keys, wanted).clamp_max(len(keys) - 1)
        # a pair that is not an edge marks a place behind the last edge: selecting the others would synchronise
        at = torch.where(keys[at] == wanted, at, len(keys))
        kept = keys.new_ones(len(keys) + 1, dtype=torch.bool).index_fill_(0, at, False)[:-1]
        has: Tensor = kept.expand(len(self.contents), -1) if self.edge_has is None else self.edge_has & kept
        return has

    def _parts(self, preferences: list[Tensor], ids: Tables, has: Tensor | None) -> list[Tables]:
        """Return id vectors of users and items and, unless the fusion is "id", each modality's content vectors.

        Args:
            preferences: rn(preference) of each modality, `[n_users, d]`.
            ids: rn(E_id) of users and of items.
            has: whether each edge takes part in each modality, `[K, n_edges]` bool, or None where all do.
        """
        edges = self.graph.edges
        contents = [
            content(edges, None if has is None else has[m], users)
            for m, (content, users) in enumerate(zip(self._contents(), preferences, strict=True))
        ]
        refined = self._identities(edges, contents, has, *ids)
        if self.params.grcn_fusion == "id":
            return [refined]
        return [refined, *((content.users, content.items) for content in contents)]

    def _fused(self, parts: list[Tensor]) -> Tensor:
        if self.params.grcn_fusion == "mean":
            return torch.stack(parts).mean(0)
        return torch.cat(parts, dim=1)

    def _identities(
        self, edges: Edges, contents: list[Affinities], has: Tensor | None, users: Tensor, items: Tensor
    ) -> Tables:
        """Propagate x^0 of users and items, `[n_users, d]` and `[n_items, d]`, over the refined graph.

        With two layers the sum is x^0 + A (x^0 + A x^0) (Horner's form), so that no layer has to be kept.
        """
        back, of_users, of_items = edges.transposed(), None, None
        if self.confidence is not None:
            of_users, of_items = self.confidence.split([self.n_users, self.n_items])
        to_users = self._edge_weights(edges, [content.to_users for content in contents], of_items, has)
        has = None if has is None else has.index_select(1, edges.order)
        to_items = self._edge_weights(back, [content.to_items for content in contents], of_users, has)
        all_users, all_items = users, items
        for _ in range(N_ID_LAYERS):
            all_users, all_items = (
                weighted_spmm(edges, to_users, all_items).add_(users),
                weighted_spmm(back, to_items, all_users).add_(items),
            )
        return all_users, all_items

    def _edge_weights(
        self, edges: Edges, scores: list[Tensor], confidences: Tensor | None, has: Tensor | None
    ) -> Tensor:
        """Return one weight per message, `[n_edges]`.

        Args:
            edges: receivers as rows, senders as columns.
            scores: affinities of each modality, `[n_edges]`.
            confidences: of the senders, `[n_columns, K]`, or None.
            has: as in `_parts`, in the order of `edges`.
        """
        if self.params.grcn_weight == "mean":
            counts = len(scores) if has is None else has.sum(0).clamp_min(1)
            weights = torch.stack(scores).sum(0) / counts  # an absent modality has affinity 0
        else:
            if confidences is not None:
                senders = [at_columns(edges, column) for column in confidences.T.contiguous()]
                scores = [score * sender for score, sender in zip(scores, senders, strict=True)]
            weights = _largest(scores, has)
        return F.relu(weights) if self.params.pruning == "hard" else weights

    def regularisation(self, batch: Batch, final: Batch) -> Tensor:
        """Return L2 on the batch's id embeddings and on its users' preferences, all modalities."""
        total = super().regularisation(batch, final)
        if self.params.reg_form == "all_params":
            return total
        for content in self._contents():
            # only users have preferences: empty rows stand for the items
            rows = gather(content.preference, batch[0])
            total = total + l2(self.params.reg_form, rows, rows[:0], rows[:0])
        return total


def _largest(scores: list[Tensor], has: Tensor | None) -> Tensor:
    """Return each edge's largest score among its modalities, `[n_edges]`; 0 if it has none."""
    if has is not None:
        lowest = torch.finfo(scores[0].dtype).min
        scores = [score.masked_fill(~mask, lowest) for score, mask in zip(scores, has, strict=True)]
    best = scores[0]
    for score in scores[1:]:
        best = torch.where(score > best, score, best)
    return best if has is None else best.masked_fill(~has.any(0), 0.0)
