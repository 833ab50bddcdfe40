"""Content ablation: replace item content by uninformative content, to see what a model gains from it. Pure.

- `shuffled` gives every item the content of another one, all modalities of one item together. The rows and their
  similarities stay the same, but belong to the wrong items.
- `noise` draws rows with the mean and deviation of each column.
- `constant` is the mean row for all items.

`noise` and `constant` leave unchanged which items have a modality.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bench.core.hashing import derive_seed, hash_array
from bench.core.types import BenchmarkData, Features, IntArray, Modality


def with_features(data: BenchmarkData, kind: Features, base_seed: int, repetition: int) -> BenchmarkData:
    """Return the data with other item content; unchanged if `kind` is "given".

    Args:
        data: the data.
        kind: the content, see the top of this file.
        base_seed: root of all seeds.
        repetition: each repetition draws its own content, the same for all models.
    """
    if kind == "given":
        return data
    generator = np.random.default_rng(derive_seed(base_seed, data.name, repetition, "features", kind))
    order = generator.permutation(data.n_items)
    return replace(data, modalities=tuple(_ablated(each, kind, order, generator) for each in data.modalities))


def _ablated(modality: Modality, kind: Features, order: IntArray, generator: np.random.Generator) -> Modality:
    present = modality.present
    if kind == "shuffled":
        matrix, present = modality.matrix[order], present[order]
    else:
        rows = modality.matrix[present].astype(np.float64)
        deviation = rows.std(axis=0) if kind == "noise" else np.zeros(modality.dim)
        matrix = np.zeros_like(modality.matrix)
        matrix[present] = rows.mean(axis=0) + deviation * generator.standard_normal(rows.shape)
    return Modality(modality.name, matrix, present, hash_array(matrix), f"{modality.origin}; {kind}")
