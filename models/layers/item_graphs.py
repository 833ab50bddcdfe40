"""Item-item graphs: fixed ones from k-NN lists (LUDP Eqs. 3-5, LATTICE Eqs. 2-4), and LATTICE's learned graph.

A learned graph has only the n k pairs of the k-NN lists. Their cosines are dots of the projected rows, with
gradients to projection and features. The lists are piecewise constant and are found without gradient. Pure torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.edges import Edges, column_major, sddmm, spread
from models.layers.graph import SparseRows, gather, read_out, scattered, spmm, spmm_rows, stacked
from models.layers.neighbours import Neighbours, nearest
from models.layers.rows import unit_rows

ItemGraphNorm = Literal["rsqrt_row", "mean", "sym_binary", "sym_weighted"]
Symmetrize = Literal["none", "union", "mutual"]


class ItemGraphs(nn.Module):
    """The item graphs of all modalities as one matrix, so that a layer is one product.

    Args:
        graphs: of each modality, `[n_items, n_items]`.
        n_layers: of the propagation, at least 1.

    Attributes:
        first: the graphs below each other, `[K n_items, n_items]`, since all start from one table.
        deeper: the graphs on a diagonal, `[K n_items, K n_items]`, for later layers; None with one layer.
    """

    def __init__(self, graphs: Sequence[SparseRows], n_layers: int) -> None:
        super().__init__()
        self.n_modalities, self.n_layers = len(graphs), n_layers
        self.first = stacked(graphs)
        self.deeper = stacked(graphs, diagonal=True) if n_layers > 1 else None

    def views(self, start: Tensor, items: Tensor | None, how: Literal["last", "sum", "mean"]) -> Tensor:
        """Return h^m (LUDP Eq. 5) of all modalities below each other, `[K n, d]`.

        Args:
            start: what is propagated, `[n_items, d]`.
            items: distinct item ids, `[n]`; the last layer is computed for their rows only. None for all.
            how: read-out over the layers.
        """
        nodes, layers = None, []
        if items is not None:
            shifts = self.first.shape[1] * torch.arange(self.n_modalities, device=items.device)
            nodes = (items + shifts.unsqueeze(1)).flatten()
        if how != "last":
            layers = [(start if items is None else gather(start, items)).repeat(self.n_modalities, 1)]
        matrix, table = self.first, start
        for _ in range(self.n_layers - 1):
            table = spmm(matrix, table)
            layers.append(table if nodes is None else gather(table, nodes))
            matrix = cast(SparseRows, self.deeper)
        layers.append(spmm(matrix, table) if nodes is None else spmm_rows(matrix, nodes, table, are_distinct=True))
        return read_out(layers, how)


def item_graph(
    lists: Neighbours, norm: ItemGraphNorm, symmetrize: Symmetrize = "none", clip_negative: bool = False
) -> SparseRows:
    """Build the normalised item graph of one modality, `[n_items, n_items]` with at most k entries per row.

    Args:
        lists: k-NN lists; B_ij = 1 for j in the list of i, S_ij its cosine.
        norm: with r_i the length of row i, c_j the entries in column j and D_i the row sums of S:
            "rsqrt_row" B_ij / sqrt(r_i), LUDP Eq. 5 as printed; "mean" B_ij / r_i;
            "sym_binary" B_ij / sqrt(r_i c_j); "sym_weighted" S_ij / sqrt(D_i D_j), LATTICE's Laplacian.
        symmetrize: "union" keeps a pair listed on either side, "mutual" one listed on both.
        clip_negative: leave out pairs with a negative cosine.
    """
    n_items, k = lists.items.shape
    listed = lists.items >= 0
    rows = torch.arange(n_items, device=lists.items.device).repeat_interleave(k).reshape(n_items, k)[listed]
    columns, cosines = lists.items[listed], lists.cosines[listed]
    if clip_negative:
        rows, columns, cosines = (part[cosines >= 0] for part in (rows, columns, cosines))
    if symmetrize != "none":
        rows, columns, cosines = _symmetrized(rows, columns, cosines, n_items, symmetrize)
    values = _normalised(rows, columns, cosines, n_items, norm).to(torch.get_default_dtype())
    return SparseRows.from_entries(rows, columns, values, (n_items, n_items))


def _symmetrized(
    rows: Tensor, columns: Tensor, cosines: Tensor, n_items: int, how: Symmetrize
) -> tuple[Tensor, Tensor, Tensor]:
    keys = torch.cat([rows * n_items + columns, columns * n_items + rows])
    unique, inverse, counts = torch.unique(keys, return_inverse=True, return_counts=True)
    merged = torch.empty(len(unique), dtype=cosines.dtype, device=cosines.device)
    merged[inverse] = torch.cat([cosines, cosines])
    own = rows == columns
    both = counts == 2 if how == "mutual" else torch.ones_like(counts, dtype=torch.bool)
    both[inverse[: len(rows)][own]] = True  # a self loop is its own mirror image
    unique = unique[both]
    return unique // n_items, unique % n_items, merged[both]


def _normalised(rows: Tensor, columns: Tensor, cosines: Tensor, n_items: int, norm: ItemGraphNorm) -> Tensor:
    ones = torch.ones_like(cosines)
    out_degree = torch.bincount(rows, minlength=n_items).to(cosines.dtype)
    if norm == "rsqrt_row":
        return ones * out_degree.rsqrt()[rows]
    if norm == "mean":
        return ones / out_degree[rows]
    if norm == "sym_binary":
        in_degree = torch.bincount(columns, minlength=n_items).to(cosines.dtype)
        return ones * (out_degree[rows] * in_degree[columns].clamp_min(1)).rsqrt()
    sums = scattered(rows, cosines.unsqueeze(1), n_items).squeeze(1)
    scale = torch.where(sums > 0, sums.rsqrt(), 0.0)
    return cosines * scale[rows] * scale[columns]


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
        """Return Y = X W^T + b, `[n_items, d]`."""
        rows: Tensor = self.linear(self.table)
        return rows

    @torch.no_grad()
    def choose(self) -> Edges:
        """Choose the pairs of the learned graph under the current parameters, without gradient."""
        rows = self.projected()
        if self._chosen is None or not torch.equal(self._chosen[0], rows):
            lists = with_loops(nearest(rows, self.available, self.k, include_self=True), self.available)
            listed = lists.items >= 0
            ids = torch.arange(len(rows), device=rows.device).unsqueeze(1).expand_as(listed)
            shape = (len(rows), len(rows))
            self._chosen = rows, Edges.from_pairs(ids[listed], lists.items[listed], shape)
        return self._chosen[1]

    def similarities(self, pairs: Edges) -> Tensor:
        """Return cosines of the pairs, `[n_pairs]`; 1 for the self loop of an item without the modality."""
        unit = unit_rows(self.projected() * self.available.unsqueeze(1))
        loops = ~self.available[pairs.rows]
        cosines = sddmm(pairs, unit, unit) + loops
        return F.relu(cosines) if self.clip else cosines

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Modality:
        self._chosen = None  # its tensors are not buffers, so the module would not move them
        moved: Modality = super()._apply(fn, recurse)
        return moved


def merged(graph: ItemGraph, initial: list[SparseRows]) -> SparseRows:
    """Return the whole of G as one matrix without gradient, `[n_items, n_items]`.

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
    """Return the lists with every item without features, except padding, as its own only neighbour."""
    absent = (~available).nonzero().squeeze(1)
    absent = absent[absent > 0]
    items, cosines = lists.items.clone(), lists.cosines.clone()
    items[absent, 0], cosines[absent, 0] = absent, 1.0
    return Neighbours(items, cosines)


def laplacian(pairs: Edges, values: Tensor, degrees: Tensor) -> Tensor:
    """Return the entries of D^-1/2 S D^-1/2, `[n_pairs]`; rows and columns without positive degree are zero."""
    scale = torch.where(degrees > 0, degrees, torch.inf).rsqrt()
    back = pairs.transposed()
    return values * spread(pairs, scale) * column_major(back, spread(back, scale))
