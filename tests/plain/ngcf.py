"""NGCF in RecBole's reading, plainly: sparse COO products, every layer over all nodes."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from plain.common import Tables, adjacency, ego, halves, parameter, require, unit


def constants(model: Any) -> Tensor:
    """D^-1/2 A D^-1/2 as a sparse COO matrix."""
    return adjacency(model)


def plain_tables(model: Any, graph: Tensor | None = None) -> Tables:
    """Final vectors of users and items, all layers side by side."""
    require(model, ngcf_variant="recbole", node_dropout=0)
    graph = constants(model) if graph is None else graph
    views = [ego(model)]
    for layer in range(len(model.params.hidden_sizes)):
        w1, b1, w2, b2 = (parameter(model, f"layers.{layer}.{name}") for name in ("w1", "b1", "w2", "b2"))
        own, side = views[-1], torch.sparse.mm(graph, views[-1])
        rows = F.leaky_relu((own + side) @ w1 + b1 + (own * side) @ w2 + b2, 0.2)
        views.append(unit(F.dropout(rows, model.params.message_dropout, model.training)))
    return halves(model, torch.cat(views, dim=1))
