"""Content k-NN: items that resemble the user's in their features, each with its k nearest. A simple baseline.

Papers: Lops, de Gemmis, Semeraro, "Content-based recommender systems: state of the art and trends", Recommender
Systems Handbook 2011; as ItemKNN CBF in the study of Ferrari Dacrema et al., RecSys 2019.

| function | equation |
|---|---|
| `ContentKNN.fit` | S_ij = mean over the modalities m of cos(x_i^m, x_j^m) |
| `ItemToItem.score_users` | s_uj = sum of S_ij over the training items i of u that are among the k nearest of j |

S uses no interactions: the scores show what the features alone can do.

Deviations: several modalities are combined by the mean of their cosines. With `missing: mask` it is over the
modalities that both items have; with `zero` it is over all, and an absent one counts 0; under the other policies
of `models.layers.features` every item has all. Pairs with S <= 0 are not neighbours. The mean over a user's items
in place of the sum would give the same ranking. An item without features has no neighbours and scores 0.

Cost: n_items^2 sum(d_m) multiplications in double precision; O(n_items (k + sum(d_m))) memory.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import PositiveInt
from scipy.sparse import csr_matrix

from models.base import choose
from models.control import ControlParams, ItemToItem, best_of_rows, control_card
from models.layers.features import FeatNorm, Missing, completed, scaled


class Params(ControlParams):
    """Parameters of the content k-NN."""

    knn_k: PositiveInt
    """Neighbours of an item, k."""
    modalities: Literal["all"] | list[str]
    """Modalities in use, by name, or all that the data has."""
    feat_norm: FeatNorm
    """Scaling before the cosine, see `models.layers.features.scaled`; "l2" and "none" are the same here."""
    missing: Missing
    """Under "mask" the mean over modalities that both items have, else over all; see `models.layers.features`."""


class ContentKNN(ItemToItem):
    """s_uj = sum of S_ij over the user's items among the k nearest of j, S from features alone."""

    Params: ClassVar[Any] = Params
    CARD: ClassVar = control_card(
        "Content k-NN",
        "Lops et al., Content-based recommender systems: state of the art and trends, Handbook 2011",
        "https://doi.org/10.1007/978-0-387-85820-3_3",
        uses_content=True,
    )

    def fit(self, dataset: Any) -> None:
        """Keep the k nearest of every scored item as columns of W."""
        p = self.params
        chosen = choose(getattr(dataset, "item_features", ()), p.modalities)
        users, items = (torch.from_numpy(ids.astype(np.int64)) for ids in self.profiles.nonzero())
        features, self.remarks = completed(chosen, p.missing, users, items)
        rows = torch.cat([F.normalize(scaled(m, p.feat_norm).double(), dim=1, eps=1e-12) for m in features], dim=1)
        present = torch.stack([m.present for m in features], dim=1).double()

        def similar(items: NDArray[np.int64]) -> NDArray[np.float64]:
            wanted = torch.from_numpy(items)
            cosines = rows[wanted] @ rows.T
            if p.missing == "mask":
                cosines /= (present[wanted] @ present.T).clamp_min(1.0)
            else:
                cosines /= len(features)
            found: NDArray[np.float64] = cosines.numpy()
            return found

        self.keep_weights(csr_matrix(best_of_rows(similar, self.n_items, p.knn_k).T))
