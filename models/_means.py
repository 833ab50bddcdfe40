"""Means over neighbours, computed once for all nodes that have the same neighbours. Pure torch."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from models._graph import SparseRows, spmm
from models._propagation import gather

WORTH_SHARING = 0.9  # above this share of distinct means, spreading them costs more than it saves


class Means(nn.Module):
    """Mean of the senders' rows for each receiver; a receiver without senders gets zero.

    In sparse data many nodes have one or two neighbours, and many of these the same: what is computed from the
    mean alone is then needed once for all of them.

    Args:
        receivers, senders: distinct pairs, `[n_edges]` each.
        n_receivers, n_senders: number of nodes.

    Attributes:
        matrix: the distinct means, `[n_distinct, n_senders]`.
        shared: which of them each receiver has, a one in each row, `[n_receivers, n_distinct]`; None where each
            receiver has its own, in its place.
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
        """The distinct means, `[n_distinct, d]`, of the senders' rows, `[n_senders, d]`."""
        return spmm(self.matrix, rows)

    def spread(self, rows: Tensor) -> Tensor:
        """Rows of the distinct means as rows of the receivers that have them, `[n_receivers, d]`."""
        return rows if self.shared is None else spmm(self.shared, rows)

    def rows(self, means: Tensor, receivers: Tensor) -> Tensor:
        """Means of some receivers, `[n, d]`, from the distinct ones."""
        places = receivers if self.shared is None else self.shared.columns.index_select(0, receivers).long()
        return gather(means, places)


def _same_rows(matrix: SparseRows) -> tuple[Tensor, Tensor]:
    """Number of each row's pattern, `[n_rows]`, and the first row that has each, `[n_patterns]`."""
    columns, numbers = matrix.columns.numpy(), dict[bytes, int]()
    which: list[int] = []
    first: list[int] = []
    for row, (start, end) in enumerate(pairwise(matrix.offsets.tolist())):
        number = numbers.setdefault(columns[start:end].tobytes(), len(numbers))
        which.append(number)
        if number == len(first):
            first.append(row)
    return torch.tensor(which), torch.tensor(first)
