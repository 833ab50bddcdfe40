"""Layer 3. What a reader hands over: interactions, modalities and remarks, before any split. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from bench.cards import Counts
from bench.errors import DataError
from bench.types import Interactions, Modality


@dataclass(frozen=True, eq=False)
class RawData:
    """The content of one source.

    Attributes:
        origin: one sentence on what this is and where it was read.
        parts: whole interactions as `(all,)`, or `(train, valid, test)` where the publisher made parts.
        modalities: item content that the source has.
        missing: modalities that it could have and has not, with the reason.
        notes: remarks for the report.
    """

    origin: str
    parts: tuple[Interactions, ...]
    modalities: tuple[Modality, ...]
    missing: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

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


def check_counts(expected: Counts, raw: RawData, where: str) -> None:
    """Compare the data with the card's golden facts.

    Raises:
        DataError: a count differs.
    """
    found = {"n_users": raw.parts[0].n_users, "n_items": raw.parts[0].n_items}
    found["n_interactions"] = sum(len(part) for part in raw.parts)
    if raw.has_parts:
        found |= dict(zip(("n_train", "n_valid", "n_test"), map(len, raw.parts), strict=True))
    for name, count in expected.model_dump(exclude_none=True).items():
        if found.get(name, count) != count:
            raise DataError(
                f"{where} holds {name} = {found[name]:,}, but the data card expects {count:,}. This is another "
                "version of the data; get the one that the card names, or write a card of its own for it."
            )
