"""Item-item graphs from k-NN lists (LUDP Eqs. 3-5, LATTICE Eqs. 2-4). Pure torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn

from models._graph import SparseRows, read_out, spmm, stacked
from models._knn import Neighbours
from models._propagation import gather, scattered, spmm_rows

ItemGraphNorm = Literal["rsqrt_row", "mean", "sym_binary", "sym_weighted"]
Symmetrize = Literal["none", "union", "mutual"]


class ItemGraphs(nn.Module):
    """The item graphs of all modalities as one matrix, so that a layer is one product.

    Args:
        graphs: of each modality, `[n_items, n_items]`.
        n_layers: of the propagation, at least 1.

    Attributes:
        first: the graphs below each other, `[K n_items, n_items]`, since all start from one table.
        deeper: on a diagonal, `[K n_items, K n_items]`, for the layers after; None with one layer.
    """

    def __init__(self, graphs: Sequence[SparseRows], n_layers: int) -> None:
        super().__init__()
        self.n_modalities, self.n_layers = len(graphs), n_layers
        self.first = stacked(graphs)
        self.deeper = stacked(graphs, diagonal=True) if n_layers > 1 else None

    def views(self, start: Tensor, items: Tensor | None, how: Literal["last", "sum", "mean"]) -> Tensor:
        """h^m (LUDP Eq. 5) of all modalities below each other, `[K n, d]`.

        Args:
            start: what is propagated, `[n_items, d]`.
            items: the items wanted, `[n]`, whose rows alone the last layer is computed for; None for all.
            how: read-out over the layers.
        """
        nodes, own = None, start
        if items is not None:
            shifts = self.first.shape[1] * torch.arange(self.n_modalities, device=items.device)
            nodes, own = (items + shifts.unsqueeze(1)).flatten(), gather(start, items)
        layers = [own.repeat(self.n_modalities, 1)] if how != "last" else []
        matrix, table = self.first, start
        for _ in range(self.n_layers - 1):
            table = spmm(matrix, table)
            layers.append(table if nodes is None else gather(table, nodes))
            matrix = cast(SparseRows, self.deeper)
        layers.append(spmm(matrix, table) if nodes is None else spmm_rows(matrix, nodes, table))
        return read_out(layers, how)


def item_graph(
    lists: Neighbours, norm: ItemGraphNorm, symmetrize: Symmetrize = "none", clip_negative: bool = False
) -> SparseRows:
    """The normalised item graph of one modality, `[n_items, n_items]` with at most k entries a row.

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
    both[inverse[: len(rows)][own]] = True
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
