"""EASE: the linear item-to-item model in closed form, with no item explaining itself. A simple baseline.

Paper: Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019.

| function | equation |
|---|---|
| `EASE.fit` | P = (X^T X + lambda I)^-1 (Eq. 7); B_ij = -P_ij / P_jj, B_jj = 0 (Eq. 8) |
| `EASE.score_users` | s_uj = x_u B_j (Eq. 1) |

Deviations: none. Items without a training interaction have B = 0 in row and column and are left out of the
inverse, which is the same in exact arithmetic.

Cost: n^3 multiplications in double precision, n^2 numbers of state, three times 8 n^2 bytes while fitting. More
than `MAX_ITEMS` items raise an error.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import PositiveFloat
from scipy.sparse import csr_matrix
from torch import Tensor

from bench.core.errors import TrainingError
from models.control import BLOCK_CELLS, Control, ControlParams, control_card
from models.layers.segments import bag

MAX_ITEMS = 20_000


class Params(ControlParams):
    """Parameters of EASE."""

    reg_weight: PositiveFloat
    """Weight of the squared norm of B, lambda."""


class EASE(Control):
    """x_u B, with B the ridge regression of every item on all others.

    Raises:
        TrainingError: there are more than `MAX_ITEMS` items with interactions.
    """

    Params: ClassVar[Any] = Params
    CARD: ClassVar = control_card(
        "EASE",
        "Steck, Embarrassingly shallow autoencoders for sparse data, WWW 2019",
        "https://arxiv.org/abs/1905.03375",
    )
    matrix: Tensor

    def fit(self, dataset: Any) -> None:
        """Compute B, `[n_items, n_items]`, by a Cholesky factor in float64."""
        known = np.flatnonzero(self.popularity())
        if len(known) > MAX_ITEMS:
            raise TrainingError(
                f"EASE inverts a dense matrix of items: the {len(known):,} items with training interactions would "
                f"take {24 * len(known) ** 2 / 1e9:.0f} GB, and at most {MAX_ITEMS:,} are allowed "
                f"({24 * MAX_ITEMS**2 / 1e9:.0f} GB). Use rp3beta, whose memory grows with the number of items."
            )
        gram = _gram(csr_matrix(self.profiles[:, known]))
        gram.diagonal().add_(self.params.reg_weight)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
        del gram
        inverse /= -inverse.diagonal()
        inverse.fill_diagonal_(0.0)
        matrix = torch.zeros(self.n_items, self.n_items)
        columns = torch.from_numpy(known)
        matrix[columns.unsqueeze(1), columns] = inverse.to(matrix.dtype)
        self.keep(matrix=matrix)

    def score_users(self, users: Tensor) -> Tensor:
        """Return x_u B, `[len(users), n_items]`."""
        rows = self.profiles[users.cpu().numpy()]
        offsets, columns = (torch.from_numpy(part).to(users.device) for part in (rows.indptr, rows.indices))
        return bag(offsets, columns, self.matrix.new_ones(len(columns)), self.matrix)


def _gram(matrix: csr_matrix) -> Tensor:
    """Return X^T X, `[n, n]` float64, filled by blocks of rows."""
    n_items = matrix.shape[1]
    transposed, gram = csr_matrix(matrix.T), np.empty((n_items, n_items))
    size = max(1, BLOCK_CELLS // max(n_items, 1))
    for start in range(0, n_items, size):
        gram[start : start + size] = (transposed[start : start + size] @ matrix).toarray()
    return torch.from_numpy(gram)
