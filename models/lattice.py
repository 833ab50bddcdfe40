"""LATTICE: an item graph is learned from content, and item id embeddings are propagated over it.

Paper: Zhang, Zhu, Liu, Wu, Wang, Wang, "Mining Latent Structures for Multimedia Recommendation", ACM MM 2021.

| function | equation |
|---|---|
| `item_graphs.item_graph` | initial graph S^m = top k of cos(X^m); Lap(S) = D^-1/2 S D^-1/2, D = row sums |
| `item_graphs.Modality` | learned graph Bhat^m = top k of cos(Y^m), Y^m = X^m W^mT + b^m |
| `LATTICE._graph` | G = (1 - lam) Lap(sum_m w_m Bhat^m) + lam sum_m w_m Lap(S^m), w = softmax of K logits |
| `LATTICE._propagated` | H = G^L_i E_I |
| `LATTICE._collaborative` | collaborative part: mean of its layers |
| `LATTICE.embed` | z_u = collaborative part; z_i = collaborative part + rn(H)_i |
| `LATTICE.regularisation` | L2 on the final rows of the batch |

Deviations from the paper: the modalities are mixed before the normalisation, as the released code does
(`lattice_mix` paper normalises each first), and only the first batch of an epoch sends gradients into the
graph, again as in the code (`lattice_graph_grad`). Deviations from the released code: negative similarities
are cut at 0 as in the paper; the step size stays the same unless `lr_decay` is set (the code multiplies it by
.96^(epoch / 50), epochs from 0: `lr_decay` 0.96); the loss is divided by the batch's true size; an item without a
modality is its own only neighbour in it. The code multiplies dense n x n matrices; here only the n k chosen
similarities exist. The top k is piecewise constant, so gradients through the chosen entries are the exact ones.

The parameters behind the graph get no gradient after the first batch of an epoch, and Adam skips them then.
Chosen neighbours depend on the projected features only and are kept until these change: one search per epoch
serves the evaluation and the next epoch.

Cost of a step: LightGCN's, and up to 2 K n k entries for each item layer and direction; after the first batch the
graphs of all modalities are one matrix. The search takes n^2 sum_m f, in blocks, once per epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from models.base import ContentParams, ContentRecommender, ModelCard, Tables
from models.layers.edges import Edges, weighted_spmm
from models.layers.features import ItemFeatures, scaled
from models.layers.graph import (
    Batch,
    SparseRows,
    bipartite,
    distinct,
    gather,
    halves,
    propagate,
    propagated_rows,
    read_out,
    repeated,
    spmm,
    spmm_rows,
)
from models.layers.item_graphs import ItemGraph, Modality, item_graph, laplacian, merged, with_loops
from models.layers.losses import l2
from models.layers.rows import unit_rows

SLOPE = 0.01  # of LeakyReLU in the code's ngcf part; NGCF's own is 0.2
Share = Annotated[float, Field(ge=0, le=1)]


class Params(ContentParams):
    """Parameters of LATTICE."""

    knn_k: PositiveInt
    """Neighbours of an item in each graph, itself included, k."""
    knn_clip_negative: bool
    """Cut negative similarities at 0."""
    lam: Share
    """Weight of the initial graphs against the learned one."""
    n_item_layers: PositiveInt
    """Layers of the item graph, L_i."""
    n_ui_layers: NonNegativeInt
    """Layers of the user-item graph."""
    lattice_cf: Literal["lightgcn", "ngcf", "mf"]
    """Collaborative part."""
    lattice_ui_norm: Literal["rw_self", "sym"]
    """Normalisation of the user-item graph: rows with self loops as in the code, or LightGCN's."""
    lattice_mix: Literal["code", "paper"]
    """Mix the learned graphs, then normalise; or normalise each, then mix."""
    lattice_graph_grad: Literal["first_batch", "every_step"]
    """Whether the learned graph is trained in the first batch of an epoch or in every batch."""
    feat_trainable: bool
    """Whether the features are fine-tuned."""
    message_dropout: Annotated[float, Field(ge=0, lt=1)]
    """Dropout of the ngcf part."""
    lr_decay: Annotated[float, Field(gt=0, le=1)]
    """Factor of the step size over `lr_decay_epochs` epochs, applied a little every epoch; 1 keeps it constant."""
    lr_decay_epochs: PositiveInt
    """Epochs over which `lr_decay` acts once."""


class LATTICE(ContentRecommender):
    """A collaborative model whose items also carry the mean of their neighbours in a learned item graph."""

    Params = Params
    static_step = True
    CARD: ClassVar = ModelCard(
        title="LATTICE",
        family="multimodal",
        paper="Zhang et al., Mining Latent Structures for Multimedia Recommendation, ACM MM 2021",
        uses_content=True,
        url="https://arxiv.org/abs/2104.09036",
    )

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        p = self.params
        self.graph = bipartite(self.train_users, self.train_items, self.n_users, self.n_items, p.lattice_ui_norm)
        self.modalities = nn.ModuleList(self._modality(features) for features in self.features)
        self.modality_logits = nn.Parameter(torch.zeros(len(self.features)))
        size = p.embedding_size
        n_layers = p.n_ui_layers if p.lattice_cf == "ngcf" else 0
        self.sums = nn.ModuleList(nn.Linear(size, size) for _ in range(n_layers))
        self.products = nn.ModuleList(nn.Linear(size, size) for _ in range(n_layers))
        self._held: tuple[int, ItemGraph, SparseRows] | None = None

    def learning_rate(self, epoch: int) -> float:
        """Return the step size of an epoch, counted from 1: `lr_decay` to the (epoch - 1) / `lr_decay_epochs`."""
        p = self.params
        rate: float = p.learning_rate * p.lr_decay ** ((epoch - 1) / p.lr_decay_epochs)
        return rate

    def _modality(self, features: ItemFeatures) -> Modality:
        p, table = self.params, scaled(features, self.params.feat_norm)
        if p.missing == "zero":
            features = replace(
                features, present=self.participating(features), fingerprint=f"{features.fingerprint}-zero"
            )
        lists = with_loops(self.neighbours(features, p.knn_k, include_self=True), features.present)
        initial = item_graph(lists, "sym_weighted", clip_negative=p.knn_clip_negative)
        return Modality(
            table,
            features.present,
            initial,
            size=p.embedding_size,
            k=p.knn_k,
            clip=p.knn_clip_negative,
            trainable=p.feat_trainable,
        )

    def _collaborative(self) -> Tables:
        """Return vectors of the collaborative part, `[n_users, d]` and `[n_items, d]`."""
        p = self.params
        layers = [self.ego()]
        if p.lattice_cf == "lightgcn":
            layers = propagate(self.graph, layers[0], p.n_ui_layers)
        rows = layers[0]
        for of_sum, of_product in zip(self.sums, self.products, strict=True):
            side = spmm(self.graph, rows)
            rows = F.leaky_relu(of_sum(side), SLOPE) + F.leaky_relu(of_product(rows * side), SLOPE)
            rows = F.dropout(rows, p.message_dropout, self.training)
            layers.append(unit_rows(rows))
        users, items = read_out(layers, "mean").split([self.n_users, self.n_items])
        return users, items

    def _graph(self, pairs: list[Edges] | None = None) -> ItemGraph:
        """Return G with gradients to features, projections and modality weights.

        Args:
            pairs: of each modality's learned graph; None chooses them under the current parameters.
        """
        p = self.params
        omega = torch.softmax(self.modality_logits, dim=0)
        if p.lam == 1:
            return ItemGraph([], [], omega)
        if pairs is None:
            pairs = [modality.choose() for modality in _parts(self.modalities)]
        cosines = [
            modality.similarities(some) for modality, some in zip(_parts(self.modalities), pairs, strict=True)
        ]
        ones = omega.new_ones(self.n_items, 1)
        degrees = [weighted_spmm(*part, ones).squeeze(1) for part in zip(pairs, cosines, strict=True)]
        if p.lattice_mix == "code":
            degrees = [torch.stack([omega[m] * one for m, one in enumerate(degrees)]).sum(0)] * len(pairs)
        values = [(1 - p.lam) * omega[m] * laplacian(some, cosines[m], degrees[m]) for m, some in enumerate(pairs)]
        return ItemGraph(pairs, values, p.lam * omega)

    def _training_graph(self) -> ItemGraph | SparseRows:
        """Return the graph of a training batch, as one constant matrix where it is not trained.

        The first batch of an epoch trains the graph; `lattice_graph_grad` decides whether later ones do.
        """
        # epochs are counted in training pairs, since models do not see the trainer's loop
        epoch = self.pairs_seen // len(self.train_users)
        if self._held is None or self._held[0] != epoch:
            graph = self._graph()
            detached = ItemGraph(graph.pairs, [v.detach() for v in graph.values], graph.initial.detach())
            self._held = epoch, detached, merged(detached, [part.initial for part in _parts(self.modalities)])
            return graph
        if self.params.lattice_graph_grad == "every_step":
            return self._graph(self._held[1].pairs)
        return self._held[2]

    def _propagated(self, graph: ItemGraph) -> Tensor:
        """Return H = G^L_i E_I, `[n_items, d]`."""
        rows = self.item_embedding.weight
        for _ in range(self.params.n_item_layers):
            parts = [weighted_spmm(*part, rows) for part in zip(graph.pairs, graph.values, strict=True)]
            if self.params.lam > 0:
                initial = zip(graph.initial, _parts(self.modalities), strict=True)
                parts += [weight * spmm(modality.initial, rows) for weight, modality in initial]
            rows = torch.stack(parts).sum(0)
        return rows

    def embed(self) -> Tables:
        """Return final vectors under the current parameters, the graph included."""
        users, items = self._collaborative()
        return users, items + unit_rows(self._propagated(self._graph()))

    def embed_batch(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Batch:
        """Return the batch's final vectors, each row computed once; training uses the graph of the epoch."""
        graph = self._training_graph() if self.training else self._graph()
        users, of_user = distinct(users)
        items, of_item = distinct(torch.cat([positives, negatives]))
        own, others = self._collaborative_rows(users, items)
        if isinstance(graph, ItemGraph):
            content = gather(self._propagated(graph), items)
        else:
            layers = propagate(graph, self.item_embedding.weight, self.params.n_item_layers - 1)
            content = spmm_rows(graph, items, layers[-1])
        others = others + unit_rows(content)
        return repeated(own, of_user), *halves(repeated(others, of_item))

    def _collaborative_rows(self, users: Tensor, items: Tensor) -> Tables:
        """Return vectors of the collaborative part of some users and items, `[n, d]` each."""
        p = self.params
        if p.lattice_cf == "ngcf":
            tables = self._collaborative()
            return gather(tables[0], users), gather(tables[1], items)
        n_layers = p.n_ui_layers if p.lattice_cf == "lightgcn" else 0
        nodes = torch.cat([users, items + self.n_users])
        ego = (self.user_embedding.weight, self.item_embedding.weight)
        rows, _ = propagated_rows(self.graph, *ego, nodes, n_layers, "mean")
        own, others = rows.split([len(users), len(items)])
        return own, others

    def regularisation(self, batch: Batch, final: Batch) -> Tensor:
        """Return L2 on the final rows of the batch."""
        if self.params.reg_form == "all_params":
            return super().regularisation(batch, final)
        return l2(self.params.reg_form, *final)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> LATTICE:
        self._held = None  # its tensors are not buffers, so the module would not move them
        moved: LATTICE = super()._apply(fn, recurse)
        return moved


def _parts(modalities: nn.ModuleList) -> list[Modality]:
    return cast(list[Modality], list(modalities))
