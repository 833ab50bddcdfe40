"""GRCN, plainly: a message for every edge in every routing and propagation, over all nodes."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from plain.common import (
    Tables,
    edges,
    parameter,
    present_of,
    require,
    scatter_softmax,
    scatter_sum,
    tables_of,
    unit,
)


class Constants(NamedTuple):
    """What does not change in training.

    Attributes:
        features: scaled features of each modality, `[n_items, d_m]`.
        present: which items have each, `[n_items, K]`.
        users, items: ends of each edge, `[n_edges]`.
    """

    features: list[Tensor]
    present: Tensor
    users: Tensor
    items: Tensor


class Content(NamedTuple):
    """One modality: content vectors, and the weight of each edge's message to its user and to its item."""

    users: Tensor
    items: Tensor
    to_users: Tensor
    to_items: Tensor


def constants(model: Any) -> Constants:
    """Features and edges."""
    return Constants(tables_of(model), present_of(model), *edges(model))


def _content(model: Any, m: int, given: Constants) -> Content:
    preference, weight, bias = (parameter(model, f"contents.{m}.{n}") for n in ("preference", "weight", "bias"))
    u, i, keep = given.users, given.items, given.present[given.items, m]
    f = unit(F.leaky_relu(F.linear(given.features[m], weight, bias), 0.01) * given.present[:, m : m + 1])
    q = unit(preference)
    for _ in range(model.params.n_routings):
        a = scatter_softmax((q.index_select(0, u) * f.index_select(0, i)).sum(1), u, len(q), keep)
        q = unit(q + scatter_sum(a.unsqueeze(1) * f.index_select(0, i), u, len(q)))
    affinity = (q.index_select(0, u) * f.index_select(0, i)).sum(1)
    to_users = scatter_softmax(affinity, u, len(q), keep)
    to_items = scatter_softmax(affinity, i, len(f), keep)
    return Content(
        q + scatter_sum(to_users.unsqueeze(1) * f.index_select(0, i), u, len(q)),
        f + scatter_sum(to_items.unsqueeze(1) * q.index_select(0, u), i, len(f)),
        to_users,
        to_items,
    )


def _edge_weights(affinities: list[Tensor], confidences: Tensor, given: Constants) -> Tensor:
    """Largest confident affinity of each edge among the modalities that its item has, `[n_edges]`."""
    has = given.present[given.items]
    scores = torch.stack(affinities, dim=1) * confidences
    best = scores.masked_fill(~has, torch.finfo(scores.dtype).min).max(1).values
    return best.masked_fill(~has.any(1), 0)


def plain_tables(model: Any, given: Constants | None = None) -> Tables:
    """Final vectors of users and items: id columns, then those of each modality."""
    require(model, grcn_weight="confid", pruning="soft", grcn_fusion="concat", grcn_routing="paper")
    given = constants(model) if given is None else given
    contents = [_content(model, m, given) for m in range(len(given.features))]
    of_users, of_items = parameter(model, "confidence").split([model.n_users, model.n_items])
    u, i = given.users, given.items
    to_users = _edge_weights([content.to_users for content in contents], of_items[i], given).unsqueeze(1)
    to_items = _edge_weights([content.to_items for content in contents], of_users[u], given).unsqueeze(1)
    users, items = unit(model.user_embedding.weight), unit(model.item_embedding.weight)
    all_users, all_items = users, items
    for _ in range(2):
        users, items = (
            scatter_sum(to_users * items.index_select(0, i), u, len(users)),
            scatter_sum(to_items * users.index_select(0, u), i, len(items)),
        )
        all_users, all_items = all_users + users, all_items + items
    return (
        torch.cat([all_users, *(content.users for content in contents)], dim=1),
        torch.cat([all_items, *(content.items for content in contents)], dim=1),
    )
