"""LUDP's user preference graph: pooled content of a user's items (Eqs. 9-11). Pure torch."""

from __future__ import annotations

from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.dense import linear, matrix, zeros
from models.layers.graph import SparseRows, gather, spmm


class Preference(nn.Module):
    """One modality's part of the user branch.

    Pooling and W_1 are both linear, so they can be swapped. With frozen features pooling comes first: the pooled
    table is a constant, and a batch costs its own rows only.

    Args:
        table: scaled features, `[n_items, d_m]`, zero for items without the modality.
        present: which items have the modality, `[n_items]`.
        users, items: distinct training pairs, `[n]` each.
        n_users: number of users, padding included.
        hidden: width of the preference, d'.
        size: width of the id embeddings, d.
        trainable: whether the features are parameters.
        bias: whether W_1 and W_2 carry biases.
        slope: negative slope of the LeakyReLU.
        combine: "add" LR(W_2 p) + base (Eq. 11 as printed) or "concat_fc" W [LR(W_2 p) || base] (its text).
        w2: the second matrix shared by all modalities, or None for one of its own.
    """

    def __init__(
        self,
        table: Tensor,
        present: Tensor,
        users: Tensor,
        items: Tensor,
        n_users: int,
        *,
        hidden: int,
        size: int,
        trainable: bool,
        bias: bool,
        slope: float,
        combine: Literal["add", "concat_fc"],
        w2: nn.Parameter | None,
    ) -> None:
        super().__init__()
        has = present[items]
        users, items = users[has], items[has]
        counts = torch.bincount(users, minlength=n_users)
        values = counts.to(torch.get_default_dtype()).reciprocal()[users]
        pool = SparseRows.from_entries(users, items, values, (n_users, len(table)))
        self.slope = slope
        self.w1 = matrix(hidden, table.shape[1])
        self.w2 = matrix(size, hidden) if w2 is None else w2
        self.b1 = zeros(hidden) if bias else None
        self.b2 = zeros(size) if bias else None
        self.mixer = matrix(size, 2 * size) if combine == "concat_fc" else None
        self.register_buffer("counts", counts, persistent=False)
        self.register_buffer("present", present, persistent=False)
        self.table: Tensor
        self.pooled: Tensor | None
        if trainable:
            self.table = nn.Parameter(table.clone())
            self.pool: SparseRows | None = pool
            self.register_buffer("pooled", None, persistent=False)
        else:
            self.register_buffer("table", table, persistent=False)
            self.pool = None
            self.register_buffer("pooled", spmm(pool, table), persistent=False)

    def available(self, users: Tensor, left_out: Tensor | None = None) -> Tensor:
        """Return whether each user has an item with this modality besides the one left out, `[B]` bool."""
        counts: Tensor = self.counts[users]  # type: ignore[index]
        if left_out is not None:
            counts = counts - self.present[left_out].to(counts.dtype)  # type: ignore[index]
        return counts > 0

    def projected(self, users: Tensor, left_out: Tensor | None = None) -> Tensor:
        """Return LeakyReLU(W_2 LeakyReLU(W_1 xbar_u)) (Eqs. 10-11), before the user's embedding, `[B, d]`.

        Args:
            users: user ids, `[B]`.
            left_out: an item of each user to leave out of the mean, `[B]`, or None.
        """
        if self.pool is None:  # frozen features were pooled in the constructor
            means = F.embedding(users, cast(Tensor, self.pooled))
            rows = self._without(means, users, left_out, self.table)
            first = linear(rows, self.w1, self.b1, slope=self.slope)
        else:
            transformed = linear(self.table, self.w1)
            pooled = gather(spmm(self.pool, transformed), users)
            first = self._without(pooled, users, left_out, transformed)
            first = F.leaky_relu(first if self.b1 is None else first + self.b1, self.slope)
        return linear(first, self.w2, self.b2, slope=self.slope)

    def _without(self, means: Tensor, users: Tensor, left_out: Tensor | None, rows: Tensor) -> Tensor:
        """Remove one member from each mean: (n xbar - x_i) / (n - 1); unchanged if i is not a member."""
        if left_out is None:
            return means
        n = self.counts[users].to(means.dtype).unsqueeze(1)  # type: ignore[index]
        inside = self.present[left_out].to(means.dtype).unsqueeze(1)  # type: ignore[index]
        return (n * means - inside * F.embedding(left_out, rows)) / (n - inside).clamp_min(1)

    def combined(self, projected: Tensor, base: Tensor | None) -> Tensor:
        """Return phat of Eq. 11: the projection joined with the user's base vector, `[B, d]`."""
        base = torch.zeros_like(projected) if base is None else base
        if self.mixer is None:
            return projected + base
        return linear(torch.cat([projected, base], dim=1), self.mixer)
