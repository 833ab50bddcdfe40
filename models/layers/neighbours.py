"""k-nearest-neighbour lists over item features (LUDP Eqs. 3-4, LATTICE Eq. 2) in O(n k) memory. Pure torch.

Blocks of rows are multiplied in single precision to find candidates. The candidates' cosines are then computed
again in float64, and rounded to 1e-6 for the selection only, so that block sizes and devices agree and exact
duplicates are ordered by their index.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.core.topk import largest, stable_topk
from models.layers.dense import product

SPARE = 16  # candidates beyond the wanted ones
SEPARATION = 1e-5  # of cosines, above the rounding error of single precision


class Neighbours(NamedTuple):
    """Nearest items of each item.

    Attributes:
        items: neighbour ids, best first, `[n_items, k]` int64; -1 beyond the end of a shorter list.
        cosines: their similarities, `[n_items, k]` float64; 0 where `items` is -1.
    """

    items: Tensor
    cosines: Tensor


@torch.no_grad()
def nearest(features: Tensor, present: Tensor, k: int, include_self: bool, block: int = 128) -> Neighbours:
    """Find the k most similar present items of each present item, by cosine; ties to the lowest id. No gradient.

    Args:
        features: `[n_items, d]`, of any floating type.
        present: candidates and queries, `[n_items]` bool; padding must be False.
        k: length of the lists, the item itself included if `include_self`.
        include_self: whether an item heads its own list.
        block: rows multiplied at a time; their `block * n_items` floats should fit into the cache.
    """
    n_items = len(features)
    ids = present.nonzero().squeeze(1)
    unit = F.normalize(features[ids].to(torch.float64), dim=1, eps=1e-12)
    single = unit.to(torch.float32)
    wanted = k - 1 if include_self else k
    items = features.new_full((n_items, k), -1, dtype=torch.int64)
    cosines = features.new_zeros((n_items, k), dtype=torch.float64)
    for start in range(0, len(ids), block):
        rows = torch.arange(start, min(start + block, len(ids)), device=ids.device)
        near, cosine = _block(unit, single, rows, min(wanted, len(ids) - 1))
        if include_self:
            near = torch.cat([rows.unsqueeze(1), near], dim=1)
            cosine = torch.cat([unit[rows].square().sum(1, keepdim=True), cosine], dim=1)
        items[ids[rows], : near.shape[1]] = ids[near]
        cosines[ids[rows], : near.shape[1]] = cosine
    return Neighbours(items, cosines)


def _block(unit: Tensor, single: Tensor, rows: Tensor, wanted: int) -> tuple[Tensor, Tensor]:
    """Find neighbours of the given rows among all other rows, `[b, wanted]` each."""
    if wanted == 0:
        return rows.new_zeros((len(rows), 0)), unit.new_zeros((len(rows), 0))
    rough = product(single[rows], single)
    rough[torch.arange(len(rows), device=rows.device), rows] = -torch.inf
    n_candidates = min(wanted + SPARE, rough.shape[1] - 1)
    rough_values, candidates = largest(rough, n_candidates)
    cosines = torch.einsum("bd,bcd->bc", unit[rows], F.embedding(candidates, unit))
    near, cosine = _choose(cosines, candidates, wanted)
    if n_candidates < rough.shape[1] - 1:
        # the candidates may lack a neighbour if the last of them is about as similar as the last wanted one
        unclear = rough_values[:, -1] > rough_values[:, wanted - 1] - SEPARATION
        for position in unclear.nonzero().squeeze(1).tolist():
            everyone = torch.arange(len(unit), device=rows.device).unsqueeze(0)
            exact = (unit @ unit[rows[position]]).unsqueeze(0)
            exact[0, rows[position]] = -torch.inf
            near[position], cosine[position] = (part[0] for part in _choose(exact, everyone, wanted))
    return near, cosine


def _choose(exact: Tensor, candidates: Tensor, wanted: int) -> tuple[Tensor, Tensor]:
    """Select the best `wanted` of each row's candidates, ties of the rounded cosine to the lowest id."""
    candidates, order = candidates.sort(dim=1)
    exact = exact.gather(1, order)
    _, best = stable_topk(torch.round(exact, decimals=6), wanted)
    return candidates.gather(1, best), exact.gather(1, best)
