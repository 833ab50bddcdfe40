"""Layer 2. Training triples: every positive pair once an epoch, each with one fresh negative. Pure torch.

A negative is uniform over the items that the user has no training interaction with. The user's r-th such
item is found by one binary search, so a draw is exact, needs no rejection and no loop.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bench.types import Interactions


class TripleSampler:
    """Draws shuffled epochs of (user, positive, negative).

    Args:
        train: training interactions; no user may have all items (`bench.split` refuses that).
        device: where the triples are drawn.
    """

    def __init__(self, train: Interactions, device: torch.device) -> None:
        self.n_items = train.n_items
        self.users = torch.from_numpy(train.users).to(device)
        self.items = torch.from_numpy(train.items).to(device)
        offsets = torch.from_numpy(train.offsets).to(device)
        self._starts = offsets[:-1]
        degrees = offsets.diff()
        self._rooms = (self.n_items - degrees)[self.users]
        rank = torch.arange(len(self.items), device=device) - self._starts[self.users]
        # Among one user's sorted items a_0 < a_1 < ..., a_k - k counts the free items below a_k.
        self._free_below = self.users * (self.n_items + 1) + self.items - rank

    def __len__(self) -> int:
        return len(self.users)

    def epoch(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """All positive pairs in a fresh order with fresh negatives, `[n_pairs]` each, 0-based ids."""
        order = torch.randperm(len(self), generator=generator, device=self.users.device)
        return self.users[order], self.items[order], self.negatives(generator)[order]

    def negatives(self, generator: torch.Generator) -> Tensor:
        """One uniform non-interacted item for every training pair, `[n_pairs]`."""
        uniform = torch.rand(len(self), generator=generator, device=self.users.device, dtype=torch.float64)
        r = (uniform * self._rooms).long().minimum(self._rooms - 1)
        queries = self.users * (self.n_items + 1) + r
        taken_below = torch.searchsorted(self._free_below, queries, right=True) - self._starts[self.users]
        return r + taken_below
