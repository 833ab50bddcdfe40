"""Layer 3. Derived arrays, kept on disk under their content hash. The only reader and writer of that folder.

A lock in a folder beside it keeps two processes from computing the same arrays.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, load_file, save

from bench.errors import ResultsError
from bench.files import write_bytes
from bench.names import is_readable

Arrays = dict[str, NDArray[Any]]


class ArrayCache:
    """Named arrays by key. A damaged file is computed again; a folder that cannot be written is an error.

    Args:
        folder: where the files lie; made when first needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, key: str, compute: Callable[[], Arrays]) -> Arrays:
        """The arrays of that key, computed and stored if they are not there.

        While one process computes, others that need the same key wait for it.

        Raises:
            ResultsError: the folder cannot be written.
        """
        path = self._folder / f"{re.sub('[^A-Za-z0-9._-]', '_', key)}.safetensors"
        found = _read(path)
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
            found = _read(path)
            return self._computed(path, compute) if found is None else found
        finally:
            lock.release()

    def _computed(self, path: Path, compute: Callable[[], Arrays]) -> Arrays:
        arrays = {name: np.ascontiguousarray(array) for name, array in compute().items()}
        try:
            write_bytes(path, save(arrays))  # its own writing hides the system's error
        except OSError as problem:
            raise unwritable(self._folder, problem) from problem
        return arrays


def _read(path: Path) -> Arrays | None:
    try:
        return dict(load_file(path) if is_readable(path) else load(path.read_bytes()))
    except (SafetensorError, OSError):  # if the folder is at fault, writing will tell
        return None


def unwritable(folder: Path, problem: OSError | NotImplementedError) -> ResultsError:
    """The error for a folder below the cache that refuses a file."""
    reason = getattr(problem, "strerror", None) or problem
    return ResultsError(
        f"The cache folder {folder} cannot be written ({reason}). "
        f"Make it writable, free some space, or name another with --cache-dir."
    )
