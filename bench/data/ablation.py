"""Item content that says nothing about the items, to see what a model gains from content. Pure.

`shuffled` gives every item the content of another one, all modalities of one item together: the same rows and the
same similarities, about the wrong items. `noise` draws rows with each column's mean and deviation. `constant` is
the mean row for all items. Under the last two, the items that have a modality stay the same.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench.core.hashing import derive_seed, hash_array
from bench.core.types import BenchmarkData, BoolArray, Features, FloatArray, IntArray, Modality


def with_features(data: BenchmarkData, kind: Features, base_seed: int, repetition: int) -> BenchmarkData:
    """The data with other content in place of its own; the same where `kind` is "given".

    Args:
        data: the data.
        kind: see above.
        base_seed: root of all seeds.
        repetition: each has content of its own, the same for all models.
    """
    if kind == "given":
        return data
    generator = np.random.default_rng(derive_seed(base_seed, data.name, repetition, "features", kind))
    order = generator.permutation(data.n_items)
    return replace(data, modalities=tuple(_changed(each, kind, order, generator) for each in data.modalities))


def _changed(modality: Modality, kind: Features, order: IntArray, generator: np.random.Generator) -> Modality:
    matrix, present = modality.matrix, modality.present
    if kind == "shuffled":
        matrix, present = matrix[order], present[order]
    else:
        rows = matrix[present].astype(np.float64)
        deviation = rows.std(axis=0) if kind == "noise" else np.zeros(modality.dim)
        matrix = _filled(rows.mean(axis=0) + deviation * generator.standard_normal(rows.shape), matrix, present)
    origin = f"{modality.origin}; {kind}"
    return Modality(modality.name, matrix, present, hash_array(matrix), origin)


def _filled(rows: NDArray[np.float64], like: FloatArray, present: BoolArray) -> FloatArray:
    matrix = np.zeros_like(like)
    matrix[present] = rows
    return matrix
