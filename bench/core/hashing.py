"""Content hashes of arrays and of plain values. Pure.

Seeds from coordinates: pure hashing.

A seed depends on what it is for and on nothing else, so that adding a model, leaving out a data set or
reordering a loop changes nobody's numbers.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHORT = 16


def hash_array(array: NDArray[Any]) -> str:
    """Hexadecimal sha256 of an array's type, shape and content, shortened to 16 digits."""
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:SHORT]


def hash_value(value: Any) -> str:
    """Hash of a JSON-like value; equal values hash equal whatever the order of their keys."""
    return hash_in_full(value)[:SHORT]


def hash_in_full(value: Any) -> str:
    """The same with all 64 digits.

    Raises:
        ValueError: the value holds a number that JSON has no form for.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_bytes(content: bytes) -> str:
    """Hash the content of a file with sha256, 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def derive_seed(base: int, *coordinates: str | int) -> int:
    """A non-negative 63-bit seed for one purpose.

    Args:
        base: the user's root seed.
        coordinates: for example data set, model, repetition, purpose; their order matters.
    """
    text = "\x1f".join(str(part) for part in (base, *coordinates))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
