"""Content hashes of arrays, files and plain values, and seeds derived by hashing. Pure.

A seed depends on its purpose only. Adding a model, leaving out a data set or reordering a loop therefore does not
change the numbers of other runs.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHORT = 16  # hexadecimal digits


def hash_array(array: NDArray[Any]) -> str:
    """Hash an array's type, shape and content with sha256, shortened to 16 hexadecimal digits."""
    import numpy as np  # heavy

    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:SHORT]


def hash_value(value: Any) -> str:
    """Hash a JSON-like value, 16 hexadecimal digits; the order of keys does not matter."""
    return hash_in_full(value)[:SHORT]


def hash_in_full(value: Any) -> str:
    """Hash a JSON-like value, all 64 hexadecimal digits; the order of keys does not matter.

    Raises:
        ValueError: the value holds NaN or infinity, which JSON cannot express.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_bytes(content: bytes) -> str:
    """Hash the content of a file with sha256, 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def derive_seed(base: int, *coordinates: str | int) -> int:
    """Derive a non-negative 63-bit seed for one purpose.

    Args:
        base: the user's root seed.
        coordinates: for example data set, model, repetition, purpose; their order matters.
    """
    text = "\x1f".join(str(part) for part in (base, *coordinates))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
