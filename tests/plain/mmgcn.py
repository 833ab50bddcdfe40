"""MMGCN, plainly: a message for every edge in both directions, for every modality and layer, over all nodes."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from plain.common import Tables, edges, ego, halves, parameter, present_of, scatter_sum, tables_of, unit

SLOPE = 0.01


class Constants(NamedTuple):
    """What does not change in training.

    Attributes:
        features: scaled features of each modality, `[n_items, d_m]`.
        present: which items have each, `[n_items, K]`.
        sources, targets: nodes of each message, `[2 n_edges]`.
        degrees: messages that a node receives, at least 1, `[n_nodes, 1]`.
    """

    features: list[Tensor]
    present: Tensor
    sources: Tensor
    targets: Tensor
    degrees: Tensor


def constants(model: Any) -> Constants:
    """Features and both directions of the edges."""
    users, items = edges(model)
    items = items + model.n_users
    targets = torch.cat([items, users])
    degrees = torch.bincount(targets, minlength=model.n_users + model.n_items).clamp_min(1).unsqueeze(1)
    return Constants(tables_of(model), present_of(model), torch.cat([users, items]), targets, degrees)


def _branch(model: Any, m: int, given: Constants) -> Tensor:
    """The last layer of one modality's network, `[n_nodes, d]`."""
    ids, names = ego(model), dict(model.named_parameters())
    rows, prefix = given.features[m], f"branches.{m}"
    if f"{prefix}.w0" in names:
        rows = F.linear(rows, names[f"{prefix}.w0"], names[f"{prefix}.b0"]) * given.present[:, m : m + 1]
    x = unit(torch.cat([names[f"{prefix}.preference"], rows]))
    for layer in range(model.params.n_layers):
        w1, w2, w3, b2, b3 = (parameter(model, f"{prefix}.{n}.{layer}") for n in ("w1", "w2", "w3", "b2", "b3"))
        messages = F.linear(x, w1).index_select(0, given.sources)
        h = F.leaky_relu(scatter_sum(messages, given.targets, len(x)) / given.degrees, SLOPE)
        xhat = F.leaky_relu(F.linear(x, w2, b2), SLOPE) + ids
        if model.params.mmgcn_combine == "concat":
            x = F.leaky_relu(F.linear(torch.cat([h, xhat], dim=1), w3, b3), SLOPE)
        else:
            x = F.leaky_relu(F.linear(h, w3, b3) + xhat, SLOPE)
    return x


def plain_tables(model: Any, given: Constants | None = None) -> Tables:
    """Final vectors of users and items, `[n_users, d]` and `[n_items, d]`."""
    given = constants(model) if given is None else given
    stacked = torch.stack([_branch(model, m, given) for m in range(len(given.features))])
    return halves(model, stacked.mean(0) if model.params.mm_readout == "mean" else stacked.sum(0))
