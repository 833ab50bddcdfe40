"""Layer 10. `ludp-bench submit`: results of one or several machines, checked, as one directory. Copies files.

Nothing is written unless all is in order. The same run of two machines is one if its numbers are the same, to the
last digit; a failed one gives way to a finished one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.errors import ResultsError, UsageError
from bench.files import write_bytes
from bench.leaderboard.checks import file_problems, gap_problems, list_problems, place_of
from bench.leaderboard.entries import machine
from bench.leaderboard.found import Found, find
from bench.record_files import RecordFile
from bench.records import RunRecord
from bench.store import ResultsStore

SHOWN_PROBLEMS = 5
BESIDE = ("topk/{}.npz", "checkpoints/{}.safetensors", "checkpoints/{}.json")


@dataclass(frozen=True, eq=False)
class Kept:
    """A file that a run has after the merge, and the directory that it comes from."""

    root: Path
    file: RecordFile


@dataclass(frozen=True)
class Merged:
    """What was done: runs and trials that were copied, and those that were there already."""

    n_runs: int
    n_trials: int
    n_there: int


def submit(sources: Sequence[Path], target: Path, n_asked: int | None, allow_unhashed: bool) -> Merged:
    """Check the results of some directories and copy them into another, which may hold results already.

    Args:
        sources: results directories.
        target: another one; made if needed.
        n_asked: repetitions that every submitted row must have; None takes the most of each data set.
        allow_unhashed: whether records without a content hash are taken.

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
    problems += [problem for found in submitted for problem in file_problems(found, allow_unhashed)]
    problems += [
        problem
        for found in submitted
        for file in found.runs
        for problem in list_problems(file, ResultsStore(found.root))
    ]
    kept: dict[str, Kept] = {}
    for found in (there, *submitted):
        problems += _join(kept, found)
    ours = {file.record.key for found in submitted for file in found.runs}
    runs = [each.file.record for each in kept.values() if each.file.record.spec.stage == "final"]
    problems += gap_problems(runs, ours, n_asked)
    if problems:
        raise _refused(problems)
    return _copy(kept, target)


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
        name, new = place_of(file.record).as_posix(), Kept(found.root, file)
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
    shown = "; ".join(problems[:SHOWN_PROBLEMS])
    more = len(problems) - SHOWN_PROBLEMS
    rest = f"; and {more} more" if more > 0 else ""
    return ResultsError(
        f"Nothing was submitted: {shown}{rest}. Make what is missing or was changed again with run_all.py, or "
        f"leave it out, and submit again."
    )


def _copy(kept: dict[str, Kept], target: Path) -> Merged:
    """Write what is not there, bytes as they are; a run's other files before its record."""
    new = {name: each for name, each in kept.items() if each.root != target}
    for name, each in new.items():
        key = each.file.record.key
        for beside in BESIDE:
            source = each.root / beside.format(key)
            if source.is_file():
                _write(target / beside.format(key), source.read_bytes)
        _write(target / name, partial(bytes, each.file.content))
    n_trials = sum(each.file.record.spec.stage != "final" for each in new.values())
    return Merged(len(new) - n_trials, n_trials, len(kept) - len(new))


def _write(path: Path, content: Callable[[], bytes]) -> None:
    try:
        write_bytes(path, content())
    except OSError as problem:
        raise ResultsError(
            f"{path} cannot be written ({problem.strerror or problem}). What was copied before is whole: free "
            f"some space or make the directory writable, and submit again."
        ) from problem
