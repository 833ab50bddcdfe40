"""The user-item graph and its products, exact and deterministic. Pure torch; touches no file.

All normalisations of the bipartite graph are diagonal scalings of one binary matrix, held once in
compressed rows over the joint nodes: users first, then items. A product is `embedding_bag` over the
row segments, several times faster than a sparse COO product on a CPU and deterministic in both
directions: the backward pass is the product with the transpose, so nothing is scattered atomically.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from models._bags import bag

Normalisation = Literal["sym", "mean", "rw_self"]


class SparseRows(nn.Module):
    """A constant sparse matrix in compressed rows, kept with its transpose for the backward pass.

    A module, so that it follows its model to a device or to another floating type; its buffers are not
    part of the model's state. Build with `from_entries`.

    Attributes:
        offsets: row pointers, `[n_rows + 1]` int32.
        columns: column of each entry, `[nnz]` int32.
        values: value of each entry, `[nnz]`.
        t_offsets, t_columns, t_values: the same of the transpose.
    """

    offsets: Tensor
    columns: Tensor
    values: Tensor
    t_offsets: Tensor
    t_columns: Tensor
    t_values: Tensor

    def __init__(self, forward: tuple[Tensor, Tensor, Tensor], transposed: tuple[Tensor, Tensor, Tensor]) -> None:
        super().__init__()
        for prefix, arrays in (("", forward), ("t_", transposed)):
            for name, array in zip(("offsets", "columns", "values"), arrays, strict=True):
                self.register_buffer(prefix + name, array, persistent=False)

    @classmethod
    def from_entries(cls, rows: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> SparseRows:
        """Build from distinct coordinate entries, each `[nnz]`, of a matrix of the given shape."""
        return cls(_compress(rows, columns, values, shape[0]), _compress(columns, rows, values, shape[1]))

    def entries(self) -> tuple[Tensor, Tensor, Tensor]:
        """Row, column and value of every entry, `[nnz]` each, ids as int64."""
        return torch.repeat_interleave(self.offsets.diff().long()), self.columns.long(), self.values

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return len(self.offsets) - 1, len(self.t_offsets) - 1

    def dense(self) -> Tensor:
        """The same matrix as a dense one, `[n_rows, n_columns]`; for small cases and tests."""
        return spmm(self, torch.eye(self.shape[1], dtype=self.values.dtype, device=self.values.device))


def _compress(rows: Tensor, columns: Tensor, values: Tensor, n_rows: int) -> tuple[Tensor, Tensor, Tensor]:
    order = torch.argsort(rows * (int(columns.max()) + 1 if len(columns) else 1) + columns)
    offsets = torch.zeros(n_rows + 1, dtype=torch.int32, device=rows.device)
    offsets[1:] = torch.cumsum(torch.bincount(rows, minlength=n_rows), 0)
    return offsets, columns[order].to(torch.int32), values[order].contiguous()


class _Product(torch.autograd.Function):
    """`A X`; the gradient is `A^T G`."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, dense: Tensor, matrix: SparseRows) -> Tensor:
        ctx.matrix = matrix  # type: ignore[attr-defined]
        return bag(matrix.offsets, matrix.columns, matrix.values, dense)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None]:
        matrix: SparseRows = ctx.matrix  # type: ignore[attr-defined]
        return bag(matrix.t_offsets, matrix.t_columns, matrix.t_values, grads[0].contiguous()), None


def spmm(matrix: SparseRows, dense: Tensor) -> Tensor:
    """Sparse times dense.

    Args:
        matrix: `[n_rows, n_columns]`.
        dense: `[n_columns, d]`.

    Returns:
        `[n_rows, d]`; a row without entries is zero.
    """
    result: Tensor = _Product.apply(dense, matrix)
    return result


def stacked(graphs: Sequence[SparseRows], *, diagonal: bool = False) -> SparseRows:
    """K matrices of one shape `[n, m]` as one: below each other, `[K n, m]`, or on a diagonal, `[K n, K m]`."""
    n_rows, n_columns = graphs[0].shape
    parts = [graph.entries() for graph in graphs]
    rows = torch.cat([part[0] + index * n_rows for index, part in enumerate(parts)])
    columns = torch.cat([part[1] + index * n_columns * diagonal for index, part in enumerate(parts)])
    shape = (len(graphs) * n_rows, n_columns * (len(graphs) if diagonal else 1))
    return SparseRows.from_entries(rows, columns, torch.cat([part[2] for part in parts]), shape)


def bipartite(
    users: Tensor, items: Tensor, n_users: int, n_items: int, normalisation: Normalisation
) -> SparseRows:
    """The normalised adjacency over users and items, `[n_users + n_items, n_users + n_items]`.

    Args:
        users, items: distinct training pairs, `[n]` each.
        normalisation: "sym" D^-1/2 A D^-1/2 (LightGCN Eq. 3; LUDP Eq. 1); "mean" D^-1 A (MMGCN);
            "rw_self" (D + I)^-1 (A + I) (LATTICE's collaborative part, NGCF's released code).

    Nodes without a neighbour have degree 0 and scale 0: they send and receive nothing.
    """
    n_nodes = n_users + n_items
    rows = torch.cat([users, items + n_users])
    columns = torch.cat([items + n_users, users])
    if normalisation == "rw_self":
        nodes = torch.arange(n_nodes, device=users.device)
        rows, columns = torch.cat([rows, nodes]), torch.cat([columns, nodes])
    degrees = torch.bincount(rows, minlength=n_nodes).to(torch.float64)
    if normalisation == "sym":
        scale = torch.where(degrees > 0, degrees.rsqrt(), 0.0)
        values = scale[rows] * scale[columns]
    else:
        values = degrees.reciprocal()[rows]
    return SparseRows.from_entries(rows, columns, values.to(torch.get_default_dtype()), (n_nodes, n_nodes))


def propagate(graph: SparseRows, ego: Tensor, n_layers: int) -> list[Tensor]:
    """Linear propagation E^(l+1) = A E^(l) (LightGCN Eq. 3, LUDP Eq. 1).

    Args:
        graph: normalised adjacency over all nodes.
        ego: `[n_nodes, d]`.
        n_layers: number of products.

    Returns:
        The n_layers + 1 tables E^(0) to E^(L), each `[n_nodes, d]`.
    """
    layers = [ego]
    for _ in range(n_layers):
        layers.append(spmm(graph, layers[-1]))
    return layers


def read_out(layers: list[Tensor], how: Literal["sum", "mean", "last"]) -> Tensor:
    """Combine the layers of a propagation: their sum (LUDP Eq. 2), mean (LightGCN Eq. 4) or the last."""
    if how == "last":
        return layers[-1]
    total = layers[0]
    for layer in layers[1:]:
        total = total + layer
    return total if how == "sum" else total / len(layers)
