"""MF: matrix factorisation trained by Bayesian personalised ranking.

Paper: Rendle et al., "BPR: Bayesian personalized ranking from implicit feedback", UAI 2009.

| function | equation |
|---|---|
| `MF.embed` | s_ui = p_u . q_i (section 4.3.1) |

Deviations from RecBole's BPR: an L2 term on the batch's rows (RecBole has weight decay only), softplus for
-log(1e-10 + sigmoid). With `reg_weight` 0 the two are equal, gradients and steps included.

Cost of a step: O(B d), and Adam over all N d entries.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from models.base import ModelCard, ModelParams, Recommender, Tables
from models.layers.graph import Batch, gather, halves


class Params(ModelParams):
    """Parameters of MF."""

    use_bias: bool
    """Add a trained popularity bias b_i to every item."""


class MF(Recommender):
    """p_u . q_i, plus b_i with `use_bias`."""

    Params = Params
    static_step = True
    CARD: ClassVar = ModelCard(
        title="MF",
        family="cf",
        paper="Rendle et al., BPR: Bayesian personalized ranking from implicit feedback, UAI 2009",
        uses_content=False,
        url="https://arxiv.org/abs/1205.2618",
    )

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        self.item_bias = nn.Embedding(self.n_items, 1) if self.params.use_bias else None
        if self.item_bias is not None:
            nn.init.zeros_(self.item_bias.weight)

    def embed(self) -> Tables:
        """Return factors of users `[n_users, d]` and items `[n_items, d]`; a bias is a column against ones."""
        users, items = self.user_embedding.weight, self.item_embedding.weight
        if self.item_bias is None:
            return users, items
        return self._with_one(users), torch.cat([items, self.item_bias.weight], dim=1)

    def embed_batch(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Batch:
        """Return the batch's rows of the tables, `[B, d]` each (one column more with biases)."""
        return self.embed_with_ego(users, positives, negatives)[0]

    def embed_with_ego(self, users: Tensor, positives: Tensor, negatives: Tensor) -> tuple[Batch, Batch]:
        """Return the batch's rows, with biases if the model has them, and without."""
        ego = self.ego_batch(users, positives, negatives)
        if self.item_bias is None:
            return ego, ego
        biases = halves(gather(self.item_bias.weight, torch.cat([positives, negatives])))
        items = [torch.cat([rows, bias], dim=1) for rows, bias in zip(ego[1:], biases, strict=True)]
        return (self._with_one(ego[0]), items[0], items[1]), ego

    @staticmethod
    def _with_one(rows: Tensor) -> Tensor:
        return torch.cat([rows, rows.new_ones(len(rows), 1)], dim=1)
