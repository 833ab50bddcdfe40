"""Texts as numbers. pandas 2 crashes the process on exponents beyond 32 bits, such as `1e4000000002`.

So no text with an exponent of four digits or more may reach its parsers; float64 holds none of these numbers.
Reads the file that it is given, writes nothing.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

HUGE = re.compile(r"[eE][+-]?[0-9]{4}")
HUGE_BYTES = re.compile(HUGE.pattern.encode())
BLOCK = 16 << 20
LONGEST = 6  # bytes of what HUGE matches


def to_numbers(values: pd.Series[Any]) -> NDArray[np.float64]:
    """Return texts or numbers as float64, `[n]`; NaN for what is no number, or has an exponent of four digits.

    Raises:
        OverflowError: a whole number, which is no text, has too many digits.
    """
    import pandas as pd

    if values.dtype.kind not in "iufb":
        values = values.mask(values.map(_has_huge_exponent).astype(bool))
    numbers: NDArray[np.float64] = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
    return numbers


def _has_huge_exponent(value: object) -> bool:
    return not isinstance(value, int | float) and HUGE.search(str(value)) is not None


def holds_huge_exponents(path: Path) -> bool:
    """Return whether a text file holds an exponent of four digits or more, which pandas may read as texts only."""
    end = b""
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            if HUGE_BYTES.search(end + block):
                return True
            end = (end + block)[1 - LONGEST :]
    return False


def numbers_where_all_are(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column of texts as whole numbers or floats where every text is one, else unchanged."""
    import pandas as pd

    if values.map(_has_huge_exponent).any():
        return values
    try:
        numbers: pd.Series[Any] = pd.to_numeric(values)
    except ValueError:
        return values
    return numbers
