"""Item content as models see it: scaled feature tables with presence masks. Pure torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

FeatNorm = Literal["l2", "none", "zscore", "center_l2"]


@dataclass(frozen=True, eq=False)
class ItemFeatures:
    """One modality in RecBole's item numbering, where row 0 is padding.

    Attributes:
        name: name of the modality.
        raw: features as read, `[n_items, d_m]`; zero rows for padding and for items without it.
        present: which items have it, `[n_items]` bool; False for padding.
        fingerprint: content hash, to find derived graphs again.
    """

    name: str
    raw: Tensor
    present: Tensor
    fingerprint: str


def scaled(features: ItemFeatures, how: FeatNorm) -> Tensor:
    """The feature table on a common scale, `[n_items, d_m]`; absent items stay zero.

    Args:
        features: one modality.
        how: "l2" unit rows; "zscore" unit variance per column; "center_l2" mean row removed, then unit rows.
    """
    table = features.raw.to(torch.get_default_dtype())
    present = features.present
    if how in ("zscore", "center_l2") and present.any():
        table = table - table[present].mean(dim=0)
    if how == "zscore" and present.any():
        table = table / table[present].std(dim=0, correction=0).clamp_min(1e-12)
    if how in ("l2", "center_l2"):
        table = F.normalize(table, dim=1, eps=1e-12)
    return table * present.unsqueeze(1)
