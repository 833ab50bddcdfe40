"""The scores of a test evaluation without its lists as bytes, small enough for a repository. Pure.

A record holds one hash of users, lists and scores. A file of scores holds the hashes of all of these arrays, which
together give that of the record, so that scores are checked without the lists.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np

from bench.core.hashing import hash_in_full
from bench.core.protocol import SHOWN_CUTOFFS, metric_parts
from bench.runs.list_files import (
    CHANGED,
    METRIC,
    READ_ERRORS,
    StoredLists,
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


def to_bytes(lists: StoredLists, record: RunRecord) -> bytes:
    """Compress the scores by which rows are ranked and tested, and the hashes of all arrays."""
    arrays: dict[str, Any] = {f"{METRIC}{name}": lists.per_user[name] for name in kept_metrics(record)}
    content = io.BytesIO()
    np.savez_compressed(content, users=lists.users, **arrays)
    with zipfile.ZipFile(content, "a", zipfile.ZIP_DEFLATED) as archive:
        # a name alone has the first date of the format, so that the same scores give the same bytes
        archive.writestr(zipfile.ZipInfo(HASHES), json.dumps(lists.array_hashes, sort_keys=True))
    return content.getvalue()


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


def _hashes(content: bytes) -> dict[str, Any]:
    """Return the hashes of the arrays that a run wrote, by name."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive, archive.open(HASHES) as file:
            hashes = json.loads(file.read(MOST_HASHES))
    except (*READ_ERRORS, RecursionError) as problem:
        raise UnfitListsError(f"it lacks {HASHES}, or that is damaged") from problem
    if not isinstance(hashes, dict):
        raise UnfitListsError(f"its {HASHES} is not an object")
    return hashes
