"""Item content as models see it: scaled feature tables with presence masks, and policies for gaps. Pure torch.

| policy | an item without the modality |
|---|---|
| mask | is left out of the modality's softmaxes, means and k-NN lists |
| zero | has a row of zeros, which takes part in softmaxes and means |
| mean | gets the mean row of the items with the modality |
| neighbour-mean | gets the mean row of the items with the modality that share the most training users with it |

Under the last two the row is filled in before a model sees the features, so that the item has the modality. Only
interactions of the training part are used.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

FeatNorm = Literal["l2", "none", "zscore", "center_l2"]
ROUNDING = 1e-6  # relative to a column's largest value; float32 rounds at 6e-8


@dataclass(frozen=True, eq=False)
class ItemFeatures:
    """One modality in RecBole's item numbering, where row 0 is padding.

    Attributes:
        name: name of the modality.
        raw: features as read, `[n_items, d_m]`; zero rows for padding and for items without the modality.
        present: which items have the modality, `[n_items]` bool; False for padding.
        fingerprint: content hash, key of cached graphs.
    """

    name: str
    raw: Tensor
    present: Tensor
    fingerprint: str


def scaled(features: ItemFeatures, how: FeatNorm) -> Tensor:
    """Return the feature table on a common scale, `[n_items, d_m]`; absent items stay zero.

    Args:
        features: one modality.
        how: "l2" unit rows; "zscore" mean 0 and variance 1 per column; "center_l2" mean row removed, then unit
            rows. Where a mean is removed, a constant column becomes zeros.
    """
    table = features.raw.to(torch.get_default_dtype())
    present = features.present
    if how in ("zscore", "center_l2") and present.any():
        own = table[present]
        deviation = own.std(dim=0, correction=0)
        # what centring leaves of a constant column is rounding, which must not grow to the size of content
        constant = deviation <= ROUNDING * own.abs().amax(dim=0)
        table = (table - own.mean(dim=0)).masked_fill(constant, 0)
        if how == "zscore":
            table = table / deviation.masked_fill(constant, 1)
    if how in ("l2", "center_l2"):
        table = F.normalize(table, dim=1, eps=1e-12)
    return table * present.unsqueeze(1)


Missing = Literal["mask", "zero", "mean", "neighbour-mean"]
N_NEIGHBOURS = 10
BLOCK = 256  # items whose co-interactions are counted at a time


def completed(
    features: tuple[ItemFeatures, ...], policy: Missing, users: Tensor, items: Tensor
) -> tuple[tuple[ItemFeatures, ...], tuple[str, ...]]:
    """Return the features under a policy for items without a modality.

    Args:
        features: the modalities.
        policy: see the module's table.
        users, items: distinct training pairs, `[n]` each.

    Returns:
        The modalities, with rows filled in under "mean" and "neighbour-mean", which changes their fingerprints;
        and remarks on the number of items without a neighbour to take a row from.
    """
    if policy in ("mask", "zero"):
        return features, ()
    filled, remarks = [], []
    for each in features:
        absent = ~each.present
        absent[0] = False  # padding has no content under any policy
        if absent.any():
            changed, n_alone = _filled(each, absent, policy, users, items)
            filled.append(changed)
            if n_alone:
                remarks.append(
                    f"{n_alone:,} of {int(absent.sum()):,} items without the {each.name} modality share no "
                    f"training user with an item that has it, and take the mean of all."
                )
        else:
            filled.append(each)
    return tuple(filled), tuple(remarks)


def _filled(
    features: ItemFeatures, absent: Tensor, policy: Missing, users: Tensor, items: Tensor
) -> tuple[ItemFeatures, int]:
    """Return one modality without gaps, and the number of items that had no neighbours."""
    raw = features.raw.double().numpy()
    present, places = features.present.numpy(), absent.numpy().nonzero()[0]
    rows = np.tile(raw[present].mean(axis=0), (len(places), 1))
    fingerprint, n_alone = f"{features.fingerprint}-{policy}", 0
    if policy == "neighbour-mean":
        lists = co_interacted(users, items, present, places)
        for row, neighbours in zip(rows, lists, strict=True):
            if len(neighbours):
                row[:] = raw[neighbours].mean(axis=0)
        n_alone = sum(len(neighbours) == 0 for neighbours in lists)
        seen = hashlib.sha256(torch.stack([users, items]).numpy().tobytes()).hexdigest()[:16]
        fingerprint += f"{N_NEIGHBOURS}-{seen}"
    table = features.raw.clone()
    # means are taken in float64 and rounded once
    table[places] = torch.from_numpy(rows).to(table.dtype)
    return replace(features, raw=table, present=features.present | absent, fingerprint=fingerprint), n_alone


def co_interacted(
    users: Tensor, items: Tensor, present: NDArray[np.bool_], wanted: NDArray[np.int64]
) -> list[NDArray[np.int64]]:
    """Return for each wanted item the present items that share the most training users with it.

    Args:
        users, items: distinct training pairs, `[n]` each.
        present: which items may be neighbours, `[n_items]`.
        wanted: item ids.

    Returns:
        At most `N_NEIGHBOURS` ids each, by descending number of shared users, ties to the lowest id; fewer if
        fewer items share a user.
    """
    ones = np.ones(len(users), dtype=np.int64)
    n_users = int(users.max()) + 1 if len(users) else 1
    pairs = csr_matrix((ones, (users.numpy(), items.numpy())), shape=(n_users, len(present)))
    by_item, candidates = pairs.T.tocsr(), csr_matrix(pairs.multiply(present))
    lists: list[NDArray[np.int64]] = []
    for start in range(0, len(wanted), BLOCK):
        shared = csr_matrix(by_item[wanted[start : start + BLOCK]] @ candidates)
        shared.eliminate_zeros()
        for first, last in zip(shared.indptr[:-1], shared.indptr[1:], strict=True):
            columns, counts = shared.indices[first:last], shared.data[first:last]
            lists.append(columns[np.lexsort((columns, -counts))[:N_NEIGHBOURS]].astype(np.int64))
    return lists
