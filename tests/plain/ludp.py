"""LUDP with the equations as printed, plainly: both content branches over all nodes at every step."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from plain.common import (
    Batch,
    Tables,
    adjacency,
    edges,
    ego,
    halves,
    parameter,
    present_of,
    require,
    scatter_sum,
    softmax_among,
    sparse,
    tables_of,
    unit,
)
from plain.lightgcn import propagated

BLOCK = 1024


class Constants(NamedTuple):
    """What does not change in training.

    Attributes:
        graph: D^-1/2 A D^-1/2 of users and items, sparse COO.
        features: scaled features of each modality, `[n_items, d_m]`.
        present: which items have each, `[n_items, K]`.
        item_graphs: Eq. 5 of each modality, `[n_items, n_items]` sparse COO.
        users, items: ends of each training pair, `[n_edges]`.
    """

    graph: Tensor
    features: list[Tensor]
    present: Tensor
    item_graphs: list[Tensor]
    users: Tensor
    items: Tensor


def constants(model: Any) -> Constants:
    """The user-item graph, features and item graphs."""
    covered = {
        "use_item_graph": True,
        "use_user_pref": True,
        "knn_self": True,
        "knn_symmetrize": "none",
        "knn_clip_negative": False,
        "item_graph_input": "ego",
        "item_graph_readout": "last",
        "item_aux_norm": "none",
        "feat_trainable": False,
        "pref_exclude_pos": False,
        "pref_bias": False,
        "w2_share": False,
        "pref_combine": "add",
        "pref_user_base": "ego",
        "fusion": "attention",
        "att_share": "paper",
        "user_att": "per_user",
        "user_att_input": "phat",
        "final_combine": "add",
        "reg_scope": "ego+weights",
        "reg_form": "half_sq",
        "bpr_reduction": "mean",
    }
    require(model, **covered)
    item_graphs = [_item_graph(model, m) for m in range(len(model.features))]
    return Constants(adjacency(model), tables_of(model), present_of(model), item_graphs, *edges(model))


def _item_graph(model: Any, m: int) -> Tensor:
    """Lists of the k most similar items, itself first, ties to the lowest id; 1 / sqrt(length) or 1 / length."""
    device, n_items = model.user_embedding.weight.device, model.n_items
    present = model.features[m].present.to(device)
    rows = unit(model.features[m].raw.to(device, torch.float64))
    ids, columns = present.nonzero().squeeze(1), []
    for some in ids.split(BLOCK):
        cosines = torch.round(rows[some] @ rows.T, decimals=6)
        cosines[:, ~present] = -torch.inf
        cosines[torch.arange(len(some), device=device), some] = torch.inf
        k = min(model.params.knn_k, len(ids))
        columns.append(torch.sort(cosines, dim=1, descending=True, stable=True).indices[:, :k])
    chosen = torch.cat(columns)
    length = chosen.shape[1]
    norm = {"rsqrt_row": length**-0.5, "mean": 1 / length}[model.params.item_graph_norm]
    values = torch.full((chosen.numel(),), norm, dtype=model.user_embedding.weight.dtype, device=device)
    return sparse(ids.repeat_interleave(length), chosen.flatten(), values, n_items)


def _fused(model: Any, side: str, views: list[Tensor], available: Tensor) -> Tensor:
    """Attention fusion of one side (Eqs. 6-8 and 12), `[n, d]`."""
    bias, query = parameter(model, f"{side}_fusion.biases.0"), parameter(model, f"{side}_fusion.queries.0")
    logits = []
    for m, rows in enumerate(views):
        logits.append(torch.tanh(rows @ parameter(model, f"{side}_fusion.weights.{m}").T + bias) @ query)
    weights = softmax_among(torch.stack(logits, dim=1), available)
    return (torch.stack(views, dim=1) * weights.unsqueeze(2)).sum(1)


def _item_content(model: Any, given: Constants) -> Tensor:
    views = []
    for graph in given.item_graphs:
        rows = model.item_embedding.weight
        for _ in range(model.params.n_item_layers):
            rows = torch.sparse.mm(graph, rows)
        views.append(rows)
    return _fused(model, "item", views, given.present)


def _user_content(model: Any, given: Constants) -> Tensor:
    slope, views, counts = model.params.leaky_slope, [], []
    for m, features in enumerate(given.features):
        has = given.present[given.items, m].to(features.dtype).unsqueeze(1)
        count = scatter_sum(has, given.users, model.n_users)
        mean = scatter_sum(has * features[given.items], given.users, model.n_users) / count.clamp_min(1)
        preference = F.leaky_relu(mean @ parameter(model, f"preferences.{m}.w1").T, slope)
        preference = F.leaky_relu(preference @ parameter(model, f"preferences.{m}.w2").T, slope)
        views.append(preference + model.user_embedding.weight)
        counts.append(count.squeeze(1))
    return _fused(model, "user", views, torch.stack(counts, dim=1) > 0)


def plain_tables(model: Any, given: Constants | None = None) -> Tables:
    """Final vectors of users and items, `[n_users, d]` and `[n_items, d]` (Eq. 13)."""
    given = constants(model) if given is None else given
    p = model.params
    users, items = halves(model, propagated(given.graph, ego(model), p.n_ui_layers, p.ui_readout))
    return users + _user_content(model, given), items + _item_content(model, given)


def plain_l2(model: Any, batch: Batch, final: Batch) -> Tensor:
    """Theta of Eq. 15: mean over the triples of half the squares of their rows and of all matrices."""
    tables = (model.user_embedding.weight, model.item_embedding.weight, model.item_embedding.weight)
    of_triples = sum(table[ids].square().sum(1) for table, ids in zip(tables, batch, strict=True))
    for name, parameter_ in model.named_parameters():
        if name not in ("user_embedding.weight", "item_embedding.weight"):
            of_triples = of_triples + parameter_.square().sum()
    result: Tensor = (of_triples / 2).mean()
    return result
