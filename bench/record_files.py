"""Layer 3. A record as the text of its file: with a hash of its content, by which a change by hand is found. Pure.

The hash is no signature: whoever changes a record on purpose can compute it anew. It finds what was edited,
half-copied or merged by hand, as the hash of the lists in the record does for the lists.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.digest import hash_in_full
from bench.errors import ResultsError
from bench.records import RunRecord

HASH_FIELD = "content_hash"


@dataclass(frozen=True)
class Damaged:
    """A file that holds no valid record."""

    path: Path
    problem: str


@dataclass(frozen=True, eq=False)
class RecordFile:
    """A file that holds one.

    Attributes:
        path: of the file.
        content: its bytes, to copy it as it is.
        record: what it holds.
        is_hashed: whether it has a content hash; records of earlier versions have none.
    """

    path: Path
    content: bytes
    record: RunRecord
    is_hashed: bool


def to_text(record: RunRecord) -> str:
    """The file of a record: JSON with the hash of all other fields as the last one."""
    values = record.model_dump(mode="json")
    return json.dumps({**values, HASH_FIELD: hash_in_full(values)}, indent=1, allow_nan=False) + "\n"


def read_record(path: Path) -> RecordFile | Damaged | None:
    """The record at a path; None where there is no file.

    Raises:
        ResultsError: there is one that cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise ResultsError(
            f"{path} cannot be read ({problem.strerror or problem}). Make it readable, or remove it: then the "
            f"run is made again."
        ) from problem
    try:
        return _parsed(path, content)
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        return Damaged(path, f"{where}: {first['msg']}")
    except ValueError as problem:  # no JSON, no UTF-8, or a number that JSON does not have
        return Damaged(path, f"the file: {problem}")


def _parsed(path: Path, content: bytes) -> RecordFile | Damaged:
    values: Any = json.loads(content)
    claimed = values.pop(HASH_FIELD, None) if isinstance(values, dict) else None
    record = RunRecord.model_validate(values)
    if claimed is not None and claimed != hash_in_full(values):
        return Damaged(path, "its content is not what its content hash says, so it was changed after the run")
    return RecordFile(path, content, record, claimed is not None)
