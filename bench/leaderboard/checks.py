"""Layer 10. What is wrong with results that are submitted, in sentences. Reads the stored lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bench.digest import hash_value
from bench.leaderboard.found import RUNS, TRIALS, Found
from bench.leaderboard.rows import configuration
from bench.plan import run_key
from bench.record_files import RecordFile
from bench.records import RunRecord
from bench.report.aggregate import data_key
from bench.store import ResultsStore, StoredLists

DEPTH = 5  # runs/<protocol>/<data>-<source>/<model>/<key>.json
SAME = 1e-12  # between means of the same numbers that were added in another order


def file_problems(found: Found, allow_unhashed: bool) -> Iterator[str]:
    """Files that are no record, or not the one that a run left.

    Args:
        found: a results directory.
        allow_unhashed: whether records without a content hash, of earlier versions, are taken.
    """
    for each in found.damaged:
        yield f"{each.path}: {each.problem}"
    for file in (*found.runs, *found.trials):
        if not (file.is_hashed or allow_unhashed):
            yield f"{file.path}: it has no content hash, as records of earlier versions; --unsigned takes it"
        elif _key(file.record) != file.record.key:
            yield f"{file.path}: its key is not that of what it says was run, so one of the two was changed"
        elif not _is_inside(place_of(file.record)):
            yield f"{file.path}: its data set, model or protocol is no name of a folder"


def list_problems(file: RecordFile, store: ResultsStore) -> Iterator[str]:
    """What does not fit between a finished run's record and its lists."""
    record = file.record
    if record.status != "finished":
        return
    if record.metrics is None:
        yield f"{file.path}: it is finished, but holds no metrics"
        return
    lists, where = store.read_topk(record.key), store.root / "topk" / f"{record.key}.npz"
    if lists is None:
        yield f"{where}: missing or damaged, and {file.path.name} needs it"
    elif record.lists_hash not in (None, lists.content_hash):
        yield f"{where}: it is not what the run left, by the hash in its record; it was changed since"
    else:
        yield from (f"{where}: {problem}" for problem in _mismatches(record, lists))


def _mismatches(record: RunRecord, lists: StoredLists) -> Iterator[str]:
    """The record's means against those of the lists."""
    assert record.metrics is not None
    test, n = record.metrics.test, len(lists.users)
    if n != test.n_users or lists.items.shape != (n, record.protocol.topk_depth):
        shape = f"{lists.items.shape[0]:,} lists of {lists.items.shape[1]}"
        yield f"{n:,} users and {shape}, where the record says {test.n_users:,} and {record.protocol.topk_depth}"
        return
    for metric, value in test.values.items():
        own = lists.per_user.get(metric)
        if own is None or own.shape != (n,):
            yield f"{metric} of every user is missing"
        elif not abs(float(np.mean(own)) - value) <= SAME:
            yield f"the mean {metric} of its users is {float(np.mean(own))!r}, the record says {value!r}"


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
            missing = [str(number + 1) for number in range(n_asked or most) if number not in has]
            if missing:
                yield _told(group, missing, n_asked or most)


def _told(group: Sequence[RunRecord], missing: Sequence[str], n: int) -> str:
    first = group[0]
    failed = sum(record.status == "failed" for record in group)
    runs = "run" if len(missing) == 1 else "runs"
    return (
        f"{first.spec.label} on {first.data.label}: no finished {runs} for seed {', '.join(missing)} of {n}"
        f"{f' ({failed} failed)' if failed else ''}"
    )


def _key(record: RunRecord) -> str:
    return run_key(record.spec, record.data, record.protocol.protocol, record.code_hash)


def _is_inside(place: Path) -> bool:
    """Whether a record from elsewhere stays in the results directory and goes as deep as all others."""
    return place.parts[0] in (RUNS, TRIALS) and len(place.parts) == DEPTH and ".." not in place.parts


def place_of(record: RunRecord) -> Path:
    """Where a record lies in a results directory."""
    data, used = record.data, record.protocol.protocol
    return ResultsStore(Path()).record_path(record.key, used, data.name, data.source, record.spec)
