"""Read JSON objects without losing a value: a key that is given twice is an error. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class RepeatedKeyError(ValueError):
    """An object gives a key twice; `json` alone would keep the last value without a word."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"the key '{key[:60]}' is given twice")


def without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of the given pairs, as `object_pairs_hook` of `json.loads`.

    Raises:
        RepeatedKeyError: a key is given twice.
    """
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise RepeatedKeyError(next(key for key in content if keys.count(key) > 1))
    return content
