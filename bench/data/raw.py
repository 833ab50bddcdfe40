"""What a reader hands over: interactions, modalities and remarks, before any split. Pure.

What holds of every data set that a reader hands over, whatever the files were. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError
from bench.core.types import Interactions, Modality

FREE_CLAIM = 1_000_000  # users or items that a file may claim without a single interaction
CLAIM_PER_INTERACTION = 100


@dataclass(frozen=True, eq=False)
class RawData:
    """The content of one source.

    Attributes:
        origin: one sentence on what this is and where it was read.
        parts: whole interactions as `(all,)`, or `(train, valid, test)` where the publisher made parts.
        modalities: item content that the source has.
        missing: modalities that it could have and has not, with the reason.
        notes: remarks for the report.
        user_ids: the files' own id of each user, whole numbers or texts, `[n_users]`; None where it is the index.
        item_ids: likewise of each item, `[n_items]`.
        n_repeated: rows of the files that repeat an interaction of the same part.
        n_dropped: rows that are no positives by the user's choice.
        n_joined: lines that only continue a field in quotes. With the interactions, the repeated rows and those
            that were dropped they are all lines of a text file below its header.
    """

    origin: str
    parts: tuple[Interactions, ...]
    modalities: tuple[Modality, ...]
    missing: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    user_ids: NDArray[Any] | None = None
    item_ids: NDArray[Any] | None = None
    n_repeated: int = 0
    n_dropped: int = 0
    n_joined: int = 0

    @property
    def has_parts(self) -> bool:
        """Whether the publisher's own parts are there."""
        return len(self.parts) == 3

    @property
    def whole(self) -> Interactions:
        """All interactions; shipped parts are merged."""
        return self.parts[0] if len(self.parts) == 1 else merged(self.parts)


def merged(parts: tuple[Interactions, ...]) -> Interactions:
    """The union of parts; times are kept where every part has them."""
    times = [part.timestamps for part in parts if part.timestamps is not None]
    return Interactions.from_pairs(
        np.concatenate([part.users for part in parts]),
        np.concatenate([part.items for part in parts]),
        parts[0].n_users,
        parts[0].n_items,
        np.concatenate(times) if len(times) == len(parts) else None,
    )


def count_facts(raw: RawData) -> dict[str, int]:
    """What can be compared with a card's `expected`, by the names of its fields."""
    facts = {"n_users": raw.parts[0].n_users, "n_items": raw.parts[0].n_items}
    facts["n_interactions"] = sum(len(part) for part in raw.parts)
    if raw.has_parts:
        facts |= dict(zip(("n_train", "n_valid", "n_test"), map(len, raw.parts), strict=True))
    return facts


def refuse_claims(where: Path, n_users: int, n_items: int, n_interactions: int) -> None:
    """Refuse counts that a file claims, and that its interactions cannot be meant for, before memory is taken.

    Raises:
        DataError: far more users or items are claimed than there are interactions.
    """
    limit = FREE_CLAIM + CLAIM_PER_INTERACTION * n_interactions
    for kind, count in (("users", n_users), ("items", n_items)):
        if count > limit:
            raise DataError(
                f"{where} claims {count:,} {kind}, but holds {n_interactions:,} interactions; more than {limit:,} "
                f"{kind} are not believed. Number the {kind} from 0 without gaps."
            )


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
