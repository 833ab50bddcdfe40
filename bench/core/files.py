"""Whether a path can be read like a file: no pipe or device, no terabyte of holes. Looks, reads nothing.

Opening a named pipe waits for a writer, a device may never end, and a sparse file claims any size without taking
any space. All three lie in folders that users download or unpack, so every reader asks here first.

Writing a file so that it is there whole or not at all, and refusing what is no file before it is read.

Writing is a temporary file beside the final place, then a rename.

Reading one that others may have put there: `read_regular` never waits for a pipe and never reads without end.

A temporary file is locked while it is written. A lock ends with its process, however that ends, so what a killed
process left behind is told from what a live one is writing.

Of several runners on one results directory, the one that holds the claim of a run makes it.

A claim is a lock on a file. It ends with its process, however that ends, so no claim is ever stale. On network
file systems it holds between machines where their locks do: NFS since version 3 with its lock service, Lustre and
others if mounted with `flock`. A mount with locks of its own for each machine (`nolock`, `local_lock`) lets two
machines make the same run at once. That costs time and nothing else: both write the same, and by renaming.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.core.errors import DataError, ResultsError
from bench.core.names import readable

ROOT = Path(__file__).resolve().parents[2]  # of the checkout

FREE_BYTES = 64 << 20  # a file of this size may be all holes
HOLES = 100  # beyond it, at least a hundredth of a file must be stored
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def not_plain(path: Path, most: int | None = None) -> str | None:
    """Why a path cannot be read like a file, as the rest of a sentence about it; None where it can.

    Args:
        path: where a file is expected; links are followed.
        most: bytes that its reader takes at once.

    Raises:
        OSError: nothing is there, or it cannot be looked at.
    """
    found = path.stat()
    kind = stat.S_IFMT(found.st_mode)
    if kind != stat.S_IFREG:
        return f"is {KINDS.get(kind, 'no file')}, and a file is expected there"
    if found.st_size > FREE_BYTES and not _is_stored(path, found.st_size):
        return f"claims {found.st_size:,} bytes, nearly all of which are holes that were never written"
    if most is not None and found.st_size > most:
        return f"has {found.st_size:,} bytes, and at most {most:,} are read"
    return None


def _is_stored(path: Path, size: int) -> bool:
    """Whether enough of a file is no hole; a file system that knows no holes calls all of it stored."""
    if not hasattr(os, "SEEK_HOLE"):
        return True
    stored, place = 0, 0
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        while stored * HOLES < size:
            start = os.lseek(handle, place, os.SEEK_DATA)
            place = os.lseek(handle, start, os.SEEK_HOLE)
            stored += place - start
    except OSError:  # ENXIO: no more data up to the end
        return False
    finally:
        os.close(handle)
    return True


MOST_BYTES = 2**33


class UnfitFileError(OSError):
    """What lies at a path is not a file, or larger than it may be; `strerror` says which."""

    def __init__(self, what: str) -> None:
        super().__init__(errno.EINVAL, what)


def read_regular(path: Path, most: int = MOST_BYTES) -> bytes:
    """Read a file that may have come from anywhere; links are followed.

    Args:
        path: the file.
        most: bytes that it may have.

    Raises:
        FileNotFoundError: nothing lies there.
        UnfitFileError: a pipe, folder, socket or device, a link to nothing, or more than `most` bytes.
        OSError: it cannot be read.
    """
    _refuse_kind(_status(path).st_mode)
    # a pipe may have taken the file's place meanwhile: without O_NONBLOCK opening it would wait for a writer
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(file.fileno())
        _refuse_kind(about.st_mode)
        if about.st_size > most:
            raise UnfitFileError(f"it has {about.st_size:,} bytes, and at most {most:,} are read")
        content = file.read(about.st_size + 1)
    if len(content) > about.st_size:
        raise UnfitFileError(f"it has more than the {about.st_size:,} bytes that its size says")
    return content


def check_regular(path: Path) -> None:
    """Refuse what is not a file, for example a pipe, which a reader would wait for.

    Raises:
        OSError: see `read_regular`.
    """
    _refuse_kind(_status(path).st_mode)


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except FileNotFoundError:
        if path.is_symlink():
            raise UnfitFileError("it is a link to nothing") from None
        raise
    except OSError as problem:
        if problem.errno == errno.ELOOP:
            raise UnfitFileError("it is a link that leads back to itself") from problem
        raise


def _refuse_kind(mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise UnfitFileError(f"it is {KINDS.get(stat.S_IFMT(mode), 'something else')}, and not a file")


def file_name(label: str) -> str:
    """A model's label as part of a path: `recbole-EASE` for `recbole:EASE`."""
    return label.replace(":", "-")


def check_plain(path: Path, most: int | None = None) -> None:
    """Refuse what would hang or fill the memory when it is read; every reader of a user's files asks first.

    Args:
        path: where a file is expected; links are followed.
        most: bytes that its reader takes at once.

    Raises:
        DataError: there is something else than a file, or the file is larger than `most` or made of holes.
        OSError: nothing is there, or it cannot be looked at.
    """
    problem = not_plain(path, most)
    if problem is not None:
        raise DataError(f"{path} {problem}. Put the right file there, or remove it.")


def write_atomically(path: Path, write: Callable[[Path], None], durable: bool = True) -> None:
    """Call `write` on a temporary path in the same folder, then rename it to `path`.

    Args:
        path: the final place; its folder is made if needed.
        write: fills the temporary file.
        durable: whether it outlives a power cut from now on; a killed process takes nothing along either way.

    Raises:
        OSError: the folder cannot be made or written; the temporary file is gone, `path` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    with locked(temporary):
        try:
            write(temporary)
            if durable:
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):  # the first error is the one to tell
                temporary.unlink()
            raise


def write_bytes(path: Path, content: bytes, durable: bool = True) -> None:
    """Write a file atomically; see `write_atomically`."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_atomically(path, write, durable)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically; see `write_atomically` and, for paths in it, `names.readable`."""
    write_bytes(path, readable(text).encode("utf-8"))


@contextlib.contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[bool]:
    """Hold the lock of a file, which is made if needed, while the body runs.

    Args:
        path: the file; its folder exists.
        wait: until another process lets go of it.

    Yields:
        Whether the lock is ours; always, if we wait.

    Raises:
        OSError: the file cannot be made, or the file system has no locks.
    """
    handle = _lock(path, wait)
    try:
        yield handle is not None
    finally:
        if handle is not None:
            os.close(handle)


def _lock(path: Path, wait: bool) -> int | None:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if path.exists() and os.path.samestat(path.stat(), os.fstat(handle)):
                return handle
        except BlockingIOError:
            os.close(handle)
            return None
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # removed between our opening and our lock


def remove_leftovers(folder: Path, pattern: str = ".*.part") -> None:
    """Remove what killed processes left below a folder; what a live one holds is locked and stays.

    Args:
        folder: need not exist.
        pattern: of the names of files that are locked while they are in use.
    """
    leftovers: list[Path] = []
    with contextlib.suppress(OSError):  # here as below: what cannot be removed harms nobody
        leftovers += folder.rglob(pattern)
    for path in leftovers:
        with contextlib.suppress(OSError), locked(path, wait=False) as ours:
            if ours:
                path.unlink()


def is_claimed(path: Path) -> bool:
    """Whether some runner holds a claim now."""
    if not path.exists():
        return False
    with contextlib.suppress(OSError), locked(path, wait=False) as ours:
        return not ours
    return False


@contextlib.contextmanager
def claim(path: Path, on_wait: Callable[[], None] | None = None) -> Iterator[bool]:
    """Hold a claim while the body runs; its file is gone afterwards.

    Args:
        path: of the claim; its folder is made if needed.
        on_wait: told that another runner holds it, and that we wait; without it, we do not.

    Yields:
        Whether the claim is ours; always, if we wait.

    Raises:
        ResultsError: the file cannot be made, or the file system has no locks.
    """
    with contextlib.ExitStack() as held:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            ours = held.enter_context(locked(path, wait=False))
            if not ours and on_wait is not None:
                on_wait()
                ours = held.enter_context(locked(path))
        except OSError as problem:
            raise ResultsError(
                f"{path} cannot be made and locked ({problem.strerror or problem}), so other runners cannot be "
                f"kept from the same run. Make the directory writable and free some space, or name another with "
                f"--results-dir, on a file system with locks."
            ) from problem
        try:
            yield ours
        finally:
            if ours:
                with contextlib.suppress(OSError):  # an empty file that is locked by nobody claims nothing
                    path.unlink()
