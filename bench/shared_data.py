"""Layer 4. A loaded data set as files that several processes read: written once, opened by memory map.

Each array is one .npy file under the hash of its content, so that data sets share what they have in common and a
file never has to change; a process that opens one compares the two. The only reader and writer of that folder.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.array_cache import unwritable
from bench.digest import hash_array, hash_value
from bench.errors import DataError
from bench.files import check_regular, write_atomically
from bench.records import DataFacts
from bench.types import BenchmarkData

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
