"""Graphs over more nodes than 46,340, the pairs of which no longer fit 32 bits; with few entries, to be fast."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import Tensor

from models.layers.edges import Edges, weighted_spmm
from models.layers.graph import SparseRows, bipartite, spmm, stacked
from models.layers.item_graphs import ItemGraph, item_graph, merged
from models.layers.neighbours import Neighbours

N = 50_000
N_ENTRIES = 3000
Entries = tuple[Tensor, Tensor, Tensor]


def entries(seed: int) -> Entries:
    """Distinct entries of an `[N, N]` matrix, in no order."""
    rng = np.random.default_rng(seed)
    keys = rng.permutation(np.unique(rng.integers(0, N * N, N_ENTRIES)))
    return torch.from_numpy(keys // N), torch.from_numpy(keys % N), torch.from_numpy(rng.random(len(keys)))


def plain(some: Entries) -> sparse.csr_matrix:
    rows, columns, values = (part.numpy() for part in some)
    return sparse.coo_matrix((values, (rows, columns)), shape=(N, N)).tocsr()


def at(matrix: sparse.csr_matrix, edges: Edges) -> Tensor:
    """The matrix's entries on the edges, `[n_edges]`."""
    ends = (part.numpy().astype(np.int64) for part in (edges.rows, edges.columns))
    return torch.from_numpy(np.asarray(matrix[tuple(ends)]).ravel())


def assert_same_product(graph: SparseRows, expected: sparse.spmatrix) -> None:
    """Equal products with one table, and equal gradients to it."""
    dense = torch.randn(expected.shape[1], 2, dtype=torch.float64, requires_grad=True)
    upper = torch.randn(expected.shape[0], 2, dtype=torch.float64)
    product = spmm(graph, dense)
    torch.testing.assert_close(product, torch.from_numpy(expected @ dense.detach().numpy()))
    (gradient,) = torch.autograd.grad(product, dense, upper)
    torch.testing.assert_close(gradient, torch.from_numpy(expected.T @ upper.numpy()))


def test_compressed_rows() -> None:
    some = entries(0)
    assert_same_product(SparseRows.from_entries(*some, (N, N)), plain(some))


@pytest.mark.parametrize("diagonal", [False, True])
def test_stacked_graphs(diagonal: bool) -> None:
    several = [entries(seed) for seed in (0, 1, 2)]
    graph = stacked([SparseRows.from_entries(*some, (N, N)) for some in several], diagonal=diagonal)
    parts = [plain(some) for some in several]
    assert_same_product(graph, sparse.block_diag(parts).tocsr() if diagonal else sparse.vstack(parts).tocsr())


def test_merged_item_graphs() -> None:
    initial, learned = entries(0), entries(1)
    pairs = Edges.from_pairs(*learned[:2], (N, N))
    weights = torch.tensor([0.7], dtype=torch.float64)
    graph = merged(
        ItemGraph([pairs], [at(plain(learned), pairs)], weights), [SparseRows.from_entries(*initial, (N, N))]
    )
    assert_same_product(graph, (plain(learned) + 0.7 * plain(initial)).tocsr())


def test_edges_with_trained_weights() -> None:
    matrix = plain(entries(0))
    forward = Edges.from_pairs(*entries(0)[:2], (N, N))
    dense = torch.randn(N, 2, dtype=torch.float64)
    for edges, one in ((forward, matrix), (forward.transposed(), matrix.T.tocsr())):
        product = weighted_spmm(edges, at(one, edges), dense)
        torch.testing.assert_close(product, torch.from_numpy(one @ dense.numpy()))


def test_bipartite_graph(float64: None) -> None:
    users, items, _ = entries(0)
    binary = plain((users, items, torch.ones(len(users))))
    joint = sparse.bmat([[None, binary], [binary.T, None]]).tocsr()
    degrees = np.maximum(np.asarray(joint.sum(1)).ravel(), 1)
    scale = sparse.diags(degrees**-0.5)
    assert_same_product(bipartite(users, items, N, N, "sym"), scale @ joint @ scale)


@pytest.mark.parametrize("symmetrize", ["none", "union"])
def test_item_graph(float64: None, symmetrize: str) -> None:
    rng = np.random.default_rng(0)
    listed = torch.full((N, 2), -1, dtype=torch.int64)
    chosen = torch.from_numpy(rng.permutation(N)[:1000])
    listed[chosen, 0], listed[chosen, 1] = (chosen + 7) % N, (chosen + 20_000) % N
    binary = plain((chosen.repeat(2), listed[chosen].T.flatten(), torch.ones(2000)))
    binary = ((binary + binary.T) > 0).astype(float) if symmetrize == "union" else binary
    lengths = np.maximum(np.asarray(binary.sum(1)).ravel(), 1)
    graph = item_graph(Neighbours(listed, torch.ones(N, 2, dtype=torch.float64)), "mean", symmetrize)  # type: ignore[arg-type]
    assert_same_product(graph, sparse.diags(1 / lengths) @ binary)
