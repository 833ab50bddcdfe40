"""Which run a record is of: its key, its seeds and its place in a results directory. Pure.

All three follow from what a record says was run. A record whose key or place says something else was copied, moved
or edited, and is not taken for the run whose place it has.

A record as the text of its file: with a hash of its content, by which a change by hand is found. Pure.

The hash is not a signature: somebody who changes a record on purpose can compute it anew. It finds what was
edited, half-copied or merged by hand, as the hash of the lists in the record does for the lists. What a record
says of its run must also be what its key, its seeds, its place and its other fields say
(`bench.runs.record_files`, `bench.runs.record_checks`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from pydantic import ValidationError

from bench.core.errors import ResultsError
from bench.core.files import UnfitFileError, file_name, read_regular
from bench.core.hashing import derive_seed, hash_in_full, hash_value
from bench.core.protocol import Protocol
from bench.core.text import for_line
from bench.runs.record_checks import contradiction
from bench.runs.records import DataFacts, RunRecord, RunSpec

SEED_PURPOSES = ("init", "triples", "model")
FOLDERS = {"final": "runs", "tuning": "trials", "confirm": "trials"}
DEPTH = 5  # runs/<protocol>/<data>-<source>/<model>/<key>.json


def run_key(spec: RunSpec, data: DataFacts, protocol: Protocol, code_hash: str) -> str:
    """Identity of a run: spec, data, split, protocol and the model's code; 16 hexadecimal digits.

    The variant's name is no part of it: two names for the same parameters are the same run.
    """
    return hash_value(
        {
            "spec": spec.model_dump(exclude={"variant", "features", "bounds"}),
            # fields that came later are left out at their first value, so that earlier records stay valid
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
    """Place a record in a results directory: those of trials lie apart from those of reported runs."""
    return Path(FOLDERS[spec.stage], protocol.tag, f"{data}-{source}", file_name(spec.model), f"{key}.json")


def place_of_record(record: RunRecord) -> Path:
    """Place a record by what it says was run."""
    data = record.data
    return place_of(record.key, record.protocol.protocol, data.name, data.source, record.spec)


def identity_problem(record: RunRecord) -> str:
    """Say why a record's key, seeds or names do not fit what it says was run; empty if they do."""
    spec = record.spec
    key = run_key(spec, record.data, record.protocol.protocol, record.code_hash)
    if record.key != key:
        return "its key is not that of what it says was run, so one of the two was changed"
    place = place_of_record(record)
    if len(place.parts) != DEPTH or ".." in place.parts or place.is_absolute():
        return "its data set, model or protocol is not a name of a folder"
    if spec.dataset != record.data.name:
        return f"it was planned for the data set {spec.dataset}, and says that it ran on {record.data.name}"
    if record.seeds != seeds_of(spec):
        return f"its seeds are not those of seed {spec.repetition + 1} of {spec.label} on {spec.dataset}"
    return ""


def place_problem(record: RunRecord, path: PurePath) -> str:
    """Say why a record does not belong where it lies; empty if it does.

    Args:
        record: one whose key is its own.
        path: of its file, of any depth.
    """
    own = place_of_record(record)
    if path.stem != record.key:
        return f"it holds the record of the run {record.key}"
    if path.parts[-DEPTH:] != own.parts:
        return f"it holds the record of a run whose place is {own.as_posix()}"
    return ""


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
