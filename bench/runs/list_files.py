"""The stored lists of a test evaluation as bytes: an .npz of users, items and per-user scores. Pure.

Lists may come from another machine, so they are not trusted: before an array is read, its header is compared with
the record and with the size of the file. Nothing is unpickled.
"""

from __future__ import annotations

import io
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.hashing import hash_array, hash_in_full
from bench.core.types import IntArray, TopK
from bench.runs.record_checks import PERFECT
from bench.runs.records import RunRecord

METRIC = "metric:"
CHANGED = "its hash is not the one in the run's record, so it was changed after the run"
READ_ERRORS = (
    *(OSError, ValueError, EOFError, LookupError, TypeError, NotImplementedError, RuntimeError, MemoryError),
    *(SyntaxError, tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)
# zipfile unpacks other methods in one piece, whatever size the archive claims
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ALWAYS_ALLOWED = 2**28  # bytes of memory that any file of lists may take
MAX_COMPRESSION = 200  # a larger file may take so many times its size
SAME = 1e-12  # largest difference between means of the same numbers, added in another order


class UnfitListsError(ValueError):
    """The reason why bytes are not the lists of a run."""


class ContradictedError(UnfitListsError):
    """The lists are unchanged since the run, but their means differ from those in the record."""


@dataclass(frozen=True, eq=False)
class StoredScores:
    """The stored scores of a test evaluation.

    Attributes:
        users: evaluated users, ascending, `[n]`.
        per_user: metrics by name, `[n]` each.
    """

    users: IntArray
    per_user: dict[str, NDArray[np.float64]]

    @property
    def array_hashes(self) -> dict[str, str]:
        """Return the hash of each array, independent of its compression."""
        arrays: dict[str, NDArray[Any]] = {"users": self.users.astype(np.int64), **self.per_user}
        return {name: hash_array(array) for name, array in arrays.items()}


@dataclass(frozen=True, eq=False)
class StoredLists:
    """The stored lists of a test evaluation, with their scores.

    Attributes:
        users: evaluated users, ascending, `[n]`.
        items: their recommendations, best first, `[n, depth]`; -1 if a user has fewer candidates.
        per_user: metrics by name, `[n]` each.
    """

    users: IntArray
    items: IntArray
    per_user: dict[str, NDArray[np.float64]]

    @property
    def scores(self) -> StoredScores:
        """Return the scores without the lists."""
        return StoredScores(self.users, self.per_user)

    @property
    def array_hashes(self) -> dict[str, str]:
        """Return the hash of each array, independent of its compression."""
        return {"items": hash_array(self.items.astype(np.int32)), **self.scores.array_hashes}

    @property
    def content_hash(self) -> str:
        """Return the hash of all arrays; a record holds that of its lists."""
        return hash_in_full(self.array_hashes)


def to_bytes(topk: TopK, per_user: Mapping[str, NDArray[np.float64]]) -> bytes:
    """Compress lists and per-user metrics."""
    arrays = {f"{METRIC}{name}": values for name, values in per_user.items()}
    content = io.BytesIO()
    np.savez_compressed(content, users=topk.users, items=topk.items.astype(np.int32), **arrays)
    return content.getvalue()


def from_bytes(content: bytes, record: RunRecord) -> StoredLists:
    """Read the lists of a finished run.

    Args:
        content: content of the file.
        record: the run's record, with the numbers of users, items and metrics, and perhaps the hash of the lists.

    Raises:
        UnfitListsError: the lists are damaged, or belong to another run.
    """
    if record.metrics is None:
        raise UnfitListsError("the run is not finished, so it has no lists")
    n, depth, values = record.metrics.test.n_users, record.protocol.topk_depth, record.metrics.test.values
    metrics = {f"{METRIC}{name}": (n,) for name in values}
    arrays = read_arrays(content, {"users": (n,), "items": (n, depth)}, metrics)
    lists = StoredLists(arrays["users"].astype(np.int64), arrays["items"].astype(np.int64), metrics_of(arrays))
    if record.lists_hash not in (None, lists.content_hash):
        raise UnfitListsError(CHANGED)
    if lists.items.size and not (lists.items.min() >= -1 and lists.items.max() < record.data.n_items):
        raise UnfitListsError(f"its items are not numbers below {record.data.n_items:,}")
    check_scores(lists.scores, record)
    return lists


def metrics_of(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
    """Return the metrics among the arrays of a file, by name."""
    return {
        name.removeprefix(METRIC): arrays[name].astype(np.float64)
        for name in sorted(arrays)
        if name.startswith(METRIC)
    }


def read_arrays(
    content: bytes, needed: Mapping[str, tuple[int, ...]], optional: Mapping[str, tuple[int, ...]]
) -> dict[str, NDArray[Any]]:
    """Read arrays of expected names and shapes, and unpack no others.

    Args:
        content: content of an .npz.
        needed: shapes by name.
        optional: likewise, of arrays that may be missing.

    Raises:
        UnfitListsError: the file is damaged, lacks an array, or has one of another shape or type.
    """
    claimed = 8 * sum(int(np.prod(shape, dtype=np.int64)) for shape in (*needed.values(), *optional.values()))
    if claimed > max(ALWAYS_ALLOWED, MAX_COMPRESSION * len(content)):
        raise UnfitListsError(
            f"it has {len(content):,} bytes, but the arrays of this record would take {claimed:,}"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _arrays(archive, needed, {**needed, **optional})
    except UnfitListsError:
        raise
    except READ_ERRORS as problem:
        raise UnfitListsError(f"it is damaged ({problem or type(problem).__name__})") from problem


def _arrays(
    archive: zipfile.ZipFile, needed: Iterable[str], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, NDArray[Any]]:
    names = archive.namelist()
    if len(set(names)) < len(names):
        raise UnfitListsError("it holds an array twice")
    if any(member.compress_type not in METHODS for member in archive.infolist()):
        raise UnfitListsError("it is compressed by another method than deflate")
    missing = [name for name in needed if f"{name}.npy" not in names]
    if missing:
        raise UnfitListsError(f"it lacks {missing[0]}")
    stored = {name: shape for name, shape in shapes.items() if f"{name}.npy" in names}
    return {name: _array(archive, f"{name}.npy", name, shape) for name, shape in stored.items()}


def _array(archive: zipfile.ZipFile, member: str, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    kinds = "f" if name.startswith(METRIC) else "iu"
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)  # type: ignore[no-untyped-call]
        if version != (1, 0):
            raise UnfitListsError(f"its {name} have a header of version {version}")
        own, _, dtype = np.lib.format.read_array_header_1_0(file)  # type: ignore[no-untyped-call]
    if dtype.kind not in kinds or dtype.hasobject:
        raise UnfitListsError(f"its {name} are of type {dtype}")
    if own != shape:
        raise UnfitListsError(f"its {name} have the shape {own}, but the record says {shape}")
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if not size <= archive.getinfo(member).file_size <= size + 2**16:
        raise UnfitListsError(f"its {name} should take {size:,} bytes, which the file does not have")
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)  # type: ignore[no-any-return, no-untyped-call]


def check_scores(scores: StoredScores, record: RunRecord) -> None:
    """Refuse scores that no evaluation can give, or that contradict the record of their run.

    Raises:
        UnfitListsError: the scores are such scores.
        ContradictedError: the scores are unchanged, but their means differ from those in the record.
    """
    users, n_users = scores.users, record.data.n_users
    if len(users) and not (users[0] >= 0 and users[-1] < n_users and (np.diff(users) > 0).all()):
        raise UnfitListsError(f"its users are not ascending numbers below {n_users:,}")
    for name, values in scores.per_user.items():
        if not ((values >= 0) & (values <= PERFECT)).all():
            raise UnfitListsError(f"its {name} are not between 0 and 1")
    assert record.metrics is not None
    for name, values in scores.per_user.items():
        own, value = float(np.mean(values)) if len(values) else 0.0, record.metrics.test.values[name]
        if not abs(own - value) <= SAME:
            raise ContradictedError(f"the mean {name} of its users is {own!r}, but the record says {value!r}")
