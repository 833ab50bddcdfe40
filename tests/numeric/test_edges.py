"""Kernels over edges against dense matrices and finite differences."""

from __future__ import annotations

import math

import dense
import pytest
import torch
from torch import Tensor

from models.layers.edges import EdgeGraph, Edges, column_major, edge_softmax, sddmm, spread, weighted_spmm
from models.layers.rows import unit_rows

pytestmark = pytest.mark.usefixtures("float64")

# row 1 and column 0 are empty, row 3 has one edge, column 4 has one edge
PAIRS = [(0, 1), (0, 3), (2, 1), (2, 2), (2, 3), (2, 5), (3, 2), (4, 4), (4, 5), (4, 1)]
SHAPE = (5, 6)


def edges_of(pairs: list[tuple[int, int]], shape: tuple[int, int] = SHAPE) -> Edges:
    rows, columns = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T
    return Edges.from_pairs(rows, columns, shape)


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()


def at(pairs: list[tuple[int, int]], matrix: Tensor) -> Tensor:
    return torch.stack([matrix[row, column] for row, column in pairs])


def matrix_of(pairs: list[tuple[int, int]], values: Tensor) -> Tensor:
    dense = torch.zeros(SHAPE)
    for (row, column), value in zip(pairs, values, strict=True):
        dense[row, column] = value
    return dense


ROW_MAJOR = sorted(PAIRS)
COLUMN_MAJOR = sorted(PAIRS, key=lambda pair: (pair[1], pair[0]))
VALUES = draw(len(PAIRS), seed=7).detach()


def equal(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


def test_orders() -> None:
    edges = edges_of(PAIRS)
    assert list(zip(edges.rows.tolist(), edges.columns.tolist(), strict=True)) == ROW_MAJOR
    assert list(zip(edges.t_columns.tolist(), edges.t_rows.tolist(), strict=True)) == COLUMN_MAJOR
    assert edges.offsets.tolist() == [0, 2, 2, 6, 7, 10]
    assert edges.t_offsets.tolist() == [0, 0, 3, 5, 7, 8, 10]
    assert edges.shape == SHAPE
    back = edges.transposed()
    assert back.shape == SHAPE[::-1]
    assert all(torch.equal(one, other) for one, other in zip(back.transposed(), edges, strict=True))


def test_column_major_is_a_permutation_there_and_back() -> None:
    edges = edges_of(PAIRS)
    by_column = column_major(edges, VALUES)
    expected = dict(zip(ROW_MAJOR, VALUES.tolist(), strict=True))
    assert by_column.tolist() == [expected[pair] for pair in COLUMN_MAJOR]
    assert torch.equal(column_major(edges.transposed(), by_column), VALUES)


def test_weighted_spmm_in_both_directions() -> None:
    edges = edges_of(PAIRS)
    dense = matrix_of(ROW_MAJOR, VALUES)
    right, left = draw(6, 3).detach(), draw(5, 3).detach()
    equal(weighted_spmm(edges, VALUES, right), dense @ right)
    equal(weighted_spmm(edges.transposed(), column_major(edges, VALUES), left), dense.T @ left)


def test_sddmm() -> None:
    left, right = draw(5, 3).detach(), draw(6, 3, seed=1).detach()
    equal(sddmm(edges_of(PAIRS), left, right), at(ROW_MAJOR, left @ right.T))
    swapped = sddmm(edges_of(PAIRS).transposed(), right, left)
    equal(swapped, at(COLUMN_MAJOR, left @ right.T))


def test_edge_softmax_sums_to_one_and_ignores_empty_rows() -> None:
    edges = edges_of(PAIRS)
    weights = edge_softmax(edges, VALUES)
    dense = matrix_of(ROW_MAJOR, VALUES).masked_fill(matrix_of(ROW_MAJOR, torch.ones(10)) == 0, -torch.inf)
    filled = [0, 2, 3, 4]
    equal(matrix_of(ROW_MAJOR, weights)[filled], torch.softmax(dense[filled], dim=1))
    assert weights[ROW_MAJOR.index((3, 2))] == 1.0
    by_item = edge_softmax(edges.transposed(), column_major(edges, VALUES))
    equal(by_item[:3], torch.softmax(at([(0, 1), (2, 1), (4, 1)], dense), dim=0))


def test_edge_softmax_survives_large_logits() -> None:
    weights = edge_softmax(edges_of([(0, 0), (0, 1)], (1, 2)), torch.tensor([1000.0, 1001.0]))
    equal(weights, torch.tensor([1 / (1 + math.e), math.e / (1 + math.e)]))


def test_edge_softmax_among_kept_edges_only() -> None:
    edges = edges_of(PAIRS)
    keep = torch.tensor([pair not in [(0, 1), (3, 2), (2, 5)] for pair in ROW_MAJOR])
    logits = VALUES.clone()
    logits[~keep] = 1e6  # must not drown the kept ones
    weights = edge_softmax(edges, logits, keep)
    assert not weights[~keep].any()
    assert weights[ROW_MAJOR.index((0, 3))] == 1.0
    own = [ROW_MAJOR.index((2, column)) for column in (1, 2, 3)]
    equal(weights[own], torch.softmax(VALUES[own], dim=0))


def test_spread() -> None:
    per_row = torch.tensor([[1.0, 10], [2, 20], [3, 30], [4, 40], [5, 50]])
    assert spread(edges_of(PAIRS), per_row)[:, 0].tolist() == [row + 1.0 for row, _ in ROW_MAJOR]
    assert spread(edges_of(PAIRS), per_row)[:, 1].tolist() == [10.0 * (row + 1) for row, _ in ROW_MAJOR]


@pytest.mark.parametrize("flip", [False, True])
def test_gradients(flip: bool) -> None:
    edges = edges_of(PAIRS).transposed() if flip else edges_of(PAIRS)
    rows, columns = edges.shape
    keep = torch.arange(len(PAIRS)) % 3 > 0
    check = torch.autograd.gradcheck
    assert check(lambda v, x: weighted_spmm(edges, v, x), (draw(10), draw(columns, 2)))
    assert check(lambda x, y: sddmm(edges, x, y), (draw(rows, 2), draw(columns, 2, seed=1)))
    assert check(lambda s: edge_softmax(edges, s), (draw(10),))
    assert check(lambda s: edge_softmax(edges, s, keep), (draw(10),))
    assert check(lambda v: column_major(edges, v), (draw(10),))
    assert check(lambda x: spread(edges, x), (draw(rows, 2),))
    assert check(unit_rows, (draw(4, 3),))


def test_one_operand_on_both_sides_of_a_dot() -> None:
    edges = edges_of([(0, 0), (0, 1), (1, 2), (2, 0)], (3, 3))
    assert torch.autograd.gradcheck(lambda x: sddmm(edges, x, x), (draw(3, 2),))


def test_no_edges_at_all() -> None:
    edges = edges_of([])
    nothing = torch.zeros(0, requires_grad=True)
    right, left = draw(6, 3), draw(5, 3)
    assert not weighted_spmm(edges, nothing, right).any()
    assert sddmm(edges, left, right).shape == (0,)
    assert edge_softmax(edges, nothing).shape == (0,)
    (weighted_spmm(edges, nothing, right).sum() + sddmm(edges, left, right).sum()).backward()
    assert right.grad is not None
    assert not right.grad.any()


def test_unit_rows_gives_a_zero_row_no_gradient() -> None:
    table = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    rows = unit_rows(table)
    equal(rows.detach(), torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
    rows[:, 0].sum().backward()
    assert table.grad is not None
    torch.testing.assert_close(table.grad, torch.tensor([[0.128, -0.096], [0.0, 0.0]]))


def test_no_tensor_has_a_row_an_edge() -> None:
    rows, columns = torch.meshgrid(torch.arange(40), torch.arange(50), indexing="ij")
    edges = Edges.from_pairs(rows.flatten(), columns.flatten(), (40, 50))
    left, right = draw(40, 8), draw(50, 8)
    with dense.Largest() as spy:
        weights = edge_softmax(edges, sddmm(edges, left, right))
        weighted_spmm(edges, weights, right).sum().backward()
    assert 2000 <= spy.entries < 2000 * 8


def test_graph_module_keeps_its_edges_out_of_the_state() -> None:
    graph = EdgeGraph(edges_of(PAIRS))
    assert not graph.state_dict()
    assert torch.equal(graph.to(torch.float32).edges.columns, edges_of(PAIRS).columns)
