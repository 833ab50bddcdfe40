"""A machine that runs the few instructions of a pickle that a matrix takes, and calls nothing. Pure.

A pickle is a program for a small stack machine. For this one an object is an inert record of what the program
says. Every name is looked up in one closed table, and any other is refused; nothing of numpy, scipy or Python is
called. Steps are counted, and no record is ever hashed, compared or printed whole: sixty nested pairs take 120
bytes to write down and ages to walk. Between any two steps it is Python that runs, so Ctrl-C is heard.

Pickled scipy matrices, read without unpickling. Reads the file it is given.

`bench.data.formats.safe_pickle` says what the pickle describes; the arrays are rebuilt here, from sizes that were
checked.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError
from bench.core.files import check_plain

MAX_STEPS = 10_000  # a matrix takes about 150; its numbers are a few long strings of bytes
ARRAY, BUFFER, DTYPE, SCALAR, ENCODED = "array", "buffer", "type of numbers", "number", "encoded text"
COO, CSR, CSC = "coo", "csr", "csc"


class Name:
    """A name of the closed table; `kind` is what an object made by it is taken for."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


class Record:
    """What the pickle says of an object: its kind, the arguments of its construction, and its state."""

    def __init__(self, kind: str, arguments: tuple[Any, ...]) -> None:
        self.kind, self.arguments = kind, arguments
        self.state: Any = None


def kind_of(value: Any) -> str:
    """What a value is, in a word; the value itself is never printed."""
    return value.kind if isinstance(value, Record) else type(value).__name__.lower()


def run(content: bytes, path: Path) -> Any:
    """The plain value, name or record that a pickle describes.

    Args:
        content: the pickle.
        path: where it was read, for errors.

    Raises:
        DataError: it asks for a name that is not allowed.
        ValueError: it is no pickle, or holds an instruction or a number of them that no matrix needs.
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
            raise ValueError(f"the instruction {opcode.name} is none that a matrix needs")
    raise ValueError("the pickle has no end")


def _allowed() -> dict[str, str]:
    """Every name that a pickle may ask for, and the kind of its objects."""
    table = {"numpy.ndarray": ARRAY, "numpy.dtype": DTYPE, "_codecs.encode": ENCODED}
    for core in ("numpy.core", "numpy._core"):
        table[f"{core}.multiarray._reconstruct"] = ARRAY
        table[f"{core}.multiarray.scalar"] = SCALAR
        table[f"{core}.numeric._frombuffer"] = BUFFER
    for kind in (COO, CSR, CSC):
        for module in (f"scipy.sparse.{kind}", f"scipy.sparse._{kind}"):
            for form in ("matrix", "array"):
                table[f"{module}.{kind}_{form}"] = kind
    return table


ALLOWED = _allowed()
TOO_LONG = "the pickle is a longer program than any matrix needs"


class _Machine:
    """The state of a run: a stack of values, places of marks in it, and memo cells."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def last(self, count: int) -> list[Any]:
        """Take the topmost values off, in the order in which they were put."""
        if count > len(self.stack):
            raise ValueError("the pickle takes more than it has put")
        start = len(self.stack) - count
        taken, self.stack[start:] = self.stack[start:], []
        return taken

    def since_mark(self) -> list[Any]:
        """Take off everything above the last mark."""
        return self.last(len(self.stack) - self.marks.pop())


def _mark(machine: _Machine, _: Any) -> None:
    machine.marks.append(len(machine.stack))


def _remember(machine: _Machine, place: Any) -> None:
    """Keep the topmost value in a memo cell, the next free one without a number."""
    cell = len(machine.memo) if place is None else place
    if cell > MAX_STEPS:
        raise ValueError(TOO_LONG)
    machine.memo[cell] = machine.stack[-1]


def _extend(machine: _Machine, values: list[Any]) -> None:
    """Append values to the list below them."""
    if type(machine.stack[-1]) is not list:
        raise ValueError("something is appended to what is no list")
    machine.stack[-1].extend(values)


def _update(machine: _Machine, values: list[Any]) -> None:
    """Put keys and values into the dictionary below them; keys are texts, which have a cheap hash."""
    target = machine.stack[-1]
    if type(target) is not dict or len(values) % 2 or not all(type(key) is str for key in values[::2]):
        raise ValueError("a dictionary has keys that are no texts")
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
    """The same for a module and a name on the stack."""
    module, name = machine.last(2)
    if type(name) is not str or type(module) is not str:
        raise ValueError("a name is no text")
    _name(machine, f"{module}.{name}")


def _construct(machine: _Machine, _: Any) -> None:
    """Replace a name and its arguments by a record of both; nothing is called."""
    name, arguments = machine.last(2)
    if not isinstance(name, Name) or type(arguments) is not tuple:
        raise ValueError("something is constructed of what is no name")
    machine.stack.append(Record(name.kind, arguments))


def _build(machine: _Machine, _: Any) -> None:
    """Give the record below it a state."""
    (state,) = machine.last(1)
    if not isinstance(machine.stack[-1], Record):
        raise ValueError("a state is given to what is no object")
    machine.stack[-1].state = state


Step = Callable[[_Machine, Any], None]
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
LITERALS = (
    "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
    "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8",
)  # fmt: skip
STEPS: dict[str, Step] = {
    **dict.fromkeys(("PROTO", "FRAME"), lambda machine, _: None),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT", "MEMOIZE"), _remember),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda machine, place: machine.stack.append(machine.memo[place])),
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
