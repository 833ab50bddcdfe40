"""Means over neighbours that are shared by nodes with the same neighbours, against dense matrices."""

from __future__ import annotations

import pytest
import torch

from models.layers.graph import Means

pytestmark = pytest.mark.usefixtures("float64")

# receivers 0 and 3 have the same neighbours, 2 and 5 none; 4 has those of 0 and one more
SHARED = [(0, 1), (0, 2), (1, 2), (3, 1), (3, 2), (4, 1), (4, 2), (4, 3)]
OWN = [(0, 0), (1, 1), (2, 0), (2, 1), (3, 3), (4, 0), (4, 3), (5, 2)]
N_RECEIVERS, N_SENDERS = 6, 4


def means_of(pairs: list[tuple[int, int]]) -> tuple[Means, torch.Tensor]:
    """The means in a mixed order of pairs, and the matrix that they stand for."""
    receivers, senders = torch.tensor(pairs[::-1]).T
    matrix = torch.zeros(N_RECEIVERS, N_SENDERS)
    matrix[receivers, senders] = 1.0
    return Means(receivers, senders, N_RECEIVERS, N_SENDERS), matrix / matrix.sum(1, keepdim=True).clamp_min(1)


@pytest.mark.parametrize(("pairs", "n_distinct"), [(SHARED, 4), (OWN, 6)], ids=["shared", "own"])
def test_equal_a_dense_product(pairs: list[tuple[int, int]], n_distinct: int) -> None:
    means, matrix = means_of(pairs)
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(N_SENDERS, 3, generator=generator, requires_grad=True)
    distinct = means(rows)
    assert len(distinct) == n_distinct
    torch.testing.assert_close(means.spread(distinct), matrix @ rows, rtol=1e-12, atol=1e-12)
    receivers = torch.tensor([3, 0, 5, 4, 3])
    torch.testing.assert_close(means.rows(distinct, receivers), (matrix @ rows)[receivers], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("pairs", [SHARED, OWN], ids=["shared", "own"])
def test_gradients(pairs: list[tuple[int, int]]) -> None:
    means, _ = means_of(pairs)
    rows = torch.randn(N_SENDERS, 2, generator=torch.Generator().manual_seed(1), requires_grad=True)
    receivers = torch.tensor([3, 0, 5, 3])
    assert torch.autograd.gradcheck(lambda x: means.spread(means(x)), (rows,))
    assert torch.autograd.gradcheck(lambda x: means.rows(means(x), receivers), (rows,))


def test_only_what_is_equal_is_shared() -> None:
    assert means_of(OWN)[0].shared is None
    shared = means_of(SHARED)[0].shared
    assert shared is not None
    which = shared.columns.tolist()
    assert which[0] == which[3]
    assert which[2] == which[5]
    assert len(set(which)) == 4
