"""Two caches below the cache folder: derived arrays by key, and data sets that processes share.

`ArrayCache` stores what models derive from a data set, such as k-NN lists, in one file per key. `publish` writes
the arrays of a data set, and `open_shared` maps them into memory. Reads and writes both folders.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from bench.core.errors import DataError
from bench.core.files import (
    UnfitFileError,
    check_regular,
    locked,
    os_errors,
    read_regular,
    write_atomically,
    write_bytes,
)
from bench.core.hashing import hash_array, hash_in_full, hash_value
from bench.core.places import SHARED, shared_folder
from bench.core.types import BenchmarkData
from bench.engine.code_hash import module_hash
from bench.runs.records import DataFacts

Arrays = dict[str, NDArray[Any]]
CHECKSUM = "checksum"
KEPT_OPEN = 2  # a plan runs one data set after another; the two of a default call stay open side by side


@cache
def neighbour_code_hash() -> str:
    """Hash the code that makes k-NN lists out of a data set's features, down to how ties are broken."""
    # cached per process: the code that runs is the one that was imported, whatever is edited later
    packages = {SHARED: shared_folder(), "bench": Path(__file__).resolve().parents[1]}
    return module_hash([f"{SHARED}.base", "bench.engine.recbole"], packages)


class ArrayCache:
    """A folder of named arrays by key, each file with a checksum over its arrays.

    A damaged file is computed again. A folder that cannot be written is an error.

    Args:
        folder: where the files lie; created when first needed.
        code: hash of the code that computes; with other code the same key is another file.
    """

    def __init__(self, folder: Path, code: str) -> None:
        self._folder, self._code = folder, code

    def __call__(self, key: str, compute: Callable[[], Arrays]) -> Arrays:
        """Return the arrays of a key; compute and store them if they are not cached.

        While one process computes, others that need the same key wait for it.

        Raises:
            ResultsError: the folder cannot be written.
        """
        own = f"{key}-code-{self._code}"
        path = self._folder / f"{re.sub('[^A-Za-z0-9._-]', '_', own)}.safetensors"
        cached = _read(path, own)
        if cached is not None:
            return cached
        locks = self._folder.with_name(f"{self._folder.name}.locks")
        with ExitStack() as lock:
            with _write_errors(self._folder):
                locks.mkdir(parents=True, exist_ok=True)
                lock.enter_context(locked(locks / path.stem))
            cached = _read(path, own)  # another process may have computed it while this one waited
            return self._compute(path, own, compute) if cached is None else cached

    def _compute(self, path: Path, key: str, compute: Callable[[], Arrays]) -> Arrays:
        arrays = {name: np.ascontiguousarray(array) for name, array in compute().items()}
        with _write_errors(self._folder):
            # not safetensors.save_file: it hides the system's error
            write_bytes(path, save(arrays, {CHECKSUM: _checksum(arrays, key)}))
        return arrays


def _checksum(arrays: Arrays, key: str) -> str:
    return hash_in_full({"key": key, "arrays": {name: hash_array(array) for name, array in arrays.items()}})


def _read(path: Path, key: str) -> Arrays | None:
    """Read the arrays that were stored under a key; None if they are missing, damaged or of another key."""
    try:
        content = read_regular(path)
        arrays: Arrays = load(content)
        header: Any = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        return arrays if header["__metadata__"][CHECKSUM] == _checksum(arrays, key) else None
    except (SafetensorError, UnfitFileError, OSError, ValueError, KeyError, TypeError):
        return None  # if the folder is at fault, the write that follows raises


def _write_errors(folder: Path) -> AbstractContextManager[None]:
    return os_errors(
        f"The cache folder {folder} cannot be written",
        "Make it writable, free some space, or choose another folder with --cache-dir.",
    )


@dataclass(frozen=True)
class StoredArray:
    """The path of an array's file, in place of the array."""

    path: Path


@dataclass(frozen=True)
class SharedData:
    """A data set by reference: a few kilobytes that can be sent to another process.

    Attributes:
        key: hash of everything in it; equal keys mean equal data.
        outline: the data set with a `StoredArray` in place of every array.
    """

    key: str
    outline: BenchmarkData = field(compare=False, repr=False)


def publish(data: BenchmarkData, folder: Path) -> SharedData:
    """Write the arrays of a data set that the folder does not hold yet.

    Args:
        data: what to publish.
        folder: where the arrays lie; created when needed. It may be deleted while no run is in progress.

    Raises:
        ResultsError: the folder cannot be written.
    """
    names: list[str] = []

    def stored(array: NDArray[Any]) -> StoredArray:
        # named by content: data sets share equal arrays, and no file ever has to change
        path = folder / f"{hash_array(array)}.npy"
        if not _holds(path, array):
            _write(path, array)
        names.append(path.name)
        return StoredArray(path.absolute())

    outline = _with_arrays(data, np.ndarray, stored)
    return SharedData(hash_value([DataFacts.of(data).model_dump(), names]), outline)


@lru_cache(maxsize=KEPT_OPEN)
def open_shared(shared: SharedData) -> BenchmarkData:
    """Open a published data set by memory map; the next call with an equal key returns the same object.

    Raises:
        DataError: a file is missing or damaged.
    """

    def mapped(array: StoredArray) -> NDArray[Any]:
        failure = f"The shared array {array.path} cannot be read"
        advice = "Do not change the cache folder while runs are in progress, and give the same command again."
        with os_errors(failure, advice, DataError, ValueError, EOFError):
            check_regular(array.path)
            # copy on write: torch warns of arrays that it may not write, and nothing written reaches the file
            opened = np.asarray(np.load(array.path, mmap_mode="c"))
            if hash_array(opened) != array.path.stem:
                raise ValueError("its content does not match the hash in its name")
        return opened

    opened: BenchmarkData = _with_arrays(shared.outline, StoredArray, mapped)
    return opened


def _with_arrays(value: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """Copy a tree of dataclasses and tuples with every leaf of one kind changed."""
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, tuple):
        return tuple(_with_arrays(part, kind, change) for part in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
        return dataclasses.replace(value, **{k: _with_arrays(part, kind, change) for k, part in parts.items()})
    return value


def _holds(path: Path, array: NDArray[Any]) -> bool:
    """Return whether a file holds exactly this array."""
    try:
        check_regular(path)
        stored = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return False
    return stored.dtype == array.dtype and np.array_equal(stored, array)


def _write(path: Path, array: NDArray[Any]) -> None:
    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.save(file, array)

    with _write_errors(path.parent):
        write_atomically(path, write)
