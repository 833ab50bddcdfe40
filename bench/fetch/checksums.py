r"""Layer 2. Whether a file is the one that a card means. Reads, never writes.

Git blob ids, sha1 of "blob <size>\0" + content, are what public repositories list for every file.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from bench.downloads import RemoteFile
from bench.files import check_plain


def git_blob(path: Path) -> str:
    """Git's id of a file: 40 hexadecimal digits.

    Raises:
        DataError: it is no file, or made of holes.
        OSError: it cannot be read.
    """
    check_plain(path)
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def mismatch(path: Path, remote: RemoteFile) -> str | None:
    """In what a file differs from what the card says of it, in words; None if in nothing.

    Raises:
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    if remote.size is not None and size != remote.size:
        return f"it has {size:,} bytes, expected {remote.size:,}"
    for name, expected in (("git_blob", remote.git_blob), ("sha256", remote.sha256), ("md5", remote.md5)):
        if expected is not None:
            found = git_blob(path) if name == "git_blob" else _plain(path, name)
            if found != expected:
                return f"its {name} is {found}, expected {expected}"
    return None


def _plain(path: Path, name: str) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.new(name, usedforsecurity=False)).hexdigest()
