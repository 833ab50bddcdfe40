"""Layer 3. JSON that is checked, and rows of numbers that form a matrix. Reads the file it is given."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError
from bench.files import check_plain
from bench.sources.tables import row_number

MAX_JSON = 2 << 30
FREE_CELLS, CELLS_PER_NUMBER = 1 << 26, 1000  # of a matrix that was filled up with zeros


def ragged(path: Path, name: str, lengths: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
    """Rows of one length, or of length 0, as a matrix; the latter are zeros.

    Raises:
        DataError: the rows differ in length.
    """
    filled = lengths > 0
    dim = int(lengths.max(initial=0))
    odd = np.flatnonzero(filled & (lengths != dim))
    if len(odd):
        row = row_number(path, int(odd[0]))
        raise DataError(
            f"{path}, {row}: '{name}' has {lengths[odd[0]]} numbers, other rows have {dim}. Correct it."
        )
    if values.dtype.kind not in "fiu":
        raise DataError(f"{path}: '{name}' holds {values.dtype}, expected numbers.")
    if len(lengths) * dim > FREE_CELLS + CELLS_PER_NUMBER * len(values):
        raise DataError(
            f"{path}: '{name}' has {dim:,} numbers in few of {len(lengths):,} rows. Leave empty rows out."
        )
    matrix = np.zeros((len(lengths), dim), dtype=values.dtype)
    matrix[filled] = values.reshape(-1, dim) if dim else values.reshape(int(filled.sum()), 0)
    return matrix


def load_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        DataError: it is no JSON in UTF-8, or names a key twice, or is too large to be read at once.
    """
    check_plain(path)
    if path.stat().st_size > MAX_JSON:
        raise DataError(f"{path} is larger than {MAX_JSON:,} bytes. Give .npy and Parquet files instead.")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError(
                f"the key '{Counter(key for key, _ in pairs).most_common(1)[0][0][:60]}' is given twice"
            )
        return found

    try:
        return json.loads(path.read_bytes().decode("utf-8"), object_pairs_hook=once)
    except Exception as problem:  # deep nesting ends in a RecursionError
        raise DataError(
            f"{path} is no JSON ({' '.join(str(problem).split())[:300]}). Correct that place, or write it anew."
        ) from problem
