"""Training triples: every positive pair once an epoch, each with one fresh negative. Pure torch.

A negative is uniform over the items that the user has no training interaction with. The user's r-th such
item is found by one search, so a draw is exact, needs no rejection and no loop.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bench.core.types import Interactions

BUCKETS_PER_PAIR = 4  # four fifths of the searches end at a look into the table, of 16 bytes a pair
LOOKS_FROM_THERE = 3  # at the next entries of the list, which answers all but a few of the others


class TripleSampler:
    """Draws shuffled epochs of (user, positive, negative).

    Args:
        train: training interactions; no user may have all items (`bench.data.split` refuses that).
        device: where the triples are drawn.
    """

    def __init__(self, train: Interactions, device: torch.device) -> None:
        self.n_items = train.n_items
        self.users = torch.from_numpy(train.users).to(device)
        self.items = torch.from_numpy(train.items).to(device)
        offsets = torch.from_numpy(train.offsets).to(device)
        row_starts = offsets[:-1][self.users]
        n_free = (self.n_items - offsets.diff())[self.users]
        self._n_free, self._last = n_free.double(), n_free.double() - 1
        rank = torch.arange(len(self.items), device=device) - row_starts
        # Among one user's sorted items a_0 < a_1 < ..., a_k - k counts the free items below a_k. Users follow each
        # other in steps of n_items + 1, so that one ascending list holds the counts of all.
        step = self.n_items + 1
        size = (train.n_users + 1) * step
        self._dtype = torch.int32 if size < torch.iinfo(torch.int32).max else torch.int64
        free_below = self.users * step + self.items - rank
        self._table = _Ranks(free_below, size, self._dtype)
        self._user_rows = (self.users * step).to(self._dtype)
        self._row_starts = row_starts.to(self._dtype)

    def __len__(self) -> int:
        return len(self.users)

    @property
    def epoch_size(self) -> int:
        """Rows of an epoch, which batches are cut from."""
        return len(self)

    def epoch(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """All positive pairs in a fresh order with fresh negatives, `[n_pairs]` each, 0-based ids."""
        order = torch.randperm(len(self), generator=generator, device=self.users.device)
        return self.users[order], self.items[order], self.negatives(generator)[order]

    def negatives(self, generator: torch.Generator) -> Tensor:
        """One uniform non-interacted item for every training pair, `[n_pairs]`."""
        uniform = torch.rand(len(self), generator=generator, device=self.users.device, dtype=torch.float64)
        # the smaller of the two, as rounding may reach the number of free items itself
        free_rank = uniform.mul_(self._n_free).minimum(self._last).to(self._dtype)
        taken_below = self._table(self._user_rows + free_rank) - self._row_starts
        return (free_rank + taken_below).long()


class _Ranks:
    """How many entries of an ascending list are at most a query, for many queries.

    On a CPU a table answers where all queries of an equal part of the range have the same answer. For the others
    it has the smallest, from which the next entries are looked at; a binary search is for what they leave open.
    Elsewhere all are searched for: choosing the others would wait for the device.

    Args:
        ascending: `[n]`, from 0 to below `size`.
        size: all queries are below it.
        dtype: of queries and answers; `size` is within it.
    """

    def __init__(self, ascending: Tensor, size: int, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._ascending = torch.cat([ascending, ascending.new_full((1,), size)]).to(dtype)  # a look ends there
        self._shift = max(size // max(BUCKETS_PER_PAIR * len(ascending), 1), 1).bit_length() - 1
        self._answers: Tensor | None = None
        if ascending.device.type == "cpu":
            edges = torch.arange((size >> self._shift) + 2) << self._shift
            first, last = self._search(edges[:-1]), self._search(edges[1:] - 1)
            self._answers = torch.where(first == last, first, ~first)  # the smallest, made negative

    def __call__(self, queries: Tensor) -> Tensor:
        """The counts, `[n_queries]`, of the queries' type."""
        if self._answers is None:
            return self._search(queries)
        found = self._answers.index_select(0, queries >> self._shift)
        others = (found < 0).nonzero().squeeze(1)
        found[others] = self._look_on(~found[others], queries[others])
        return found

    def _look_on(self, counts: Tensor, queries: Tensor) -> Tensor:
        """The counts of queries, from others that are not larger."""
        for _ in range(LOOKS_FROM_THERE):
            counts += self._ascending.index_select(0, counts) <= queries
        rest = (self._ascending.index_select(0, counts) <= queries).nonzero().squeeze(1)
        counts[rest] = self._search(queries[rest])
        return counts

    def _search(self, queries: Tensor) -> Tensor:
        return torch.searchsorted(
            self._ascending, queries.to(self._dtype), right=True, out_int32=self._dtype == torch.int32
        )
