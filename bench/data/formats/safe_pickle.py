"""Reader of pickled scipy matrices that unpickles nothing. Reads the given file; writes nothing.

A pickle is a program for a small stack machine. The interpreter here knows the few instructions that a matrix
needs. It represents each object as an inert record, looks up every name in one closed table, and calls nothing
that the pickle names. The arrays are then rebuilt from the records, after their stated sizes were checked.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError, one_line
from bench.core.files import check_plain

MAX_STEPS = 10_000  # a matrix takes about 150; its numbers are a few long strings of bytes
ARRAY, BUFFER, DTYPE, SCALAR, ENCODED = "array", "buffer", "type of numbers", "number", "encoded text"
COO, CSR, CSC = "coo", "csr", "csc"
TOO_LONG = "the pickle is a longer program than any matrix needs"
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
LITERALS = (
    "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
    "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8",
)  # fmt: skip
MOST_BYTES = 16 << 30  # a billion interactions
LARGEST = 1 << 53  # size that a file may state


class Name:
    """A name of the closed table; `kind` is the kind of the objects that it constructs."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


class Record:
    """Inert description of an object in the pickle: its kind, constructor arguments and state.

    A record is never hashed, compared or printed whole: sixty nested pairs take 120 bytes in the file, but 2**60
    steps to walk.
    """

    def __init__(self, kind: str, arguments: tuple[Any, ...]) -> None:
        self.kind, self.arguments = kind, arguments
        self.state: Any = None


def kind_of(value: Any) -> str:
    """Return the kind of a value as a word for messages, which never print the value itself."""
    return value.kind if isinstance(value, Record) else type(value).__name__.lower()


def run(content: bytes, path: Path) -> Any:
    """Interpret a pickle and return the plain value, name or record that it describes.

    Args:
        content: the pickle.
        path: its file, for error messages.

    Raises:
        DataError: the pickle asks for a name that is not allowed.
        ValueError: the content is not a pickle, or its program is one that no matrix needs.
    """
    machine = _Machine(path)
    for n_steps, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if n_steps >= MAX_STEPS:
            raise ValueError(TOO_LONG)
        if opcode.name == "STOP":
            return machine.stack.pop()
        if opcode.name in CONSTANTS:
            machine.stack.append(CONSTANTS[opcode.name])
        elif opcode.name in LITERALS:
            machine.stack.append(argument)
        elif opcode.name in STEPS:
            STEPS[opcode.name](machine, argument)
        else:
            raise ValueError(f"no matrix needs the instruction {opcode.name}")
    raise ValueError("the pickle has no end")


def _allowed() -> dict[str, str]:
    """Return every name that a pickle may ask for, with the kind of its objects."""
    table = {"numpy.ndarray": ARRAY, "numpy.dtype": DTYPE, "_codecs.encode": ENCODED}
    for core in ("numpy.core", "numpy._core"):  # before and since numpy 2
        table[f"{core}.multiarray._reconstruct"] = ARRAY
        table[f"{core}.multiarray.scalar"] = SCALAR
        table[f"{core}.numeric._frombuffer"] = BUFFER
    for kind in (COO, CSR, CSC):
        for module in (f"scipy.sparse.{kind}", f"scipy.sparse._{kind}"):  # before and since scipy 1.8
            for form in ("matrix", "array"):
                table[f"{module}.{kind}_{form}"] = kind
    return table


ALLOWED = _allowed()


class _Machine:
    """State of the interpreter: a stack of values, positions of marks in it, and memo cells."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def last(self, count: int) -> list[Any]:
        """Pop the topmost values and return them in the order in which they were pushed."""
        if count > len(self.stack):
            raise ValueError("the pickle pops more values than it has pushed")
        start = len(self.stack) - count
        popped, self.stack[start:] = self.stack[start:], []
        return popped

    def since_mark(self) -> list[Any]:
        """Pop everything above the last mark."""
        return self.last(len(self.stack) - self.marks.pop())


def _mark(machine: _Machine, _: Any) -> None:
    """Set a mark at the top of the stack."""
    machine.marks.append(len(machine.stack))


def _memoize(machine: _Machine, number: Any) -> None:
    """Store the topmost value in the memo cell of this number, or in the next free one if it is None."""
    cell = len(machine.memo) if number is None else number
    if cell > MAX_STEPS:
        raise ValueError(TOO_LONG)
    machine.memo[cell] = machine.stack[-1]


def _extend(machine: _Machine, values: list[Any]) -> None:
    """Append values to the list below them."""
    if type(machine.stack[-1]) is not list:
        raise ValueError("something is appended to a value that is not a list")
    machine.stack[-1].extend(values)


def _update(machine: _Machine, values: list[Any]) -> None:
    """Put keys and values into the dictionary below them."""
    target = machine.stack[-1]
    # only texts as keys: a key is hashed, and the hash of a nested tuple walks all of it
    if type(target) is not dict or len(values) % 2 or not all(type(key) is str for key in values[::2]):
        raise ValueError("a dictionary has keys that are not texts")
    target.update(zip(values[::2], values[1::2], strict=True))


def _name(machine: _Machine, dotted: str) -> None:
    """Push the table's entry for a name."""
    if dotted not in ALLOWED:
        raise DataError(
            f"{machine.path} asks for '{dotted[:200]}' to be loaded. Only numpy arrays and scipy's coo, csr and "
            "csc matrices are read from pickles, and nothing in them is executed. Do not trust this file; fetch "
            "it again from its publisher."
        )
    machine.stack.append(Name(ALLOWED[dotted]))


def _name_on_stack(machine: _Machine, _: Any) -> None:
    """Push the table's entry for a name whose two parts, module and attribute, are on the stack."""
    module, name = machine.last(2)
    if type(name) is not str or type(module) is not str:
        raise ValueError("a name is not a text")
    _name(machine, f"{module}.{name}")


def _construct(machine: _Machine, _: Any) -> None:
    """Replace a name and its arguments by a record of both; nothing is called."""
    name, arguments = machine.last(2)
    if not isinstance(name, Name) or type(arguments) is not tuple:
        raise ValueError("something is constructed by a value that is not a name")
    machine.stack.append(Record(name.kind, arguments))


def _build(machine: _Machine, _: Any) -> None:
    """Give the record below it a state."""
    (state,) = machine.last(1)
    if not isinstance(machine.stack[-1], Record):
        raise ValueError("a state is given to a value that is not an object")
    machine.stack[-1].state = state


Step = Callable[[_Machine, Any], None]
STEPS: dict[str, Step] = {
    **dict.fromkeys(("PROTO", "FRAME"), lambda machine, _: None),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT", "MEMOIZE"), _memoize),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda machine, cell: machine.stack.append(machine.memo[cell])),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), _construct),
    "MARK": _mark,
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "POP": lambda machine, _: machine.last(1).clear(),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.stack.append(tuple(machine.last(1))),
    "TUPLE2": lambda machine, _: machine.stack.append(tuple(machine.last(2))),
    "TUPLE3": lambda machine, _: machine.stack.append(tuple(machine.last(3))),
    "APPEND": lambda machine, _: _extend(machine, machine.last(1)),
    "APPENDS": lambda machine, _: _extend(machine, machine.since_mark()),
    "SETITEM": lambda machine, _: _update(machine, machine.last(2)),
    "SETITEMS": lambda machine, _: _update(machine, machine.since_mark()),
    "GLOBAL": lambda machine, argument: _name(machine, ".".join(argument.split(" ", 1))),
    "STACK_GLOBAL": _name_on_stack,
    "BUILD": _build,
}


Triplet = tuple[NDArray[np.int64], NDArray[np.int64], tuple[int, int]]


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells of a sparse matrix of interactions.

    Attributes:
        triplet: row of each cell above 0 `[n]`, its column `[n]`, and (n_rows, n_columns).
        value_range: least and greatest stored value.
        n_zero: number of stored zeros, which are not interactions.
    """

    triplet: Triplet
    value_range: tuple[float, float]
    n_zero: int


def read_cells(path: Path) -> Cells:
    """Read the cells of a pickled sparse matrix and the range of its values.

    Raises:
        DataError: the pickle names anything but arrays and matrices, or does not hold one valid matrix.
    """
    check_plain(path, MOST_BYTES)
    content = path.read_bytes()
    try:
        return _triplet(run(content, path), len(content))
    except DataError:
        raise
    except Exception as error:  # a hostile pickle can make `pickletools` raise anything
        reason = one_line(f"{type(error).__name__}: {error}")
        raise DataError(
            f"{path} is not a pickled sparse matrix of numbers ({reason}). Fetch it again from its publisher."
        ) from error


def _triplet(record: Any, limit: int) -> Cells:
    """Rebuild the cells of a recorded matrix, given the size of the file in bytes, `limit`."""
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
    value_range = (float(values.min()), float(values.max())) if len(values) else (1.0, 1.0)
    return Cells((rows[kept], columns[kept], (n_rows, n_columns)), value_range, int((~kept).sum()))


def _expanded(pointers: NDArray[np.int64], n_lines: int, n_values: int) -> NDArray[np.int64]:
    """Return the line (row or column) of each value from compressed pointers, `[n_values]`."""
    if len(pointers) != n_lines + 1 or pointers[0] != 0 or pointers[-1] != n_values:
        raise ValueError("the row pointers do not lead from 0 to the number of values")
    steps = np.diff(pointers)
    if (pointers < 0).any() or (steps < 0).any():  # both, since 64-bit differences can wrap around
        raise ValueError("the row pointers do not ascend from 0 to the number of values")
    return np.repeat(np.arange(n_lines), steps)


def _indices(record: Any, limit: int) -> NDArray[np.int64]:
    """Rebuild a recorded array of whole numbers as int64."""
    numbers = _numbers(record, limit)
    if numbers.dtype.kind not in "iu":
        raise ValueError(f"indices are of type {numbers.dtype}, expected whole numbers")
    return numbers.astype(np.int64)


def _numbers(record: Any, limit: int) -> NDArray[Any]:
    """Rebuild a recorded one-dimensional array, after comparing its claimed size with its bytes."""
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
    """Return recorded bytes, which protocol 2 writes as latin1 text."""
    if kind_of(record) == ENCODED:
        text, *coding = record.arguments
        if type(text) is str and len(coding) == 1 and type(coding[0]) is str and coding[0] == "latin1":
            return text.encode("latin1")
    if not isinstance(record, bytes | bytearray):
        raise ValueError(f"a {kind_of(record)} stands where bytes should")
    return bytes(record)


def _dtype(record: Any) -> np.dtype[Any]:
    """Return the recorded numeric type."""
    if kind_of(record) != DTYPE:
        raise ValueError("an array has no type")
    code, order = record.arguments[0], record.state[1]
    if type(code) is not str or type(order) is not str or len(order) != 1:
        raise ValueError("the type of an array is not a text, expected numbers")
    if code not in {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"} or order not in "<>|=":
        raise ValueError(f"an array is of type '{code[:20]}', expected numbers")
    return np.dtype(code).newbyteorder(cast(Any, order))


def _integer(record: Any) -> int:
    """Return a recorded size, plain or as a numpy scalar."""
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
