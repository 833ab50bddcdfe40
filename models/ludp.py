"""LUDP: learning the user's deeper preferences from item graphs and pooled content.

Paper: Lei, Cao, Yang, Ding, Zhang, "Learning the User's Deeper Preferences for Multi-modal Recommendation
Systems", ACM TOMM 19(3s), 2023.

| function | equation |
|---|---|
| `LUDP._collaborative` | Eqs. 1-2: propagation over the user-item graph, layers summed |
| `graph.propagated_rows` | the same for a batch's rows |
| `neighbours.nearest`, `item_graphs.item_graph` | Eqs. 3-5: cosine, top k, normalisation |
| `LUDP._item_content` | Eqs. 5-8: propagation over the item graphs, attention fusion H |
| `preference.Preference` | Eqs. 9-11: pooled content of the user's items |
| `LUDP._user_content` | Eq. 12: attention fusion P |
| `models.ludp._finished` | Eqs. 13-14: e* = E + P, e* = E + H, dot product |
| `LUDP.regularisation` | Eq. 15 |

Deviations: the defaults follow the equations as printed (sum read-out, unweighted k^-1/2 item graph); where
the paper leaves a choice open, every reading is a switch of `Params`. No code was published.

Theta of Eq. 15 is "the parameters of the model", so the matrices belong to it. With B triples a batch, the L2
term is lambda times

| `reg_scope` | term |
|---|---|
| ego+weights | 1/(2B) of the squares of the triples' rows e_u, e_i, e_j, and half of those of all matrices |
| ego | the rows alone, LightGCN's form |
| final | 1/(2B) of the squares of the final vectors |
| all_params | the squares of all tables and matrices, as printed |

Eq. 15 sums over the triples; the default takes their mean, in which each triple regularises what enters it: three
rows and every matrix. So the matrices are not divided by B, and their share is the same for any batch size. The
printed sum regularises Theta once per batch; in a mean this has the weight lambda/B. The variant `literal` takes
all_params with `bpr_reduction` sum.

Effect of regularising the matrices, on the public TikTok split (mean read-out, sym_weighted, positives left out,
center_l2, reg_weight 0.01, one seed, chosen on validation Recall@10): with the rows alone the best epoch is the
second (validation .0534, test Recall@10 / @20 .0491 / .0628), with the final rows the third (.0534, .0480 /
.0608), with the matrices the 55th (.0590, .0527 / .0793), and with them and reg_weight 0.1 the 155th (.0610, .0610
/ .0941). Unregularised matrices fit popularity in one epoch and then get worse.

Cost of a step: LightGCN's, and K n k entries for each item-graph layer in each direction. The forward part of the
last item-graph layer, the fusions and the pooled content times W_1 are computed once per distinct node of the
batch.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from models.base import ContentParams, ContentRecommender, ModelCard, Tables
from models.layers.dense import matrix
from models.layers.features import ItemFeatures, scaled
from models.layers.fusion import (
    Activation,
    AttentionFusion,
    ConcatFusion,
    FusionName,
    GlobalFusion,
    PlainFusion,
    Share,
)
from models.layers.graph import (
    Batch,
    bipartite,
    distinct,
    gather,
    halves,
    parts,
    propagate,
    propagated_rows,
    read_out,
    repeated,
)
from models.layers.item_graphs import ItemGraphNorm, ItemGraphs, Symmetrize, item_graph
from models.layers.losses import l2, sum_of_squares
from models.layers.neighbours import Neighbours, nearest
from models.layers.preference import Preference


class Params(ContentParams):
    """Parameters of LUDP; the equation that leaves each choice open is named."""

    n_ui_layers: NonNegativeInt
    """Layers of the user-item graph, L (section 5.4.1 fixes two)."""
    ui_readout: Literal["sum", "mean"]
    """Eq. 2 sums; LightGCN, which it follows, averages."""
    use_item_graph: bool
    """Item branch H on or off (Fig. 3)."""
    use_user_pref: bool
    """User branch P on or off (Fig. 3)."""
    knn_k: PositiveInt
    """Neighbours in each item graph, k (Eq. 4)."""
    knn_self: bool
    """Whether an item is in its own list (Eq. 4 ranks the whole row)."""
    knn_symmetrize: Symmetrize
    """Direction of the k-NN graph (Eq. 4: row-wise)."""
    knn_clip_negative: bool
    """Leave out negative cosines."""
    item_graph_norm: ItemGraphNorm
    """Eq. 5 as printed is rsqrt_row."""
    n_item_layers: PositiveInt
    """Layers of the item graphs (Table 5)."""
    item_graph_input: Literal["ego", "propagated"]
    """What Eq. 5 starts from: e_i or E_i."""
    item_graph_readout: Literal["last", "sum", "mean"]
    """How the item-graph layers are combined."""
    item_graph_refresh: Literal["never", "epoch"]
    """Rebuild the item graphs from fine-tuned features at every epoch (Definition 2)."""
    item_aux_norm: Literal["none", "l2"]
    """Whether H is normalised before it is added (Eq. 13)."""
    feat_trainable: bool
    """Whether features are fine-tuned (Definition 2) or frozen."""
    pref_exclude_pos: bool
    """Leave a triple's positive item out of the user's pooled content while training (Eq. 10)."""
    pref_hidden: PositiveInt
    """Width of p_u^m, d' (Eq. 10)."""
    pref_bias: bool
    """Biases in Eqs. 10-11."""
    w2_share: bool
    """One W_2 for all modalities (Eq. 11)."""
    pref_combine: Literal["add", "concat_fc"]
    """Eq. 11 adds; its text says concatenate."""
    pref_user_base: Literal["ego", "propagated", "none"]
    """User vector in Eq. 11."""
    leaky_slope: PositiveFloat
    """Negative slope of LeakyReLU."""
    fusion: FusionName
    """Fusion of the modalities (Fig. 5)."""
    fusion_side: Literal["both", "item", "user"]
    """Which side `fusion` applies to; the other keeps attention."""
    fusion_act: Activation
    """Activation of concat_fc."""
    att_dim: PositiveInt | Literal["dm"]
    """Width of the attention space (Eq. 6)."""
    att_share: Share
    """What the modalities share in Eq. 6."""
    user_att: Literal["per_user", "global", "shared_with_item"]
    """How beta of Eq. 12 is computed."""
    user_att_input: Literal["phat", "proj"]
    """Whether beta sees phat or the projection before the user's embedding is added."""
    final_combine: Literal["add", "concat"]
    """Eq. 13 adds; the introduction says concatenated."""
    reg_scope: Literal["ego", "final", "ego+weights", "all_params"]
    """Theta of Eq. 15: the triples' rows, their final rows, the rows and the matrices, or every parameter."""
    bpr_reduction: Literal["mean", "sum"]
    """Eq. 15 sums over the triples; with a sum, the weight of the L2 term is 1/B of what it is with a mean."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.item_graph_refresh == "epoch" and not (self.feat_trainable and self.use_user_pref):
            raise ValueError(
                "item_graph_refresh: epoch rebuilds the item graphs from fine-tuned features; it needs "
                "feat_trainable: true and use_user_pref: true"
            )
        if self.user_att == "shared_with_item":
            if not (self.use_item_graph and self.use_user_pref):
                raise ValueError("user_att: shared_with_item needs both branches on")
            if self.fusion != "attention":
                raise ValueError("user_att: shared_with_item needs fusion: attention, which both sides then share")
        if self.final_combine == "concat" and not (self.use_item_graph and self.use_user_pref):
            raise ValueError("final_combine: concat needs both branches on, so that the two sides have one width")
        return self


class LUDP(ContentRecommender):
    """LightGCN's vectors, plus item graphs on the item side and pooled content on the user side."""

    Params = Params
    static_step = True
    CARD: ClassVar = ModelCard(
        title="LUDP",
        family="multimodal",
        paper="Lei et al., Learning the User's Deeper Preferences for Multi-modal Recommendation Systems, "
        "ACM TOMM 19(3s), 2023",
        uses_content=True,
        url="https://doi.org/10.1145/3573010",
    )

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        self.graph = bipartite(self.train_users, self.train_items, self.n_users, self.n_items, "sym")
        self.bpr_reduction = self.params.bpr_reduction
        if self.params.use_item_graph:
            self._build_item_branch()
        if self.params.use_user_pref:
            self._build_user_branch()
        tables = (self.user_embedding.weight, self.item_embedding.weight)
        self._matrices = [w for w in self.parameters() if all(w is not t for t in tables)]

    def _build_item_branch(self) -> None:
        p = self.params
        self.item_graphs = _item_graphs(p, [self.neighbours(m, p.knn_k, p.knn_self) for m in self.features])
        self.item_fusion = _fusion(p, "item", self.features)
        mask = torch.stack([self.participating(m) for m in self.features], dim=1)
        self.register_buffer("item_mask", mask, persistent=False)

    def _build_user_branch(self) -> None:
        p = self.params
        w2 = matrix(p.embedding_size, p.pref_hidden) if p.w2_share else None
        self.preferences = nn.ModuleList(
            Preference(
                scaled(features, p.feat_norm),
                self.participating(features),
                self.train_users,
                self.train_items,
                self.n_users,
                hidden=p.pref_hidden,
                size=p.embedding_size,
                trainable=p.feat_trainable,
                bias=p.pref_bias,
                slope=p.leaky_slope,
                combine=p.pref_combine,
                w2=w2,
            )
            for features in self.features
        )
        every = torch.arange(self.n_users)
        mask = torch.stack([branch.available(every) for branch in self.preferences], dim=1)
        self.register_buffer("user_mask", mask, persistent=False)
        shared = p.user_att == "shared_with_item"
        self.user_fusion = self.item_fusion if shared else _fusion(p, "user", self.features)

    def _collaborative(self) -> Tensor:
        """Return E of all nodes (Eqs. 1-2), `[n_nodes, d]`."""
        return read_out(propagate(self.graph, self.ego(), self.params.n_ui_layers), self.params.ui_readout)

    def _item_content(self, start: Tensor, items: Tensor | None = None) -> Tensor | None:
        """Return H (Eqs. 5-8) of the given items, or of all, `[n, d]`; None with the branch off.

        Args:
            start: what the graphs propagate, `[n_items, d]`.
            items: item ids, `[n]`.
        """
        p = self.params
        if not p.use_item_graph:
            return None
        views = parts(self.item_graphs.views(start, items, p.item_graph_readout), len(self.features))
        fused: Tensor = self.item_fusion(views, self.item_mask if items is None else self.item_mask[items])
        return F.normalize(fused, dim=1, eps=1e-12) if p.item_aux_norm == "l2" else fused

    def _user_content(self, users: Tensor, ego: Tensor, collaborative: Tensor, left_out: Tensor | None) -> Tensor:
        """Return P (Eqs. 9-12) of users, `[len(users), d]`; `ego` and `collaborative` are their rows."""
        base = {"ego": ego, "propagated": collaborative, "none": None}[self.params.pref_user_base]
        projected = [branch.projected(users, left_out) for branch in self.preferences]
        phat = [branch.combined(rows, base) for branch, rows in zip(self.preferences, projected, strict=True)]
        if left_out is None:
            mask = self.user_mask[users]
        else:
            mask = torch.stack([branch.available(users, left_out) for branch in self.preferences], dim=1)
        inputs = phat if self.params.user_att_input == "phat" else projected
        fused: Tensor = self.user_fusion(phat, mask, inputs)
        return fused

    def embed(self) -> Tables:
        """Return final vectors of all users and items (Eq. 13), from the parameters alone."""
        self._refresh_if_due()
        p, (users, items) = self.params, self._collaborative().split([self.n_users, self.n_items])
        content = None
        if p.use_user_pref:
            every = torch.arange(self.n_users, device=users.device)
            content = self._user_content(every, self.user_embedding.weight, users, None)
        start = self.item_embedding.weight if p.item_graph_input == "ego" else items
        return _finished(p, users, content), _finished(p, items, self._item_content(start))

    def embed_batch(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Batch:
        """Return the batch's final vectors, `[B, d]` each."""
        return self.embed_with_ego(users, positives, negatives)[0]

    def embed_with_ego(self, users: Tensor, positives: Tensor, negatives: Tensor) -> tuple[Batch, Batch | None]:
        """Return the batch's final vectors and id embeddings; content is computed for the batch only."""
        p = self.params
        self._refresh_if_due()
        left_out = positives if p.use_user_pref and p.pref_exclude_pos and self.training else None
        users, of_user = distinct(users) if left_out is None else (users, None)
        items, of_item = distinct(torch.cat([positives, negatives]))
        nodes, tables = (
            torch.cat([users, items + self.n_users]),
            (self.user_embedding.weight, self.item_embedding.weight),
        )
        if p.item_graph_input == "ego" or not p.use_item_graph:
            start = tables[1]
            rows, ego = propagated_rows(
                self.graph, *tables, nodes, p.n_ui_layers, p.ui_readout, of_user is not None
            )
        else:
            table = self._collaborative()
            start, rows, ego = table[self.n_users :], gather(table, nodes), gather(self.ego(), nodes)
        sizes = [len(users), len(items)]
        (own, others), (own_ego, other_ego) = rows.split(sizes), ego.split(sizes)
        content = self._user_content(users, own_ego, own, left_out) if p.use_user_pref else None
        final = repeated(_finished(p, own, content), of_user)
        final_items = repeated(_finished(p, others, self._item_content(start, items)), of_item)
        if not p.reg_scope.startswith("ego"):
            return (final, *halves(final_items)), None
        return (final, *halves(final_items)), (repeated(own_ego, of_user), *halves(repeated(other_ego, of_item)))

    def _refresh_if_due(self) -> None:
        """Rebuild the item graphs for scores and an epoch's first batch, if `item_graph_refresh` is epoch."""
        p = self.params
        if p.item_graph_refresh == "never" or not p.use_item_graph:
            return
        # epochs are counted in training pairs, since models do not see the trainer's loop; scores follow the
        # features alone, so that the best epoch's come back with its state
        if self.training and self.pairs_seen % len(self.train_users) != 0:
            return
        lists = []
        for m, branch in zip(self.features, self.preferences, strict=True):
            table = branch.table.detach()
            lists.append(nearest(table, m.present.to(table.device), p.knn_k, p.knn_self))
        self.item_graphs = _item_graphs(p, lists)

    def regularisation(self, batch: Batch, final: Batch) -> Tensor:
        """Return the squared norm of Theta (Eq. 15) over the scope of `reg_scope`, see the module's table."""
        p = self.params
        if p.reg_scope == "all_params" or p.reg_form == "all_params":
            return sum_of_squares(self.parameters())
        if p.reg_scope == "final":
            return l2(p.reg_form, *final)
        return self.regularised(self.ego_batch(*batch))

    def regularised(self, ego: Batch) -> Tensor:
        """Return L2 on the batch's rows, plus half the squares of the matrices unless `reg_scope` is ego."""
        rows = super().regularised(ego)
        if self.params.reg_scope == "ego":
            return rows
        # without both branches the model has only the tables
        return rows + sum_of_squares(self._matrices) / 2 if self._matrices else rows


def _finished(p: Params, collaborative: Tensor, content: Tensor | None) -> Tensor:
    """Return e* (Eq. 13): the collaborative vectors with the content added or appended."""
    if content is None:
        return collaborative
    if p.final_combine == "concat":
        return torch.cat([collaborative, content], dim=1)
    return collaborative + content


def _item_graphs(p: Params, lists: list[Neighbours]) -> ItemGraphs:
    """Build the item graphs of all modalities (Eqs. 3-5)."""
    graphs = [item_graph(n, p.item_graph_norm, p.knn_symmetrize, p.knn_clip_negative) for n in lists]
    return ItemGraphs(graphs, p.n_item_layers)


def _fusion(p: Params, side: Literal["item", "user"], features: tuple[ItemFeatures, ...]) -> nn.Module:
    """Build the fusion layer of one side, by `fusion`, `fusion_side` and `user_att`."""
    how = p.fusion if p.fusion_side in ("both", side) else "attention"
    if how == "sum" or how == "mean":
        return PlainFusion(how)
    if how == "concat_fc":
        return ConcatFusion(p.embedding_size, len(features), p.fusion_act, p.leaky_slope)
    if side == "user" and p.user_att == "global":
        return GlobalFusion(len(features))
    return AttentionFusion(p.embedding_size, [m.raw.shape[1] for m in features], p.att_dim, p.att_share)
