"""VBPR, plainly: the content of all items is projected at every step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from plain.common import Tables, parameter, present_of, require, tables_of


def constants(model: Any) -> tuple[list[Tensor], Tensor]:
    """Scaled features of each modality, and which items have any, `[n_items, 1]`."""
    return tables_of(model), present_of(model).any(1, keepdim=True)


def plain_tables(model: Any, given: tuple[list[Tensor], Tensor] | None = None) -> Tables:
    """Final vectors of users and items: id columns, then content columns."""
    require(model, use_bias=False)
    features, described = constants(model) if given is None else given
    parts = [rows @ parameter(model, f"projections.{m}").T for m, rows in enumerate(features)]
    content = torch.stack(parts).sum(0)
    if model.params.vbpr_proj_bias:
        content = content + described * parameter(model, "projection_bias")
    users = torch.cat([model.user_embedding.weight, parameter(model, "user_content.weight")], dim=1)
    return users, torch.cat([model.item_embedding.weight, content], dim=1)
