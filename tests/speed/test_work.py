"""Operations and bytes of a step are counted as they are by hand."""

from __future__ import annotations

import torch

from models.layers.dense import linear, matrix, product
from models.layers.edges import Edges, sddmm, weighted_spmm
from speed.cases_work import Work

EDGES = Edges.from_pairs(torch.tensor([0, 0, 2]), torch.tensor([0, 1, 1]), (3, 2))


def test_products_count_two_operations_for_each_multiplication() -> None:
    rows, weight = torch.rand(5, 4), torch.rand(4, 3)
    with Work() as counted:
        torch.mm(rows, weight)
        torch.addmm(torch.rand(3), rows, weight)
    assert counted.operations == 2 * (2 * 5 * 4 * 3)


def test_the_models_own_products_are_counted_with_their_gradient() -> None:
    rows, weight = torch.rand(6000, 64, requires_grad=True), matrix(32, 64)
    forward = 2 * 6000 * 64 * 32
    for multiply in (linear, lambda table, by: product(table, by.detach())):
        with Work() as counted:
            found = multiply(rows, weight)
        assert counted.operations == forward
    with Work() as counted:
        linear(rows, weight).sum().backward()
    assert counted.operations == 3 * forward  # and one product for each gradient
    assert found.shape == (6000, 32)


def test_sums_read_a_row_for_each_edge_and_dots_two() -> None:
    users, items = torch.rand(3, 8), torch.rand(2, 8)
    with Work() as counted:
        weighted_spmm(EDGES, torch.ones(3), items)
    assert (counted.summed, counted.dotted) == (3 * 8 * 4, 0)
    with Work() as counted:
        sddmm(EDGES, users, items)
    assert (counted.summed, counted.dotted) == (0, 2 * 3 * 8 * 4)
