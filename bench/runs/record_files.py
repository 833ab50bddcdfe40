"""Record files: which run a record belongs to, and its JSON text with a content hash. Reads records.

Key, seeds and path of a record all follow from the run that it describes. A record whose key or path differs was
copied, moved or edited, and is not taken for the run of that path.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from pydantic import ValidationError

from bench.core.config import first_problem
from bench.core.errors import ResultsError
from bench.core.files import UnfitFileError, read_regular
from bench.core.hashing import derive_seed, hash_in_full, hash_value
from bench.core.json_objects import without_repeats
from bench.core.names import file_name
from bench.core.protocol import Protocol
from bench.core.text import for_line
from bench.runs.record_checks import contradiction
from bench.runs.records import DataFacts, RunRecord, RunSpec

SEED_PURPOSES = ("init", "triples", "model")
FOLDERS = {"final": "runs", "tuning": "trials", "confirm": "trials"}
DEPTH = 5  # runs/<protocol>/<data>-<source>/<model>/<key>.json
# The hash finds what was edited, half-copied or merged by hand. It is not a signature: whoever changes a record on
# purpose can compute a new one, so key, seeds, path and contradictions are checked too.
HASH_FIELD = "content_hash"
MOST_BYTES = 2**26  # of a record; a thousand epochs take less than 1 of these 64 MiB


def run_key(spec: RunSpec, data: DataFacts, protocol: Protocol, code_hash: str) -> str:
    """Return a run's identity, from spec, data, split, protocol and the model's code; 16 hexadecimal digits."""
    return hash_value(
        {
            # without the variant's name: two names for the same parameters are the same run
            "spec": spec.model_dump(exclude={"variant", "features", "bounds"}),
            # newer fields are left out at their default, so that earlier records stay valid
            **({} if spec.features == "given" else {"features": spec.features}),
            **({"bounds": spec.bounds} if spec.bounds else {}),
            "data": [data.data_hash, data.split_hash],
            "protocol": protocol.identity,
            "code": code_hash,
        }
    )


def seeds_of(spec: RunSpec) -> dict[str, int]:
    """Derive the seeds of a run by purpose."""
    stage = () if spec.stage == "final" else (spec.stage,)
    coordinates = (spec.dataset, spec.model, spec.repetition, *stage)
    return {purpose: derive_seed(spec.base_seed, *coordinates, purpose) for purpose in SEED_PURPOSES}


def place_of(key: str, protocol: Protocol, data: str, source: str, spec: RunSpec) -> Path:
    """Return a record's path in a results directory; trials lie in another folder than reported runs."""
    return Path(FOLDERS[spec.stage], protocol.tag, f"{data}-{source}", file_name(spec.model), f"{key}.json")


def place_of_record(record: RunRecord) -> Path:
    """Return a record's path in a results directory, by the run that it describes."""
    data = record.data
    return place_of(record.key, record.protocol.protocol, data.name, data.source, record.spec)


def identity_problem(record: RunRecord) -> str:
    """Return why a record's key, seeds or names do not fit the run that it describes; "" if they do."""
    spec = record.spec
    key = run_key(spec, record.data, record.protocol.protocol, record.code_hash)
    if record.key != key:
        return "its key is not the key of the run that it describes, so one of the two was changed"
    place = place_of_record(record)
    if len(place.parts) != DEPTH or ".." in place.parts or place.is_absolute():
        return "the name of its data set, model or protocol cannot be the name of a folder"
    if spec.dataset != record.data.name:
        return f"it was planned for the data set {spec.dataset}, but says that it ran on {record.data.name}"
    if record.seeds != ({} if record.foreign else seeds_of(spec)):
        return f"its seeds are not those of seed {spec.repetition + 1} of {spec.label} on {spec.dataset}"
    return ""


def place_problem(record: RunRecord, path: PurePath) -> str:
    """Return why a record does not belong at its path; "" if it does.

    Args:
        record: a record whose key is right.
        path: path of its file, of any depth.
    """
    own = place_of_record(record)
    if path.stem != record.key:
        return f"it holds the record of the run {record.key}"
    if path.parts[-DEPTH:] != own.parts:
        return f"it holds the record of a run that belongs at {own.as_posix()}"
    return ""


@dataclass(frozen=True)
class Damaged:
    """A file without a valid record, and what is wrong with it."""

    path: Path
    problem: str


@dataclass(frozen=True, eq=False)
class RecordFile:
    """A file with a valid record.

    Attributes:
        path: path of the file.
        content: its bytes, to copy it unchanged.
        record: the record in it.
        is_hashed: whether it has a content hash; records of earlier versions have none.
    """

    path: Path
    content: bytes
    record: RunRecord
    is_hashed: bool


def to_text(record: RunRecord) -> str:
    """Return the text of a record's file: JSON with the hash of all other fields as its last field."""
    values = record.model_dump(mode="json")
    return json.dumps({**values, HASH_FIELD: hash_in_full(values)}, indent=1, allow_nan=False) + "\n"


def read_record(path: Path) -> RecordFile | Damaged | None:
    """Read the record at a path; return None if nothing exists there.

    A file is damaged if it is not a regular file or not a record, if it was changed after the run, if it
    contradicts itself, or if it describes another run than the one that belongs at this path.

    Raises:
        ResultsError: the file exists, but the system does not let us read it.
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
            f"remove it to repeat the run."
        ) from problem
    try:
        return _parsed(path, content)
    except ValidationError as problem:
        return Damaged(path, for_line(first_problem(problem)))
    except RecursionError:
        return Damaged(path, "the file: its values are nested deeper than those of any record")
    except ValueError as problem:  # not JSON, not UTF-8, or a number that JSON does not have
        return Damaged(path, for_line(f"the file: {problem}"))


def _parsed(path: Path, content: bytes) -> RecordFile | Damaged:
    values: Any = json.loads(content, object_pairs_hook=without_repeats, parse_constant=_refuse_constant)
    json.dumps(values, ensure_ascii=False, allow_nan=False).encode()  # for its errors: lone surrogates, 1e999
    claimed = values.pop(HASH_FIELD, None) if isinstance(values, dict) else None
    record = RunRecord.model_validate(values, strict=True)
    if claimed is not None and claimed != hash_in_full(values):
        return Damaged(path, "its content does not match its content hash, so it was changed after the run")
    problem = identity_problem(record) or contradiction(record) or place_problem(record, path)
    if problem:
        return Damaged(path, for_line(problem))
    return RecordFile(path, content, record, claimed is not None)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number in JSON")
