"""Layer 2. A record of Zenodo -> its files with sizes and md5 sums, as the record itself lists them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from bench.downloads import Address, Md5, RemoteFile, ZenodoRecord, inside
from bench.errors import DataError, FetchError, listed
from bench.fetch.archives import names_in

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
