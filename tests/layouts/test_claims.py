"""What a file claims is compared with its size before memory is taken."""

from __future__ import annotations

import pickle
import tracemalloc
import zipfile
from pathlib import Path

import examples
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from scipy.sparse import coo_matrix

from bench.core.errors import DataError
from bench.data.detect import load_place


def huge_matrix(folder: Path) -> None:
    matrix = coo_matrix(([1.0], ([0], [0])), shape=(10**10, 9))
    for name in ("train_mat", "val_mat", "test_mat"):
        (folder / name).write_bytes(pickle.dumps(matrix, 3))


def huge_npy(folder: Path) -> None:
    content = (folder / "image_feat.npy").read_bytes()
    header = content[:128].replace(b"(9, 4), }" + b" " * 20, b"(10000000000, 4), }" + b" " * 10)
    (folder / "image_feat.npy").write_bytes(header + content[128:])


def bomb(folder: Path) -> None:
    with zipfile.ZipFile(folder / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("features.npy", b"\0" * (80 << 20))


def huge_json(folder: Path) -> None:
    (folder / "train.json").write_text('{"0": [123456789012345]}')


def huge_parquet(folder: Path) -> None:
    parquet.write_table(pa.table({"user": np.zeros(5_000_000, np.int8), "item": np.zeros(5_000_000, np.int8)}),
                        folder / "log.parquet", compression="zstd")  # fmt: skip


def wide_parquet(folder: Path) -> None:
    keys = [examples.ITEM_IDS[0], *(f"x{k}" for k in range(20_000))]
    rows = pa.array([[0.5] * 20_000, *[[]] * 20_000], pa.list_(pa.float32()))
    parquet.write_table(pa.table({"item_id": keys, "feature": rows}), folder / "image.parquet")


CLAIMS = {
    "matrix": ("pickled-coo", huge_matrix, "claims 10,000,000,000 users"),
    "npy": ("lattice", huge_npy, "mmap length is greater than file size"),
    "npz": ("csv", bomb, "claims to unpack to 83,8"),
    "json": ("lattice", huge_json, "claims 123,456,789,012,346 items"),
    "parquet": ("parquet", huge_parquet, "claims 5,000,000 rows in "),
    "wide": ("parquet", wide_parquet, "has 20,000 numbers in few of its 20,001 rows"),
}


@pytest.mark.parametrize("case", CLAIMS)
def test_claims_are_compared_before_memory_is_taken(case: str, tmp_path: Path) -> None:
    name, harm, words = CLAIMS[case]
    folder = examples.make(name, tmp_path / name)
    harm(folder)
    tracemalloc.start()
    try:
        told = " ".join(load_place(folder).problems)
    except DataError as problem:
        told = str(problem)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert words in told
    assert peak < 60e6
