"""The user-item graph and its products: propagation of all nodes, of a batch's rows, and means. Pure torch.

All normalisations of the bipartite graph are diagonal scalings of one binary matrix, stored once in
compressed rows over the joint nodes: users first, then items. A product is `embedding_bag` over the
row segments, several times faster than a sparse COO product on a CPU and deterministic in both
directions: the backward pass is the product with the transpose, so nothing is scattered atomically.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from models.layers.segments import bag

Normalisation = Literal["sym", "mean", "rw_self"]


class SparseRows(nn.Module):
    """A constant sparse matrix in compressed rows, stored with its transpose for the backward pass.

    A module, so that it follows its model to a device or to another floating type; its buffers are not
    part of the model's state. Build with `from_entries`.

    Attributes:
        offsets: row pointers, `[n_rows + 1]` int32.
        columns: column of each entry, `[nnz]` int32.
        values: value of each entry, `[nnz]`.
        t_offsets, t_columns, t_values: the same arrays of the transpose.
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
        """Return row, column and value of every entry, `[nnz]` each, ids as int64."""
        return torch.repeat_interleave(self.offsets.diff().long()), self.columns.long(), self.values

    @property
    def shape(self) -> tuple[int, int]:
        """Return the number of rows and of columns."""
        return len(self.offsets) - 1, len(self.t_offsets) - 1

    def dense(self) -> Tensor:
        """Return the matrix as a dense one, `[n_rows, n_columns]`; for small cases and tests."""
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
    """Multiply sparse by dense.

    Args:
        matrix: `[n_rows, n_columns]`.
        dense: `[n_columns, d]`.

    Returns:
        `[n_rows, d]`; a row without entries is zero.
    """
    result: Tensor = _Product.apply(dense, matrix)
    return result


def stacked(graphs: Sequence[SparseRows], *, diagonal: bool = False) -> SparseRows:
    """Stack K matrices `[n, m]` below each other, `[K n, m]`, or on a diagonal, `[K n, K m]`."""
    n_rows, n_columns = graphs[0].shape
    parts = [graph.entries() for graph in graphs]
    rows = torch.cat([part[0] + index * n_rows for index, part in enumerate(parts)])
    columns = torch.cat([part[1] + index * n_columns * diagonal for index, part in enumerate(parts)])
    shape = (len(graphs) * n_rows, n_columns * (len(graphs) if diagonal else 1))
    return SparseRows.from_entries(rows, columns, torch.cat([part[2] for part in parts]), shape)


def bipartite(
    users: Tensor, items: Tensor, n_users: int, n_items: int, normalisation: Normalisation
) -> SparseRows:
    """Build the normalised adjacency over users and items, `[n_users + n_items, n_users + n_items]`.

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
        values = degrees.reciprocal()[rows]  # infinite for degree 0, which no entry has
    return SparseRows.from_entries(rows, columns, values.to(torch.get_default_dtype()), (n_nodes, n_nodes))


def propagate(graph: SparseRows, ego: Tensor, n_layers: int) -> list[Tensor]:
    """Propagate linearly, E^(l+1) = A E^(l) (LightGCN Eq. 3, LUDP Eq. 1).

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


Batch = tuple[Tensor, Tensor, Tensor]
ReadOut = Literal["sum", "mean"]
EVEN = 128  # numbers of distinct rows are rounded up to a multiple of this
PARTIAL_BELOW = 0.4  # share of entries: listing the entries of rows costs about as much as multiplying


def halves(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Split concatenated rows into those of positives and of negatives."""
    return cast(tuple[Tensor, Tensor], parts(rows, 2))


def parts(rows: Tensor, n_parts: int) -> tuple[Tensor, ...]:
    """Split concatenated rows into equal parts; see `halves` and `thirds`."""
    return cast(tuple[Tensor, ...], _Parts.apply(rows, n_parts))


def thirds(rows: Tensor) -> Batch:
    """Split concatenated rows into those of users, positives and negatives."""
    return cast(Batch, parts(rows, 3))


def distinct(ids: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the distinct ids, and the position of each given id among them, so that a row is computed once.

    The last id is repeated up to a multiple of 128 ids: oneDNN generates code, for a millisecond, at every new
    size of a matrix. On devices other than the CPU the result is the ids themselves and None, because counting
    distinct ids would synchronise.
    """
    if ids.device.type != "cpu":
        return ids, None
    found, position = torch.unique(ids, return_inverse=True)
    return F.pad(found.unsqueeze(0), (0, -len(found) % EVEN), mode="replicate").squeeze(0), position


def distinct_padded(ids: Tensor) -> tuple[Tensor, Tensor]:
    """Return distinct ids as `distinct` does, but with fixed output size, so that CUDA need not synchronise.

    Returns:
        The distinct ids, ascending, followed by at least one zero: `[n + 1]`; and the position of each given id
        among them, `[n]`.
    """
    ascending, order = torch.sort(ids, stable=True)
    is_new = torch.cat([ascending.new_ones(min(1, len(ids)), dtype=torch.bool), ascending[1:] != ascending[:-1]])
    place = torch.cumsum(is_new, 0) - 1
    found = ids.new_zeros(len(ids) + 1).scatter_(0, place, ascending)
    return found, torch.empty_like(place).scatter_(0, order, place)


def repeated(rows: Tensor, position: Tensor | None) -> Tensor:
    """Return rows of distinct ids as rows of the given ids, `[n, d]`."""
    return rows if position is None else gather(rows, position)


def gather(table: Tensor, index: Tensor) -> Tensor:
    """Return rows of a table, `[n, d]`; the gradient adds up the rows that were taken more than once.

    Args:
        table: `[n_rows, d]`.
        index: row ids, `[n]`.
    """
    return cast(Tensor, _Gather.apply(table, index))


def spmm_rows(matrix: SparseRows, index: Tensor, dense: Tensor, are_distinct: bool = False) -> Tensor:
    """Return the listed rows of a sparse product, `[len(index), d]`.

    Args:
        matrix: `[n_rows, n_columns]`.
        index: rows, any number of times each, `[n]`.
        dense: `[n_columns, d]`.
        are_distinct: whether few rows are listed more than once, as `distinct` returns them.
    """
    return cast(Tensor, _RowsProduct.apply(dense, matrix, index, are_distinct))


def propagated_rows(
    graph: SparseRows,
    users: Tensor,
    items: Tensor,
    nodes: Tensor,
    n_layers: int,
    how: ReadOut,
    are_distinct: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return rows of the propagated embeddings, sum or mean over the layers 0..L, and rows of the input.

    Args:
        graph: normalised adjacency over users, then items, `[n_users + n_items, n_users + n_items]`.
        users, items: id embeddings, `[n_users, d]` and `[n_items, d]`.
        nodes: joint node ids, `[n]`.
        n_layers: number of products, L.
        how: read-out over the layers.
        are_distinct: as in `spmm_rows`.

    Returns:
        Final rows and rows of layer 0, `[n, d]` each.
    """
    scale = 1.0 if how == "sum" else 1.0 / (n_layers + 1)
    return cast(
        tuple[Tensor, Tensor], _Propagation.apply(users, items, graph, nodes, n_layers, scale, are_distinct)
    )


def adds_in_order(tensor: Tensor) -> bool:
    """Return whether `index_add_` always adds in the same order on the tensor's device: only on a CPU."""
    return tensor.device.type == "cpu"


def scattered(index: Tensor, rows: Tensor, n_rows: int) -> Tensor:
    """Add rows up at their places in a table of zeros, `[n_rows, d]`; the same bits at every call."""
    if adds_in_order(rows):
        return rows.new_zeros(n_rows, rows.shape[1]).index_add_(0, index, rows)
    # sort the rows by place, so that each place is a segment with a fixed order of summation
    ascending, order = torch.sort(index, stable=True)
    offsets = torch.searchsorted(ascending, torch.arange(n_rows + 1, device=index.device), out_int32=True)
    return bag(offsets, order.to(torch.int32), None, rows)


def _product_rows(matrix: SparseRows, index: Tensor, dense: Tensor, are_distinct: bool) -> Tensor:
    """Return rows of a product: each from its own entries once, or all rows where that is less work.

    Devices other than the CPU always compute all rows, because counting the entries would synchronise.
    """
    if dense.device.type == "cpu":
        sizes = matrix.offsets.diff()
        asked = torch.zeros_like(sizes).index_fill_(0, index, 1)
        if int((sizes * asked).sum()) < PARTIAL_BELOW * len(matrix.columns):
            if are_distinct:
                return _own_entries(matrix, index, sizes.index_select(0, index), dense)
            once, position = torch.unique(index, return_inverse=True)
            return _own_entries(matrix, once, sizes.index_select(0, once), dense).index_select(0, position)
    return bag(matrix.offsets, matrix.columns, matrix.values, dense).index_select(0, index)


def _own_entries(matrix: SparseRows, rows: Tensor, sizes: Tensor, dense: Tensor) -> Tensor:
    """Compute a product's rows from their own entries, `[len(rows), d]`."""
    ends = sizes.cumsum(0)
    shift = matrix.offsets.index_select(0, rows) - ends + sizes
    entries = shift.repeat_interleave(sizes).add_(torch.arange(int(ends[-1]) if len(ends) else 0))
    offsets = F.pad(ends, (1, 0)).to(torch.int32)
    columns, values = matrix.columns.index_select(0, entries), matrix.values.index_select(0, entries)
    return bag(offsets, columns, values, dense)


class _Parts(torch.autograd.Function):
    """Equal parts of rows; gradients that lie below each other already, as those of the losses do, stay there."""

    @staticmethod
    def forward(ctx: FunctionCtx, rows: Tensor, n_parts: int) -> tuple[Tensor, ...]:
        return rows.chunk(n_parts)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor, None]:
        first, step = grads[0], grads[0].numel() * grads[0].element_size()
        places = [first.data_ptr() + step * index for index in range(len(grads))]
        one_table = all(
            grad.is_contiguous() and grad.data_ptr() == at for grad, at in zip(grads, places, strict=True)
        )
        if one_table and first.untyped_storage().data_ptr() == grads[-1].untyped_storage().data_ptr():
            return first.as_strided((len(grads) * len(first), *first.shape[1:]), first.stride()), None
        return torch.cat(grads), None


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
    def forward(ctx: FunctionCtx, dense: Tensor, matrix: SparseRows, index: Tensor, are_distinct: bool) -> Tensor:
        ctx.matrix = matrix  # type: ignore[attr-defined]
        ctx.save_for_backward(index)
        return _product_rows(matrix, index, dense, are_distinct)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (index,) = ctx.saved_tensors  # type: ignore[attr-defined]
        matrix: SparseRows = ctx.matrix  # type: ignore[attr-defined]
        placed = scattered(index, grads[0], matrix.shape[0])
        return bag(matrix.t_offsets, matrix.t_columns, matrix.t_values, placed), None, None, None


class _Propagation(torch.autograd.Function):
    """`c sum_l (A^l E)[i]` and `E[i]`; the gradient is `c (G + A' (G + ...)) + G_0`, rows of G at their places.

    A batch needs a few thousand rows i only, so G is zero elsewhere. In Horner's form no layer is stored, scaled
    or added up over all nodes, and the rows that the L2 term acts on share the gradient. The last layer is
    computed for the rows i alone if they hold few enough of the graph's entries.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        users: Tensor,
        items: Tensor,
        graph: SparseRows,
        nodes: Tensor,
        n_layers: int,
        scale: float,
        are_distinct: bool,
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
            total += _product_rows(graph, nodes, table, are_distinct)
        return total.mul_(scale), ego

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (nodes,) = ctx.saved_tensors  # type: ignore[attr-defined]
        graph: SparseRows = ctx.graph  # type: ignore[attr-defined]
        n_layers: int = ctx.n_layers  # type: ignore[attr-defined]
        rows = grads[0] * ctx.scale  # type: ignore[attr-defined]
        if adds_in_order(rows):
            total = scattered(nodes, rows if n_layers else rows.add_(grads[1]), graph.shape[0])
            for left in range(n_layers, 0, -1):
                total = bag(graph.t_offsets, graph.t_columns, graph.t_values, total)
                total.index_add_(0, nodes, rows if left > 1 else rows.add_(grads[1]))
        else:  # off the CPU, scattering once into a table is cheaper than scattering in every layer
            sums = scattered(nodes, torch.cat([rows, grads[1]], dim=1), graph.shape[0])
            total, own = sums.chunk(2, dim=1)
            placed = total
            for _ in range(n_layers):
                total = bag(graph.t_offsets, graph.t_columns, graph.t_values, total).add_(placed)
            total = total + own
        n_users: int = ctx.n_users  # type: ignore[attr-defined]
        return total[:n_users], total[n_users:], None, None, None, None, None


WORTH_SHARING = 0.9  # above this share of distinct means, spreading them costs more than it saves


class Means(nn.Module):
    """Mean of the senders' rows for each receiver; a receiver without senders gets zero.

    In sparse data many nodes have one or two neighbours, and many nodes have the same ones. What is computed from
    the mean alone is then computed once for all of them.

    Args:
        receivers, senders: distinct pairs, `[n_edges]` each.
        n_receivers, n_senders: number of nodes.

    Attributes:
        matrix: the distinct means, `[n_distinct, n_senders]`.
        shared: the distinct mean of each receiver, a one in each row, `[n_receivers, n_distinct]`; None if every
            receiver has its own mean, in its own row.
    """

    def __init__(self, receivers: Tensor, senders: Tensor, n_receivers: int, n_senders: int) -> None:
        super().__init__()
        values = torch.bincount(receivers, minlength=n_receivers).to(torch.get_default_dtype()).reciprocal()
        every = SparseRows.from_entries(receivers, senders, values[receivers], (n_receivers, n_senders))
        which, first = _same_rows(every)
        self.matrix, self.shared = every, None
        if len(first) < WORTH_SHARING * n_receivers:
            rows, columns, entries = every.entries()
            chosen = torch.isin(rows, first)
            shape = (len(first), n_senders)
            self.matrix = SparseRows.from_entries(which[rows[chosen]], columns[chosen], entries[chosen], shape)
            nodes, ones = torch.arange(n_receivers), torch.ones(n_receivers)
            self.shared = SparseRows.from_entries(nodes, which, ones, (n_receivers, len(first)))

    def forward(self, rows: Tensor) -> Tensor:
        """Return the distinct means, `[n_distinct, d]`, of the senders' rows, `[n_senders, d]`."""
        return spmm(self.matrix, rows)

    def spread(self, rows: Tensor) -> Tensor:
        """Return rows of the distinct means as rows of the receivers that have them, `[n_receivers, d]`."""
        return rows if self.shared is None else spmm(self.shared, rows)

    def rows(self, means: Tensor, receivers: Tensor) -> Tensor:
        """Return means of some receivers, `[n, d]`, from the distinct ones."""
        places = receivers if self.shared is None else self.shared.columns.index_select(0, receivers).long()
        return gather(means, places)


def _same_rows(matrix: SparseRows) -> tuple[Tensor, Tensor]:
    """Return the number of each row's pattern, `[n_rows]`, and the first row of each, `[n_patterns]`."""
    columns, numbers = matrix.columns.numpy(), dict[bytes, int]()
    which: list[int] = []
    first: list[int] = []
    for row, (start, end) in enumerate(pairwise(matrix.offsets.tolist())):
        number = numbers.setdefault(columns[start:end].tobytes(), len(numbers))
        which.append(number)
        if number == len(first):
            first.append(row)
    return torch.tensor(which), torch.tensor(first)
