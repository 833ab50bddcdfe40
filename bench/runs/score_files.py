"""The scores of a test evaluation without its lists as bytes, small enough for a repository. Pure.

A record holds one hash of users, lists and scores. A file of scores holds the hashes of all of these arrays, which
together give that of the record, so that scores are checked without the lists.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.core.hashing import hash_in_full
from bench.core.protocol import SHOWN_CUTOFFS, metric_parts
from bench.runs import list_files
from bench.runs.list_files import (
    CHANGED,
    METRIC,
    READ_ERRORS,
    StoredScores,
    UnfitListsError,
    check_scores,
    metrics_of,
    read_arrays,
)
from bench.runs.records import RunRecord

HASHES = "hashes.json"
MOST_HASHES = 2**16  # bytes of the hashes of a file


def kept_metrics(record: RunRecord) -> list[str]:
    """Return the metrics of a run that its file of scores holds: those by which rows are ranked and tested."""
    assert record.metrics is not None
    cutoffs = {*SHOWN_CUTOFFS, metric_parts(record.protocol.selection_metric)[1]}
    return [name for name in record.metrics.test.values if metric_parts(name)[1] in cutoffs]


def to_bytes(scores: StoredScores, hashes: Mapping[str, str], record: RunRecord) -> bytes:
    """Compress the scores by which rows are ranked and tested, and the hashes of all arrays.

    Args:
        scores: all scores of the run, or those that its file of scores holds.
        hashes: of all arrays that the run wrote, by name.
        record: the run's record.
    """
    kept = [name for name in kept_metrics(record) if name in scores.per_user]
    arrays: dict[str, Any] = {f"{METRIC}{name}": scores.per_user[name] for name in kept}
    content = io.BytesIO()
    np.savez_compressed(content, users=scores.users, **arrays)
    with zipfile.ZipFile(content, "a") as archive:
        # a ZipInfo has no date of its own, so that the same scores give the same bytes
        archive.writestr(zipfile.ZipInfo(HASHES), json.dumps(dict(hashes), sort_keys=True))
    return content.getvalue()


def from_lists(content: bytes, record: RunRecord) -> bytes:
    """Return the file of scores for the lists of a run.

    Args:
        content: content of the file of lists.
        record: the run's record.

    Raises:
        UnfitListsError: see `bench.runs.list_files.from_bytes`.
    """
    lists = list_files.from_bytes(content, record)
    return to_bytes(lists.scores, lists.array_hashes, record)


def rewritten(content: bytes, record: RunRecord) -> bytes:
    """Return a file of scores again, without anything that does not belong there.

    Raises:
        UnfitListsError: see `from_bytes`.
    """
    return to_bytes(from_bytes(content, record), _hashes(content), record)


def from_bytes(content: bytes, record: RunRecord) -> StoredScores:
    """Read the scores of a finished run.

    Args:
        content: content of the file.
        record: the run's record, with the numbers of users and the hash of the lists.

    Raises:
        UnfitListsError: the scores are damaged, or belong to another run.
    """
    if record.metrics is None or record.lists_hash is None:
        raise UnfitListsError("the run's record has no hash of its lists, which scores without lists need")
    n, names = record.metrics.test.n_users, record.metrics.test.values
    arrays = read_arrays(content, {"users": (n,)}, {f"{METRIC}{name}": (n,) for name in names})
    scores = StoredScores(arrays["users"].astype(np.int64), metrics_of(arrays))
    hashes = _hashes(content)
    own = scores.array_hashes
    if hash_in_full(hashes) != record.lists_hash or any(hashes.get(name) != own[name] for name in own):
        raise UnfitListsError(CHANGED)
    check_scores(scores, record)
    return scores


def _hashes(content: bytes) -> dict[str, str]:
    """Return the hashes of the arrays that a run wrote, by name."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive, archive.open(HASHES) as file:
            hashes = json.loads(file.read(MOST_HASHES))
    except (*READ_ERRORS, RecursionError) as problem:
        raise UnfitListsError(f"it lacks {HASHES}, or that is damaged") from problem
    if not isinstance(hashes, dict) or not all(isinstance(value, str) for value in hashes.values()):
        raise UnfitListsError(f"its {HASHES} is not an object of texts")
    return hashes
