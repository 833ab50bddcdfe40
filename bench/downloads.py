"""Layer 1. What a data card says of files that can be fetched: address, place, checksum, size. Pure."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def inside(path: str) -> str:
    """Refuse paths that could leave the data directory.

    Raises:
        ValueError: the path is empty, absolute, or steps upwards.
    """
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts or any(char in path for char in "\\:\0"):
        raise ValueError("expected a relative path that stays inside the data directory, without '..'")
    return path


InsidePath = Annotated[str, AfterValidator(inside)]
Count = Annotated[int, Field(strict=True, gt=0)]
GitBlob = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Md5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


def is_safe(url: str) -> bool:
    """Whether what an address answers cannot be exchanged on the way: it is encrypted, or of this machine."""
    try:
        parts = urlsplit(url)
        return parts.scheme.lower() == "https" or parts.hostname in LOOPBACK
    except ValueError:  # such as half an address of version 6
        return False


def safe_address(url: str) -> str:
    """Refuse addresses without encryption but for those of this machine, which no one else can answer for.

    Raises:
        ValueError: the address begins with http: and names another machine.
    """
    if not is_safe(url):
        raise ValueError("expected an address that begins with https://")
    return url


Address = Annotated[str, Field(pattern=r"^https?://[^/\s]+/\S*$"), AfterValidator(safe_address)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RemoteFile(_Strict):
    r"""One file on a server, with at least one checksum.

    Attributes:
        url: its address.
        path: where it goes, below the source's directory; or
        members: it is a zip or tar archive, and these of its members go there, by their names in the archive.
        git_blob: git's id, sha1 of "blob <size>\0" and the content.
        sha256, md5: of the content.
        size: bytes, where known.
        optional: whether the source is whole without it.
    """

    url: Address
    path: InsidePath | None = None
    members: dict[str, InsidePath] = Field(default_factory=dict)
    git_blob: GitBlob | None = None
    sha256: Sha256 | None = None
    md5: Md5 | None = None
    size: Count | None = None
    optional: bool = False

    @model_validator(mode="after")
    def _one_place_and_a_checksum(self) -> RemoteFile:
        if (self.path is None) == (not self.members):
            raise ValueError("expected either 'path' or, for an archive, 'members'")
        if not (self.git_blob or self.sha256 or self.md5):
            raise ValueError("expected a checksum: 'git_blob', 'sha256' or 'md5'")
        return self

    @property
    def targets(self) -> list[str]:
        """What it brings, as paths below the source's directory."""
        return list(self.members.values()) if self.path is None else [self.path]


class ZenodoRecord(_Strict):
    """A record of Zenodo, which lists its own files with their sizes and md5 sums.

    Attributes:
        record: its number.
        match: pattern of the names of its files that are looked into, `*` and `?` as in a shell.
        members: paths wanted below the source's directory: a file of that name, or the one member of the record's
            archives whose path ends so.
        optional_members: likewise; the source is whole without them.
        api: where records are described.
    """

    record: Count
    match: str = "*"
    members: list[InsidePath] = Field(min_length=1)
    optional_members: list[InsidePath] = Field(default_factory=list)
    api: Address = "https://zenodo.org/api/records"

    @property
    def url(self) -> str:
        """The address of the record's description."""
        return f"{self.api}/{self.record}"


class Download(_Strict):
    """Where the files of a source can be fetched from: addresses, or a record that lists them."""

    files: list[RemoteFile] = Field(default_factory=list)
    zenodo: ZenodoRecord | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Download:
        if bool(self.files) == (self.zenodo is not None):
            raise ValueError("expected either 'files' or 'zenodo'")
        return self

    @property
    def url(self) -> str:
        """The address that is asked first."""
        return self.zenodo.url if self.zenodo else self.files[0].url

    @property
    def targets(self) -> dict[str, bool]:
        """Everything it brings, as paths below the source's directory, and whether it is optional."""
        found = {path: one.optional for one in self.files for path in one.targets}
        if self.zenodo:
            found |= dict.fromkeys(self.zenodo.members, False) | dict.fromkeys(self.zenodo.optional_members, True)
        return found
