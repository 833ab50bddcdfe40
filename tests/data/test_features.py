"""Feature files: what is read, and every way in which one can be wrong."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.errors import DataError
from bench.data.cards import FeatureFile
from bench.data.features import read_features, read_modality
from bench.data.pins import git_blob

FILE = FeatureFile(path="f.npy", dim=2)


def npy(array: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def npz(array: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, array)
    return stream.getvalue()


class Marker:
    """Touches a file when unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, ("marker", "w")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_floats_become_float32(dtype: Any, order: str, tmp_path: Path) -> None:
    array = np.array([[1, 0.5], [0, 0], [0, -2]], dtype=dtype, order=order)
    (tmp_path / "f.npy").write_bytes(npy(array))
    modality = read_modality(tmp_path, FILE, "visual", 3)
    assert modality.matrix.dtype == np.float32
    assert type(modality.matrix) is np.ndarray  # no map of the file
    assert modality.matrix.flags.c_contiguous
    assert modality.matrix.flags.writeable
    np.testing.assert_array_equal(modality.matrix, array.astype(np.float32))
    assert modality.present.tolist() == [True, False, True]
    assert modality.coverage == pytest.approx(2 / 3)


def test_fingerprint_is_the_content_s(tmp_path: Path) -> None:
    prints = []
    for name, array in (("a", [[1.0, 2]]), ("b", np.array([[1, 2]], np.float16)), ("c", [[1.0, 3]])):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "f.npy", array)
        prints.append(read_modality(tmp_path / name, FILE, "visual", 1).fingerprint)
    assert prints[0] == prints[1] != prints[2]


BAD = {
    "objects": (npy(np.array([[Marker(), 1]], dtype=object), allow_pickle=True), ["a plain .npy", "numpy.save"]),
    "pickle": (pickle.dumps(Marker()), ["not a plain .npy", "pickled objects are refused"]),
    "integers": (npy(np.ones((3, 2), int)), ["int64", "floats"]),
    "complex": (npy(np.ones((3, 2), complex)), ["complex128", "floats"]),
    "text": (npy(np.array([["a", "b"]] * 3)), ["<U1", "floats"]),
    "archive": (npz(np.ones((3, 2))), [".npz archive", "numpy.save"]),
    "NaN": (npy(np.array([[1.0, 1], [np.nan, 1], [np.nan, 1]])), ["row 1", "NaN", "2 such rows"]),
    "infinity": (npy(np.array([[1.0, 1], [1, 1], [1, -np.inf]])), ["row 2", "infinity", "1 such rows"]),
    "beyond float32": (npy(np.array([[1e300, 1], [1, 1], [1, 1]])), ["row 0", "beyond float32"]),
    "too few rows": (npy(np.ones((2, 2))), ["2 rows", "3 items"]),
    "too many rows": (npy(np.ones((4, 2))), ["4 rows", "3 items", "row i must hold"]),
    "wrong dim": (npy(np.ones((3, 5))), ["5 columns", "expects 2"]),
    "no columns": (npy(np.ones((3, 0))), ["(3, 0)"]),
    "a vector": (npy(np.ones(3)), ["(3,)", "matrix"]),
    "all zero": (npy(np.zeros((3, 2))), ["nothing but zeros"]),
    "truncated": (npy(np.ones((3, 2)))[:-8], ["not a plain .npy"]),
    "empty file": (b"", ["not a plain .npy"]),
    "huge claim": (npy(np.ones((3, 2))).replace(b"(3, 2), }     ", b"(9999999, 99) }"[:14]), ["not a plain .npy"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused(case: str, tmp_path: Path, refused: Callable) -> None:
    content, words = BAD[case]
    (tmp_path / "f.npy").write_bytes(content)
    with refused(DataError, str(tmp_path / "f.npy"), *words):
        read_modality(tmp_path, FILE, "visual", 3)


def test_a_missing_file(tmp_path: Path, refused: Callable) -> None:
    with refused(DataError, str(tmp_path / "f.npy"), "is missing", "Complete the directory"):
        read_features(tmp_path, {"visual": FILE}, 3)


def test_an_optional_missing_file_has_a_reason(tmp_path: Path) -> None:
    modalities, missing = read_features(tmp_path, {"textual": FILE.model_copy(update={"optional": True})}, 3)
    assert modalities == ()
    assert "f.npy" in missing["textual"]
    assert str(tmp_path) in missing["textual"]


def test_an_optional_broken_file_is_an_error(tmp_path: Path, refused: Callable) -> None:
    (tmp_path / "f.npy").write_bytes(b"broken")
    with refused(DataError, "f.npy"):
        read_features(tmp_path, {"textual": FILE.model_copy(update={"optional": True})}, 3)


def test_checksum_by_hand_and_mismatch(tmp_path: Path, refused: Callable) -> None:
    (tmp_path / "hello").write_bytes(b"hello\n")
    assert git_blob(tmp_path / "hello") == "ce013625030ba8dba906f756967f9e9ca394464a"  # git hash-object
    np.save(tmp_path / "f.npy", np.ones((3, 2)))
    found = git_blob(tmp_path / "f.npy")
    assert read_modality(tmp_path, FeatureFile(path="f.npy", git_blob=found), "visual", 3).dim == 2
    with refused(DataError, "f.npy", found, "0" * 40, "fetch it again"):
        read_modality(tmp_path, FeatureFile(path="f.npy", git_blob="0" * 40), "visual", 3)
