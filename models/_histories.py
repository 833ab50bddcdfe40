"""The items that each user has interacted with, as pairs for ACF's attention. Pure torch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models._edges import Edges
from models._propagation import distinct_padded
from models._segments import ordered_pairs, segments


class Histories(nn.Module):
    """The histories of all users; a module, so that they follow their model to a device.

    Args:
        users, items: distinct training pairs, user after user, `[n]` each.
        n_users, n_items: number of users and of items, padding included.
        most: items kept of each history, a fixed random choice; 0 keeps all.

    Attributes:
        items: items of all histories, user after user, `[n_kept]`.
        offsets: where each user's items start, `[n_users + 1]`.
    """

    items: Tensor
    offsets: Tensor

    def __init__(self, users: Tensor, items: Tensor, n_users: int, n_items: int, most: int) -> None:
        super().__init__()
        self.n_items = n_items
        sizes = torch.bincount(users, minlength=n_users)
        if most:
            items, sizes = items[_chosen(users, sizes, most)], sizes.clamp_max(most)
        self.register_buffer("items", items, persistent=False)
        self.register_buffer("offsets", F.pad(torch.cumsum(sizes, 0), (1, 0)), persistent=False)
        self._most_pairs: list[int] = [0, *torch.cumsum(sizes.sort(descending=True).values, 0).tolist()]

    def pairs(self, users: Tensor, n_pairs: int | None = None) -> Edges:
        """The pairs of distinct users, `[b]`, and the items of their histories, `[b, n_items]`.

        Args:
            users: user ids; with `n_pairs` the last one is padding.
            n_pairs: give so many pairs, those too many to the last user; None for as many as there are.
        """
        positions, sizes = segments(self.offsets, users, n_pairs)
        return ordered_pairs(sizes, self.items[positions], self.n_items)

    def of_batch(self, users: Tensor) -> tuple[Tensor, Tensor, Edges]:
        """The distinct users of a batch, where each of it is among them, and their pairs."""
        if users.device.type != "cpu":
            return self.padded(users)
        found, position = torch.unique(users, return_inverse=True)
        return found, position, self.pairs(found)

    def padded(self, users: Tensor) -> tuple[Tensor, Tensor, Edges]:
        """`of_batch` with as many pairs as so large a batch can have; padding gets those that are too many.

        So no number has to be counted, which would wait for the device.
        """
        found, position = distinct_padded(users)
        return found, position, self.pairs(found, self._most_pairs[min(len(users), len(self._most_pairs) - 1)])


def _chosen(users: Tensor, sizes: Tensor, most: int) -> Tensor:
    """Positions of the pairs that are kept, ascending."""
    shuffled = torch.randperm(len(users), generator=torch.Generator().manual_seed(0))
    shuffled = shuffled[torch.argsort(users[shuffled], stable=True)]
    rank = torch.arange(len(users)) - torch.repeat_interleave(torch.cumsum(sizes, 0) - sizes, sizes)
    return shuffled[rank < most].sort().values
