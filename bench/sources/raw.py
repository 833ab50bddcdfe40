"""Layer 3. What a reader hands over: interactions, modalities and remarks, before any split. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError
from bench.types import Interactions, Modality

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
