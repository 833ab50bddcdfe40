"""VBPR: matrix factorisation with projected item content beside the id factors, for any set of modalities.

Paper: He, McAuley, "VBPR: Visual Bayesian Personalized Ranking from Implicit Feedback", AAAI 2016.

| function | equation |
|---|---|
| `VBPR._item_rows` | theta_i = E f_i, summed over modalities; with `use_bias` beta_i, beta'.f_i (Eqs. 3-4) |
| `VBPR.embed` | s_ui = gamma_u . gamma_i + theta_u . theta_i (Eq. 4) |
| `models.layers.losses.bpr_loss` | Eq. 7 |

Deviations from the paper: one projection W^m for each modality (their sum is one projection of the
concatenated features); no biases by default, so that MF and VBPR differ by the content alone; d content
columns beside d id columns (`vbpr_dim` half: the paper's comparison at equal total width); W^m is not
regularised. Deviations from MMRec's code: the L2 term acts on the trained rows, not on the projected ones
(`reg_vbpr` final is MMRec's form); only the batch's items are projected, which changes no value; each W^m is drawn
on its own fan-in; items without any modality do not get b. Deviation from cornac's code: mean instead of summed
loss. A published port that applies a ReLU to the projection and trains the features is not followed.

Cost of a step: 2B sum(d_m) d multiplications for at most 2B distinct items, and Adam over the tables.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor, nn

from models.base import ContentParams, ContentRecommender, ModelCard, Tables
from models.layers.dense import fill_, linear, matrix, zeros
from models.layers.features import scaled
from models.layers.graph import Batch, distinct, gather, halves, repeated
from models.layers.losses import l2


class Params(ContentParams):
    """Parameters of VBPR."""

    vbpr_dim: Literal["double", "half"]
    """Id and content columns: d of each, or d/2 of each, the total width of MF."""
    vbpr_proj_bias: bool
    """Bias b of the projection; it moves all items with content alike."""
    use_bias: bool
    """Add the trained biases beta_i of each item and beta'^m . x_i^m of its content."""
    reg_vbpr: Literal["ego", "final"]
    """L2 on the trained rows gamma_u, theta_u, gamma_i, or on the final ones, which add theta_i."""

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.vbpr_dim == "half" and self.embedding_size % 2:
            raise ValueError("vbpr_dim: half needs an even embedding_size, which ids and content share")
        return self


class VBPR(ContentRecommender):
    """gamma_u . gamma_i + theta_u . theta_i, where theta_i is projected from the item's content."""

    Params = Params
    static_step = True
    CARD: ClassVar = ModelCard(
        title="VBPR",
        family="multimodal",
        paper="He, McAuley, VBPR: Visual Bayesian Personalized Ranking from Implicit Feedback, AAAI 2016",
        uses_content=True,
        url="https://arxiv.org/abs/1510.01784",
    )
    content: Tensor
    described: Tensor

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        p = self.params
        self.width = p.embedding_size if p.vbpr_dim == "double" else p.embedding_size // 2
        if p.vbpr_dim == "half":  # replaces the tables of the base class, which have the full width
            self.user_embedding = self._table(self.n_users)
            self.item_embedding = self._table(self.n_items)
        self.user_content = self._table(self.n_users)
        dims = [features.raw.shape[1] for features in self.features]
        self.projections = nn.ParameterList([matrix(self.width, dim) for dim in dims])
        self.projection_bias = zeros(self.width) if p.vbpr_proj_bias else None
        self.item_bias: nn.Embedding | None = None
        if p.use_bias:
            self.item_bias = nn.Embedding(self.n_items, 1)
            nn.init.zeros_(self.item_bias.weight)
            self.content_biases = nn.ParameterList([zeros(dim) for dim in dims])
        self.register_buffer(
            "content", torch.cat([scaled(m, p.feat_norm) for m in self.features], dim=1), persistent=False
        )
        described = torch.stack([self.participating(m) for m in self.features]).any(0)
        self.register_buffer("described", described.to(self.content.dtype).unsqueeze(1), persistent=False)

    def _table(self, n_rows: int) -> nn.Embedding:
        table = nn.Embedding(n_rows, self.width)
        fill_(table.weight, self.params.init, self.params.init_std)
        return table

    def _item_rows(self, items: Tensor) -> Tensor:
        """Return gamma_i || theta_i, and with biases one more column, `[n, 2 width (+ 1)]`."""
        content, weight = self.content[items], torch.cat(list(self.projections), dim=1)
        columns = [gather(self.item_embedding.weight, items), linear(content, weight)]
        if self.projection_bias is not None:
            columns[1] = columns[1] + self.described[items] * self.projection_bias
        if self.item_bias is not None:
            content_bias = content @ torch.cat(list(self.content_biases))
            columns.append(gather(self.item_bias.weight, items) + content_bias.unsqueeze(1))
        return torch.cat(columns, dim=1)

    def _user_rows(self, users: Tensor) -> Tensor:
        """Return gamma_u || theta_u, and with biases a column of ones, `[n, 2 width (+ 1)]`."""
        columns = [gather(self.user_embedding.weight, users), gather(self.user_content.weight, users)]
        if self.item_bias is not None:
            columns.append(columns[0].new_ones(len(users), 1))
        return torch.cat(columns, dim=1)

    def embed(self) -> Tables:
        """Return id and content factors side by side, `[n_users, D]` and `[n_items, D]`."""
        device = self.content.device
        users = self._user_rows(torch.arange(self.n_users, device=device))
        return users, self._item_rows(torch.arange(self.n_items, device=device))

    def embed_batch(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Batch:
        """Return the batch's rows, `[B, D]` each; every distinct item is projected once."""
        items, position = distinct(torch.cat([positives, negatives]))
        return self._user_rows(users), *halves(repeated(self._item_rows(items), position))

    def regularisation(self, batch: Batch, final: Batch) -> Tensor:
        """Return the L2 term on the rows that `reg_vbpr` names; biases are left out."""
        if self.params.reg_form == "all_params":
            return super().regularisation(batch, final)
        users, positives, negatives = final
        n_columns = self.width if self.params.reg_vbpr == "ego" else 2 * self.width
        return l2(
            self.params.reg_form, users[:, : 2 * self.width], positives[:, :n_columns], negatives[:, :n_columns]
        )
