"""Sample training triples: every positive pair once per epoch, each with one fresh negative. Pure torch.

A negative is uniform over the items that the user has no training interaction with. One search finds the user's
r-th such item, so a draw is exact and needs neither rejection nor a loop.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bench.core.types import Interactions

BUCKETS_PER_PAIR = 4  # the table, 16 bytes per pair, then answers four fifths of the queries
MAX_LINEAR_STEPS = 3  # to the next entries of the list; these answer all but a few of the other queries


class TripleSampler:
    """A sampler of shuffled epochs of (user, positive, negative).

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
        # Among one user's sorted items a_0 < a_1 < ..., a_k - k counts the free items below a_k. The counts of
        # user u are shifted by u * (n_items + 1), so that one ascending list holds the counts of all users.
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
        """Return the number of rows of an epoch."""
        return len(self)

    def epoch(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw all positive pairs in a new order with new negatives, `[n_pairs]` each, 0-based ids."""
        order = torch.randperm(len(self), generator=generator, device=self.users.device)
        return self.users[order], self.items[order], self.negatives(generator)[order]

    def negatives(self, generator: torch.Generator) -> Tensor:
        """Draw one uniform non-interacted item for every training pair, `[n_pairs]`."""
        uniform = torch.rand(len(self), generator=generator, device=self.users.device, dtype=torch.float64)
        # rounding may give the number of free items itself, one more than the last rank: take the minimum
        free_rank = uniform.mul_(self._n_free).minimum(self._last).to(self._dtype)
        taken_below = self._table(self._user_rows + free_rank) - self._row_starts
        return (free_rank + taken_below).long()


class _Ranks:
    """Counts, for many queries, of the entries of an ascending list that are at most the query.

    On a CPU the range of queries is cut into equal buckets, and a table holds the count of each bucket if it is
    the same for all its queries. For other buckets the table holds the smallest count. From there a few linear
    steps follow, then a binary search for the queries that are still open. On other devices every query is a
    binary search, because selecting the open queries would wait for the device.

    Args:
        ascending: `[n]`, from 0 to below `size`.
        size: upper bound of the queries, exclusive.
        dtype: type of queries and counts; it can hold `size`.
    """

    def __init__(self, ascending: Tensor, size: int, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._ascending = torch.cat([ascending, ascending.new_full((1,), size)]).to(dtype)  # sentinel
        self._shift = max(size // max(BUCKETS_PER_PAIR * len(ascending), 1), 1).bit_length() - 1
        self._answers: Tensor | None = None
        if ascending.device.type == "cpu":
            edges = torch.arange((size >> self._shift) + 2) << self._shift
            first, last = self._search(edges[:-1]), self._search(edges[1:] - 1)
            self._answers = torch.where(first == last, first, ~first)  # ~ marks the smallest count of several

    def __call__(self, queries: Tensor) -> Tensor:
        """Return the counts, `[n_queries]`, of the queries' type."""
        if self._answers is None:
            return self._search(queries)
        counts = self._answers.index_select(0, queries >> self._shift)
        several = (counts < 0).nonzero().squeeze(1)
        counts[several] = self._refine(~counts[several], queries[several])
        return counts

    def _refine(self, counts: Tensor, queries: Tensor) -> Tensor:
        """Raise counts that are too small to the exact counts of the queries."""
        for _ in range(MAX_LINEAR_STEPS):
            counts += self._ascending.index_select(0, counts) <= queries
        rest = (self._ascending.index_select(0, counts) <= queries).nonzero().squeeze(1)
        counts[rest] = self._search(queries[rest])
        return counts

    def _search(self, queries: Tensor) -> Tensor:
        return torch.searchsorted(
            self._ascending, queries.to(self._dtype), right=True, out_int32=self._dtype == torch.int32
        )
