"""The content of a data source before any split, and the rules that every reader's result must keep. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError
from bench.core.types import Interactions, Modality

# A file may claim FREE_CLAIM users or items without any interaction, and CLAIM_PER_INTERACTION more for each.
FREE_CLAIM = 1_000_000
CLAIM_PER_INTERACTION = 100


@dataclass(frozen=True, eq=False)
class RawData:
    """The content of one source, as a reader returns it.

    Attributes:
        origin: one sentence on what this is and where it was read.
        parts: all interactions as `(all,)`, or `(train, valid, test)` if the publisher made parts.
        modalities: item content that the source has.
        missing: modalities that it could have but lacks, with the reason.
        notes: remarks for the report.
        user_ids: original id of each user, whole numbers or texts, `[n_users]`; None if it is the index.
        item_ids: likewise of each item, `[n_items]`.
        n_repeated: rows of the files that repeat an interaction of the same part.
        n_dropped: rows left out by the user's choice, such as those that are not positives.
        n_joined: lines that only continue a quoted field. Interactions, repeated rows, dropped rows and these
            lines add up to all lines of a text file below its header.
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
        """Return whether the source has the parts of the publisher."""
        return len(self.parts) == 3

    @property
    def whole(self) -> Interactions:
        """Return all interactions; shipped parts are merged."""
        return self.parts[0] if len(self.parts) == 1 else merged(self.parts)


def merged(parts: tuple[Interactions, ...]) -> Interactions:
    """Return the union of the parts; times are kept if every part has them."""
    times = [part.timestamps for part in parts if part.timestamps is not None]
    return Interactions.from_pairs(
        np.concatenate([part.users for part in parts]),
        np.concatenate([part.items for part in parts]),
        parts[0].n_users,
        parts[0].n_items,
        np.concatenate(times) if len(times) == len(parts) else None,
    )


def count_facts(raw: RawData) -> dict[str, int]:
    """Return the counts that a card's `expected` can pin, by the names of its fields."""
    facts = {"n_users": raw.parts[0].n_users, "n_items": raw.parts[0].n_items}
    facts["n_interactions"] = sum(len(part) for part in raw.parts)
    if raw.has_parts:
        facts |= dict(zip(("n_train", "n_valid", "n_test"), map(len, raw.parts), strict=True))
    return facts


def refuse_implausible_counts(where: Path, n_users: int, n_items: int, n_interactions: int) -> None:
    """Refuse counts of users and items that are implausible for the interactions, before allocating memory.

    Raises:
        DataError: far more users or items are claimed than there are interactions.
    """
    limit = FREE_CLAIM + CLAIM_PER_INTERACTION * n_interactions
    for kind, count in (("users", n_users), ("items", n_items)):
        if count > limit:
            raise DataError(
                f"{where} claims {count:,} {kind}, but holds {n_interactions:,} interactions; at most {limit:,} "
                f"{kind} are plausible. Number the {kind} from 0 without gaps."
            )


def check(raw: RawData) -> None:
    """Refuse data that breaks a rule for the results of readers.

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
        _require(ids is None or (len(ids) == count and _are_unique(ids)), "one original id for each user and item")
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
    _require(
        matrix.dtype == np.float32 and matrix.ndim == 2 and len(matrix) == n_items, "one float32 row per item"
    )
    _require(bool(np.isfinite(matrix).all()), "finite features")
    _require(np.array_equal(matrix.any(axis=1), modality.present), "zeros for items without the modality only")
    _require(bool(modality.present.any()), "a modality that some item has")


def _are_unique(ids: NDArray[np.generic]) -> bool:
    import pandas as pd

    return bool(pd.Index(ids).is_unique)


def _require(condition: bool, rule: str) -> None:
    if not condition:
        raise DataError(
            f"This data breaks a rule that every data set must keep: {rule}. It was not loaded; please report "
            "the files."
        )
