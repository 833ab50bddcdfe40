"""Popularity: every user gets the items with the most training interactions. A simple baseline.

Paper: Cremonesi, Koren, Turrin, "Performance of recommender algorithms on top-N recommendation tasks", RecSys
2010, where it is called TopPop.

| function | equation |
|---|---|
| `Popularity.fit` | s_ui = number of training interactions of i |

Deviations: none. Nothing can be tuned. Cost: one pass over the interactions; a state of n_items numbers.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from models.control import Control, ControlParams, control_card


class Params(ControlParams):
    """Popularity has no parameters."""


class Popularity(Control):
    """The number of training interactions of an item, for all users alike."""

    Params: ClassVar[Any] = Params
    CARD: ClassVar = control_card(
        "Popularity",
        "Cremonesi et al., Performance of recommender algorithms on top-N recommendation tasks, RecSys 2010",
        "https://doi.org/10.1145/1864708.1864721",
    )
    counts: Tensor

    def fit(self, dataset: Any) -> None:
        """Count the interactions of each item; padding has none."""
        self.keep(counts=torch.from_numpy(self.popularity()))

    def score_users(self, users: Tensor) -> Tensor:
        """Return the counts for each of the given users, `[len(users), n_items]`."""
        return self.counts.repeat(len(users), 1)
