"""Layer 3. Which run a record is of: its key, its seeds and its place in a results directory. Pure.

All three follow from what a record says was run. A record whose key or place says something else was copied, moved
or edited, and is not taken for the run whose place it has.
"""

from __future__ import annotations

from pathlib import Path, PurePath

from bench.digest import hash_value
from bench.files import file_name
from bench.protocol import Protocol
from bench.records import DataFacts, RunRecord, RunSpec
from bench.seeds import derive_seed

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
