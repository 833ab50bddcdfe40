"""MMGCN: one graph convolution network a modality over the user-item graph, joined by shared id embeddings.

Paper: Wei, Wang, Nie, He, Hong, Chua, "MMGCN: Multi-modal Graph Convolution Network for Personalized
Recommendation of Micro-video", ACM MM 2019.

| function | equation |
|---|---|
| `Branch.inputs` | X^0 = rn([Q ; y]) with user preferences Q and y_i = W_0 x_i + b_0, or the raw x_i |
| `MMGCN._first_messages`, `MMGCN._messages` | D^-1 A X: mean over the neighbours |
| `Branch.layer` | h = LR(D^-1 A X W_1), xhat = LR(X W_2 + b_2) + E_id |
| `Branch.layer`, concat | X = LR([h, xhat] W_3 + b_3) |
| `Branch.layer`, ele | X = LR(h W_3 + b_3 + xhat) |
| `MMGCN._last` | z = mean or sum over the modalities of their last X |
| `MMGCN.regularisation` | L2 on the batch's rows of E_id and of Q, all modalities |

Deviations from the paper: the modalities are averaged as in the released code (`mm_readout` sum is the paper;
it multiplies every score by K^2).

Deviations from the released code: there the preferences and id embeddings are plain tensors outside the
optimiser, so that they stay as drawn and the L2 term has no effect; here they are trained
(`mmgcn_train_embeddings`). The number of layers is honoured (the code always has 3). One rule decides for every
modality whether it is projected (`mmgcn_latent`; the code projects the visual one to 256 and no other). The
element-wise form is a switch that works (`mmgcn_combine`; the code's flag is always true, so that the published
numbers are of concat). All matrices are Xavier normal with zero biases. The variant `reference` gives these
switches the released code's values.

An item without a modality sends a zero row and is filled in by its neighbours; with `missing` zero it sends
rn(b_0) where features are projected, and zero elsewhere.

Cost of a step: messages are aggregated before they are multiplied, so that the user half of the first layer is
a constant with unprojected features and the item half is K sparse products of width g; later layers are one
sparse product of width K d for all modalities, and the last one's matrix products are for the batch's rows
only. The first layer's matrix products of N rows, about g^2 + d (2 g + d) multiplications each, dominate.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from models._dense import linear
from models._features import ItemFeatures, scaled
from models._graph import SparseRows, spmm
from models._init import matrix, zeros
from models._losses import l2
from models._rows import unit_rows
from models.base import ContentParams, ContentRecommender, ModelCard, Tables

Batch = tuple[Tensor, Tensor, Tensor]
SLOPE = 0.01
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
        to_users: mean over the items of each user, `[n_users, n_items]`.
        latent: width of the projection W_0, or None for raw features.
        params: parameters of the model.
    """

    def __init__(
        self, table: Tensor, available: Tensor, to_users: SparseRows, latent: int | None, params: Params
    ) -> None:
        super().__init__()
        size, width = params.embedding_size, table.shape[1] if latent is None else latent
        self.concat = params.mmgcn_combine == "concat"
        self.preference = matrix(len(to_users.offsets) - 1, width)
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
        self.register_buffer("pooled", None if frozen is None else spmm(to_users, frozen), persistent=False)

    def inputs(self) -> Tables:
        """X^0 of users and items, `[n_users, g]` and `[n_items, g]`."""
        if self.w0 is None:
            return unit_rows(self.preference), self.table
        projected = linear(self.table, self.w0, self.b0) * self.available
        return unit_rows(self.preference), unit_rows(projected)

    def layer(self, index: int, messages: Tensor, rows: Tensor, ids: Tensor) -> Tensor:
        """One layer for some nodes, `[n, d]`.

        Args:
            index: of the layer, from 0.
            messages: mean of the neighbours' rows, `[n, g]`.
            rows: the nodes' own rows, `[n, g]`.
            ids: their id embeddings, `[n, d]`.
        """
        h = linear(messages, self.w1[index], slope=SLOPE)
        xhat = linear(rows, self.w2[index], self.b2[index], slope=SLOPE) + ids
        if not self.concat:
            return linear(h, self.w3[index], self.b3[index], plus=xhat, slope=SLOPE)
        of_h, of_xhat = self.w3[index].split([h.shape[1], xhat.shape[1]], dim=1)
        return linear(xhat, of_xhat, self.b3[index], plus=linear(h, of_h), slope=SLOPE)


class LastInputs(NamedTuple):
    """A modality's inputs of the last layer.

    Attributes:
        branch: its network.
        messages, tables: neighbour means and own rows, of users and of items.
    """

    branch: Branch
    messages: Tables
    tables: Tables


class MMGCN(ContentRecommender):
    """Mean over the modalities of their networks' last layers."""

    Params = Params
    CARD: ClassVar = ModelCard(
        title="MMGCN",
        family="multimodal",
        paper="Wei et al., MMGCN: Multi-modal Graph Convolution Network for Personalized Recommendation of "
        "Micro-video, ACM MM 2019",
        uses_content=True,
    )

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        p = self.params
        self.to_users = _mean(self.train_users, self.train_items, self.n_users, self.n_items)
        self.to_items = _mean(self.train_items, self.train_users, self.n_items, self.n_users)
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
        return Branch(scaled(features, p.feat_norm), available, self.to_users, latent, p)

    def _first_messages(self, branch: Branch, users: Tensor, items: Tensor) -> Tables:
        """Neighbour means of a branch's inputs; those of unprojected features are a constant."""
        to_users = spmm(self.to_users, items) if branch.pooled is None else branch.pooled
        return to_users, spmm(self.to_items, users)

    def _messages(self, tables: list[Tables]) -> list[Tables]:
        """Neighbour means of all branches at once, as columns of one wide product."""
        size = self.params.embedding_size
        to_users = spmm(self.to_users, torch.cat([items for _, items in tables], dim=1)).split(size, dim=1)
        to_items = spmm(self.to_items, torch.cat([users for users, _ in tables], dim=1)).split(size, dim=1)
        return list(zip(to_users, to_items, strict=True))

    def _last_inputs(self) -> list[LastInputs]:
        """What enters the last layer, for each modality."""
        branches = cast(list[Branch], list(self.branches))
        tables = [branch.inputs() for branch in branches]
        messages = [self._first_messages(branch, *table) for branch, table in zip(branches, tables, strict=True)]
        for index in range(self.params.n_layers - 1):
            tables = [
                (
                    branch.layer(index, sent[0], table[0], self.user_embedding.weight),
                    branch.layer(index, sent[1], table[1], self.item_embedding.weight),
                )
                for branch, sent, table in zip(branches, messages, tables, strict=True)
            ]
            messages = self._messages(tables)
        parts = zip(branches, messages, tables, strict=True)
        return [LastInputs(branch, sent, table) for branch, sent, table in parts]

    def _last(self, inputs: list[LastInputs], side: Literal[0, 1], ids: Tensor | None = None) -> Tensor:
        """Last layer of users (side 0) or items (side 1), combined over the modalities, `[n, d]`.

        Args:
            inputs: of the last layer.
            ids: the nodes wanted, `[n]`; None for all.
        """
        table = (self.user_embedding, self.item_embedding)[side].weight
        outputs = []
        for branch, messages, tables in inputs:
            rows = (messages[side], tables[side], table)
            if ids is not None:
                rows = (F.embedding(ids, rows[0]), F.embedding(ids, rows[1]), F.embedding(ids, rows[2]))
            outputs.append(branch.layer(self.params.n_layers - 1, *rows))
        stacked = torch.stack(outputs)
        return stacked.mean(0) if self.params.mm_readout == "mean" else stacked.sum(0)

    def embed(self) -> Tables:
        """Final vectors of all users and items, `[n_users, d]` and `[n_items, d]`."""
        inputs = self._last_inputs()
        return self._last(inputs, 0), self._last(inputs, 1)

    def embed_batch(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Batch:
        """The batch's final vectors; the last layer is computed for the batch's nodes only."""
        inputs = self._last_inputs()
        items = self._last(inputs, 1, torch.cat([positives, negatives]))
        return self._last(inputs, 0, users), items[: len(users)], items[len(users) :]

    def regularisation(self, batch: Batch, final: Batch) -> Tensor:
        """L2 on the batch's id embeddings and on its users' preferences, all modalities."""
        total = super().regularisation(batch, final)
        if self.params.reg_form == "all_params":
            return total
        for branch in cast(list[Branch], self.branches):
            rows = F.embedding(batch[0], branch.preference)
            total = total + l2(self.params.reg_form, rows, rows[:0], rows[:0])
        return total


def _mean(rows: Tensor, columns: Tensor, n_rows: int, n_columns: int) -> SparseRows:
    """D^-1 of the rows times the binary matrix: means over neighbours."""
    values = torch.bincount(rows, minlength=n_rows).to(torch.get_default_dtype()).reciprocal()[rows]
    return SparseRows.from_entries(rows, columns, values, (n_rows, n_columns))
