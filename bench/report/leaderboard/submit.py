"""What is wrong with results that are submitted, in sentences. Reads the stored lists and parameters.

`ludp-bench submit`: results of one or several machines, checked, as one directory. Copies files.

Nothing is written unless all is in order. The same run of two machines is one if its numbers are the same, to the
last digit; a failed one gives way to a finished one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.core.errors import ResultsError, UsageError
from bench.core.files import UnfitFileError, read_regular, write_bytes
from bench.core.hashing import hash_bytes, hash_value
from bench.core.text import for_line
from bench.report.leaderboard.build import build
from bench.report.leaderboard.entries import machine
from bench.report.leaderboard.rows import Found, configuration, find, without_disagreements
from bench.report.paper import load_paper
from bench.report.scores import data_key
from bench.runs.list_files import StoredLists, UnfitListsError, from_bytes
from bench.runs.record_files import Damaged, RecordFile, place_of_record
from bench.runs.records import RunRecord, RunSpec
from bench.runs.store import ResultsStore, lists_path

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


SHOWN_PROBLEMS = 5
BESIDE = ("topk/{}.npz", "checkpoints/{}.safetensors", "checkpoints/{}.json")


@dataclass(frozen=True, eq=False)
class Kept:
    """A file that a run has after the merge, and the directory that it comes from."""

    root: Path
    file: RecordFile


@dataclass(frozen=True)
class Merged:
    """What was done.

    Attributes:
        n_runs: runs that were copied.
        n_trials: trials that were copied.
        n_there: of both, those that were there already.
        n_unhashed: files of parameters that were left behind, since no hash in a record covers them.
    """

    n_runs: int
    n_trials: int
    n_there: int
    n_unhashed: int = 0


def submit(sources: Sequence[Path], target: Path, n_asked: int | None, allow_unhashed: bool) -> Merged:
    """Check the results of some directories and copy them into another, which may hold results already.

    The leaderboard of all of them together is built before the first file is copied.

    Args:
        sources: results directories.
        target: another one; made if needed.
        n_asked: repetitions that every submitted row must have; None takes the most of each data set.
        allow_unhashed: whether records without a content hash are taken, and parameters that no hash covers.

    Raises:
        UsageError: a directory does not exist, or is given twice.
        ResultsError: something is not in order, or cannot be read or written; nothing was copied then.
    """
    _check_directories(sources, target)
    submitted = [find(source) for source in sources]
    empty = [str(found.root) for found in submitted if not (found.runs or found.damaged)]
    if empty:
        raise ResultsError(f"There is no result record in {empty[0]}. Name a directory with runs/ in it.")
    there = find(target)
    problems = [f"{each.path}: {each.problem}" for each in there.damaged]
    for found in submitted:
        store = ResultsStore(found.root)
        problems += file_problems(found, allow_unhashed)
        problems += [problem for file in found.runs for problem in list_problems(file, store)]
        problems += [problem for file in found.runs for problem in checkpoint_problems(file, store)]
    kept: dict[str, Kept] = {}
    for found in (there, *submitted):
        problems += _join(kept, found)
    merged = _as_found(kept, target)
    agreed = without_disagreements(merged)
    problems += [f"{kept_path(each.path, target, kept)}: {each.problem}" for each in agreed.damaged]
    ours = {file.record.key for found in submitted for file in found.runs}
    problems += gap_problems([file.record for file in merged.runs], ours, n_asked)
    if problems:
        raise _refused(problems)
    build(merged, None, load_paper(), Roots(kept))
    return _copy(kept, target, allow_unhashed)


class Roots:
    """Lists of merged runs, each read where it lies now.

    Args:
        kept: the runs by the place that they will have.
    """

    def __init__(self, kept: Mapping[str, Kept]) -> None:
        self._roots = {each.file.record.key: each.root for each in kept.values()}

    def read_lists(self, record: RunRecord) -> StoredLists | Damaged:
        """Read the lists of a finished run; or why they cannot be used."""
        return ResultsStore(self._roots[record.key]).read_lists(record)


def _as_found(kept: Mapping[str, Kept], target: Path) -> Found:
    """What the target will hold."""
    files = [replace(each.file, path=target / name) for name, each in kept.items()]
    runs = tuple(file for file in files if file.record.spec.stage == "final")
    return Found(target, runs, tuple(file for file in files if file.record.spec.stage != "final"), ())


def kept_path(path: Path, target: Path, kept: Mapping[str, Kept]) -> Path:
    """Return where a file lies that will have a path in the target."""
    return kept[path.relative_to(target).as_posix()].file.path


def _check_directories(sources: Sequence[Path], target: Path) -> None:
    for source in sources:
        if not source.is_dir():
            raise UsageError(
                f"There is no directory {source}. Name a results directory, as --results-dir made it."
            )
    resolved = [path.resolve() for path in (target, *sources)]
    if len(set(resolved)) < len(resolved):
        raise UsageError(
            f"A directory is given twice among {', '.join(map(str, (*sources, target)))}. Name each once, and "
            f"with --to another one than those that are read."
        )


def _join(kept: dict[str, Kept], found: Found) -> Iterator[str]:
    """Add the records of a directory; what contradicts what is there is a problem."""
    for file in (*found.runs, *found.trials):
        name, new = place_of_record(file.record).as_posix(), Kept(found.root, file)
        old = kept.get(name)
        if old is None or (old.file.record.status, file.record.status) == ("failed", "finished"):
            kept[name] = new
        elif (old.file.record.status, file.record.status) != ("finished", "failed"):
            difference = _difference(old, new)
            if difference:
                yield difference


def _difference(one: Kept, other: Kept) -> str:
    """In which number two records of the same run differ, and where each was made; empty if in none."""
    first, second = _numbers(one.file.record), _numbers(other.file.record)
    names = {**first, **second}
    if None in (one.file.record.lists_hash, other.file.record.lists_hash):  # one is of an earlier version
        names.pop("hash of the lists", None)
    for name in names:
        if first.get(name) != second.get(name):
            record = one.file.record
            run = f"{record.spec.label} on {record.data.label}, seed {record.spec.repetition + 1}"
            return (
                f"the run {record.key} ({run}) has {name} = {first.get(name)!r} on {_where(one)} and "
                f"{second.get(name)!r} on {_where(other)}; leave one of the two out"
            )
    return ""


def _numbers(record: RunRecord) -> dict[str, Any]:
    """What the same key must give wherever a run is made, flat, means of the test part first."""
    found: dict[str, Any] = {}
    if record.metrics is not None:
        for part in ("test", "valid"):
            values = getattr(record.metrics, part)
            found |= {f"{part} {name}": value for name, value in values.values.items()}
            found |= {f"{part} users": values.n_users}
    for epoch in record.curve:
        found[f"loss of epoch {epoch.epoch}"] = epoch.loss
        found |= {f"validation {name} of epoch {epoch.epoch}": value for name, value in epoch.valid.items()}
    if record.lists_hash is not None:
        found["hash of the lists"] = record.lists_hash
    return found | {"best epoch": record.best_epoch}


def _where(kept: Kept) -> str:
    environment = kept.file.record.environment
    return f"{machine(environment)}, {environment.get('platform', 'unknown system')} ({kept.root})"


def _refused(problems: Sequence[str]) -> ResultsError:
    shown = for_line("; ".join(problems[:SHOWN_PROBLEMS]))
    more = len(problems) - SHOWN_PROBLEMS
    rest = f"; and {more} more" if more > 0 else ""
    return ResultsError(
        f"Nothing was submitted: {shown}{rest}. Make what is missing or was changed again with run_all.py, or "
        f"leave it out, and submit again."
    )


def _copy(kept: dict[str, Kept], target: Path, allow_unhashed: bool) -> Merged:
    """Write what is not there, bytes as they are; a run's other files before its record."""
    new = {name: each for name, each in kept.items() if each.root != target}
    n_unhashed = 0
    for name, each in new.items():
        record = each.file.record
        for beside in BESIDE:
            source = each.root / beside.format(record.key)
            is_covered = beside.startswith("topk") or record.checkpoint_hash is not None or allow_unhashed
            if not (source.is_file() and not outside(source, each.root)):
                continue
            if is_covered:
                _write(target / beside.format(record.key), partial(_unchanged, source, record))
            else:
                n_unhashed += source.suffix == ".safetensors"
        _write(target / name, partial(bytes, each.file.content))
    n_trials = sum(each.file.record.spec.stage != "final" for each in new.values())
    return Merged(len(new) - n_trials, n_trials, len(kept) - len(new), n_unhashed)


def _unchanged(source: Path, record: RunRecord) -> bytes:
    """Read a file once more, as it was when it was checked.

    Raises:
        OSError: it was changed meanwhile.
    """
    content = read_regular(source)
    if source.suffix == ".safetensors" and record.checkpoint_hash not in (None, hash_bytes(content)):
        raise UnfitFileError("it was changed while it was copied")
    if source.suffix == ".npz":
        try:
            from_bytes(content, record)
        except UnfitListsError as problem:
            raise UnfitFileError(f"it was changed while it was copied: {problem}") from problem
    return content


def _write(path: Path, content: Callable[[], bytes]) -> None:
    try:
        write_bytes(path, content())
    except OSError as problem:
        raise ResultsError(
            f"{path} cannot be written ({problem.strerror or problem}). What was copied before is whole: free "
            f"some space or make the directory writable, and submit again."
        ) from problem
