"""ACF in the paper's form, plainly: both attentions for every pair of user and history item, over all users."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from plain.common import (
    Tables,
    edges,
    parameter,
    present_of,
    require,
    scatter_softmax,
    scatter_sum,
    softmax_among,
    tables_of,
)


class Constants(NamedTuple):
    """What does not change in training.

    Attributes:
        features: scaled features of each modality, `[n_items, d_m]`.
        present: which items have each, `[n_items, K]`.
        users, items: user and item of each pair, `[n_edges]`.
    """

    features: list[Tensor]
    present: Tensor
    users: Tensor
    items: Tensor


def constants(model: Any) -> Constants:
    """Features and pairs."""
    return Constants(tables_of(model), present_of(model), *edges(model))


def plain_tables(model: Any, given: Constants | None = None) -> Tables:
    """Vectors uhat of users and v of items, `[n_users, d]` and `[n_items, d]`."""
    require(model, acf_variant="paper", acf_exclude_pos=False, acf_max_history=0)
    given = constants(model) if given is None else given
    u, i = given.users, given.items

    def weight(level: str, name: str) -> Tensor:
        return parameter(model, f"{level}_attention.{name}")

    users, items = model.user_embedding.weight, model.item_embedding.weight
    own, others = users.index_select(0, u), items.index_select(0, i)
    pooled = parameter(model, "history_embedding.weight").index_select(0, i)
    projected = [rows @ parameter(model, f"projections.{m}").T for m, rows in enumerate(given.features)]
    parts = torch.stack([rows.index_select(0, i) for rows in projected], dim=1)  # [n_edges, K, d]
    hidden = (own @ weight("component", "weights.u").T).unsqueeze(1) + parts @ weight("component", "weights.x").T
    logits = torch.relu(hidden + weight("component", "bias")) @ weight("component", "vector")
    beta = softmax_among(logits, given.present[i])
    mean = (beta.unsqueeze(2) * parts).sum(1)
    hidden = own @ weight("item", "weights.u").T + mean @ weight("item", "weights.x").T + weight("item", "bias")
    hidden = hidden + others @ weight("item", "weights.v").T + pooled @ weight("item", "weights.p").T
    logits = torch.relu(hidden) @ weight("item", "vector")
    alpha = scatter_softmax(logits, u, len(users), torch.ones_like(u, dtype=torch.bool))
    return users + scatter_sum(alpha.unsqueeze(1) * pooled, u, len(users)), items
