"""Layer 3. Pickled scipy matrices, read without executing anything. Reads the file it is given.

A pickle is a program. Here every name that it asks for is looked up in one closed table, whose entries are
inert recorders of this module: they keep shapes, types and bytes. Nothing of numpy or scipy is called while
unpickling, and any other name is refused. The arrays are rebuilt afterwards, from sizes that were checked.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError

MAX_OPCODES = 10_000  # a matrix takes about 150; its numbers are a few long strings of bytes
FORMATS = ("coo", "csr", "csc")
Triplet = tuple[NDArray[np.int64], NDArray[np.int64], tuple[int, int]]


class _Recorder:
    """Keeps what the pickle says about an object: arguments of its construction, and its state."""

    arguments: tuple[Any, ...]
    state: Any

    def __new__(cls, *arguments: Any) -> _Recorder:
        self = super().__new__(cls)
        self.arguments, self.state = arguments, None
        return self

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Array(_Recorder):
    """Stands for numpy.ndarray; `_reconstruct` makes it and its state fills it."""


class _Buffer(_Recorder):
    """Stands for an array that protocol 5 makes from bytes, type, shape and order."""


class _DType(_Recorder):
    """Stands for numpy.dtype."""


class _Scalar(_Recorder):
    """Stands for a numpy scalar."""


class _Encoded(_Recorder):
    """Stands for codecs.encode, by which protocol 2 writes bytes as text."""


class _Coo(_Recorder):
    """Stands for a matrix in coordinate format."""


class _Csr(_Recorder):
    """Stands for a matrix in compressed rows."""


class _Csc(_Recorder):
    """Stands for a matrix in compressed columns."""


def _allowed() -> dict[tuple[str, str], type[_Recorder]]:
    """Every name that a pickle may ask for, and what it gets instead."""
    table: dict[tuple[str, str], type[_Recorder]] = {
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _DType,
        ("_codecs", "encode"): _Encoded,
    }
    for core in ("numpy.core", "numpy._core"):
        table[f"{core}.multiarray", "_reconstruct"] = _Array
        table[f"{core}.multiarray", "scalar"] = _Scalar
        table[f"{core}.numeric", "_frombuffer"] = _Buffer
    for name, recorder in zip(FORMATS, (_Coo, _Csr, _Csc), strict=True):
        for module in (f"scipy.sparse.{name}", f"scipy.sparse._{name}"):
            for kind in ("matrix", "array"):
                table[module, f"{name}_{kind}"] = recorder
    return table


class _InertUnpickler(pickle.Unpickler):
    """Gives recorders for the allowed names and refuses all others."""

    def __init__(self, content: bytes, path: Path) -> None:
        super().__init__(io.BytesIO(content))
        self.path = path
        self.table = _allowed()

    def find_class(self, module: str, name: str) -> type[_Recorder]:
        try:
            return self.table[module, name]
        except KeyError:
            raise DataError(
                f"{self.path} asks for '{module}.{name}' to be loaded. Only numpy arrays and scipy's coo, csr and "
                "csc matrices are read from pickles, and nothing in them is executed. Do not trust this file; "
                "fetch it again from its publisher."
            ) from None


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
    content = path.read_bytes()
    try:
        _scan(content)
        record = _InertUnpickler(content, path).load()
        return _triplet(record, len(content))
    except DataError:
        raise
    except Exception as error:  # a hostile pickle can make the unpickler raise anything
        raise DataError(
            f"{path} is no pickled sparse matrix of numbers ({type(error).__name__}: {error}). Fetch it "
            "again from its publisher."
        ) from error


def _scan(content: bytes) -> None:
    """Refuse, before anything is unpickled, what would only cost memory: long programs and far memo cells."""
    for n_opcodes, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        far = "PUT" in opcode.name and isinstance(argument, int) and argument > MAX_OPCODES
        if n_opcodes > MAX_OPCODES or far:
            raise ValueError("the pickle is a longer program than any matrix needs")


def _triplet(record: Any, limit: int) -> Cells:
    """Rebuild the cells of a recorded matrix; `limit` is the size of the file in bytes."""
    if not isinstance(record, _Coo | _Csr | _Csc):
        raise ValueError(f"it holds a {type(record).__name__.strip('_')}, expected a coo, csr or csc matrix")
    if not isinstance(record.state, dict):
        raise ValueError("the matrix has no content")
    state: dict[str, Any] = record.state
    n_rows, n_columns = (_integer(size) for size in state["_shape"])
    values = _numbers(state["data"], limit)
    if isinstance(record, _Coo):
        row, column = state["coords"] if "coords" in state else (state["row"], state["col"])
        rows, columns = _indices(row, limit), _indices(column, limit)
    else:
        lines = n_rows if isinstance(record, _Csr) else n_columns
        rows = _expanded(_indices(state["indptr"], limit), lines, len(values))
        columns = _indices(state["indices"], limit)
        if isinstance(record, _Csc):
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
    steps = np.diff(pointers)
    if len(pointers) != n_lines + 1 or pointers[0] != 0 or pointers[-1] != n_values or (steps < 0).any():
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
    if isinstance(record, _Array):
        _, shape, dtype, _, buffer = record.state
    elif isinstance(record, _Buffer):
        buffer, dtype, shape, _ = record.arguments
    else:
        raise ValueError(f"a {type(record).__name__.strip('_')} stands where an array should")
    buffer, kind = _bytes(buffer), _dtype(dtype)
    (length,) = (_integer(size) for size in (shape if isinstance(shape, tuple) else (shape,)))
    if length * kind.itemsize != len(buffer) or len(buffer) > limit:
        raise ValueError(
            f"an array claims {length} numbers of {kind.itemsize} bytes, which its content does not hold"
        )
    return np.frombuffer(buffer, dtype=kind)


def _bytes(record: Any) -> bytes:
    """Recorded bytes, plain or as text that stands for them."""
    if isinstance(record, _Encoded) and record.arguments[1:] == ("latin1",) and type(record.arguments[0]) is str:
        return record.arguments[0].encode("latin1")
    if not isinstance(record, bytes | bytearray):
        raise ValueError(f"a {type(record).__name__.strip('_')} stands where bytes should")
    return bytes(record)


def _dtype(record: Any) -> np.dtype[Any]:
    """The numeric type that was recorded."""
    if not isinstance(record, _DType):
        raise ValueError("an array has no type")
    code, order = record.arguments[0], record.state[1]
    if code not in {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"} or order not in "<>|=":
        raise ValueError(f"an array is of type {code!r}, expected numbers")
    return np.dtype(code).newbyteorder(order)


def _integer(record: Any) -> int:
    """A recorded whole number, plain or as a numpy scalar."""
    if isinstance(record, _Scalar):
        dtype, buffer = record.arguments
        kind = _dtype(dtype)
        if kind.kind in "iu" and len(_bytes(buffer)) == kind.itemsize:
            return int(np.frombuffer(_bytes(buffer), dtype=kind)[0])
    if type(record) is not int or record < 0:
        raise ValueError(f"{record!r} stands where a size should")
    return record
