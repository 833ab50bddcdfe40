"""Sparse products, neighbour lists and item graphs against dense and loop-written versions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from models.layers.fusion import masked_softmax
from models.layers.graph import SparseRows, bipartite, propagate, read_out, spmm, spmm_rows
from models.layers.item_graphs import item_graph
from models.layers.neighbours import nearest

pytestmark = pytest.mark.usefixtures("float64")


def random_pairs(n_users: int, n_items: int, density: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    users, items = (torch.rand(n_users, n_items, generator=generator) < density).nonzero(as_tuple=True)
    return users, items


def dense_adjacency(users: torch.Tensor, items: torch.Tensor, n_users: int, n_items: int) -> np.ndarray:
    matrix = np.zeros((n_users + n_items, n_users + n_items))
    for user, item in zip(users.tolist(), items.tolist(), strict=True):
        matrix[user, n_users + item] = matrix[n_users + item, user] = 1
    return matrix


def normalised(matrix: np.ndarray, how: str) -> np.ndarray:
    result = np.zeros_like(matrix)
    if how == "rw_self":
        matrix = matrix + np.eye(len(matrix))
    degrees = matrix.sum(1)
    for row, column in zip(*matrix.nonzero(), strict=True):
        scale = np.sqrt(degrees[row] * degrees[column]) if how == "sym" else degrees[row]
        result[row, column] = matrix[row, column] / scale
    return result


@pytest.mark.parametrize("how", ["sym", "mean", "rw_self"])
def test_bipartite_normalisations_equal_their_dense_definition(how: Any) -> None:
    users, items = random_pairs(7, 9, 0.3)
    graph = bipartite(users, items, 7, 9, how)
    expected = torch.from_numpy(normalised(dense_adjacency(users, items, 7, 9), how))
    torch.testing.assert_close(graph.dense(), expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("how", ["sym", "mean", "rw_self"])
def test_product_and_gradient(how: Any) -> None:
    users, items = random_pairs(5, 6, 0.4, seed=1)
    graph = bipartite(users, items, 5, 6, how)
    dense = torch.randn(11, 3, requires_grad=True)
    torch.testing.assert_close(spmm(graph, dense), graph.dense() @ dense, rtol=1e-13, atol=1e-13)
    assert gradcheck(lambda x: spmm(graph, x), (dense,))


def test_rows_without_entries_give_zero_and_a_rectangular_matrix_works() -> None:
    matrix = SparseRows.from_entries(
        torch.tensor([2, 0, 2]), torch.tensor([3, 1, 0]), torch.tensor([1.0, 2.0, 3.0]), (4, 5)
    )
    expected = torch.zeros(4, 5)
    expected[2, 3], expected[0, 1], expected[2, 0] = 1, 2, 3
    assert torch.equal(matrix.dense(), expected)
    assert gradcheck(lambda x: spmm(matrix, x), (torch.randn(5, 2, requires_grad=True),))


def test_listed_rows_equal_the_rows_of_the_product_in_both_directions() -> None:
    users, items = random_pairs(6, 9, 0.4, seed=2)
    graph = bipartite(users, items, 6, 9, "mean")
    for index in (
        torch.tensor([3, 0, 3]),
        torch.tensor([5]),
        torch.tensor([], dtype=torch.int64),
        torch.arange(15),
    ):
        dense = torch.randn(15, 3, requires_grad=True)
        part, whole = spmm_rows(graph, index, dense), spmm(graph, dense)[index]
        torch.testing.assert_close(part, whole, rtol=1e-14, atol=1e-14)
        weights = torch.randn(len(index), 3)
        gradients = [torch.autograd.grad((result * weights).sum(), dense)[0] for result in (part, whole)]
        torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


def test_symmetric_normalisation_is_its_own_transpose() -> None:
    users, items = random_pairs(8, 6, 0.4)
    graph = bipartite(users, items, 8, 6, "sym")
    for forward, backward in (("offsets", "t_offsets"), ("columns", "t_columns"), ("values", "t_values")):
        assert torch.equal(getattr(graph, forward), getattr(graph, backward))


def test_matrix_follows_its_model_to_another_type_and_is_no_state() -> None:
    users, items = random_pairs(4, 4, 0.5)
    graph = bipartite(users, items, 4, 4, "sym")
    assert graph.float().values.dtype == torch.float32
    assert graph.columns.dtype == torch.int32
    assert not graph.state_dict()
    assert not list(graph.parameters())


@pytest.mark.parametrize("how", ["sum", "mean", "last"])
def test_read_out(how: Any) -> None:
    layers = propagate(bipartite(*random_pairs(4, 5, 0.5), 4, 5, "sym"), torch.randn(9, 2), 3)
    stacked = torch.stack(layers)
    expected = {"sum": stacked.sum(0), "mean": stacked.mean(0), "last": stacked[-1]}[how]
    torch.testing.assert_close(read_out(layers, how), expected)


def loop_neighbours(features: np.ndarray, present: np.ndarray, k: int, include_self: bool) -> list[list[int]]:
    lists = []
    for i in range(len(features)):
        if not present[i]:
            lists.append([])
            continue
        ranked = []
        for j in range(len(features)):
            if present[j] and (j != i):
                norms = max(np.linalg.norm(features[i]) * np.linalg.norm(features[j]), 1e-12)
                ranked.append((-round(float(features[i] @ features[j] / norms), 6), j))
        own = [i] if include_self else []
        lists.append((own + [j for _, j in sorted(ranked)])[:k])
    return lists


@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("block", [1, 7, 1000])
@pytest.mark.parametrize("k", [1, 3, 30, 80])
def test_neighbours_equal_a_loop_for_every_block_size(include_self: bool, block: int, k: int) -> None:
    rng = np.random.default_rng(k)
    features = rng.normal(size=(60, 4))
    features[10:35] = features[10]  # more exact duplicates than fit in the candidates' margin
    features[50] = 0
    present = rng.random(60) < 0.9
    present[0] = False
    found = nearest(torch.from_numpy(features), torch.from_numpy(present), k, include_self, block)
    lists = [[j for j in row if j >= 0] for row in found.items.tolist()]
    assert lists == loop_neighbours(features, present, k, include_self)


@pytest.mark.parametrize("block", [64, 128, 10**6])
def test_neighbours_of_many_items_equal_the_whole_table_sorted(block: int) -> None:
    """So many that candidates are found through maxima of groups, with duplicates among them."""
    rng = np.random.default_rng(8)
    features = rng.normal(size=(700, 6))
    features[rng.integers(0, 700, 300)] = features[rng.integers(0, 40, 300)]
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosines = np.round(unit @ unit.T, 6)
    np.fill_diagonal(cosines, -np.inf)
    expected = np.argsort(-cosines, axis=1, kind="stable")[:, :9]
    found = nearest(torch.from_numpy(features), torch.ones(700, dtype=torch.bool), 9, False, block)
    np.testing.assert_array_equal(found.items.numpy(), expected)
    exact = np.take_along_axis(unit @ unit.T, expected, axis=1)
    np.testing.assert_allclose(found.cosines.numpy(), exact, rtol=0, atol=1e-14)


def test_scaling_features_changes_no_list() -> None:
    features, present = torch.randn(40, 5), torch.ones(40, dtype=torch.bool)
    plain, scaled = (nearest(rows, present, 6, True).items for rows in (features, 37.0 * features))
    assert torch.equal(plain, scaled)


def test_float32_features_give_the_float64_lists_of_the_same_numbers() -> None:
    features = torch.randn(300, 16, dtype=torch.float32)
    present = torch.ones(300, dtype=torch.bool)
    single, double = (nearest(rows, present, 10, False).items for rows in (features, features.double()))
    assert torch.equal(single, double)


def test_no_table_of_all_pairs_is_made() -> None:
    """Memory stays at block x n and n x k, whatever the number of items."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        elements = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            for tensor in result if isinstance(result, (tuple, list)) else (result,):
                if isinstance(tensor, torch.Tensor):
                    self.elements = max(self.elements, tensor.numel())
            return result

    n_items = 2000
    features = torch.randn(n_items, 8)
    with Largest() as largest:
        lists = nearest(features, torch.ones(n_items, dtype=torch.bool), 5, True, block=50)
        item_graph(lists, "sym_weighted", "union")
    assert largest.elements <= 50 * n_items


@pytest.mark.parametrize("norm", ["rsqrt_row", "mean", "sym_binary", "sym_weighted"])
@pytest.mark.parametrize("symmetrize", ["none", "union", "mutual"])
@pytest.mark.parametrize("clip", [True, False])
def test_item_graph_equals_its_definition(norm: Any, symmetrize: Any, clip: bool) -> None:
    features = torch.randn(12, 3) + 0.5
    present = torch.ones(12, dtype=torch.bool)
    present[[0, 4]] = False
    lists = nearest(features, present, 5, True)
    similarity = np.zeros((12, 12))
    for i in range(12):
        for j, cosine in zip(lists.items[i].tolist(), lists.cosines[i].tolist(), strict=True):
            if j >= 0 and not (clip and cosine < 0):
                similarity[i, j] = cosine
    listed = similarity != 0
    if symmetrize == "union":
        similarity, listed = np.where(listed, similarity, similarity.T), listed | listed.T
    if symmetrize == "mutual":
        listed = listed & listed.T
        similarity = similarity * listed
    rows, columns, sums = listed.sum(1), np.maximum(listed.sum(0), 1), similarity.sum(1)
    expected = np.zeros((12, 12))
    for i, j in zip(*listed.nonzero(), strict=True):
        if norm == "sym_weighted":
            expected[i, j] = similarity[i, j] / np.sqrt(sums[i] * sums[j]) if sums[i] > 0 < sums[j] else 0
        else:
            expected[i, j] = {
                "rsqrt_row": rows[i] ** -0.5,
                "mean": 1 / rows[i],
                "sym_binary": (rows[i] * columns[j]) ** -0.5,
            }[norm]
    found = item_graph(lists, norm, symmetrize, clip).dense()
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=1e-12, atol=1e-12)


def test_softmax_ignores_what_is_absent_and_an_empty_row_is_zero() -> None:
    logits = torch.tensor([[1.0, 2.0, 500.0], [3.0, 4.0, 5.0]], requires_grad=True)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    weights = masked_softmax(logits, mask)
    expected = torch.softmax(torch.tensor([1.0, 2.0]), 0)
    torch.testing.assert_close(weights[0], torch.tensor([*expected.tolist(), 0.0]))
    assert torch.equal(weights[1], torch.zeros(3))
    weights.square().sum().backward()
    assert torch.isfinite(logits.grad).all()
