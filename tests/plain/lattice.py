"""LATTICE, plainly: item graphs as dense n x n matrices.

`released` is the normalisation as the published code is described: two products of n x n matrices with the
diagonal degree matrices written out. Without it the same result is made by scaling rows and columns.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from plain.common import Tables, adjacency, ego, halves, parameter, present_of, require, tables_of, unit
from plain.lightgcn import propagated


class Constants(NamedTuple):
    """What does not change in training.

    Attributes:
        graph: (D + I)^-1 (A + I) of users and items, sparse COO.
        features: scaled features of each modality, `[n_items, d_m]`.
        present: which items have each, `[n_items, K]`.
        initial: normalised graph of the raw features of each modality, `[n_items, n_items]`.
    """

    graph: Tensor
    features: list[Tensor]
    present: Tensor
    initial: list[Tensor]


def constants(model: Any) -> Constants:
    """The user-item graph, and the graphs of the features as read."""
    require(model, lattice_cf="lightgcn", lattice_ui_norm="rw_self", lattice_mix="code", knn_clip_negative=True)
    features, present = tables_of(model), present_of(model)
    raw = [one.raw.to(model.user_embedding.weight) for one in model.features]
    initial = [normalised(top(unit(rows), present[:, m], model.params.knn_k)) for m, rows in enumerate(raw)]
    return Constants(adjacency(model, self_loops=True), features, present, initial)


def top(rows: Tensor, present: Tensor, k: int) -> Tensor:
    """The k largest cosines of each row, the others 0, `[n_items, n_items]`; absent items have a loop.

    Absent items are zero rows, whose cosine 0 adds nothing where it is among the k largest.
    """
    cosines = rows @ rows.T
    values, items = torch.topk(cosines, min(k, len(rows)), dim=1)
    graph = torch.zeros_like(cosines).scatter(1, items, values.relu())
    absent = (~present).nonzero().squeeze(1)
    absent = absent[absent > 0]
    return graph.index_put((absent, absent), graph.new_ones(len(absent)))


def normalised(graph: Tensor, released: bool = False) -> Tensor:
    """D^-1/2 S D^-1/2 with the row sums D."""
    sums = graph.sum(1)
    scale = torch.where(sums > 0, sums, torch.inf).rsqrt()
    if released:
        degrees = torch.diagflat(scale)
        return torch.mm(torch.mm(degrees, graph), degrees)
    return scale.unsqueeze(1) * graph * scale.unsqueeze(0)


def item_graph(model: Any, given: Constants, released: bool = False) -> Tensor:
    """G under the current parameters, with gradients to features, projections and modality weights."""
    p, names = model.params, dict(model.named_parameters())
    omega = torch.softmax(parameter(model, "modality_logits"), dim=0)
    learned = []
    for m, features in enumerate(given.features):
        rows = names.get(f"modalities.{m}.table", features)
        rows = rows @ parameter(model, f"modalities.{m}.linear.weight").T
        rows = rows + parameter(model, f"modalities.{m}.linear.bias")
        present = given.present[:, m]
        learned.append(omega[m] * top(unit(rows * present.unsqueeze(1)), present, p.knn_k))
    mixed = normalised(torch.stack(learned).sum(0), released)
    initial = torch.stack([omega[m] * graph for m, graph in enumerate(given.initial)]).sum(0)
    mixture: Tensor = (1 - p.lam) * mixed + p.lam * initial
    return mixture


def tables_over(model: Any, given: Constants, graph: Tensor) -> Tables:
    """Final vectors of users and items over a given item graph."""
    rows = propagated(given.graph, ego(model), model.params.n_ui_layers, "mean")
    users, items = halves(model, rows)
    content = model.item_embedding.weight
    for _ in range(model.params.n_item_layers):
        content = graph @ content
    return users, items + unit(content)


def plain_tables(model: Any, given: Constants | None = None, released: bool = False) -> Tables:
    """Final vectors of users and items, `[n_users, d]` and `[n_items, d]`; the item graph is made anew.

    In training only the first batch of an epoch sends gradients into the graph: keep `item_graph`, detached,
    for the others.
    """
    given = constants(model) if given is None else given
    return tables_over(model, given, item_graph(model, given, released))
