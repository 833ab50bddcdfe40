"""Layer 0. Whether a path can be read like a file: no pipe or device, no terabyte of holes. Looks, reads nothing.

Opening a named pipe waits for a writer, a device may never end, and a sparse file claims any size without taking
any space. All three lie in folders that users download or unpack, so every reader asks here first.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

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
