"""MF, plainly: the id tables are the final ones."""

from __future__ import annotations

from typing import Any

from plain.common import Tables, require


def plain_tables(model: Any) -> Tables:
    """Final vectors of users and items, `[n_users, d]` and `[n_items, d]`."""
    require(model, use_bias=False)
    return model.user_embedding.weight, model.item_embedding.weight
