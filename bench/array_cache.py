"""Layer 3. Derived arrays, kept on disk under their content hash. The only reader and writer of that folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from bench.errors import ResultsError
from bench.files import write_atomically


class ArrayCache:
    """Named arrays by key. A damaged file is computed again; a folder that cannot be written is an error.

    Args:
        folder: where the files lie; made when first needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, key: str, compute: Callable[[], dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
        """The arrays of that key, computed and stored if they are not there.

        Raises:
            ResultsError: the folder cannot be written.
        """
        path = self._folder / f"{re.sub('[^A-Za-z0-9._-]', '_', key)}.safetensors"
        try:
            return dict(load_file(path))
        except (FileNotFoundError, SafetensorError, NotADirectoryError):
            pass
        arrays = {name: np.ascontiguousarray(array) for name, array in compute().items()}
        try:
            write_atomically(path, lambda temporary: save_file(arrays, temporary))
        except OSError as problem:
            raise ResultsError(
                f"The cache folder {self._folder} cannot be written ({problem.strerror or problem}). "
                f"Make it writable, free some space, or name another with --cache-dir."
            ) from problem
        return arrays
