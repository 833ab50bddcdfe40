"""Layer 4. Contents and an encoder -> a feature file and the description beside it. Writes those two only."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.errors import DataError, ResultsError
from bench.extract.contents import Contents
from bench.extract.encoders import Encoder
from bench.fetch.checksums import git_blob
from bench.files import write_bytes, write_text
from bench.sources.extracted import Extraction, beside
from bench.types import FloatArray


def encoded(
    contents: Contents, n_items: int, encoder: Encoder, batch_size: int, tell: Callable[[int], None]
) -> FloatArray:
    """One row an item, `[n_items, d]`; items without content have a row of zeros.

    Args:
        contents: by row.
        n_items: number of rows.
        encoder: makes the rows.
        batch_size: contents a call of it.
        tell: told of the rows made so far.

    Raises:
        DataError: there is no content, or the encoder gives something else than one finite row a content.
    """
    if not contents:
        raise DataError("No item has any content to extract features from. Check --input and --fields.")
    rows, parts = np.fromiter(contents, dtype=np.int64), list[FloatArray]()
    values = list(contents.values())
    for start in range(0, len(values), batch_size):
        some = values[start : start + batch_size]
        part = np.asarray(encoder.encode(some), dtype=np.float32)
        width = parts[0].shape[1:] if parts else part.shape[1:]
        if part.ndim != 2 or part.shape != (len(some), *width) or not np.isfinite(part).all():
            raise DataError(
                f"The encoder {encoder.facts.model} gave an array of shape {part.shape} for {len(some)} contents, "
                "expected one finite row each. Take another encoder."
            )
        parts.append(part)
        tell(start + len(some))
    matrix = np.zeros((n_items, parts[0].shape[1]), dtype=np.float32)
    matrix[rows] = np.concatenate(parts)
    return matrix


def write(path: Path, matrix: FloatArray, modality: str, encoder: Encoder, made_of: str) -> Extraction:
    """Write the matrix as .npy, and beside it what made it.

    Raises:
        ResultsError: they cannot be written.
    """
    stream = io.BytesIO()
    np.save(stream, matrix, allow_pickle=False)
    try:
        beside(path).unlink(missing_ok=True)  # it would speak of the old matrix beside the new one
        write_bytes(path, stream.getvalue())
        made = Extraction(
            modality=modality,
            extractor=encoder.facts,
            made_of=made_of,
            n_items=len(matrix),
            n_described=int(matrix.any(axis=1).sum()),
            features=git_blob(path),
        )
        write_text(beside(path), made.model_dump_json(indent=2) + "\n")
    except OSError as problem:
        raise ResultsError(
            f"{path} cannot be written ({problem.strerror or problem}). Free some space, or name another file "
            "with --output."
        ) from problem
    return made
