"""Linear propagation for a training batch: the same values as all nodes, the work of the rows needed. Pure torch.

A batch is scored by a few thousand rows of sum_l c A^l E. Its gradient with respect to E is
c (G + A' (G + A' (... G))) with G zero outside those rows (Horner's form), so no layer is kept, scaled or added up
over all nodes, and the rows that the L2 term acts on ride on the same gradient. The last layer is computed for the
batch's rows alone where they hold few enough of the graph's entries.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx

from models._bags import bag
from models._graph import SparseRows

Batch = tuple[Tensor, Tensor, Tensor]
ReadOut = Literal["sum", "mean"]
EVEN = 128
PARTIAL_BELOW = 0.4  # listing the entries of some rows costs about as much as multiplying with them


def halves(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of positives and of negatives, from both one after the other."""
    first, second = rows.chunk(2)
    return first, second


def thirds(rows: Tensor) -> Batch:
    """Rows of users, positives and negatives, from all one after the other."""
    first, second, third = rows.chunk(3)
    return first, second, third


def distinct(ids: Tensor) -> tuple[Tensor, Tensor | None]:
    """The distinct ids, and where each given one is among them, so that a row is computed once in a batch.

    The last one is repeated up to a multiple of 128 ids: oneDNN generates code, for a millisecond, at every new
    size of a matrix. On other devices than the CPU the ids as they are, and None: their number is not known there.
    """
    if ids.device.type != "cpu":
        return ids, None
    found, position = torch.unique(ids, return_inverse=True)
    return F.pad(found.unsqueeze(0), (0, -len(found) % EVEN), mode="replicate").squeeze(0), position


def distinct_padded(ids: Tensor) -> tuple[Tensor, Tensor]:
    """`distinct` with a number of ids that no device has to count, for whoever must not repeat a row.

    Returns:
        The distinct ids, ascending, and behind them zeros, of which there is at least one: `[n + 1]`; where each
        given one is among them, `[n]`.
    """
    ascending, order = torch.sort(ids, stable=True)
    is_new = torch.cat([ascending.new_ones(min(1, len(ids)), dtype=torch.bool), ascending[1:] != ascending[:-1]])
    place = torch.cumsum(is_new, 0) - 1
    found = ids.new_zeros(len(ids) + 1).scatter_(0, place, ascending)
    return found, torch.empty_like(place).scatter_(0, order, place)


def repeated(rows: Tensor, position: Tensor | None) -> Tensor:
    """Rows of distinct ids as rows of the ids given, `[n, d]`."""
    return rows if position is None else gather(rows, position)


def gather(table: Tensor, index: Tensor) -> Tensor:
    """Rows of a table, `[n, d]`; the gradient adds up the rows that were taken more than once.

    Args:
        table: `[n_rows, d]`.
        index: row ids, `[n]`.
    """
    return cast(Tensor, _Gather.apply(table, index))


def spmm_rows(matrix: SparseRows, index: Tensor, dense: Tensor) -> Tensor:
    """The listed rows of a sparse product, `[len(index), d]`.

    Args:
        matrix: `[n_rows, n_columns]`.
        index: rows, any number of times each, `[n]`.
        dense: `[n_columns, d]`.
    """
    return cast(Tensor, _RowsProduct.apply(dense, matrix, index))


def propagated_rows(
    graph: SparseRows, users: Tensor, items: Tensor, nodes: Tensor, n_layers: int, how: ReadOut
) -> tuple[Tensor, Tensor]:
    """Rows of the propagated embeddings, sum or mean over the layers 0..L, and the rows that went in.

    Args:
        graph: normalised adjacency over users, then items, `[n_users + n_items, n_users + n_items]`.
        users, items: id embeddings, `[n_users, d]` and `[n_items, d]`.
        nodes: joint node ids, `[n]`.
        n_layers: number of products, L.
        how: read-out over the layers.

    Returns:
        Final rows and rows of layer 0, `[n, d]` each.
    """
    scale = 1.0 if how == "sum" else 1.0 / (n_layers + 1)
    return cast(tuple[Tensor, Tensor], _Propagation.apply(users, items, graph, nodes, n_layers, scale))


def adds_in_order(tensor: Tensor) -> bool:
    """Whether `index_add_` adds in one order always on the tensor's device, as it does on a CPU alone."""
    return tensor.device.type == "cpu"


def scattered(index: Tensor, rows: Tensor, n_rows: int) -> Tensor:
    """Rows added up at their places in a table of zeros, `[n_rows, d]`; the same bits at every call."""
    if adds_in_order(rows):
        return rows.new_zeros(n_rows, rows.shape[1]).index_add_(0, index, rows)
    # each place sums its own rows, found by sorting
    ascending, order = torch.sort(index, stable=True)
    offsets = torch.searchsorted(ascending, torch.arange(n_rows + 1, device=index.device), out_int32=True)
    return bag(offsets, order.to(torch.int32), None, rows)


def _product_rows(matrix: SparseRows, index: Tensor, dense: Tensor) -> Tensor:
    """Rows of a product: each from its own entries once, or all rows where that is less work.

    On devices other than the CPU always all rows, as counting the entries would wait for the device.
    """
    if dense.device.type == "cpu":
        distinct, position = torch.unique(index, return_inverse=True)
        sizes = matrix.offsets.diff().index_select(0, distinct)
        if int(sizes.sum()) < PARTIAL_BELOW * len(matrix.columns):
            return _own_entries(matrix, distinct, sizes, dense).index_select(0, position)
    return bag(matrix.offsets, matrix.columns, matrix.values, dense).index_select(0, index)


def _own_entries(matrix: SparseRows, rows: Tensor, sizes: Tensor, dense: Tensor) -> Tensor:
    """A product's rows from their own entries, `[len(rows), d]`."""
    ends = sizes.cumsum(0)
    shift = matrix.offsets.index_select(0, rows) - ends + sizes
    entries = shift.repeat_interleave(sizes).add_(torch.arange(int(ends[-1]) if len(ends) else 0))
    offsets = F.pad(ends, (1, 0)).to(torch.int32)
    columns, values = matrix.columns.index_select(0, entries), matrix.values.index_select(0, entries)
    return bag(offsets, columns, values, dense)


class _Gather(torch.autograd.Function):
    """`T[i]`; the gradient is scattered back."""

    @staticmethod
    def forward(ctx: FunctionCtx, table: Tensor, index: Tensor) -> Tensor:
        ctx.n_rows = len(table)  # type: ignore[attr-defined]
        ctx.save_for_backward(index)
        return table.index_select(0, index)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return scattered(index, grads[0], ctx.n_rows), None  # type: ignore[attr-defined]


class _RowsProduct(torch.autograd.Function):
    """`(A X)[i]`; the gradient is `A' G` with the rows of G at their places."""

    @staticmethod
    def forward(ctx: FunctionCtx, dense: Tensor, matrix: SparseRows, index: Tensor) -> Tensor:
        ctx.matrix = matrix  # type: ignore[attr-defined]
        ctx.save_for_backward(index)
        return _product_rows(matrix, index, dense)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor, None, None]:
        (index,) = ctx.saved_tensors  # type: ignore[attr-defined]
        matrix: SparseRows = ctx.matrix  # type: ignore[attr-defined]
        placed = scattered(index, grads[0], matrix.shape[0])
        return bag(matrix.t_offsets, matrix.t_columns, matrix.t_values, placed), None, None


class _Propagation(torch.autograd.Function):
    """`c sum_l (A^l E)[i]` and `E[i]`; the gradient is `c (G + A' (G + ...)) + G_0`, rows of G at their places."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        users: Tensor,
        items: Tensor,
        graph: SparseRows,
        nodes: Tensor,
        n_layers: int,
        scale: float,
    ) -> tuple[Tensor, Tensor]:
        ctx.graph, ctx.n_layers, ctx.scale, ctx.n_users = graph, n_layers, scale, len(users)  # type: ignore[attr-defined]
        ctx.save_for_backward(nodes)
        table = torch.cat([users, items])
        ego = table.index_select(0, nodes)
        total = ego.clone()
        for _ in range(n_layers - 1):
            table = bag(graph.offsets, graph.columns, graph.values, table)
            total += table.index_select(0, nodes)
        if n_layers:
            total += _product_rows(graph, nodes, table)
        return total.mul_(scale), ego

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        (nodes,) = ctx.saved_tensors  # type: ignore[attr-defined]
        graph: SparseRows = ctx.graph  # type: ignore[attr-defined]
        rows = grads[0] * ctx.scale  # type: ignore[attr-defined]
        if adds_in_order(rows):
            total = scattered(nodes, rows, graph.shape[0])
            for _ in range(ctx.n_layers):  # type: ignore[attr-defined]
                total = bag(graph.t_offsets, graph.t_columns, graph.t_values, total).index_add_(0, nodes, rows)
            total.index_add_(0, nodes, grads[1])
        else:  # placing them costs more than a table of their sums does
            sums = scattered(nodes, torch.cat([rows, grads[1]], dim=1), graph.shape[0])
            total, own = sums.chunk(2, dim=1)
            placed = total
            for _ in range(ctx.n_layers):  # type: ignore[attr-defined]
                total = bag(graph.t_offsets, graph.t_columns, graph.t_values, total).add_(placed)
            total = total + own
        n_users: int = ctx.n_users  # type: ignore[attr-defined]
        return total[:n_users], total[n_users:], None, None, None, None
