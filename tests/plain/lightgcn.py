"""LightGCN, plainly: sparse COO products over all nodes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from plain.common import Tables, adjacency, ego, halves


def constants(model: Any) -> Tensor:
    """D^-1/2 A D^-1/2 as a sparse COO matrix."""
    return adjacency(model)


def propagated(graph: Tensor, rows: Tensor, n_layers: int, readout: str) -> Tensor:
    """Mean or sum of the layers 0 to n_layers, `[n_nodes, d]`."""
    layers = [rows]
    for _ in range(n_layers):
        layers.append(torch.sparse.mm(graph, layers[-1]))
    stacked = torch.stack(layers)
    return stacked.mean(0) if readout == "mean" else stacked.sum(0)


def plain_tables(model: Any, graph: Tensor | None = None) -> Tables:
    """Final vectors of users and items, `[n_users, d]` and `[n_items, d]`."""
    graph = constants(model) if graph is None else graph
    return halves(model, propagated(graph, ego(model), model.params.n_layers, model.params.ui_readout))
