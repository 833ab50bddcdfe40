"""Derived arrays on disk, by what they are derived from and the code that derives them.

The only reader and writer of that folder. A checksum in every file covers its arrays, so that flipped bits are
found. A lock in a folder beside it keeps two processes from computing the same arrays.

A loaded data set as files that several processes read: written once, opened by memory map.

Each array is one .npy file under the hash of its content, so that data sets share what they have in common and a
file never has to change; a process that opens one compares the two. The only reader and writer of that folder.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from bench.core.errors import DataError, ResultsError
from bench.core.files import UnfitFileError, check_regular, read_regular, write_atomically, write_bytes
from bench.core.hashing import hash_array, hash_in_full, hash_value
from bench.core.types import BenchmarkData
from bench.engine.code_hash import SHARED, module_hash, shared_folder
from bench.runs.records import DataFacts

Arrays = dict[str, NDArray[Any]]
CHECKSUM = "checksum"


@cache
def code_of_lists() -> str:
    """Hash the code that makes k-NN lists out of a data set's features, down to how ties are broken.

    Read once in a process: the code that runs is the one that was imported.
    """
    packages = {SHARED: shared_folder(), "bench": Path(__file__).resolve().parents[1]}
    return module_hash([f"{SHARED}.base", "bench.engine.recbole"], packages)


class ArrayCache:
    """Named arrays by key. What is damaged is computed again; a folder that cannot be written is an error.

    Args:
        folder: where the files lie; made when first needed.
        code: hash of the code that computes; with other code the same key is another file.
    """

    def __init__(self, folder: Path, code: str) -> None:
        self._folder, self._code = folder, code

    def __call__(self, key: str, compute: Callable[[], Arrays]) -> Arrays:
        """Return the arrays of a key, computed and stored if they are not there.

        While one process computes, others that need the same key wait for it.

        Raises:
            ResultsError: the folder cannot be written.
        """
        own = f"{key}-code-{self._code}"
        path = self._folder / f"{re.sub('[^A-Za-z0-9._-]', '_', own)}.safetensors"
        found = _read(path, own)
        if found is not None:
            return found
        try:
            locks = self._folder.with_name(f"{self._folder.name}.locks")
            locks.mkdir(parents=True, exist_ok=True)
            lock = FileLock(locks / path.stem)
            lock.acquire()
        except (OSError, NotImplementedError) as problem:  # the latter from file systems without locks
            raise unwritable(self._folder, problem) from problem
        try:
            found = _read(path, own)
            return self._computed(path, own, compute) if found is None else found
        finally:
            lock.release()

    def _computed(self, path: Path, key: str, compute: Callable[[], Arrays]) -> Arrays:
        arrays = {name: np.ascontiguousarray(array) for name, array in compute().items()}
        try:
            write_bytes(path, save(arrays, {CHECKSUM: _checksum(arrays, key)}))  # its own writing hides the error
        except OSError as problem:
            raise unwritable(self._folder, problem) from problem
        return arrays


def _checksum(arrays: Arrays, key: str) -> str:
    return hash_in_full({"key": key, "arrays": {name: hash_array(array) for name, array in arrays.items()}})


def _read(path: Path, key: str) -> Arrays | None:
    """Read the arrays that were stored under a key; None where they are gone, damaged or under another's name."""
    try:
        content = read_regular(path)
        arrays: Arrays = load(content)
        about: Any = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        return arrays if about["__metadata__"][CHECKSUM] == _checksum(arrays, key) else None
    except (SafetensorError, UnfitFileError, OSError, ValueError, KeyError, TypeError):
        return None  # if the folder is at fault, writing will tell


def unwritable(folder: Path, problem: OSError | NotImplementedError) -> ResultsError:
    """Make the error for a folder below the cache that refuses a file."""
    reason = getattr(problem, "strerror", None) or problem
    return ResultsError(
        f"The cache folder {folder} cannot be written ({reason}). "
        f"Make it writable, free some space, or name another with --cache-dir."
    )


KEPT_OPEN = 2  # a plan goes data set by data set; the two of a default call stay open side by side


@dataclass(frozen=True)
class StoredArray:
    """Where an array lies."""

    path: Path


@dataclass(frozen=True)
class SharedData:
    """A data set by reference: a few kilobytes, to be sent to another process.

    Attributes:
        key: hash of everything in it; equal keys mean equal data.
        outline: the data set with a `StoredArray` in place of every array.
    """

    key: str
    outline: BenchmarkData = field(compare=False, repr=False)


def publish(data: BenchmarkData, folder: Path) -> SharedData:
    """Write the arrays of a data set that are not there yet.

    Args:
        data: what to publish.
        folder: where the arrays lie; made when needed. It may be deleted when no run is being made.

    Raises:
        ResultsError: the folder cannot be written.
    """
    names: list[str] = []

    def stored(array: NDArray[Any]) -> StoredArray:
        path = folder / f"{hash_array(array)}.npy"
        if not _holds(path, array):
            _write(path, array)
        names.append(path.name)
        return StoredArray(path.absolute())

    outline = _with_arrays(data, np.ndarray, stored)
    return SharedData(hash_value([DataFacts.of(data).model_dump(), names]), outline)


@lru_cache(maxsize=KEPT_OPEN)
def open_shared(shared: SharedData) -> BenchmarkData:
    """The data set again, its arrays mapped into memory; the next call with an equal key gets the same object.

    Raises:
        DataError: a file is gone or damaged.
    """

    def mapped(array: StoredArray) -> NDArray[Any]:
        try:
            check_regular(array.path)
            # copy on write: torch warns of arrays that it may not write, and nothing written reaches the file
            opened = np.asarray(np.load(array.path, mmap_mode="c"))
            if hash_array(opened) != array.path.stem:
                raise ValueError("its content is not what its name says")
        except (OSError, ValueError, EOFError) as problem:
            raise DataError(
                f"The shared array {array.path} cannot be read ({problem}). Leave the cache folder alone while "
                f"runs are made, and give the same command again."
            ) from problem
        return opened

    opened: BenchmarkData = _with_arrays(shared.outline, StoredArray, mapped)
    return opened


def _with_arrays(value: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """A copy of a tree of dataclasses and tuples with every leaf of one kind changed."""
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, tuple):
        return tuple(_with_arrays(part, kind, change) for part in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
        return dataclasses.replace(value, **{k: _with_arrays(part, kind, change) for k, part in parts.items()})
    return value


def _holds(path: Path, array: NDArray[Any]) -> bool:
    """Whether a file is there and whole; a damaged one is written again."""
    try:
        check_regular(path)
        there = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return False
    return there.dtype == array.dtype and np.array_equal(there, array)


def _write(path: Path, array: NDArray[Any]) -> None:
    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.save(file, array)

    try:
        write_atomically(path, write)
    except OSError as problem:
        raise unwritable(path.parent, problem) from problem
