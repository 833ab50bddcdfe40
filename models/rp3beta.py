"""RP3beta: three steps of a random walk from the user, with popular items held back. A simple baseline.

Papers: Paudel et al., "Updatable, accurate, diverse, and scalable recommendations for interactive applications",
TiiS 2017 (beta); Cooper et al., "Random walks in recommender systems: exact computation and simulations", WWW 2014
(alpha).

| function | equation |
|---|---|
| `RP3beta.fit` | W_ij = sum over users v of (1/n_i)^alpha (1/n_v)^alpha / n_j^beta, i to v to j |
| `ItemToItem.score_users` | s_uj = sum of W_ij over the training items i of u |

n_i and n_v count the training interactions of item i and user v: 1/n_i is the probability of the step from i to
one of its users.

Deviations: the walk's first step, (1/n_u)^alpha, is left out, because it is one factor for all of a user's items.
As in the study of Ferrari Dacrema et al., RecSys 2019, no walk returns to the item where it started, the k
strongest links of each item are kept, and `normalise` makes them sum to 1. The study cuts a second time, by
columns; this model does not.

Cost: the sum of squared user activities for W, n_items^2 comparisons for the lists; O(n_items k) memory and state.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, PositiveInt
from scipy.sparse import csr_matrix, diags

from models.control import ControlParams, ItemToItem, best_of_rows, control_card, item_products


class Params(ControlParams):
    """Parameters of RP3beta."""

    knn_k: PositiveInt
    """Links kept of each of the user's items, k."""
    alpha: NonNegativeFloat
    """Power of the transition probabilities."""
    beta: NonNegativeFloat
    """Power of the popularity that scores are divided by."""
    normalise: bool
    """Whether the links of an item sum to 1."""


class RP3beta(ItemToItem):
    """s_uj = sum of W_ij over the user's items, W from item to user to item."""

    Params: ClassVar[Any] = Params
    CARD: ClassVar = control_card(
        "RP3beta",
        "Paudel et al., Updatable, accurate, diverse, and scalable recommendations for interactive applications, "
        "TiiS 2017",
        "https://doi.org/10.1145/2955101",
    )

    def fit(self, dataset: Any) -> None:
        """Keep the k strongest links of every item as rows of W."""
        p = self.params
        popularity = np.maximum(self.popularity(), 1.0)
        steps = csr_matrix(diags(np.maximum(self.activity(), 1.0) ** -p.alpha) @ self.profiles)
        back = csr_matrix(diags(popularity**-p.alpha) @ self.profiles.T)

        def links(items: NDArray[np.int64]) -> NDArray[np.float64]:
            block = item_products(back, steps, items)
            block.data /= popularity[block.indices] ** p.beta
            found: NDArray[np.float64] = block.toarray()
            return found

        weights = best_of_rows(links, self.n_items, p.knn_k)
        if p.normalise:
            sums = np.asarray(weights.sum(axis=1)).ravel()
            weights = csr_matrix(diags(1.0 / np.where(sums > 0, sums, 1.0)) @ weights)
        self.keep_weights(weights)
