"""Layer 3. Epochs in the forms that RecBole's models train on, from our pairs and negatives. Pure torch.

`bench.train` splits an epoch of three id columns into batches; what they mean depends on the model's input type.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from bench.sampling import TripleSampler
from bench.types import Interactions

Form = Literal["pairs", "points", "users"]


class PointSampler(TripleSampler):
    """Epochs of (user, item, label): every positive with label 1, and after it a fresh negative with label 0.

    A batch of an even size has each positive with its negative, as RecBole's has.
    """

    @property
    def epoch_size(self) -> int:
        """Two a pair."""
        return 2 * len(self)

    def epoch(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """All points of an epoch, `[2 n_pairs]` each."""
        users, positives, negatives = super().epoch(generator)
        labels = torch.tensor([1, 0], device=users.device).repeat(len(users))
        return users.repeat_interleave(2), torch.stack([positives, negatives], dim=1).reshape(-1), labels


class UserSampler(TripleSampler):
    """Epochs of the users that have training interactions, in a fresh order; the other columns hold nothing."""

    @property
    def epoch_size(self) -> int:
        """One a user."""
        return len(torch.unique(self.users))

    def epoch(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """All users of an epoch, `[n]`, and two columns of zeros."""
        users = torch.unique(self.users)
        order = torch.randperm(len(users), generator=generator, device=users.device)
        nothing = torch.zeros_like(users)
        return users[order], nothing, nothing


SAMPLERS: dict[Form, type[TripleSampler]] = {"pairs": TripleSampler, "points": PointSampler, "users": UserSampler}


def sampler_for(model: Any, train: Interactions, device: torch.device) -> TripleSampler:
    """The epochs that a model trains on: of triples, unless it is one of RecBole's that takes another form."""
    form: Form = getattr(model, "form", "pairs")
    return SAMPLERS[form](train, device)
