"""MMGCN: one graph convolution network per modality over the user-item graph, joined by shared id embeddings.

Paper: Wei, Wang, Nie, He, Hong, Chua, "MMGCN: Multi-modal Graph Convolution Network for Personalized
Recommendation of Micro-video", ACM MM 2019.

| function | equation |
|---|---|
| `Branch.items` | X^0 = rn([Q ; y]) with user preferences Q and y_i = W_0 x_i + b_0, or the raw x_i |
| `MMGCN._messages` | D^-1 A X: mean over the neighbours |
| `Branch.layer` | h = LR(D^-1 A X W_1), xhat = LR(X W_2 + b_2) + E_id |
| `Branch.layer`, concat | X = LR([h, xhat] W_3 + b_3) |
| `Branch.layer`, ele | X = LR(h W_3 + b_3 + xhat) |
| `MMGCN._joined` | z = mean or sum over the modalities of their last X |
| `MMGCN.regularisation` | L2 on the batch's rows of E_id and of Q, all modalities |

Deviations from the paper: the modalities are averaged as in the released code (`mm_readout` sum is the paper;
it multiplies every score by K^2).

Deviations from the released code: its preferences and id embeddings are plain tensors outside the optimiser, so
that they stay as drawn and the L2 term has no effect; here they are trained (`mmgcn_train_embeddings`). The number
of layers is honoured (the code always has 3). One rule decides for every modality whether it is projected
(`mmgcn_latent`; the code projects the visual one to 256 and no other). The element-wise form is a working switch
(`mmgcn_combine`; the code's flag is always true, so the published numbers are those of concat). All matrices are
Xavier normal with zero biases. The variant `reference` sets these switches to the released code's values.

An item without a modality sends a zero row and receives from its neighbours; with `missing` zero it sends rn(b_0)
where features are projected, and zero elsewhere.

Cost of a step: messages are aggregated before they are multiplied, so that the user half of the first layer is a
constant with unprojected features. What follows from the mean alone is computed once for all nodes with the same
neighbours (`graph.Means`). The last layer is computed for the batch's distinct rows only. The first layer's matrix
products of N rows, about g^2 + d (2 g + d) multiplications each, dominate.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from models.base import ContentParams, ContentRecommender, ModelCard, Tables
from models.layers.dense import linear, matrix, zeros
from models.layers.features import ItemFeatures, scaled
from models.layers.graph import Batch, Means, distinct, gather, repeated, thirds
from models.layers.graph_rows import unit_rows_and_own
from models.layers.losses import l2
from models.layers.rows import unit_rows

SLOPE = 0.01  # of LeakyReLU
REFERENCE_LATENT = {"visual": 256}


class Params(ContentParams):
    """Parameters of MMGCN."""

    n_layers: PositiveInt
    """Number of layers, L."""
    mmgcn_latent: PositiveInt | Literal["reference"]
    """Features wider than this are projected to it by W_0; "reference" projects visual features to 256."""
    mmgcn_combine: Literal["concat", "ele"]
    """How a layer joins messages and id embeddings."""
    mmgcn_train_embeddings: bool
    """Whether preferences and id embeddings are trained; the released code leaves them as drawn."""
    mm_readout: Literal["mean", "sum"]
    """How the modalities are combined; the paper sums."""


class Branch(nn.Module):
    """The network of one modality.

    Args:
        table: scaled features, `[n_items, d_m]`.
        available: items whose features count, `[n_items]` bool; False for padding.
        n_users: number of users, padding included.
        to_users: means over the items of each user.
        latent: width of the projection W_0, or None for raw features.
        params: parameters of the model.
    """

    def __init__(
        self, table: Tensor, available: Tensor, n_users: int, to_users: Means, latent: int | None, params: Params
    ) -> None:
        super().__init__()
        size, width = params.embedding_size, table.shape[1] if latent is None else latent
        self.concat = params.mmgcn_combine == "concat"
        self.preference = matrix(n_users, width)
        self.preference.requires_grad_(params.mmgcn_train_embeddings)
        self.w0 = None if latent is None else matrix(latent, table.shape[1])
        self.b0 = None if latent is None else zeros(latent)
        self.w1, self.w2, self.w3 = nn.ParameterList(), nn.ParameterList(), nn.ParameterList()
        self.b2, self.b3 = nn.ParameterList(), nn.ParameterList()
        for layer in range(params.n_layers):
            before = width if layer == 0 else size
            self.w1.append(matrix(before, before))
            self.w2.append(matrix(size, before))
            self.w3.append(matrix(size, before + size if self.concat else before))
            self.b2.append(zeros(size))
            self.b3.append(zeros(size))
        frozen = unit_rows(table) if latent is None else None
        self.table: Tensor
        self.available: Tensor
        self.pooled: Tensor | None
        self.register_buffer("table", table if frozen is None else frozen, persistent=False)
        self.register_buffer("available", available.unsqueeze(1), persistent=False)
        self.register_buffer("pooled", None if frozen is None else to_users(frozen), persistent=False)

    def items(self) -> Tensor:
        """Return X^0 of items, `[n_items, g]`."""
        if self.w0 is None:
            return self.table
        return unit_rows(linear(self.table, self.w0, self.b0) * self.available)

    def layer(self, index: int, messages: Tensor, rows: Tensor, ids: Tensor, means: Means | None = None) -> Tensor:
        """Apply one layer to some nodes, `[n, d]`.

        Args:
            index: of the layer, from 0.
            messages: mean of the neighbours' rows, `[n, g]`, or the distinct ones of `means`, `[n_distinct, g]`.
            rows: the nodes' own rows, `[n, g]`.
            ids: their id embeddings, `[n, d]`.
            means: of all nodes, if the messages are its distinct ones.
        """
        h = linear(messages, self.w1[index], slope=SLOPE)
        xhat = linear(rows, self.w2[index], self.b2[index], slope=SLOPE) + ids
        w3 = self.w3[index]
        of_h, of_xhat = w3.split([h.shape[1], w3.shape[1] - h.shape[1]], dim=1)
        sent = linear(h, of_h, self.b3[index])
        if means is not None:
            sent = means.spread(sent)
        return linear(xhat, of_xhat, plus=sent, slope=SLOPE) if self.concat else F.leaky_relu(sent + xhat, SLOPE)


class MMGCN(ContentRecommender):
    """Mean over the modalities of their networks' last layers."""

    Params = Params
    static_step = True
    CARD: ClassVar = ModelCard(
        title="MMGCN",
        family="multimodal",
        paper="Wei et al., MMGCN: Multi-modal Graph Convolution Network for Personalized Recommendation of "
        "Micro-video, ACM MM 2019",
        uses_content=True,
        url="https://doi.org/10.1145/3343031.3351034",
    )

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        p = self.params
        self.to_users = Means(self.train_users, self.train_items, self.n_users, self.n_items)
        self.to_items = Means(self.train_items, self.train_users, self.n_items, self.n_users)
        self.branches = nn.ModuleList(self._branch(features) for features in self.features)
        if not p.mmgcn_train_embeddings:
            self.user_embedding.requires_grad_(False)
            self.item_embedding.requires_grad_(False)

    def _branch(self, features: ItemFeatures) -> Branch:
        p, latent = self.params, None
        if p.mmgcn_latent == "reference":
            latent = REFERENCE_LATENT.get(features.name)
        elif features.raw.shape[1] > p.mmgcn_latent:
            latent = p.mmgcn_latent
        available = self.participating(features)
        return Branch(scaled(features, p.feat_norm), available, self.n_users, self.to_users, latent, p)

    def _last_inputs(self, branch: Branch, users: Tensor) -> Tables:
        """Return rows of users and items that enter a modality's last layer, from X^0 of the users."""
        items = branch.items()
        for index in range(self.params.n_layers - 1):
            to_users, to_items = self._messages(branch, index, users, items)
            users, items = (
                branch.layer(index, to_users, users, self.user_embedding.weight, self.to_users),
                branch.layer(index, to_items, items, self.item_embedding.weight, self.to_items),
            )
        return users, items

    def _messages(self, branch: Branch, index: int, users: Tensor, items: Tensor) -> Tables:
        """Return distinct neighbour means of a layer's inputs."""
        # means of unprojected features over a user's items are a constant
        constant = branch.pooled if index == 0 else None
        return self.to_users(items) if constant is None else constant, self.to_items(users)

    def _joined(self, outputs: list[Tensor]) -> Tensor:
        """Combine the modalities' last layers, `[n, d]`."""
        stacked = torch.stack(outputs)
        return stacked.mean(0) if self.params.mm_readout == "mean" else stacked.sum(0)

    def embed(self) -> Tables:
        """Return final vectors of all users and items, `[n_users, d]` and `[n_items, d]`."""
        last, all_users, all_items = self.params.n_layers - 1, [], []
        for branch in self._networks():
            users, items = self._last_inputs(branch, unit_rows(branch.preference))
            to_users, to_items = self._messages(branch, last, users, items)
            all_users.append(branch.layer(last, to_users, users, self.user_embedding.weight, self.to_users))
            all_items.append(branch.layer(last, to_items, items, self.item_embedding.weight, self.to_items))
        return self._joined(all_users), self._joined(all_items)

    def embed_batch(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Batch:
        """Return the batch's final vectors, `[B, d]` each."""
        return self.embed_with_ego(users, positives, negatives)[0]

    def embed_with_ego(self, users: Tensor, positives: Tensor, negatives: Tensor) -> tuple[Batch, Batch | None]:
        """Compute final vectors for a batch and, if `reg_form` is half_sq, the rows to regularise.

        The last layer is computed for the batch's nodes only, each of them once, users and items together. Under
        half_sq the norms of concatenated rows add up, so that one call regularises ids and preferences together.
        """
        last = self.params.n_layers - 1
        own_users, at_users = distinct(users)
        own_items, at_items = distinct(torch.cat([positives, negatives]))
        at = None if at_users is None or at_items is None else torch.cat([at_users, at_items + len(own_users)])
        ids = torch.cat(
            [gather(self.user_embedding.weight, own_users), gather(self.item_embedding.weight, own_items)]
        )
        outputs, preferences = [], []
        for branch in self._networks():
            unit, drawn = unit_rows_and_own(branch.preference, users)
            tables = self._last_inputs(branch, unit)
            to_users, to_items = self._messages(branch, last, *tables)
            sent = torch.cat([self.to_users.rows(to_users, own_users), self.to_items.rows(to_items, own_items)])
            own = torch.cat([gather(tables[0], own_users), gather(tables[1], own_items)])
            outputs.append(branch.layer(last, sent, own, ids))
            preferences.append(drawn)
        final = thirds(repeated(self._joined(outputs), at))
        if self.params.reg_form != "half_sq":
            return final, None
        of_users, of_positives, of_negatives = thirds(repeated(ids, at))
        return final, (torch.cat([of_users, *preferences], dim=1), of_positives, of_negatives)

    def _networks(self) -> list[Branch]:
        return cast(list[Branch], list(self.branches))

    def regularisation(self, batch: Batch, final: Batch) -> Tensor:
        """Return L2 on the batch's id embeddings and on its users' preferences, all modalities."""
        total = super().regularisation(batch, final)
        if self.params.reg_form == "all_params":
            return total
        for branch in self._networks():
            # only users have preferences: empty rows stand for the items
            rows = gather(branch.preference, batch[0])
            total = total + l2(self.params.reg_form, rows, rows[:0], rows[:0])
        return total
