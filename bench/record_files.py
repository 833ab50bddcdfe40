"""Layer 4. A record as the text of its file: with a hash of its content, by which a change by hand is found. Pure.

The hash is not a signature: somebody who changes a record on purpose can compute it anew. It finds what was
edited, half-copied or merged by hand, as the hash of the lists in the record does for the lists. What a record
says of its run must also be what its key, its seeds, its place and its other fields say (`bench.identity`,
`bench.record_checks`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.digest import hash_in_full
from bench.errors import ResultsError
from bench.files import UnfitFileError, read_regular
from bench.identity import identity_problem, place_problem
from bench.record_checks import contradiction
from bench.records import RunRecord
from bench.safe_text import for_line

HASH_FIELD = "content_hash"
MOST_BYTES = 2**26  # of a record; a thousand epochs take less than one of these 64 MiB


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
    """Read the record at a path; None where nothing lies there.

    A file is damaged if it is not a file or not a record, if it was changed after the run, if it contradicts
    itself, or if the run that it tells of is not the one that belongs to this place.

    Raises:
        ResultsError: there is a file, and the system does not let us read it.
    """
    try:
        content = read_regular(path, MOST_BYTES)
    except FileNotFoundError:
        return None
    except UnfitFileError as problem:
        return Damaged(path, str(problem.strerror))
    except OSError as problem:
        raise ResultsError(
            f"{for_line(str(path))} cannot be read ({problem.strerror or problem}). Make it readable, or "
            f"remove it: then the run is made again."
        ) from problem
    try:
        return _parsed(path, content)
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        return Damaged(path, for_line(f"{where}: {first['msg']}"))
    except RecursionError:
        return Damaged(path, "the file: its values lie deeper in each other than those of any record")
    except ValueError as problem:  # no JSON, no UTF-8, or a number that JSON does not have
        return Damaged(path, for_line(f"the file: {problem}"))


def _parsed(path: Path, content: bytes) -> RecordFile | Damaged:
    values: Any = json.loads(content, object_pairs_hook=_once, parse_constant=_refuse_constant)
    json.dumps(values, ensure_ascii=False, allow_nan=False).encode()  # for its errors: halves of characters, 1e999
    claimed = values.pop(HASH_FIELD, None) if isinstance(values, dict) else None
    record = RunRecord.model_validate(values, strict=True)
    if claimed is not None and claimed != hash_in_full(values):
        return Damaged(path, "its content is not what its content hash says, so it was changed after the run")
    problem = identity_problem(record) or contradiction(record) or place_problem(record, path)
    if problem:
        return Damaged(path, for_line(problem))
    return RecordFile(path, content, record, claimed is not None)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"'{next(name for name in names if names.count(name) > 1)}' is given twice")
    return values


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number in JSON")
