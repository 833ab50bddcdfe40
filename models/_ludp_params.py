"""Parameters of LUDP, with the equation of the paper that leaves each choice open. Types only."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from models._fusion import Activation, FusionName, Share
from models._item_graph import ItemGraphNorm, Symmetrize
from models.base import ContentParams


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
    """The user vector in Eq. 11."""
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
                "item_graph_refresh: epoch rebuilds the item graphs from fine-tuned features and needs "
                "feat_trainable: true and use_user_pref: true"
            )
        if self.user_att == "shared_with_item" and not (self.use_item_graph and self.use_user_pref):
            raise ValueError("user_att: shared_with_item needs both branches on")
        if self.final_combine == "concat" and not (self.use_item_graph and self.use_user_pref):
            raise ValueError("final_combine: concat needs both branches on, so that the two sides have one width")
        return self
