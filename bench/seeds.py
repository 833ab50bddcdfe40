"""Layer 1. Seeds from coordinates: pure hashing.

A seed depends on what it is for and on nothing else, so that adding a model, leaving out a data set or
reordering a loop changes nobody's numbers.
"""

from __future__ import annotations

import hashlib


def derive_seed(base: int, *coordinates: str | int) -> int:
    """A non-negative 63-bit seed for one purpose.

    Args:
        base: the user's root seed.
        coordinates: for example data set, model, repetition, purpose; their order matters.
    """
    text = "\x1f".join(str(part) for part in (base, *coordinates))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
