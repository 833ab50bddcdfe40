"""`ludp-bench submit`: check the results of one or several machines and merge them into one directory.

Reads records, lists or scores, and parameters. Copies files into the target, and only if every check passed. A
run that two machines made is merged if all its numbers are equal to the last digit; a finished run replaces a
failed one.
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
from bench.core.files import UnfitFileError, os_errors, read_regular, resolved, write_bytes
from bench.core.hashing import hash_bytes, hash_value
from bench.core.text import for_line
from bench.report.leaderboard.build import build
from bench.report.leaderboard.entries import machine
from bench.report.leaderboard.rows import ResultRecords, configuration, read_results, without_disagreements
from bench.report.paper import load_paper
from bench.report.scores import data_key
from bench.runs import list_files, score_files
from bench.runs.list_files import StoredLists, StoredScores, UnfitListsError
from bench.runs.record_files import Damaged, RecordFile, place_of_record
from bench.runs.records import RunRecord, RunSpec
from bench.runs.store import ResultsStore, lists_path, scores_path

SHOWN_SEEDS = 5
SHOWN_PROBLEMS = 5
PARAMETER_FILES = ("checkpoints/{}.safetensors", "checkpoints/{}.json")


def file_problems(found: ResultRecords, allow_unhashed: bool) -> Iterator[str]:
    """Yield problems of the record files: damaged, changed, unhashed or outside of the directory.

    Args:
        found: the records of a results directory.
        allow_unhashed: whether to accept records of earlier versions, which have no content hash.
    """
    for each in found.damaged:
        yield f"{each.path}: {each.problem}"
    for file in (*found.runs, *found.trials):
        if not (file.is_hashed or allow_unhashed):
            yield f"{file.path}: it has no content hash, like records of earlier versions; --unsigned accepts it"
        elif problem := escape_problem(file.path, found.root):
            yield f"{file.path}: {problem}"


def escape_problem(path: Path, root: Path) -> str:
    """Return the problem of a path that a link leads out of its directory; "" if it stays inside."""
    # Following such a link would copy any file of the person who submits.
    try:
        target = resolved(path)
    except UsageError:
        return "it is a link that leads back to itself, or lies below one; only files inside are accepted"
    if target.is_relative_to(resolved(root)):
        return ""
    return f"it leads to {target}, outside of the directory; only files inside are accepted"


def score_problems(file: RecordFile, store: ResultsStore) -> Iterator[str]:
    """Yield contradictions between the record of a finished run and its lists, or its scores in a compact copy."""
    record = file.record
    if not _has_scores(record):
        return
    lists, scores = lists_path(store.root, record.key), scores_path(store.root, record.key)
    for path in (lists, scores):
        if problem := escape_problem(path, store.root):
            yield f"{path}: {problem}"
            return
    assert record.metrics is not None
    path, needed = lists, [*record.metrics.test.values]
    found: StoredLists | StoredScores | Damaged = store.read_lists(record)
    if isinstance(found, Damaged) and scores.exists():
        path, needed, found = scores, score_files.kept_metrics(record), store.read_scores(record)
    if isinstance(found, Damaged):
        yield f"{path}: {found.problem}, and {file.path.name} needs it"
    else:
        missing = sorted(set(needed) - set(found.per_user))
        yield from (f"{path}: {metric} of every user is missing" for metric in missing)


def compact_problems(file: RecordFile) -> Iterator[str]:
    """Yield why a run cannot do without its lists."""
    if _has_scores(file.record) and file.record.lists_hash is None:
        yield (
            f"{file.path}: it has no hash of its lists, like records of earlier versions, so its scores cannot be "
            f"checked without them; leave out --compact"
        )


def _has_scores(record: RunRecord) -> bool:
    return record.status == "finished" and record.spec.stage == "final"


def checkpoint_problems(file: RecordFile, store: ResultsStore) -> Iterator[str]:
    """Yield contradictions between the record of a run and its parameter files, if it has any."""
    record = file.record
    path = store.root / "checkpoints" / f"{record.key}.safetensors"
    for each in (path, path.with_suffix(".json")):
        if not (each.exists() or each.is_symlink()):
            continue
        try:
            problem = escape_problem(each, store.root)
            content = b"" if problem else read_regular(each)
        except OSError as error:
            problem = str(error.strerror or error)
        if not problem and each == path and record.checkpoint_hash not in (None, hash_bytes(content)):
            problem = "its hash is not the one in the run's record, so it was changed after the run"
        if not problem and each != path and not _describes(content, record):
            problem = "it does not name the run that the parameters belong to"
        if problem:
            yield f"{each}: {problem}"


def _describes(content: bytes, record: RunRecord) -> bool:
    """Return whether the JSON beside stored parameters names this run."""
    try:
        note = json.loads(content)
        return bool(note["key"] == record.key and RunSpec.model_validate(note["spec"]) == record.spec)
    except (ValueError, KeyError, TypeError, RecursionError, ValidationError):
        return False


def seed_problems(records: Sequence[RunRecord], ours: set[str], n_asked: int | None) -> Iterator[str]:
    """Yield submitted rows with missing repetitions.

    Args:
        records: all records of runs after the merge, one per key.
        ours: keys of the submitted runs; rows without any of them are not checked.
        n_asked: repetitions of a row; None takes the most that a submitted row on the same data has.
    """
    tables: dict[str, dict[str, list[RunRecord]]] = {}
    for record in records:
        board = hash_value([*data_key(record.data), record.protocol.tag])
        row = hash_value([configuration(record), record.spec.features])
        tables.setdefault(board, {}).setdefault(row, []).append(record)
    for rows in tables.values():
        submitted = [
            group
            for group in rows.values()
            if ours & {record.key for record in group} and group[0].foreign is None  # lists have no seeds
        ]
        most = max((record.spec.repetition + 1 for group in submitted for record in group), default=0)
        for group in submitted:
            finished = {record.spec.repetition for record in group if record.status == "finished"}
            n = n_asked or most
            missing = [str(seed + 1) for seed in islice(_missing_seeds(finished, n), SHOWN_SEEDS + 1)]
            if missing:
                yield _seed_message(group, missing, n)


def _missing_seeds(finished: set[int], n: int) -> Iterator[int]:
    return (seed for seed in range(n) if seed not in finished)


def _seed_message(group: Sequence[RunRecord], missing: Sequence[str], n: int) -> str:
    first = group[0]
    failed = sum(record.status == "failed" for record in group)
    runs = "run" if len(missing) == 1 else "runs"
    return (
        f"{for_line(first.spec.label)} on {for_line(first.data.label)}: no finished {runs} for seed "
        f"{', '.join(missing[:SHOWN_SEEDS])}{' and more' if len(missing) > SHOWN_SEEDS else ''} of {n}"
        f"{f' ({failed} failed)' if failed else ''}"
    )


@dataclass(frozen=True, eq=False)
class MergedFile:
    """A record file of the merged results, and the directory that it comes from."""

    root: Path
    file: RecordFile

    @property
    def has_lists(self) -> bool:
        """Return whether there are lists of the run, and not its scores alone."""
        return lists_path(self.root, self.file.record.key).exists()


@dataclass(frozen=True)
class SubmitSummary:
    """Counts of a submission.

    Attributes:
        n_runs: copied runs.
        n_trials: copied trials.
        n_present: runs and trials that the target had already.
        n_unhashed: parameter files that were not copied because no hash in a record covers them.
    """

    n_runs: int
    n_trials: int
    n_present: int
    n_unhashed: int = 0


def submit(
    sources: Sequence[Path],
    target: Path,
    n_asked: int | None,
    allow_unhashed: bool = False,
    compact: bool = False,
) -> SubmitSummary:
    """Check the results of some directories and copy them into another, which may already contain results.

    Args:
        sources: results directories.
        target: another directory; created if needed.
        n_asked: repetitions that every submitted row must have; None takes the most of each data set.
        allow_unhashed: whether to accept records without a content hash, and parameters that no hash covers.
        compact: whether to copy users' scores in place of lists, and no parameters.

    Raises:
        UsageError: a directory does not exist, or is given twice.
        ResultsError: a check failed or a file cannot be read, and nothing was copied; or a file cannot be written.
    """
    _check_directories(sources, target)
    submitted = [read_results(source) for source in sources]
    empty = [str(found.root) for found in submitted if not (found.runs or found.damaged)]
    if empty:
        raise ResultsError(f"There is no result record in {empty[0]}. Name a directory that contains runs/.")
    present = read_results(target)
    problems = [f"{each.path}: {each.problem}" for each in present.damaged]
    for found in submitted:
        store = ResultsStore(found.root)
        problems += file_problems(found, allow_unhashed)
        problems += [problem for file in found.runs for problem in score_problems(file, store)]
        problems += [problem for file in found.runs for problem in checkpoint_problems(file, store)]
        if compact:
            problems += [problem for file in found.runs for problem in compact_problems(file)]
    kept: dict[str, MergedFile] = {}
    for found in (present, *submitted):
        problems += _join(kept, found, wants_lists=not compact)
    merged = _merged_records(kept, target)
    for each in without_disagreements(merged).damaged:
        problems.append(f"{kept[each.path.relative_to(target).as_posix()].file.path}: {each.problem}")
    ours = {file.record.key for found in submitted for file in found.runs}
    problems += seed_problems([file.record for file in merged.runs], ours, n_asked)
    if problems:
        raise _refused(problems)
    # An error while building the leaderboard of the merged results must come before the first copy.
    build(merged, None, load_paper(), MergedScores(kept))
    return _copy(kept, target, allow_unhashed, compact)


@dataclass(frozen=True, eq=False)
class MergedScores:
    """A reader of the scores of merged runs from the directories that they are still in."""

    kept: Mapping[str, MergedFile]

    def read_scores(self, record: RunRecord) -> StoredScores | Damaged:
        """Read the scores of a finished run, or return why they cannot be used."""
        return ResultsStore(self.kept[place_of_record(record).as_posix()].root).read_scores(record)


def _merged_records(kept: Mapping[str, MergedFile], target: Path) -> ResultRecords:
    """Return the records that the target will contain."""
    files = [replace(each.file, path=target / name) for name, each in kept.items()]
    runs = tuple(file for file in files if file.record.spec.stage == "final")
    trials = tuple(file for file in files if file.record.spec.stage != "final")
    return ResultRecords(target, runs, trials, ())


def _check_directories(sources: Sequence[Path], target: Path) -> None:
    for source in sources:
        if not source.is_dir():
            raise UsageError(
                f"There is no directory {source}. Name a directory that --results-dir of ludp-bench run made."
            )
    places = [resolved(path) for path in (target, *sources)]
    if len(set(places)) < len(places):
        raise UsageError(
            f"A directory is given twice among {', '.join(map(str, (*sources, target)))}. Name each once, and "
            f"give --to a directory that is not a source."
        )


def _join(kept: dict[str, MergedFile], found: ResultRecords, wants_lists: bool) -> Iterator[str]:
    """Add the records of a directory; yield contradictions to records that were added before.

    Args:
        kept: the merged files by their future path; records are added.
        found: the records of a directory.
        wants_lists: whether a run with lists replaces the same run without.
    """
    for file in (*found.runs, *found.trials):
        name, new = place_of_record(file.record).as_posix(), MergedFile(found.root, file)
        old = kept.get(name)
        if old is None or (old.file.record.status, file.record.status) == ("failed", "finished"):
            kept[name] = new
        elif (old.file.record.status, file.record.status) != ("finished", "failed"):
            if difference := _difference(old, new):
                yield difference
            elif wants_lists and not old.has_lists and new.has_lists:
                kept[name] = new


def _difference(one: MergedFile, other: MergedFile) -> str:
    """Describe the first number in which two records of a run differ, and their machines; "" if all are equal."""
    first, second = _numbers(one.file.record), _numbers(other.file.record)
    names = {**first, **second}
    if None in (one.file.record.lists_hash, other.file.record.lists_hash):  # made by an earlier version
        names.pop("hash of the lists", None)
    for name in names:
        if first.get(name) != second.get(name):
            record = one.file.record
            run = f"{record.spec.label} on {record.data.label}, seed {record.spec.repetition + 1}"
            return (
                f"the run {record.key} ({run}) has {name} = {first.get(name)!r} on {_machine_and_root(one)} and "
                f"{second.get(name)!r} on {_machine_and_root(other)}; leave one of the two out"
            )
    return ""


def _numbers(record: RunRecord) -> dict[str, Any]:
    """Return the numbers that a run must reproduce on every machine as a flat mapping, test means first."""
    numbers: dict[str, Any] = {}
    if record.metrics is not None:
        for part in ("test", "valid"):
            values = getattr(record.metrics, part)
            numbers |= {f"{part} {name}": value for name, value in values.values.items()}
            numbers |= {f"{part} users": values.n_users}
    for epoch in record.curve:
        numbers[f"loss of epoch {epoch.epoch}"] = epoch.loss
        numbers |= {f"validation {name} of epoch {epoch.epoch}": value for name, value in epoch.valid.items()}
    if record.lists_hash is not None:
        numbers["hash of the lists"] = record.lists_hash
    return numbers | {"best epoch": record.best_epoch}


def _machine_and_root(kept: MergedFile) -> str:
    environment = kept.file.record.environment
    return f"{machine(environment)}, {environment.get('platform', 'unknown system')} ({kept.root})"


def _refused(problems: Sequence[str]) -> ResultsError:
    shown = for_line("; ".join(problems[:SHOWN_PROBLEMS]))
    more = len(problems) - SHOWN_PROBLEMS
    rest = f"; and {more} more" if more > 0 else ""
    return ResultsError(
        f"Nothing was submitted: {shown}{rest}. Make what is missing or was changed again with ludp-bench run, or "
        f"leave it out, and submit again."
    )


def _copy(kept: dict[str, MergedFile], target: Path, allow_unhashed: bool, compact: bool) -> SubmitSummary:
    """Copy the files that the target lacks; return the counts."""
    new = {name: each for name, each in kept.items() if each.root != target}
    n_unhashed = 0
    for name, each in new.items():
        if _has_scores(each.file.record):
            _copy_scores(each, target, compact)
        if not compact:
            n_unhashed += _copy_parameters(each, target, allow_unhashed)
        # The record comes last: if the copy stops early, no record in the target lacks its files.
        _write(target / name, partial(bytes, each.file.content))
    n_trials = sum(each.file.record.spec.stage != "final" for each in new.values())
    return SubmitSummary(len(new) - n_trials, n_trials, len(kept) - len(new), n_unhashed)


def _copy_scores(each: MergedFile, target: Path, compact: bool) -> None:
    """Copy the lists of a run, or its scores alone if there are no lists or the copy is to be compact."""
    record = each.file.record
    lists, scores = lists_path(each.root, record.key), scores_path(each.root, record.key)
    if scores.exists() and isinstance(ResultsStore(each.root).read_lists(record), Damaged):
        _write(scores_path(target, record.key), partial(_read_again, scores, record, score_files.rewritten))
    elif compact:
        _write(scores_path(target, record.key), partial(_read_again, lists, record, score_files.from_lists))
    else:
        _write(lists_path(target, record.key), partial(_read_again, lists, record, _checked_lists))


def _checked_lists(content: bytes, record: RunRecord) -> bytes:
    list_files.from_bytes(content, record)
    return content


def _checked_parameters(content: bytes, record: RunRecord) -> bytes:
    if record.checkpoint_hash not in (None, hash_bytes(content)):
        raise UnfitListsError("its hash is another one")
    return content


def _copy_parameters(each: MergedFile, target: Path, allow_unhashed: bool) -> int:
    """Copy the parameters of a run; return the number of files that were left because no hash covers them."""
    record, n_unhashed = each.file.record, 0
    for pattern in PARAMETER_FILES:
        source = each.root / pattern.format(record.key)
        if not source.is_file() or escape_problem(source, each.root):
            continue
        is_weights = source.suffix == ".safetensors"
        if record.checkpoint_hash is None and not allow_unhashed:
            n_unhashed += is_weights
            continue
        read = (
            partial(_read_again, source, record, _checked_parameters)
            if is_weights
            else partial(read_regular, source)
        )
        _write(target / pattern.format(record.key), read)
    return n_unhashed


def _read_again(source: Path, record: RunRecord, made: Callable[[bytes, RunRecord], bytes]) -> bytes:
    """Read a file again and return what is made of it, if it is still the file that was checked.

    Raises:
        OSError: the file was changed in the meantime.
    """
    try:
        return made(read_regular(source), record)
    except UnfitListsError as problem:
        raise UnfitFileError(f"it was changed while it was copied: {problem}") from problem


def _write(path: Path, content: Callable[[], bytes]) -> None:
    with os_errors(
        f"{path} cannot be written",
        "All files copied before it are complete: free some space or make the directory "
        "writable, and submit again.",
    ):
        write_bytes(path, content())
