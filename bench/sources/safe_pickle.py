"""Layer 3. Pickled scipy matrices, read without unpickling. Reads the file it is given.

`bench.sources.pickle_machine` says what the pickle describes; the arrays are rebuilt here, from sizes that were
checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError
from bench.files import check_plain
from bench.sources.pickle_machine import ARRAY, BUFFER, COO, CSC, CSR, DTYPE, ENCODED, SCALAR, kind_of, run

MOST_BYTES = 16 << 30  # a billion interactions
LARGEST = 1 << 53  # of sizes that a file may state
Triplet = tuple[NDArray[np.int64], NDArray[np.int64], tuple[int, int]]


@dataclass(frozen=True, eq=False)
class Cells:
    """A matrix of interactions.

    Attributes:
        triplet: rows, columns and shape, of the cells above 0.
        held: the least and the greatest stored value.
        n_zero: stored values of 0, which are no interactions.
    """

    triplet: Triplet
    held: tuple[float, float]
    n_zero: int


def read_matrix(path: Path) -> Triplet:
    """Rows, columns and shape of the non-zero cells of a pickled sparse matrix.

    Returns:
        Row of each cell `[n]`, column of each cell `[n]`, and (n_rows, n_columns).

    Raises:
        DataError: the file asks for anything but arrays and matrices, or does not hold one sound matrix.
    """
    return read_cells(path).triplet


def read_cells(path: Path) -> Cells:
    """The same, with what the values are; raises as `read_matrix`."""
    check_plain(path, MOST_BYTES)
    content = path.read_bytes()
    try:
        return _triplet(run(content, path), len(content))
    except DataError:
        raise
    except Exception as error:  # a hostile pickle can make the library that parses it raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise DataError(
            f"{path} is no pickled sparse matrix of numbers ({reason}). Fetch it again from its publisher."
        ) from error


def _triplet(record: Any, limit: int) -> Cells:
    """Rebuild the cells of a recorded matrix; `limit` is the size of the file in bytes."""
    if kind_of(record) not in (COO, CSR, CSC):
        raise ValueError(f"it holds a {kind_of(record)}, expected a coo, csr or csc matrix")
    if type(record.state) is not dict:
        raise ValueError("the matrix has no content")
    state: dict[str, Any] = record.state
    if type(state["_shape"]) is not tuple:
        raise ValueError(f"a {kind_of(state['_shape'])} stands where a shape should")
    n_rows, n_columns = (_integer(size) for size in state["_shape"])
    values = _numbers(state["data"], limit)
    if record.kind == COO:
        row, column = state["coords"] if "coords" in state else (state["row"], state["col"])
        rows, columns = _indices(row, limit), _indices(column, limit)
    else:
        lines = n_rows if record.kind == CSR else n_columns
        rows = _expanded(_indices(state["indptr"], limit), lines, len(values))
        columns = _indices(state["indices"], limit)
        if record.kind == CSC:
            rows, columns = columns, rows
    if not len(rows) == len(columns) == len(values):
        raise ValueError(f"{len(rows)} rows, {len(columns)} columns and {len(values)} values do not match")
    for name, ids, size in (("row", rows, n_rows), ("column", columns, n_columns)):
        if len(ids) and (ids.min() < 0 or ids.max() >= size):
            raise ValueError(f"a {name} index lies outside the shape {n_rows} x {n_columns}")
    if not (np.isfinite(values) & (values >= 0)).all():
        raise ValueError("a value is negative or not finite, expected 1 for an interaction")
    kept = values > 0
    held = (float(values.min()), float(values.max())) if len(values) else (1.0, 1.0)
    return Cells((rows[kept], columns[kept], (n_rows, n_columns)), held, int((~kept).sum()))


def _expanded(pointers: NDArray[np.int64], n_lines: int, n_values: int) -> NDArray[np.int64]:
    """Line of each value from compressed pointers, `[n_values]`."""
    if len(pointers) != n_lines + 1 or pointers[0] != 0 or pointers[-1] != n_values:
        raise ValueError("the row pointers do not lead from 0 to the number of values")
    steps = np.diff(pointers)
    if (pointers < 0).any() or (steps < 0).any():  # the first, because differences of 64 bits can wrap around
        raise ValueError("the row pointers do not ascend from 0 to the number of values")
    return np.repeat(np.arange(n_lines), steps)


def _indices(record: Any, limit: int) -> NDArray[np.int64]:
    """A recorded array of whole numbers."""
    numbers = _numbers(record, limit)
    if numbers.dtype.kind not in "iu":
        raise ValueError(f"indices are of type {numbers.dtype}, expected whole numbers")
    return numbers.astype(np.int64)


def _numbers(record: Any, limit: int) -> NDArray[Any]:
    """A recorded one-dimensional array, after its claimed size was compared with its bytes."""
    if kind_of(record) == ARRAY:
        _, shape, dtype, _, buffer = record.state
    elif kind_of(record) == BUFFER:
        buffer, dtype, shape, _ = record.arguments
    else:
        raise ValueError(f"a {kind_of(record)} stands where an array should")
    buffer, kind = _bytes(buffer), _dtype(dtype)
    (length,) = (_integer(size) for size in (shape if type(shape) is tuple else (shape,)))
    if length * kind.itemsize != len(buffer) or len(buffer) > limit:
        raise ValueError(
            f"an array claims {length} numbers of {kind.itemsize} bytes, which its content does not hold"
        )
    return np.frombuffer(buffer, dtype=kind)


def _bytes(record: Any) -> bytes:
    """Recorded bytes, plain or as text that stands for them (protocol 2 has no other way)."""
    if kind_of(record) == ENCODED:
        text, *coding = record.arguments
        if type(text) is str and len(coding) == 1 and type(coding[0]) is str and coding[0] == "latin1":
            return text.encode("latin1")
    if not isinstance(record, bytes | bytearray):
        raise ValueError(f"a {kind_of(record)} stands where bytes should")
    return bytes(record)


def _dtype(record: Any) -> np.dtype[Any]:
    """The numeric type that was recorded."""
    if kind_of(record) != DTYPE:
        raise ValueError("an array has no type")
    code, order = record.arguments[0], record.state[1]
    if type(code) is not str or type(order) is not str or len(order) != 1:
        raise ValueError("the type of an array is no text, expected numbers")
    if code not in {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"} or order not in "<>|=":
        raise ValueError(f"an array is of type '{code[:20]}', expected numbers")
    return np.dtype(code).newbyteorder(cast(Any, order))


def _integer(record: Any) -> int:
    """A recorded whole number, plain or as a numpy scalar."""
    if kind_of(record) == SCALAR:
        dtype, buffer = record.arguments
        kind = _dtype(dtype)
        if kind.kind in "iu" and len(_bytes(buffer)) == kind.itemsize:
            record = int(np.frombuffer(_bytes(buffer), dtype=kind)[0])
    if type(record) is not int:
        raise ValueError(f"a {kind_of(record)} stands where a size should")
    if not 0 <= record <= LARGEST:
        shown = record if abs(record) <= LARGEST else "beyond all sizes"
        raise ValueError(f"{shown} stands where a size should")
    return record
