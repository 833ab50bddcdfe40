"""Pickles are read without executing anything: sound ones in every form, hostile and broken ones refused."""

from __future__ import annotations

import builtins
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from bench.core.errors import DataError
from bench.data.formats import safe_pickle
from bench.data.formats.safe_pickle import read_cells

DENSE = np.array([[0, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]])


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments


def cells(path: Path) -> tuple[set[tuple[int, int]], tuple[int, int]]:
    rows, columns, shape = read_cells(path).triplet
    return set(zip(rows.tolist(), columns.tolist(), strict=True)), shape


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", ["coo_matrix", "csr_matrix", "csc_matrix", "coo_array", "csr_array", "csc_array"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int32, np.int64, np.bool_])
def test_sound_matrices(protocol: int, kind: str, dtype: type, tmp_path: Path) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps(getattr(sparse, kind)(DENSE.astype(dtype)), protocol))
    assert cells(path) == ({(0, 1), (0, 3), (2, 0)}, (3, 4))


@pytest.mark.parametrize(
    ("old", "new"), [(b"scipy.sparse._coo", b"scipy.sparse.coo"), (b"numpy.core.m", b"numpy._core.m")]
)
def test_old_and_new_module_paths(old: bytes, new: bytes, tmp_path: Path) -> None:
    content = pickle.dumps(sparse.coo_matrix(DENSE), 3)
    assert old in content
    (tmp_path / "m.pkl").write_bytes(content.replace(old, new))  # protocol 3 names are lines: lengths may change
    assert cells(tmp_path / "m.pkl")[0] == {(0, 1), (0, 3), (2, 0)}


def test_coordinates_as_later_scipy_writes_them(tmp_path: Path) -> None:
    matrix = sparse.coo_matrix(DENSE)
    matrix.__dict__["coords"] = (matrix.__dict__.pop("row"), matrix.__dict__.pop("col"))
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(matrix, 4))
    assert cells(tmp_path / "m.pkl") == ({(0, 1), (0, 3), (2, 0)}, (3, 4))


def test_numpy_scalars_in_the_shape_and_big_endian_indices(tmp_path: Path) -> None:
    matrix = sparse.coo_matrix(DENSE)
    matrix.__dict__["_shape"] = (np.int64(3), np.int32(4))
    matrix.__dict__["row"] = matrix.row.astype(">i4")
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(matrix, 3))
    assert cells(tmp_path / "m.pkl") == ({(0, 1), (0, 3), (2, 0)}, (3, 4))


def test_stored_zeros_are_no_interactions(tmp_path: Path) -> None:
    matrix = sparse.coo_matrix((np.array([1.0, 0.0]), ([0, 1], [2, 3])), shape=(3, 4))
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(matrix))
    assert cells(tmp_path / "m.pkl")[0] == {(0, 2)}


def hostile(marker: Path) -> dict[str, tuple[Any, str]]:
    """Payloads that would leave a marker file, and the name that must be refused."""
    code = f"open({str(marker)!r}, 'w').close()"
    matrix = sparse.coo_matrix(DENSE)
    matrix.__dict__["maxprint"] = Call(os.system, f"touch {marker}")
    return {
        "system": (Call(os.system, f"touch {marker}"), "posix.system"),
        "eval": (Call(builtins.eval, code), ".eval'"),
        "exec": (Call(builtins.exec, code), ".exec'"),
        "popen": (Call(subprocess.Popen, ["touch", str(marker)]), ".Popen'"),
        "nested in a list": ([1, [Call(os.system, f"touch {marker}")]], "posix.system"),
        "nested reduce": (Call(Call(builtins.getattr, Call(os.system, "x"), "y"), 1), ""),
        "hidden in a matrix": (matrix, "posix.system"),
        "object array": (np.array([Call(os.system, f"touch {marker}")], dtype=object), "posix.system"),
        "numpy beyond the list": (Call(np.frombuffer, b"1234"), "numpy"),
        "numpy load": (Call(np.load, str(marker)), "numpy"),
        "scipy beyond the list": (Call(sparse.load_npz, str(marker)), "load_npz"),
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("case", hostile(Path("x")))
def test_hostile_pickles_never_execute(case: str, protocol: int, tmp_path: Path, refused: Callable) -> None:
    marker = tmp_path / "marker"
    payload, name = hostile(marker)[case]
    path = tmp_path / "trnMat.pkl"
    try:
        path.write_bytes(pickle.dumps(payload, protocol))
    except pickle.PicklingError:
        path.write_bytes(b"cposix\nsystem\n(S'touch %b'\ntRcbuiltins\ngetattr\n(I1\ntR." % bytes(marker))
    with refused(DataError, str(path), name):
        read_cells(path)
    assert not marker.exists()


RAW = {
    "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x09os.system\x93.",
    "persistent id": b"\x80\x03X\x01\x00\x00\x00aQ.",
    "extension code": b"\x80\x02\x82\x01.",
    "old instance": b"(ios\nsystem\n.",
    "state of a class": b"\x80\x03cnumpy\nndarray\n}X\x01\x00\x00\x00aK\x01sb.",
    "attributes of a class": b"\x80\x03cnumpy\nndarray\n(N}X\x05\x00\x00\x00stateK\x01stb.",
    "far memo": b"\x80\x03K\x01r\xff\xff\xff\x7f.",
    "long program": b"\x80\x03" + b"K\x010" * 20_000 + b"K\x01.",
    "huge claim": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x0f.",
    "no pickle": b"PK\x03\x04 not a pickle",
    "empty": b"",
    "no matrix": pickle.dumps({"a": [1, 2]}),
    "plain array": pickle.dumps(np.arange(4)),
    "class only": b"\x80\x03cscipy.sparse.coo\ncoo_matrix\n.",
    "matrix without content": b"\x80\x03cscipy.sparse.coo\ncoo_matrix\n)\x81.",
}


@pytest.mark.parametrize("case", RAW)
def test_broken_pickles_are_refused(case: str, tmp_path: Path, refused: Callable) -> None:
    path = tmp_path / "valMat.pkl"
    path.write_bytes(RAW[case])
    recorders = {name: dict(vars(one)) for name, one in vars(safe_pickle).items() if isinstance(one, type)}
    with refused(DataError, str(path), "etch it again"):
        read_cells(path)
    assert recorders == {name: dict(vars(one)) for name, one in vars(safe_pickle).items() if isinstance(one, type)}


@pytest.mark.parametrize("case", ["far memo", "long program"])
def test_costly_programs_are_refused_before_they_run(case: str, tmp_path: Path, refused: Callable) -> None:
    (tmp_path / "m.pkl").write_bytes(RAW[case])
    with refused(DataError, "a longer program than any matrix needs"):
        read_cells(tmp_path / "m.pkl")


def tampered(**state: Any) -> bytes:
    matrix = sparse.coo_matrix(DENSE.astype(np.float64))
    matrix.__dict__.update(state)
    return pickle.dumps(matrix, 3)


TAMPERED = {
    "index beyond the shape": (tampered(row=np.array([0, 0, 3])), "row index lies outside the shape 3 x 4"),
    "negative index": (tampered(col=np.array([-1, 0, 3])), "column index lies outside"),
    "lengths differ": (tampered(row=np.array([0, 0])), "2 rows, 3 columns and 3 values"),
    "float indices": (tampered(row=np.array([0.0, 0.0, 1.0])), "expected whole numbers"),
    "not finite": (tampered(data=np.array([1.0, np.nan, 1.0])), "negative or not finite"),
    "negative value": (tampered(data=np.array([1.0, -1.0, 1.0])), "negative or not finite"),
    "text values": (tampered(data=np.array(["a", "b", "c"])), "expected numbers"),
    "two-dimensional": (tampered(row=np.zeros((3, 1), dtype=int)), "m.pkl"),
    "negative shape": (tampered(_shape=(-3, 4)), "-3"),
    "shape of one": (tampered(_shape=(3,)), "m.pkl"),
    "list for an array": (tampered(row=[0, 0, 2]), "a list stands where an array should"),
    "claims more than it holds": (
        tampered().replace(b"K\x03\x85q\rcnumpy\ndtype", b"K\x09\x85q\rcnumpy\ndtype"), "claims 9 numbers"),
    "truncated": (tampered()[:-40], "m.pkl"),
}  # fmt: skip


@pytest.mark.parametrize("case", TAMPERED)
def test_tampered_matrices_are_refused(case: str, tmp_path: Path, refused: Callable) -> None:
    content, words = TAMPERED[case]
    (tmp_path / "m.pkl").write_bytes(content)
    with refused(DataError, "m.pkl", words, "etch it"):
        read_cells(tmp_path / "m.pkl")


@pytest.mark.parametrize("field", ["indptr", "indices"])
def test_compressed_pointers_are_checked(field: str, tmp_path: Path, refused: Callable) -> None:
    matrix = sparse.csr_matrix(DENSE)
    matrix.__dict__[field] = {"indptr": np.array([0, 3, 2, 3]), "indices": np.array([1, 3, 4])}[field]
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(matrix))
    with refused(DataError, "m.pkl", {"indptr": "pointers do not ascend", "indices": "column index"}[field]):
        read_cells(tmp_path / "m.pkl")


def test_reading_loads_no_scipy(tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(sparse.coo_matrix(DENSE)))
    code = (
        "import sys; from pathlib import Path; from bench.data.formats.safe_pickle import read_cells; "
        f"print(len(read_cells(Path({str(tmp_path / 'm.pkl')!r})).triplet[0]), 'scipy' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.stdout.split() == ["3", "False"], done.stderr
