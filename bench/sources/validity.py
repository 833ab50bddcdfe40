"""Layer 3. What holds of every data set that a reader hands over, whatever the files were. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError
from bench.sources.raw import RawData
from bench.types import Interactions, Modality


def check(raw: RawData) -> None:
    """Refuse what no reader may hand over.

    Raises:
        DataError: ids, times, features or original ids break a rule; the message says which.
    """
    n_users, n_items = raw.parts[0].n_users, raw.parts[0].n_items
    _require(len(raw.parts) in (1, 3), "one whole table or three parts")
    _require(n_users > 0 and n_items > 0, "at least one user and one item")
    for part in raw.parts:
        _require((part.n_users, part.n_items) == (n_users, n_items), "the same users and items in every part")
        _check_part(part)
    _require(len({part.timestamps is None for part in raw.parts}) == 1, "times in all parts or in none")
    for ids, count in ((raw.user_ids, n_users), (raw.item_ids, n_items)):
        _require(ids is None or (len(ids) == count and _distinct(ids)), "one original id for each user and item")
    names = [modality.name for modality in raw.modalities]
    _require(len(set(names)) == len(names), "every modality once")
    for modality in raw.modalities:
        _check_modality(modality, n_items)


def _check_part(part: Interactions) -> None:
    ids = (part.users, part.n_users), (part.items, part.n_items)
    _require(all(not len(each) or (each.min() >= 0 and each.max() < count) for each, count in ids), "ids in range")
    _require(bool((np.diff(part.keys) > 0).all()), "interactions in order, each once")
    times = part.timestamps
    _require(times is None or (len(times) == len(part) and bool(np.isfinite(times).all())), "finite times")


def _check_modality(modality: Modality, n_items: int) -> None:
    matrix = modality.matrix
    _require(matrix.dtype == np.float32 and matrix.ndim == 2 and len(matrix) == n_items, "a float32 row an item")
    _require(bool(np.isfinite(matrix).all()), "finite features")
    _require(np.array_equal(matrix.any(axis=1), modality.present), "zeros for items without the modality only")
    _require(bool(modality.present.any()), "a modality that some item has")


def _distinct(ids: NDArray[np.generic]) -> bool:
    import pandas as pd

    return bool(pd.Index(ids).is_unique)


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise DataError(
            f"This data breaks a rule of every data set here: {what}. It was not taken; report the files."
        )
