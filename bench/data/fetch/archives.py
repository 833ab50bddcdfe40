"""Safe extraction of named members of a zip or tar archive. Reads one archive; writes below one folder.

Members are copied as streams of bytes, so that no modes, owners, links or devices are created. The size that a
member claims is checked before the first byte is written, its true size while it is written.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from bench.core.errors import DataError, listed, nearest_hint, one_line
from bench.core.files import check_plain, write_atomically
from bench.data.cards import inside

BLOCK = 1 << 20
MOST_BYTES = 64 << 30  # unpacked, all wanted members together
MOST_MEMBERS = 1_000_000
MOST_HEADER_BYTES = 1 << 20  # in a tar file before a member's content: name, links, extended attributes
BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError,
    OverflowError, UnicodeError, ValueError,
)  # fmt: skip


def unpack(archive: Path, members: Mapping[str, str], folder: Path, most: int = MOST_BYTES) -> None:
    """Extract members below a folder, each completely or not at all.

    Args:
        archive: a zip file, or a tar file, compressed or not.
        members: target paths below the folder, keyed by member names.
        folder: target folder, created if needed.
        most: bytes that the members may hold together.

    Raises:
        DataError: the file is not an archive, lacks a member or has it twice, or a member is unsafe, damaged or
            too large.
        OSError: a file cannot be written.
    """
    for name, place in members.items():
        _check_name(archive, name)
        check_place(folder, place)
    with _open(archive, most) as opened:
        opened.check(list(members))
        for name, place in members.items():
            write_atomically(folder / place, partial(_copy, opened, name))


def member_names(archive: Path) -> list[str]:
    """Return the names of the regular files in an archive.

    Raises:
        DataError: the file is not an archive, or is damaged.
    """
    with _open(archive, MOST_BYTES) as opened:
        return list(opened.sizes)


class _Opened:
    """An open archive.

    Attributes:
        sizes: claimed sizes of its regular files, by name.
        refused: reasons why other members are refused, by name.
        handle: the resource to close at the end.
    """

    handle: contextlib.AbstractContextManager[Any]

    def __init__(self, path: Path, most: int) -> None:
        self.path, self.most = path, most
        self.sizes: dict[str, int] = {}
        self.refused: dict[str, str] = {}

    def add(self, name: str, size: int, reason: str | None) -> None:
        """Add a member, with the reason if it is refused."""
        if len(self.sizes) + len(self.refused) >= MOST_MEMBERS:
            raise DataError(f"{self.path} has more than {MOST_MEMBERS:,} members. Take another copy.")
        if name in self.sizes or name in self.refused:
            self.sizes.pop(name, None)
            self.refused[name] = "occurs twice"
        elif reason is not None:
            self.refused[name] = reason
        else:
            self.sizes[name] = size

    def check(self, wanted: Sequence[str]) -> None:
        """Raise a DataError if a wanted member is missing or refused, or if all together are too large."""
        for name in wanted:
            if name in self.refused:
                raise DataError(f"{self.path}: the member '{name}' {self.refused[name]}. Take another copy.")
            if name not in self.sizes:
                raise DataError(
                    f"{self.path} has no member '{name}'.{nearest_hint(name, self.sizes)} It holds: "
                    f"{listed(list(self.sizes)[:10])}."
                )
        total = sum(self.sizes[name] for name in wanted)
        if total > self.most:
            raise DataError(
                f"{self.path}: the members {listed(wanted)} claim {total:,} bytes, at most {self.most:,} are "
                "allowed. Take another copy."
            )

    def stream(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """Open the content of a member."""
        raise NotImplementedError


class _Zip(_Opened):
    """An open zip file."""

    def __init__(self, path: Path, most: int) -> None:
        super().__init__(path, most)
        with contextlib.ExitStack() as stack:  # closes the file where a member raises an error
            self._file = stack.enter_context(zipfile.ZipFile(path))
            for info in self._file.infolist():
                kind, reason = stat.S_IFMT(info.external_attr >> 16), None
                if info.is_dir() or kind not in (0, stat.S_IFREG):
                    reason = "is not a regular file"
                elif info.flag_bits & 1:
                    reason = "is encrypted"
                self.add(info.filename, info.file_size, reason)
            self.handle = stack.pop_all()

    def stream(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        return self._file.open(name)


class _Tar(_Opened):
    """An open tar file; its members are listed at once, which unpacks all of it."""

    def __init__(self, path: Path, most: int) -> None:
        super().__init__(path, most)
        self._infos: dict[str, tarfile.TarInfo] = {}
        with contextlib.ExitStack() as stack:  # closes the file where a member raises an error
            self._stream = _Rationed(stack.enter_context(_unpacked(path)))
            opened = tarfile.open(fileobj=cast(IO[bytes], self._stream), mode="r:")  # noqa: SIM115
            self._file = stack.enter_context(opened)
            while (info := self._next()) is not None:
                self._add(info)
            self.handle = stack.pop_all()

    def _add(self, info: tarfile.TarInfo) -> None:
        if info.offset_data + max(info.size, 0) > self.most:  # a small archive can claim terabytes
            raise DataError(
                f"{self.path} unpacks to more than {self.most:,} bytes at '{info.name}'. Take another copy."
            )
        regular = info.isreg() and not info.issparse()
        self.add(info.name, info.size, None if regular else "is not a regular file")
        self._infos[info.name] = info

    def _next(self) -> tarfile.TarInfo | None:
        """Read the header of the next member, with a limit on its length."""
        self._stream.left = MOST_HEADER_BYTES
        info = self._file.next()
        self._stream.left = None
        return info

    def stream(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        stream = self._file.extractfile(self._infos[name])
        if stream is None:
            raise DataError(f"{self.path}: the member '{name}' is not a regular file. Take another copy.")
        return stream


class _Rationed:
    """Stream of a tar file that limits the bytes read for a member's header.

    `tarfile` keeps long names and maps of holes in memory, and a name of gigabytes fits in a few packed kilobytes.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.left: int | None = MOST_HEADER_BYTES
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, count: int = -1) -> bytes:
        """Read like a file, or raise a ReadError if the header is longer than allowed."""
        if self.left is not None:
            self.left -= count
            if count < 0 or self.left < 0:
                raise tarfile.ReadError(f"the header of a member is longer than {MOST_HEADER_BYTES:,} bytes")
        return self._stream.read(count)


def _unpacked(path: Path) -> IO[bytes]:
    """Open a file for reading, decompressed if it begins with the magic bytes of gzip, bzip2 or xz."""
    with path.open("rb") as file:
        start = file.read(6)
    packers: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
    opener = next((opener for magic, opener in packers.items() if start.startswith(magic)), open)
    opened: IO[bytes] = opener(path, "rb")
    return opened


@contextlib.contextmanager
def _open(path: Path, most: int) -> Iterator[_Opened]:
    """Open a zip or tar archive and turn the many errors of damaged archives into a DataError."""
    try:
        check_plain(path)
        opened = _Zip(path, most) if zipfile.is_zipfile(path) else _Tar(path, most)
        with opened.handle:
            yield opened
    except (*BROKEN, OSError) as problem:
        if isinstance(problem, OSError) and problem.errno is not None:
            raise  # an error of the disk; errors of the decompressors have no errno
        raise DataError(
            f"{path} is not a valid zip or tar archive: {one_line(problem)}. Take another copy."
        ) from problem


def _check_name(archive: Path, name: str) -> None:
    """Raise a DataError if a member's name leads out of the archive."""
    try:
        inside(name)
    except ValueError as problem:
        raise DataError(
            f"{archive}: the member '{name}' is refused: {problem}. Correct 'members' in the data card, or take "
            "another archive."
        ) from problem


def check_place(folder: Path, place: str) -> None:
    """Raise a DataError if a link on the way to a target path could lead out of the folder."""
    path = folder
    for part in PurePosixPath(inside(place)).parts:
        path = path / part
        if path.is_symlink():
            raise DataError(f"{path} is a link, which could lead out of {folder}. Remove it.")


def _copy(opened: _Opened, name: str, temporary: Path) -> None:
    """Copy a member into a file, and never more bytes than it claims."""
    left = opened.sizes[name]
    with opened.stream(name) as source, temporary.open("wb") as target:
        while block := source.read(min(BLOCK, left + 1)):
            left -= len(block)
            if left < 0:
                raise DataError(
                    f"{opened.path}: the member '{name}' holds more than it claims. Take another copy."
                )
            target.write(block)
    if left:
        raise DataError(f"{opened.path}: the member '{name}' ends {left:,} bytes too early. Take another copy.")
