"""Scores from final vectors: the dot product, for all models alike. Pure torch.

Final tables are computed once, after the last optimiser step, and kept until the next loss.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models._dense import product


class DotScores:
    """RecBole's prediction methods over a model's `embed()`."""

    USER_ID: str
    ITEM_ID: str
    training: bool
    restore_user_e: Tensor | None
    restore_item_e: Tensor | None

    def embed(self) -> tuple[Tensor, Tensor]:
        """Final vectors of all users and all items, `[n_users, D]` and `[n_items, D]`."""
        raise NotImplementedError

    def forget(self) -> None:
        """Drop the cached final tables; called before every loss and after loading parameters."""
        self.restore_user_e, self.restore_item_e = None, None

    def final_tables(self) -> tuple[Tensor, Tensor]:
        """`embed()` without gradient, cached in evaluation mode until the parameters change."""
        if self.restore_user_e is None or self.restore_item_e is None or self.training:
            with torch.no_grad():
                users, items = self.embed()
            # detached, or a table that is a parameter would be registered a second time
            self.restore_user_e, self.restore_item_e = users.detach(), items.detach()
        return self.restore_user_e, self.restore_item_e

    def score_users(self, users: Tensor) -> Tensor:
        """Scores of all items for the given users, `[len(users), n_items]`, padding column included."""
        user_table, item_table = self.final_tables()
        return product(user_table[users], item_table)

    def full_sort_predict(self, interaction: Any) -> Tensor:
        """RecBole's form of `score_users`: flat `[len(users) * n_items]`."""
        return self.score_users(interaction[self.USER_ID]).reshape(-1)

    def predict(self, interaction: Any) -> Tensor:
        """Scores of user-item pairs, `[B]`."""
        user_table, item_table = self.final_tables()
        return (user_table[interaction[self.USER_ID]] * item_table[interaction[self.ITEM_ID]]).sum(1)
