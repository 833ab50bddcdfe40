"""ACF in the paper's form, plainly: all histories padded to the longest one."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from plain.common import Tables, edges, parameter, present_of, require, softmax_among, tables_of


class Constants(NamedTuple):
    """What does not change in training.

    Attributes:
        features: scaled features of each modality, `[n_items, d_m]`.
        present: which items have each, `[n_items, K]`.
        histories: items of each user, `[n_users, longest]`; 0 beyond the end.
    """

    features: list[Tensor]
    present: Tensor
    histories: Tensor


def constants(model: Any) -> Constants:
    """Features and padded histories."""
    users, items = edges(model)
    own = [items[users == user] for user in range(model.n_users)]
    histories = torch.nn.utils.rnn.pad_sequence(own, batch_first=True)
    return Constants(tables_of(model), present_of(model), histories)


def plain_tables(model: Any, given: Constants | None = None) -> Tables:
    """Vectors uhat of users and v of items, `[n_users, d]` and `[n_items, d]`."""
    require(model, acf_variant="paper", acf_exclude_pos=False, acf_max_history=0)
    features, present, histories = constants(model) if given is None else given

    def weight(level: str, name: str) -> Tensor:
        return parameter(model, f"{level}_attention.{name}")

    users, items = model.user_embedding.weight, model.item_embedding.weight
    pooled = parameter(model, "history_embedding.weight")
    projected = [rows @ parameter(model, f"projections.{m}").T for m, rows in enumerate(features)]
    own = users.unsqueeze(1)
    parts = torch.stack([rows[histories] for rows in projected], dim=2)  # [n_users, longest, K, d]
    hidden = (own @ weight("component", "weights.u").T).unsqueeze(2) + parts @ weight("component", "weights.x").T
    logits = torch.relu(hidden + weight("component", "bias")) @ weight("component", "vector")
    beta = softmax_among(logits, present[histories])
    mean = (beta.unsqueeze(3) * parts).sum(2)
    hidden = own @ weight("item", "weights.u").T + mean @ weight("item", "weights.x").T + weight("item", "bias")
    hidden = hidden + items[histories] @ weight("item", "weights.v").T
    hidden = hidden + pooled[histories] @ weight("item", "weights.p").T
    alpha = softmax_among(torch.relu(hidden) @ weight("item", "vector"), histories > 0)
    return users + (alpha.unsqueeze(2) * pooled[histories]).sum(1), items
