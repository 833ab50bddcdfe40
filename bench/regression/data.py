"""Layer 4. The data of the suite: generated, with items that training never sees and items without content.

It depends on nothing that a call can choose, so that its hash is part of a baseline. Reads its card only.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from bench import cards
from bench.digest import hash_array, hash_value
from bench.sources.load import load_from_card
from bench.types import BenchmarkData, BoolArray, DataRequest, Modality

NAME = "smoke"
SEED = 2023
SPEED_SCALE = 3.0
COLD_EVERY = 15  # items without training interactions; the generator leaves next to none
ABSENT_EVERY = 8  # items without the last modality


def suite_data(scale: float = 1.0) -> BenchmarkData:
    """The data set of the metrics, or at another scale that of the speed."""
    card = cards.load(NAME, Path(__file__).parent)
    data = load_from_card(card, DataRequest(source="surrogate", scale=scale, base_seed=SEED))
    train = data.split.train
    split = replace(data.split, train=train.take(train.items % COLD_EVERY != 0))
    *others, last = data.modalities
    parts = (split.train, split.valid, split.test)
    return replace(
        data,
        split=split,
        modalities=(*others, _thinned(last)),
        data_hash=hash_value([data.data_hash, COLD_EVERY, ABSENT_EVERY]),
        split_hash=hash_value([split.name, *(hash_array(part.keys) for part in parts)]),
    )


def cold_items(data: BenchmarkData) -> BoolArray:
    """Which items no training interaction has, `[n_items]`."""
    cold: BoolArray = np.bincount(data.split.train.items, minlength=data.n_items) == 0
    return cold


def _thinned(modality: Modality) -> Modality:
    """A modality that some items lack."""
    present = modality.present & (np.arange(len(modality.present)) % ABSENT_EVERY != 0)
    fingerprint = hash_value([modality.fingerprint, ABSENT_EVERY])
    return replace(modality, matrix=modality.matrix * present[:, None], present=present, fingerprint=fingerprint)
