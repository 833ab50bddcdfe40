"""Synthetic data of a given size: popular and unpopular items, clustered features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.core.types import BenchmarkData, FloatArray, Interactions, Modality, Split

N_CLUSTERS = 500
CHUNK_ROWS = 4096
POPULARITY = 0.8  # exponent of the items' popularity over their rank


@dataclass(frozen=True)
class Size:
    """How large a data set is.

    Attributes:
        n_users, n_items, n_interactions: counts.
        dims: feature columns of each modality.
        n_evaluated: users with a held-out item.
    """

    n_users: int
    n_items: int
    n_interactions: int
    dims: tuple[int, ...]
    n_evaluated: int

    def times(self, share: float, dims: tuple[int, ...]) -> Size:
        """Users, items and interactions in proportion, with other features."""
        counts = (self.n_users, self.n_items, self.n_interactions)
        n_users, n_items, n_interactions = (round(share * count) for count in counts)
        return Size(n_users, n_items, n_interactions, dims, min(self.n_evaluated, n_users))


def synthetic(size: Size, seed: int = 0) -> BenchmarkData:
    """Data of that size; every evaluated user has one validation item, nobody a test item."""
    rng = np.random.default_rng(seed)
    known = _interactions(size, rng)
    users = np.unique(known.users)
    users = np.sort(rng.choice(users, min(size.n_evaluated, len(users)), replace=False))
    held = np.zeros(len(known), dtype=bool)
    held[known.offsets[users]] = True
    nothing = known.take(np.zeros(len(known), dtype=bool))
    split = Split("random", known.take(~held), known.take(held), nothing)
    modalities = tuple(_modality(size.n_items, dim, rng) for dim in size.dims)
    return BenchmarkData("synthetic", "surrogate", "made to measure memory and time", split, modalities, "", "")


def _interactions(size: Size, rng: np.random.Generator) -> Interactions:
    weights = (np.arange(size.n_items) + 10.0) ** -POPULARITY
    weights = rng.permutation(weights / weights.sum())
    drawn = round(1.2 * size.n_interactions)  # some pairs come twice
    users = rng.integers(0, size.n_users, drawn)
    pairs = Interactions.from_pairs(users, rng.choice(size.n_items, drawn, p=weights), size.n_users, size.n_items)
    if len(pairs) < size.n_interactions:
        raise ValueError(f"only {len(pairs):,} distinct pairs were drawn, {size.n_interactions:,} are wanted")
    return pairs.take(rng.permutation(len(pairs))[: size.n_interactions])


def _modality(n_items: int, dim: int, rng: np.random.Generator) -> Modality:
    """Cluster centres plus noise of the same size, made some rows at a time to hold nothing twice."""
    centres = rng.standard_normal((N_CLUSTERS, dim), dtype=np.float32)
    matrix: FloatArray = np.empty((n_items, dim), dtype=np.float32)
    for start in range(0, n_items, CHUNK_ROWS):
        rows = matrix[start : start + CHUNK_ROWS]
        rng.standard_normal(out=rows, dtype=np.float32)
        rows += centres[rng.integers(0, N_CLUSTERS, len(rows))]
    present = np.ones(n_items, dtype=bool)
    return Modality(f"content-{dim}", matrix, present, f"content-{dim}", "synthetic")
