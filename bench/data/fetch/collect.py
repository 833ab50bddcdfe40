"""A record of Zenodo -> its files with sizes and md5 sums, as the record itself lists them.

All files of one download -> the cache, where a file appears only after its checksum held.

Everything arrives in a folder of its own, `.fetch/NAME` in the cache, which keeps what a broken transfer left. A
source's directory appears at once with all its files; where it is there already, files are added by renaming. A
lock keeps two processes from fetching the same source.
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

from bench.core.errors import DataError, FetchError, listed
from bench.core.files import locked
from bench.core.hashing import hash_value
from bench.data.cards import Address, Download, Md5, RemoteFile, ZenodoRecord, inside
from bench.data.fetch.archives import check_place, names_in, unpack
from bench.data.fetch.transfer import Patience, Wait, Watch, transfer
from bench.data.pins import mismatch

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
MOST_BYTES = 16 << 20  # of a record's description


class _Links(BaseModel):
    url: Address = Field(alias="self")


class _Entry(BaseModel):
    key: str
    size: int = Field(gt=0)
    checksum: str
    links: _Links


class _Record(BaseModel):
    files: list[_Entry]


def listing(record: ZenodoRecord, description: Path) -> list[RemoteFile]:
    """The record's files that the card's pattern matches; each with its own name as its path.

    Args:
        record: what the card says.
        description: the record's JSON, fetched.

    Raises:
        FetchError: it is no description of a record, or lists no file that matches.
    """
    try:
        found = _Record.model_validate(json.loads(description.read_text(encoding="utf-8")))
        files = [_remote(entry) for entry in found.files if fnmatchcase(entry.key, record.match)]
    except (ValidationError, ValueError, RecursionError) as problem:
        reason = " ".join(str(problem).split())[:300]
        raise FetchError(record.url, f"it is no description of a record: {reason}") from problem
    if not files:
        held = listed(f"{entry.key} ({entry.size:,} bytes)" for entry in found.files[:20])
        raise FetchError(
            record.url, f"none of its files matches '{record.match}' of the data card; it has: {held}"
        )
    return files


def _remote(entry: _Entry) -> RemoteFile:
    kind, _, digest = entry.checksum.partition(":")
    if kind != "md5":
        raise ValueError(f"the checksum of {entry.key} is '{entry.checksum}', expected md5:DIGITS")
    md5: Md5 = digest
    return RemoteFile(url=entry.links.url, path=inside(entry.key), md5=md5, size=entry.size)


def is_archive(name: str) -> bool:
    """Whether a file of that name is looked into."""
    return name.lower().endswith(ARCHIVES)


def worth_fetching(files: Sequence[RemoteFile], wanted: Sequence[str]) -> list[RemoteFile]:
    """Files of a wanted name, and archives."""
    names = {path.rpartition("/")[2] for path in wanted}
    return [file for file in files if is_archive(str(file.path)) or str(file.path).rpartition("/")[2] in names]


def sought(archive: Path, wanted: Sequence[str]) -> dict[str, str]:
    """Members of an archive by the wanted path that they end with.

    Raises:
        DataError: it is no archive, or two members fit one path.
    """
    names, found = names_in(archive), dict[str, str]()
    for path in wanted:
        fitting = [name for name in names if name == path or name.endswith(f"/{path}")]
        if len(fitting) > 1:
            raise DataError(
                f"{archive}: {listed(fitting[:5])} all end with '{path}', and one is wanted. Name the longer path "
                "in the data card."
            )
        if fitting:
            found[fitting[0]] = path
    return found


FETCH = ".fetch"
DESCRIPTION = "record.json"


@dataclass(frozen=True)
class FileReport:
    """What became of one file.

    Attributes:
        path: below the source's directory.
        state: it was there; was fetched; was fetched in place of a damaged one; is left out, being optional; or,
            where nothing was fetched, is absent or damaged.
        note: where from, or why not.
    """

    path: str
    state: Literal["there", "fetched", "replaced", "left out", "absent", "damaged"]
    note: str = ""


def absent(download: Download, place: Path) -> list[str]:
    """Files of a download that are not in a source's directory, as paths below it."""
    return [path for path in download.targets if not (place / path).exists()]


def examine(download: Download, place: Path) -> list[FileReport]:
    """What of a download is there, and whether it is what the card means; nothing is fetched.

    Raises:
        OSError: a file cannot be read.
    """
    reports = {
        path: FileReport(path, "there" if (place / path).exists() else "absent") for path in download.targets
    }
    for remote in download.files:
        if remote.path is not None and (place / remote.path).is_file():
            wrong = mismatch(place / remote.path, remote)
            if wrong is not None:
                reports[remote.path] = FileReport(remote.path, "damaged", wrong)
    return list(reports.values())


def fetch(
    download: Download, cache: Path, directory: str, patience: Patience, watch: Watch, check: bool = False
) -> list[FileReport]:
    """Fetch what is not there.

    Args:
        download: what the card says.
        cache: the cache directory.
        directory: the source's, below the cache.
        patience: how long servers are waited for.
        watch: is told what arrives.
        check: look at the checksums of files that are there, too, and replace damaged ones.

    Raises:
        FetchError: a file that is not optional cannot be fetched; the source's directory is as it was.
        DataError: an archive is damaged or unsafe.
    """
    work = cache / FETCH / directory.replace("/", "__")
    try:
        work.mkdir(parents=True, exist_ok=True)
        with _alone(work.with_name(f"{work.name}.lock"), watch):
            errand = _Errand(cache / directory, work, Wait(patience), watch, check)
            reports = errand.run(download)
            shutil.rmtree(work)
        return reports
    except OSError as problem:
        reason = f"the cache {cache} cannot be written ({problem.strerror or problem}); --cache-dir names another"
        raise FetchError(download.url, reason) from problem


@contextlib.contextmanager
def _alone(lock: Path, watch: Watch) -> Iterator[None]:
    """Hold the lock of a source, after whoever holds it now."""
    with locked(lock, wait=False) as ours:
        if ours:
            yield
            return
    watch.say("another process fetches the same files; waiting for it")
    with locked(lock):
        yield


class _Errand:
    """One download on its way.

    Args:
        place: the source's directory.
        work: where files arrive.
        wait: the time since something arrived.
        watch: is told what arrives.
        check: whether files that are there are looked at.
    """

    def __init__(self, place: Path, work: Path, wait: Wait, watch: Watch, check: bool) -> None:
        self._place, self._work, self._wait, self._watch, self._check = place, work, wait, watch, check
        self._ready = work / "ready"
        self._whole: dict[str, Path] = {}

    def run(self, download: Download) -> list[FileReport]:
        """Fetch, check, and move into place."""
        shutil.rmtree(self._ready, ignore_errors=True)
        self._ready.mkdir(parents=True, exist_ok=True)
        if download.zenodo is None:
            reports = [report for remote in download.files for report in self._bring(remote)]
        else:
            reports = self._from_record(download.zenodo)
        self._move()
        return reports

    def _bring(self, remote: RemoteFile) -> list[FileReport]:
        """One file of the card."""
        damaged = self._damage(remote)
        if damaged is None and all((self._place / path).exists() for path in remote.targets):
            return [FileReport(path, "there") for path in remote.targets]
        try:
            arrived = self._arrived(remote)
        except FetchError as problem:
            if not remote.optional or damaged is not None:
                raise
            self._watch.say(f"left out, being optional: {problem}")
            return [FileReport(path, "left out", problem.reason) for path in remote.targets]
        if remote.path is None:
            unpack(arrived, remote.members, self._ready)
        else:
            self._whole[remote.path] = arrived
        if damaged is not None:
            return [FileReport(path, "replaced", damaged) for path in remote.targets]
        return [FileReport(path, "fetched", remote.url) for path in remote.targets]

    def _damage(self, remote: RemoteFile) -> str | None:
        """What is wrong with the file that is there; None if nothing is, or there is none, or nobody asked."""
        if not self._check or remote.path is None or not (self._place / remote.path).is_file():
            return None
        return mismatch(self._place / remote.path, remote)

    def _arrived(self, remote: RemoteFile) -> Path:
        """The file, whole and checked, in the folder of arrivals.

        Raises:
            FetchError: it cannot be fetched, or is another one, twice.
        """
        whole = self._work / f"{hash_value(remote.url)}.whole"
        if whole.exists() and mismatch(whole, remote) is None:
            return whole
        partial = whole.with_suffix(".partial")
        for _ in range(2):  # what was kept of an earlier try may be of another version
            transfer(remote.url, partial, remote.size, self._wait, self._watch)
            wrong = mismatch(partial, remote)
            if wrong is None:
                partial.replace(whole)
                return whole
            partial.unlink()
            self._watch.say(f"{remote.url}: {wrong}")
        raise FetchError(remote.url, f"what it sends is not the file that the data card means: {wrong}")

    def _from_record(self, record: ZenodoRecord) -> list[FileReport]:
        """The wanted files of a record, as such or out of its archives."""
        wanted = [*record.members, *record.optional_members]
        reports = [FileReport(path, "there") for path in wanted if (self._place / path).exists()]
        left = [path for path in wanted if not (self._place / path).exists()]
        if not left:
            return reports
        description = self._work / DESCRIPTION
        description.unlink(missing_ok=True)
        transfer(record.url, description, None, self._wait, self._watch, MOST_BYTES)
        files = listing(record, description)
        for remote in worth_fetching(files, left):
            found = self._of_record(remote, left)
            reports += [FileReport(path, "fetched", remote.url) for path in found]
            left = [path for path in left if path not in found]
            if not left:
                break
        lacking = [path for path in left if path in record.members]
        if lacking:
            looked = listed(str(remote.path) for remote in files[:20])
            raise FetchError(record.url, f"{listed(lacking)} is in none of the record's files {looked}")
        return reports + [FileReport(path, "left out", "the record does not have it") for path in left]

    def _of_record(self, remote: RemoteFile, left: list[str]) -> list[str]:
        """Those of the wanted paths that one file of a record brings."""
        arrived, name = self._arrived(remote), str(remote.path)
        if not is_archive(name):
            paths = [path for path in left if path.rpartition("/")[2] == name.rpartition("/")[2]][:1]
            for path in paths:
                self._whole[path] = arrived
            return paths
        members = sought(arrived, left)
        unpack(arrived, members, self._ready)
        return list(members.values())

    def _move(self) -> None:
        """Everything into the source's directory; all at once where that is new."""
        for name, arrived in self._whole.items():
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
