"""The learned item graph of one modality, as chosen pairs with trained similarities (LATTICE). Pure torch.

Only the n k pairs of the k-NN lists exist: their cosines are dots of the projected rows, with gradients to
projection and features. The lists themselves are piecewise constant and are found without gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models._edges import Edges, column_major, sddmm, spread
from models._graph import SparseRows
from models._knn import Neighbours, nearest
from models._propagation import scattered
from models._rows import unit_rows


class ItemGraph(NamedTuple):
    """The mixed item graph G as it is propagated over.

    Attributes:
        pairs: chosen pairs of each modality; empty with lam 1.
        values: their entries in G, `[n_pairs]` each.
        initial: weight of each initial graph in G, `[K]`.
    """

    pairs: list[Edges]
    values: list[Tensor]
    initial: Tensor


class Modality(nn.Module):
    """Features, projection and initial graph of one modality.

    Args:
        table: scaled features, `[n_items, d_m]`.
        available: items whose features count, `[n_items]` bool; False for padding.
        initial: the constant graph of the raw features, `[n_items, n_items]`.
        size: width of the projection.
        k: neighbours of an item, itself included.
        clip: cut negative similarities at 0.
        trainable: whether the features are parameters.
    """

    def __init__(
        self,
        table: Tensor,
        available: Tensor,
        initial: SparseRows,
        *,
        size: int,
        k: int,
        clip: bool,
        trainable: bool,
    ) -> None:
        super().__init__()
        self.k, self.clip = k, clip
        self.linear = nn.Linear(table.shape[1], size)
        self.initial = initial
        self.table: Tensor
        self.available: Tensor
        if trainable:
            self.table = nn.Parameter(table.clone())
        else:
            self.register_buffer("table", table, persistent=False)
        self.register_buffer("available", available, persistent=False)
        self._chosen: tuple[Tensor, Edges] | None = None

    def projected(self) -> Tensor:
        """Y = X W^T + b, `[n_items, d]`."""
        rows: Tensor = self.linear(self.table)
        return rows

    @torch.no_grad()
    def choose(self) -> Edges:
        """Pairs of the learned graph under the current parameters, without gradient."""
        rows = self.projected()
        if self._chosen is None or not torch.equal(self._chosen[0], rows):
            lists = with_loops(nearest(rows, self.available, self.k, include_self=True), self.available)
            listed = lists.items >= 0
            ids = torch.arange(len(rows), device=rows.device).unsqueeze(1).expand_as(listed)
            shape = (len(rows), len(rows))
            self._chosen = rows, Edges.from_pairs(ids[listed], lists.items[listed], shape)
        return self._chosen[1]

    def similarities(self, pairs: Edges) -> Tensor:
        """Cosines of the pairs, `[n_pairs]`; 1 for the self loop of an item without the modality."""
        unit = unit_rows(self.projected() * self.available.unsqueeze(1))
        loops = ~self.available[pairs.rows]
        cosines = sddmm(pairs, unit, unit) + loops
        return F.relu(cosines) if self.clip else cosines

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Modality:
        self._chosen = None  # holds tensors that the module does not move
        moved: Modality = super()._apply(fn, recurse)
        return moved


def merged(graph: ItemGraph, initial: list[SparseRows]) -> SparseRows:
    """The whole of G as one matrix without gradient, `[n_items, n_items]`.

    Args:
        graph: its parts, detached.
        initial: the constant graph of each modality.
    """
    parts = [(p.rows.long(), p.columns.long(), v) for p, v in zip(graph.pairs, graph.values, strict=True)]
    scaled = [(part.entries(), weight) for part, weight in zip(initial, graph.initial, strict=True)]
    parts += [(rows, columns, weight * values) for (rows, columns, values), weight in scaled]
    n_items = initial[0].shape[0]
    keys = torch.cat([rows * n_items + columns for rows, columns, _ in parts])
    keys, position = torch.unique(keys, return_inverse=True)
    values = scattered(position, torch.cat([part[2] for part in parts]).unsqueeze(1), len(keys)).squeeze(1)
    return SparseRows.from_entries(keys // n_items, keys % n_items, values, (n_items, n_items))


def with_loops(lists: Neighbours, available: Tensor) -> Neighbours:
    """The lists with every item that has no features, padding aside, as its own only neighbour."""
    absent = (~available).nonzero().squeeze(1)
    absent = absent[absent > 0]
    items, cosines = lists.items.clone(), lists.cosines.clone()
    items[absent, 0], cosines[absent, 0] = absent, 1.0
    return Neighbours(items, cosines)


def laplacian(pairs: Edges, values: Tensor, degrees: Tensor) -> Tensor:
    """Entries of D^-1/2 S D^-1/2, `[n_pairs]`; rows and columns without positive degree are zero."""
    scale = torch.where(degrees > 0, degrees, torch.inf).rsqrt()
    back = pairs.transposed()
    return values * spread(pairs, scale) * column_major(back, spread(back, scale))
