"""What the plain formulations share: edges, feature tables, gather-scatter sums, the loss of a batch.

Everything here is written the short way, over all nodes, with torch's own operators and autograd; nothing is
taken from `models.layers`. Models are read through their public attributes and their parameters by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Tables = tuple[Tensor, Tensor]
Batch = tuple[Tensor, Tensor, Tensor]
L2 = Callable[[Any, Batch, Batch], Tensor]


def require(model: Any, **values: Any) -> None:
    """Refuse a switch that the plain formulation does not cover.

    Raises:
        NotImplementedError: a parameter of the model has another value than the one covered.
    """
    for name, covered in values.items():
        given = getattr(model.params, name)
        if given != covered:
            raise NotImplementedError(f"{name}: {given} has no plain formulation, only {covered}")


def parameter(model: Any, name: str) -> Tensor:
    """A parameter by its name in the model's state."""
    tensor: Tensor = model.get_parameter(name)
    return tensor


def edges(model: Any) -> tuple[Tensor, Tensor]:
    """Users and items of the training pairs, `[n_edges]` each, on the model's device."""
    device = model.user_embedding.weight.device
    return model.train_users.to(device), model.train_items.to(device)


def ego(model: Any) -> Tensor:
    """Id embeddings of users, then items, `[n_nodes, d]`."""
    return torch.cat([model.user_embedding.weight, model.item_embedding.weight])


def halves(model: Any, rows: Tensor) -> Tables:
    """A table of all nodes as those of users and items."""
    return rows[: model.n_users], rows[model.n_users :]


def adjacency(model: Any, self_loops: bool = False) -> Tensor:
    """The user-item graph as a sparse COO matrix, `[n_nodes, n_nodes]`.

    D^-1/2 A D^-1/2, or with self loops (D + I)^-1 (A + I).
    """
    users, items = edges(model)
    n_nodes = model.n_users + model.n_items
    rows, columns = torch.cat([users, items + model.n_users]), torch.cat([items + model.n_users, users])
    if self_loops:
        nodes = torch.arange(n_nodes, device=rows.device)
        rows, columns = torch.cat([rows, nodes]), torch.cat([columns, nodes])
    degrees = torch.bincount(rows, minlength=n_nodes).to(torch.float64)
    values = 1 / degrees[rows] if self_loops else (degrees[rows] * degrees[columns]) ** -0.5
    values = values.to(model.user_embedding.weight.dtype)
    return sparse(rows, columns, values, n_nodes)


def sparse(rows: Tensor, columns: Tensor, values: Tensor, n: int) -> Tensor:
    """A sparse COO matrix, `[n, n]`."""
    entries = torch.stack([rows, columns])
    return torch.sparse_coo_tensor(entries, values, (n, n), check_invariants=False).coalesce()


def tables_of(model: Any) -> list[Tensor]:
    """Scaled features of each modality, `[n_items, d_m]`; zero rows for padding and absent items."""
    require(model, missing="mask")
    if model.params.feat_norm not in ("l2", "none"):
        raise NotImplementedError(f"feat_norm: {model.params.feat_norm} has no plain formulation")
    raw = [features.raw.to(model.user_embedding.weight) for features in model.features]
    return raw if model.params.feat_norm == "none" else [unit(rows) for rows in raw]


def present_of(model: Any) -> Tensor:
    """Which items have each modality, `[n_items, K]` bool."""
    return torch.stack([features.present for features in model.features], 1).to(model.user_embedding.weight.device)


def unit(rows: Tensor) -> Tensor:
    """Rows of length 1; zero rows stay zero and get no gradient."""
    norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    result: Tensor = rows / norms.masked_fill(norms < 1e-12, torch.inf)
    return result


def scatter_sum(messages: Tensor, targets: Tensor, n: int) -> Tensor:
    """Sum of the messages of each target, `[n_edges, d]` to `[n, d]`."""
    return messages.new_zeros(n, *messages.shape[1:]).index_add(0, targets, messages)


def scatter_softmax(logits: Tensor, targets: Tensor, n: int, keep: Tensor) -> Tensor:
    """Softmax over the kept edges of each target, `[n_edges]`; 0 for the others."""
    logits = logits.masked_fill(~keep, torch.finfo(logits.dtype).min)
    highest = logits.new_full((n,), -torch.inf).scatter_reduce(0, targets, logits.detach(), "amax")
    powers: Tensor = torch.exp(logits - highest[targets]) * keep
    totals = scatter_sum(powers, targets, n)
    return powers / totals.masked_fill(totals == 0, 1)[targets]


def softmax_among(logits: Tensor, available: Tensor) -> Tensor:
    """Softmax over the last dimension among the available entries; all zero where there is none."""
    weights = torch.softmax(logits.masked_fill(~available, torch.finfo(logits.dtype).min), dim=-1)
    return weights * available


def loss_with(model: Any, tables: Tables, batch: dict[str, Tensor], plain_l2: L2 | None) -> Tensor:
    """The training loss of a batch from final tables: BPR and an L2 term, the model's own where none is given."""
    users, positives, negatives = batch[model.USER_ID], batch[model.ITEM_ID], batch[model.NEG_ITEM_ID]
    rows = tables[0][users], tables[1][positives], tables[1][negatives]
    margins = (rows[0] * rows[1]).sum(1) - (rows[0] * rows[2]).sum(1)
    ids = (users, positives, negatives)
    l2 = plain_l2(model, ids, rows) if plain_l2 else model.regularisation(ids, rows)
    loss: Tensor = -F.logsigmoid(margins).mean() + model.params.reg_weight * l2
    return loss
