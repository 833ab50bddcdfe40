"""Safe reading, atomic writing and locking of files. Reads and writes the paths it is given.

Reading: `problem_with_file`, `check_plain` and `read_regular` refuse named pipes, devices and sparse files, which
may lie in folders that users download or unpack.

Writing: `write_atomically` fills a temporary file in the same folder and renames it, so a file exists whole or
not at all; `folder_in_place` does the same for a folder. The temporary file is locked while it is written. A lock
ends with its process, so `remove_leftovers` can tell files of killed processes from those of live ones.

Locking: `claim` is a per-run file lock. Processes that share a results directory never train the same run at once.
No claim is ever stale. On network file systems, claims hold between machines if locks do: NFS since version 3 with
its lock service, Lustre and others if mounted with `flock`. With locks local to each machine (`nolock`,
`local_lock`), two machines may make the same run. That only costs time, as both write the same file by renaming.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from itertools import chain, count
from pathlib import Path

from bench.core.errors import BenchError, DataError, ResultsError, UsageError, one_line
from bench.core.names import readable

PART = ".part"  # ending of a file that is being written
FREE_BYTES = 64 << 20  # a file up to this size may be all holes
HOLES = 100  # of a larger file, at least a hundredth must be stored
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
MOST_BYTES = 2**33  # 8 GiB


def problem_with_file(place: Path | int, most: int | None = None) -> str | None:
    """Return why a place cannot be read like a file, as the rest of a sentence about it; None if it can.

    Args:
        place: a path, whose links are followed, or an open handle, whose position may move.
        most: largest size in bytes that is allowed.

    Raises:
        OSError: nothing exists at the path, or the status cannot be read.
    """
    status = os.stat(place)  # noqa: PTH116 - of a path or a handle
    problem = _problem_with_kind(status.st_mode)
    if problem is not None:
        return problem
    # a sparse file claims any size without taking any space
    if status.st_size > FREE_BYTES and not _is_stored(place, status.st_size):
        return f"claims {status.st_size:,} bytes, nearly all of which are holes that were never written"
    if most is not None and status.st_size > most:
        return f"has {status.st_size:,} bytes, and at most {most:,} are read"
    return None


def _problem_with_kind(mode: int) -> str | None:
    # opening a pipe would wait for a writer, and a device may never end
    kind = stat.S_IFMT(mode)
    return None if kind == stat.S_IFREG else f"is {KINDS.get(kind, 'not a file')}, and a file is expected there"


def _is_stored(place: Path | int, size: int) -> bool:
    """Return whether enough of a file is stored; without support for holes, all of it counts as stored."""
    if not hasattr(os, "SEEK_HOLE"):
        return True
    stored, position = 0, 0
    handle = place if isinstance(place, int) else os.open(place, os.O_RDONLY | os.O_NONBLOCK)
    try:
        while stored * HOLES < size:
            start = os.lseek(handle, position, os.SEEK_DATA)
            position = os.lseek(handle, start, os.SEEK_HOLE)
            stored += position - start
    except OSError:  # ENXIO: no more data up to the end
        return False
    finally:
        if handle != place:
            os.close(handle)
    return True


class UnfitFileError(OSError):
    """A path is not a regular file, or the file is too large; `strerror` holds the reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EINVAL, reason)


def read_regular(path: Path, most: int = MOST_BYTES) -> bytes:
    """Read an untrusted file without waiting for a pipe or reading without end; links are followed.

    Args:
        path: the file.
        most: largest size in bytes that is allowed.

    Raises:
        FileNotFoundError: nothing exists at the path.
        UnfitFileError: it is a pipe, folder, socket or device, a link to nothing, made of holes, or larger than
            `most`.
        OSError: it cannot be read.
    """
    _refuse(_problem_with_kind(_status(path).st_mode))
    # a pipe may have taken the file's place meanwhile: without O_NONBLOCK opening it would wait for a writer
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        _refuse(problem_with_file(handle, most))
        file.seek(0)
        size = os.fstat(handle).st_size
        content = file.read(size + 1)
    if len(content) > size:  # files of /proc, for example, report size 0
        raise UnfitFileError(f"it has more than the {size:,} bytes that it reports as its size")
    return content


def check_regular(path: Path) -> None:
    """Refuse a path that is not a regular file, for example a pipe, which would block a reader.

    Raises:
        OSError: see `read_regular`.
    """
    _refuse(_problem_with_kind(_status(path).st_mode))


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


def _refuse(problem: str | None) -> None:
    if problem is not None:
        raise UnfitFileError(f"it {problem}")


def check_plain(path: Path, most: int | None = None) -> None:
    """Refuse a path that would hang its reader or fill the memory; every reader of users' files calls this first.

    Args:
        path: where a file is expected; links are followed.
        most: largest size in bytes that is allowed.

    Raises:
        DataError: the path is not a regular file, or the file is larger than `most` or made of holes.
        OSError: nothing exists at the path, or the status cannot be read.
    """
    problem = problem_with_file(path, most)
    if problem is not None:
        raise DataError(f"{path} {problem}. Put the right file there, or remove it.")


def resolved(path: Path) -> Path:
    """Return the absolute path without links; nothing need exist there.

    Raises:
        UsageError: a link on the way leads back to itself.
    """
    try:
        return path.resolve()
    except (RuntimeError, OSError) as problem:
        # Python 3.11 and 3.12 raise RuntimeError for such a link
        if isinstance(problem, OSError) and problem.errno != errno.ELOOP:
            raise
        raise UsageError(
            f"{path} is a link that leads back to itself, or lies below one. Remove it, or give another path."
        ) from problem


def leads_to_itself(path: Path) -> bool:
    """Return whether a path is a link that leads back to itself, or lies below one."""
    try:
        path.stat()
    except OSError as problem:
        return problem.errno == errno.ELOOP
    return False


def free_name(path: Path) -> Path:
    """Return a path at which nothing lies, to move a file there: the given one, or one with .2, .3, ... added."""
    candidates = chain([path], (path.with_name(f"{path.name}.{number}") for number in count(2)))
    return next(each for each in candidates if not os.path.lexists(each))


def write_atomically(path: Path, write: Callable[[Path], None], durable: bool = True) -> None:
    """Call `write` on a temporary path in the same folder, then rename it to `path`.

    Args:
        path: the final path; its folder is created if needed.
        write: fills the temporary file.
        durable: sync to disk, so that the file survives a power cut; it survives a killed process either way.

    Raises:
        OSError: the folder cannot be created or written; the temporary file is removed, `path` is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}{PART}")
    with locked(temporary):
        try:
            write(temporary)
            if durable:
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):  # report the first error, not this one
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
def os_errors(
    failure: str, advice: str, kind: type[BenchError] = ResultsError, *also: type[Exception]
) -> Iterator[None]:
    """Turn an `OSError` of the body into an error for users: `FAILURE (the system's reason). ADVICE`.

    Args:
        failure: what went wrong, for example `results/x.json cannot be written`.
        advice: what is kept and what to do, as whole sentences.
        kind: class of the error.
        also: further exceptions to turn, such as those of a parser.
    """
    turned: tuple[type[Exception], ...] = (OSError, *also)
    try:
        yield
    except turned as problem:
        raise kind(f"{failure} ({_reason(problem, failure)}). {advice}") from problem


def _reason(problem: Exception, failure: str) -> str:
    """Return the reason of an error in one line, with the file that the system names if `failure` does not."""
    reason = getattr(problem, "strerror", None) or one_line(problem)
    name = getattr(problem, "filename", None)
    is_named = not isinstance(name, str) or name in failure or name.endswith(PART)
    return reason if is_named else f"{name}: {reason}"


@contextlib.contextmanager
def folder_in_place(temporary: Path, final: Path) -> Iterator[None]:
    """Rename a filled folder to its final place for the body, and keep it there unless the body fails.

    What lay there is moved aside and removed last. If a step or the body fails, it is put back, and the new folder
    is removed; where it cannot be put back, it stays beside its place.

    Args:
        temporary: a folder beside the final place.
        final: the place; a folder or nothing.
    """
    replaced, is_in_place = temporary.with_suffix(f".old{PART}"), False
    if final.exists():
        final.rename(replaced)
    try:
        temporary.rename(final)
        is_in_place = True
        yield
    except BaseException:
        if is_in_place:
            shutil.rmtree(final, ignore_errors=True)
        if replaced.exists():
            replaced.rename(final)
        raise
    shutil.rmtree(replaced, ignore_errors=True)


@contextlib.contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[bool]:
    """Lock a file, which is created if needed, while the body runs.

    Args:
        path: the file; its folder exists.
        wait: whether to wait until another process releases the lock.

    Yields:
        Whether we hold the lock; always true if we wait.

    Raises:
        OSError: the file cannot be created, or the file system has no locks.
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
        os.close(handle)  # the file was removed between our opening and our lock: try again


@contextlib.contextmanager
def exclusively(path: Path) -> Iterator[None]:
    """Hold a lock file while the body runs; it is removed afterwards, also after an error.

    Args:
        path: the file; its folder exists.

    Raises:
        OSError: the file cannot be created, or the file system has no locks.
    """
    with locked(path):
        try:
            yield
        finally:
            # safe while we hold the lock: `_lock` notices that its file was removed, and makes a new one
            with contextlib.suppress(OSError):  # a file that no process locks does no harm
                path.unlink()


def remove_leftovers(folder: Path, pattern: str = f".*{PART}") -> None:
    """Remove files that killed processes left below a folder; files of live processes are locked and stay.

    Args:
        folder: need not exist.
        pattern: glob of files that are locked while they are in use.
    """
    leftovers: list[Path] = []
    with contextlib.suppress(OSError):  # here as below: a leftover that cannot be removed does no harm
        leftovers += folder.rglob(pattern)
    for path in leftovers:
        with contextlib.suppress(OSError), locked(path, wait=False) as ours:
            if ours:
                path.unlink()


def is_claimed(path: Path) -> bool:
    """Return whether another process holds a claim now."""
    if not path.exists():
        return False
    with contextlib.suppress(OSError), locked(path, wait=False) as ours:
        return not ours
    return False


@contextlib.contextmanager
def claim(path: Path, on_wait: Callable[[], None] | None = None) -> Iterator[bool]:
    """Hold a claim while the body runs; its file is removed afterwards.

    Args:
        path: of the claim; its folder is created if needed.
        on_wait: called if another process holds the claim, before we wait for it; None means not to wait.

    Yields:
        Whether we hold the claim; always true if we wait.

    Raises:
        ResultsError: the file cannot be created, or the file system has no locks.
    """
    with contextlib.ExitStack() as locks:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            ours = locks.enter_context(locked(path, wait=False))
            if not ours and on_wait is not None:
                on_wait()
                ours = locks.enter_context(locked(path))
        except OSError as problem:
            raise ResultsError(
                f"{path} cannot be created and locked ({problem.strerror or problem}), so another process could "
                f"train the same run. Make the directory writable and free some space, or give another one on a "
                f"file system with locks with --results-dir."
            ) from problem
        try:
            yield ours
        finally:
            if ours:
                with contextlib.suppress(OSError):  # a file that no process locks is not a claim
                    path.unlink()
