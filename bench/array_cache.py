"""Layer 3. Derived arrays on disk, by what they are derived from and the code that derives them.

The only reader and writer of that folder. A checksum in every file covers its arrays, so that flipped bits are
found. A lock in a folder beside it keeps two processes from computing the same arrays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from bench.digest import hash_array, hash_in_full
from bench.errors import ResultsError
from bench.files import UnfitFileError, read_regular, write_bytes
from bench.model_code import SHARED, module_hash, shared_folder

Arrays = dict[str, NDArray[Any]]
CHECKSUM = "checksum"


@cache
def code_of_lists() -> str:
    """Hash the code that makes k-NN lists out of a data set's features, down to how ties are broken.

    Read once in a process: the code that runs is the one that was imported.
    """
    bench = Path(__file__).resolve().parent
    packages = {SHARED: shared_folder(), bench.name: bench}
    return module_hash([f"{SHARED}.base", f"{bench.name}.recbole_bridge"], packages)


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
