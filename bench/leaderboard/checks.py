"""Layer 10. What is wrong with results that are submitted, in sentences. Reads the stored lists and parameters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from pydantic import ValidationError

from bench.digest import hash_bytes, hash_value
from bench.files import read_regular
from bench.leaderboard.found import Found
from bench.leaderboard.rows import configuration
from bench.record_files import Damaged, RecordFile
from bench.records import RunRecord, RunSpec
from bench.report.aggregate import data_key
from bench.safe_text import for_line
from bench.store import ResultsStore, lists_path

SHOWN_SEEDS = 5


def file_problems(found: Found, allow_unhashed: bool) -> Iterator[str]:
    """Files that are not records, or not the ones that a run left.

    Args:
        found: a results directory.
        allow_unhashed: whether records without a content hash, of earlier versions, are taken.
    """
    for each in found.damaged:
        yield f"{each.path}: {each.problem}"
    for file in (*found.runs, *found.trials):
        if not (file.is_hashed or allow_unhashed):
            yield f"{file.path}: it has no content hash, as records of earlier versions; --unsigned takes it"
        elif outside(file.path, found.root):
            yield f"{file.path}: {outside(file.path, found.root)}"


def outside(path: Path, root: Path) -> str:
    """Say how a path leaves the directory that it is in; empty if it does not.

    A link in submitted results may lead to any file of the person who submits them.
    """
    if path.resolve().is_relative_to(root.resolve()):
        return ""
    return f"it leads to {path.resolve()}, outside of the directory; only files within it are taken"


def list_problems(file: RecordFile, store: ResultsStore) -> Iterator[str]:
    """What does not fit between a finished run's record and its lists."""
    record = file.record
    if record.status != "finished" or record.spec.stage != "final":
        return
    path = lists_path(store.root, record.key)
    problem = outside(path, store.root)
    if problem:
        yield f"{path}: {problem}"
        return
    lists = store.read_lists(record)
    if isinstance(lists, Damaged):
        yield f"{path}: {lists.problem}, and {file.path.name} needs it"
    elif record.metrics is not None:
        missing = sorted(set(record.metrics.test.values) - set(lists.per_user))
        yield from (f"{path}: {metric} of every user is missing" for metric in missing)


def checkpoint_problems(file: RecordFile, store: ResultsStore) -> Iterator[str]:
    """What does not fit between a run's record and the files of its parameters, where there are any."""
    record = file.record
    path = store.root / "checkpoints" / f"{record.key}.safetensors"
    for each in (path, path.with_suffix(".json")):
        if not (each.exists() or each.is_symlink()):
            continue
        try:
            problem = outside(each, store.root)
            content = b"" if problem else read_regular(each)
        except OSError as error:
            problem = str(error.strerror or error)
        if not problem and each == path and record.checkpoint_hash not in (None, hash_bytes(content)):
            problem = "it is not what the run left, by the hash in its record; it was changed since"
        if not problem and each != path and not _is_note(content, record):
            problem = "it does not say which run the parameters are of"
        if problem:
            yield f"{each}: {problem}"


def _is_note(content: bytes, record: RunRecord) -> bool:
    try:
        note = json.loads(content)
        return bool(note["key"] == record.key and RunSpec.model_validate(note["spec"]) == record.spec)
    except (ValueError, KeyError, TypeError, RecursionError, ValidationError):
        return False


def gap_problems(records: Sequence[RunRecord], ours: set[str], n_asked: int | None) -> Iterator[str]:
    """Rows without all their repetitions.

    Args:
        records: all records of runs after the merge, one a key.
        ours: keys of those that are submitted; rows without any are not asked about.
        n_asked: repetitions of a row; None takes the most that a submitted row on the same data has.
    """
    tables: dict[str, dict[str, list[RunRecord]]] = {}
    for record in records:
        board = hash_value([*data_key(record.data), record.protocol.tag])
        row = hash_value([configuration(record), record.spec.features])
        tables.setdefault(board, {}).setdefault(row, []).append(record)
    for rows in tables.values():
        submitted = [group for group in rows.values() if ours & {record.key for record in group}]
        most = max((record.spec.repetition + 1 for group in submitted for record in group), default=0)
        for group in submitted:
            has = {record.spec.repetition for record in group if record.status == "finished"}
            n = n_asked or most
            missing = [str(number + 1) for number in islice(_gaps(has, n), SHOWN_SEEDS + 1)]
            if missing:
                yield _told(group, missing, n)


def _gaps(has: set[int], n: int) -> Iterator[int]:
    return (number for number in range(n) if number not in has)


def _told(group: Sequence[RunRecord], missing: Sequence[str], n: int) -> str:
    first = group[0]
    failed = sum(record.status == "failed" for record in group)
    runs = "run" if len(missing) == 1 else "runs"
    return (
        f"{for_line(first.spec.label)} on {for_line(first.data.label)}: no finished {runs} for seed "
        f"{', '.join(missing[:SHOWN_SEEDS])}{' and more' if len(missing) > SHOWN_SEEDS else ''} of {n}"
        f"{f' ({failed} failed)' if failed else ''}"
    )
