"""LightGCN: linear propagation of id embeddings over the user-item graph.

Paper: He et al., "LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation",
SIGIR 2020.

| function | equation |
|---|---|
| `models.layers.graph.propagate` | Eq. 3: E^(l+1) = D^-1/2 A D^-1/2 E^(l) |
| `models.layers.graph.read_out` | Eq. 4: mean over the layers 0..L |
| `models.layers.losses.l2` ("half_sq") | Eq. 15: L2 on the ego rows of the batch |

Deviations from RecBole's LightGCN: Gaussian initialisation as in the authors' code (RecBole: Xavier uniform,
ten times smaller), squared L2 by default, degrees without an epsilon. With copied weights and `reg_form`
recbole_norm, or half_sq against `require_pow`, the two are equal, gradients and steps included.

Cost of a step: 2 L - 1 sparse products over all nodes (L - 1 forward, L backward), one over the batch's rows,
and Adam over N d entries.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from models.base import ModelCard, ModelParams, Recommender, Tables
from models.layers.graph import Batch, bipartite, propagate, propagated_rows, read_out, thirds


class Params(ModelParams):
    """Parameters of LightGCN."""

    n_layers: PositiveInt
    """Number of propagation layers, L."""
    ui_readout: Literal["mean", "sum"]
    """How the layers are combined; the sum is LUDP's reading of the same equation."""


class LightGCN(Recommender):
    """Mean of the propagated id embeddings."""

    Params = Params
    static_step = True
    CARD: ClassVar = ModelCard(
        title="LightGCN",
        family="gcn",
        paper="He et al., LightGCN: Simplifying and Powering Graph Convolution Network for "
        "Recommendation, SIGIR 2020",
        uses_content=False,
        url="https://arxiv.org/abs/2002.02126",
    )

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        self.graph = bipartite(self.train_users, self.train_items, self.n_users, self.n_items, "sym")

    def embed(self) -> Tables:
        """Return propagated and combined embeddings, `[n_users, d]` and `[n_items, d]` (Eqs. 3-4)."""
        layers = propagate(self.graph, self.ego(), self.params.n_layers)
        users, items = read_out(layers, self.params.ui_readout).split([self.n_users, self.n_items])
        return users, items

    def embed_batch(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Batch:
        """Return the batch's final vectors, `[B, d]` each."""
        return self.embed_with_ego(users, positives, negatives)[0]

    def embed_with_ego(self, users: Tensor, positives: Tensor, negatives: Tensor) -> tuple[Batch, Batch]:
        """Return the batch's final vectors and id embeddings; last layer and read-out are for its rows only."""
        p, tables = self.params, (self.user_embedding.weight, self.item_embedding.weight)
        nodes = torch.cat([users, positives + self.n_users, negatives + self.n_users])
        final, ego = propagated_rows(self.graph, *tables, nodes, p.n_layers, p.ui_readout)
        return thirds(final), thirds(ego)
