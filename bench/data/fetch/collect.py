"""Download of all files of a source into the cache, where a file appears only after its checksum matched.

The files come from single addresses or from a Zenodo record. They arrive in `.fetch/NAME` in the cache, which
keeps the partial files of a broken transfer. A new source's directory appears at once with all its files; files
are added to an existing directory by renaming. Writes the cache only.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from bench.core.errors import DataError, FetchError, listed, one_line
from bench.core.files import locked
from bench.core.hashing import hash_value
from bench.data.cards import Address, Download, Md5, RemoteFile, ZenodoRecord, inside
from bench.data.fetch.archives import check_place, member_names, unpack
from bench.data.fetch.transfer import StallTimer, Timeouts, Watch, transfer
from bench.data.pins import mismatch

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
MOST_BYTES = 16 << 20  # of a record's JSON
FETCH = ".fetch"
DESCRIPTION = "record.json"


class _Links(BaseModel):
    url: Address = Field(alias="self")


class _Entry(BaseModel):
    key: str
    size: int = Field(gt=0)
    checksum: str
    links: _Links


class _Record(BaseModel):
    files: list[_Entry]


def list_record_files(record: ZenodoRecord, description: Path) -> list[RemoteFile]:
    """Return the record's files that match the card's pattern, each with its own name as its path.

    Args:
        record: the record in the data card.
        description: the downloaded JSON of the record.

    Raises:
        FetchError: the JSON does not describe a record, or lists no file that matches.
    """
    try:
        content = _Record.model_validate(json.loads(description.read_text(encoding="utf-8")))
        files = [_remote_file(entry) for entry in content.files if fnmatchcase(entry.key, record.match)]
    except (ValidationError, ValueError, RecursionError) as problem:
        raise FetchError(record.url, f"it does not describe a Zenodo record: {one_line(problem)}") from problem
    if not files:
        names = listed(f"{entry.key} ({entry.size:,} bytes)" for entry in content.files[:20])
        raise FetchError(
            record.url, f"none of its files matches '{record.match}' of the data card; it has: {names}"
        )
    return files


def _remote_file(entry: _Entry) -> RemoteFile:
    """Convert an entry of the record's JSON; a ValueError if its checksum is not an md5 sum."""
    kind, _, digest = entry.checksum.partition(":")
    if kind != "md5":
        raise ValueError(f"the checksum of {entry.key} is '{entry.checksum}', expected md5:DIGITS")
    md5: Md5 = digest
    return RemoteFile(url=entry.links.url, path=inside(entry.key), md5=md5, size=entry.size)


def is_archive(name: str) -> bool:
    """Return whether a file of that name is opened as an archive."""
    return name.lower().endswith(ARCHIVES)


def relevant_files(files: Sequence[RemoteFile], wanted: Sequence[str]) -> list[RemoteFile]:
    """Return the files that have a wanted name, and all archives."""
    names = {path.rpartition("/")[2] for path in wanted}
    return [file for file in files if is_archive(str(file.path)) or str(file.path).rpartition("/")[2] in names]


def find_members(archive: Path, wanted: Sequence[str]) -> dict[str, str]:
    """Find archive members that end with a wanted path; return the wanted paths by member name.

    Raises:
        DataError: the file is not an archive, or two members match the same path.
    """
    names, members = member_names(archive), dict[str, str]()
    for path in wanted:
        fitting = [name for name in names if name == path or name.endswith(f"/{path}")]
        if len(fitting) > 1:
            raise DataError(
                f"{archive}: {listed(fitting[:5])} all end with '{path}', but only one may. Name the longer path "
                "in the data card."
            )
        if fitting:
            members[fitting[0]] = path
    return members


@dataclass(frozen=True)
class FileReport:
    """Outcome for one file of a download.

    Attributes:
        path: its path below the source's directory.
        state: "present" before; "fetched" now; "replaced" because it was damaged; "left out" because it is
            optional. Without fetching also "absent" or "damaged".
        note: its address, or the reason of the state.
    """

    path: str
    state: Literal["present", "fetched", "replaced", "left out", "absent", "damaged"]
    note: str = ""


def missing_files(download: Download, place: Path) -> list[str]:
    """Return the files of a download that are not in the source's directory, as paths below it."""
    return [path for path in download.targets if not (place / path).exists()]


def examine(download: Download, place: Path) -> list[FileReport]:
    """Check which files of a download are present and match their checksums; fetch nothing.

    Raises:
        OSError: a file cannot be read.
    """
    reports = {
        path: FileReport(path, "present" if (place / path).exists() else "absent") for path in download.targets
    }
    for remote in download.files:
        if remote.path is not None and (place / remote.path).is_file():
            wrong = mismatch(place / remote.path, remote)
            if wrong is not None:
                reports[remote.path] = FileReport(remote.path, "damaged", wrong)
    return list(reports.values())


def fetch(
    download: Download, cache: Path, directory: str, timeouts: Timeouts, watch: Watch, check: bool = False
) -> list[FileReport]:
    """Fetch the missing files of a download.

    Args:
        download: the download in the data card.
        cache: the cache directory.
        directory: the source's directory below the cache.
        timeouts: how long to wait for servers.
        watch: display of the progress.
        check: whether to also verify the checksums of present files and replace damaged ones.

    Raises:
        FetchError: a required file cannot be fetched; the source's directory is unchanged.
        DataError: an archive is damaged or unsafe.
    """
    work = cache / FETCH / directory.replace("/", "__")
    try:
        work.mkdir(parents=True, exist_ok=True)
        with _source_lock(work.with_name(f"{work.name}.lock"), watch):
            fetcher = _Fetcher(cache / directory, work, StallTimer(timeouts), watch, check)
            reports = fetcher.run(download)
            shutil.rmtree(work)  # only after success: an interrupted download resumes from here
        return reports
    except OSError as problem:
        reason = f"the cache {cache} cannot be written ({problem.strerror or problem}); --cache-dir names another"
        raise FetchError(download.url, reason) from problem


@contextlib.contextmanager
def _source_lock(lock: Path, watch: Watch) -> Iterator[None]:
    """Hold the lock of a source, so that two processes never fetch the same source at once."""
    with locked(lock, wait=False) as acquired:
        if acquired:
            yield
            return
    watch.say("another process is fetching the same files; waiting for it")
    with locked(lock):
        yield


class _Fetcher:
    """One download in progress.

    Args:
        place: the source's directory.
        work: folder in which files arrive.
        timer: time since the last bytes arrived.
        watch: display of the progress.
        check: whether to verify files that are present.
    """

    def __init__(self, place: Path, work: Path, timer: StallTimer, watch: Watch, check: bool) -> None:
        self._place, self._work, self._timer, self._watch, self._check = place, work, timer, watch, check
        self._ready = work / "ready"
        self._complete: dict[str, Path] = {}

    def run(self, download: Download) -> list[FileReport]:
        """Fetch and verify all files, then move them into place."""
        shutil.rmtree(self._ready, ignore_errors=True)
        self._ready.mkdir(parents=True, exist_ok=True)
        if download.zenodo is None:
            reports = [report for remote in download.files for report in self._fetch(remote)]
        else:
            reports = self._from_record(download.zenodo)
        self._move_into_place()
        return reports

    def _fetch(self, remote: RemoteFile) -> list[FileReport]:
        """Fetch one file of the card, unless it is present and undamaged."""
        damaged = self._damage(remote)
        if damaged is None and all((self._place / path).exists() for path in remote.targets):
            return [FileReport(path, "present") for path in remote.targets]
        try:
            arrived = self._download(remote)
        except FetchError as problem:
            if not remote.optional or damaged is not None:
                raise
            self._watch.say(f"left out, since it is optional: {problem}")
            return [FileReport(path, "left out", problem.reason) for path in remote.targets]
        if remote.path is None:
            unpack(arrived, remote.members, self._ready)
        else:
            self._complete[remote.path] = arrived
        if damaged is not None:
            return [FileReport(path, "replaced", damaged) for path in remote.targets]
        return [FileReport(path, "fetched", remote.url) for path in remote.targets]

    def _damage(self, remote: RemoteFile) -> str | None:
        """Return why the present file fails its checksum, or None (also if it is absent or `check` is off)."""
        if not self._check or remote.path is None or not (self._place / remote.path).is_file():
            return None
        return mismatch(self._place / remote.path, remote)

    def _download(self, remote: RemoteFile) -> Path:
        """Return the file in the work folder, complete and verified.

        Raises:
            FetchError: it cannot be fetched, or fails its checksum twice.
        """
        complete = self._work / f"{hash_value(remote.url)}.whole"
        if complete.exists() and mismatch(complete, remote) is None:
            return complete
        partial = complete.with_suffix(".partial")
        for _ in range(2):  # the partial file of an earlier try may belong to another version
            transfer(remote.url, partial, remote.size, self._timer, self._watch)
            wrong = mismatch(partial, remote)
            if wrong is None:
                partial.replace(complete)
                return complete
            partial.unlink()
            self._watch.say(f"{remote.url}: {wrong}")
        raise FetchError(remote.url, f"the server's file is not the one that the data card pins: {wrong}")

    def _from_record(self, record: ZenodoRecord) -> list[FileReport]:
        """Fetch the wanted files of a record, directly or out of its archives."""
        wanted = [*record.members, *record.optional_members]
        reports = [FileReport(path, "present") for path in wanted if (self._place / path).exists()]
        left = [path for path in wanted if not (self._place / path).exists()]
        if not left:
            return reports
        description = self._work / DESCRIPTION
        description.unlink(missing_ok=True)
        transfer(record.url, description, None, self._timer, self._watch, MOST_BYTES)
        files = list_record_files(record, description)
        for remote in relevant_files(files, left):
            fetched = self._fetch_from(remote, left)
            reports += [FileReport(path, "fetched", remote.url) for path in fetched]
            left = [path for path in left if path not in fetched]
            if not left:
                break
        required = [path for path in left if path in record.members]
        if required:
            names = listed(str(remote.path) for remote in files[:20])
            raise FetchError(record.url, f"{listed(required)} is in none of the record's files {names}")
        return reports + [FileReport(path, "left out", "the record does not have it") for path in left]

    def _fetch_from(self, remote: RemoteFile, left: list[str]) -> list[str]:
        """Fetch one file of a record and return the wanted paths that it holds."""
        arrived, name = self._download(remote), str(remote.path)
        if not is_archive(name):
            paths = [path for path in left if path.rpartition("/")[2] == name.rpartition("/")[2]][:1]
            for path in paths:
                self._complete[path] = arrived
            return paths
        members = find_members(arrived, left)
        unpack(arrived, members, self._ready)
        return list(members.values())

    def _move_into_place(self) -> None:
        """Move all files into the source's directory, in one step if that is new."""
        for name, arrived in self._complete.items():
            (self._ready / name).parent.mkdir(parents=True, exist_ok=True)
            arrived.replace(self._ready / name)
        if not any(self._ready.iterdir()):
            return
        if not self._place.exists():
            self._place.parent.mkdir(parents=True, exist_ok=True)
            self._ready.replace(self._place)
            return
        for path in sorted(path for path in self._ready.rglob("*") if path.is_file()):
            inner = path.relative_to(self._ready)
            check_place(self._place, inner.as_posix())
            (self._place / inner).parent.mkdir(parents=True, exist_ok=True)
            path.replace(self._place / inner)
