"""ItemKNN: items that share users with the user's items, each item with its k nearest. A simple baseline.

Papers: Sarwar et al., "Item-based collaborative filtering recommendation algorithms", WWW 2001; Deshpande,
Karypis, "Item-based top-N recommendation algorithms", TOIS 2004; asymmetric cosine: Aiolli, "Efficient top-N
recommendation for very large scale binary rated datasets", RecSys 2013; shrinkage and weighting as in the
study of Ferrari Dacrema et al., RecSys 2019.

| function | equation |
|---|---|
| `ItemKNN.fit` | S_ij = x_i . x_j / ((x_i . x_i)^a (x_j . x_j)^(1 - a) + shrink); a = 1/2 is the cosine |
| `ItemToItem.score_users` | s_uj = sum of S_ij over the training items i of u that are among the k nearest of j |

x_i is the column of item i in the binary training matrix. With `weighting: tf_idf` the entries of a user are
log((1 + n) / (1 + n_u)), with n items in all and n_u of the user, so that busy users say less about similarity.

Deviations from the study: the profile has no user weight, which would not change the user's ranking. A small
constant in the denominator is not needed. BM25 is left out: with binary data it is this same user weight times a
factor of the item that the cosine cancels. An item is not its own neighbour.

Cost: the sum of squared user activities for S, n_items^2 comparisons for the lists; O(n_items k) memory and state.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveInt
from scipy.sparse import csr_matrix, diags

from models.control import ControlParams, ItemToItem, best_of_rows, control_card, item_products


class Params(ControlParams):
    """Parameters of ItemKNN."""

    knn_k: PositiveInt
    """Neighbours of an item, k."""
    shrink: NonNegativeFloat
    """Added to the denominator: similarities that few users support become small."""
    normalise: bool
    """Divide by the norms; otherwise S counts shared users, and `shrink` and `asymmetry` have no effect."""
    asymmetry: Annotated[float, Field(ge=0, le=1)]
    """a, the part of the denominator that falls on the user's item; the rest falls on the item that is scored."""
    weighting: Literal["none", "tf_idf"]
    """Weight of the users."""


class ItemKNN(ItemToItem):
    """s_uj = sum of S_ij over the user's items among the k nearest of j."""

    Params: ClassVar[Any] = Params
    CARD: ClassVar = control_card(
        "ItemKNN",
        "Deshpande, Karypis, Item-based top-N recommendation algorithms, TOIS 2004",
        "https://doi.org/10.1145/963770.963776",
    )

    def fit(self, dataset: Any) -> None:
        """Keep the k nearest of every scored item as columns of W."""
        p = self.params
        matrix = self.profiles
        if p.weighting == "tf_idf":
            matrix = csr_matrix(diags(np.log(self.n_items / (1.0 + self.activity()))) @ matrix)
        transposed = csr_matrix(matrix.T)
        norms = np.asarray(matrix.multiply(matrix).sum(axis=0)).ravel()

        def similar(items: NDArray[np.int64]) -> NDArray[np.float64]:
            block = item_products(transposed, matrix, items)
            if p.normalise:
                scored = np.repeat(norms[items] ** (1 - p.asymmetry), np.diff(block.indptr))
                block.data /= scored * norms[block.indices] ** p.asymmetry + p.shrink
            found: NDArray[np.float64] = block.toarray()
            return found

        self.keep_weights(csr_matrix(best_of_rows(similar, self.n_items, p.knn_k).T))
