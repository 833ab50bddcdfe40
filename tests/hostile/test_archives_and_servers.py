"""Archives whose heads grow without end, servers that send a byte at a time, and addresses without encryption."""

from __future__ import annotations

import gzip
import hashlib
import io
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from bench.core.errors import DataError, FetchError
from bench.data.cards import RemoteFile
from bench.data.fetch import archives
from bench.data.fetch.transfer import StallTimer, Timeouts, Watch, transfer
from hostile.limits import limited

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "data"))
from server import Misbehaving, misbehaving


def block(name: str, size: int, kind: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.USTAR_FORMAT) if size < 8 << 30 else info.tobuf(tarfile.GNU_FORMAT)


HEADS = {
    "long name": tarfile.GNUTYPE_LONGNAME,
    "long link": tarfile.GNUTYPE_LONGLINK,
    "extended attributes": tarfile.XHDTYPE,
    "attributes of all": tarfile.XGLTYPE,
}


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.timeout(60)
def test_a_head_of_gigabytes_is_not_taken(kind: str, tmp_path: Path) -> None:
    """Four gigabytes in four megabytes; only the first of them are unpacked."""
    path = tmp_path / "a.tar.gz"
    whole = gzip.compress(b"a" * (64 << 20))
    path.write_bytes(gzip.compress(block("x", 4 << 30, HEADS[kind])) + whole * 4)
    code = (
        "from pathlib import Path; from bench.data.fetch.archives import member_names; "
        f"member_names(Path({str(path)!r}))"
    )
    done = limited(code, seconds=30, memory=1 << 30)
    assert "DataError" in done.stderr.splitlines()[-1], done.stderr
    assert "the header of a member is longer" in done.stderr.splitlines()[-1]


def test_a_map_of_holes_is_rationed(tmp_path: Path) -> None:
    """GNU's sparse files of version 1.0 list their pieces before their content."""
    path = tmp_path / "a.tar.gz"
    records = "".join(
        f"{len(text) + 4 + (len(text) > 95)} {text}\n" for text in ("GNU.sparse.major=1", "GNU.sparse.minor=0")
    )
    pieces = b"99999999\n" + b"0\n0\n" * (4 << 20)
    content = block("pax", len(records), tarfile.XHDTYPE) + records.encode().ljust(512, b"\0")
    path.write_bytes(gzip.compress(content + block("x", len(pieces), tarfile.REGTYPE) + pieces))
    with pytest.raises(DataError, match=r"not a valid zip or tar|not a regular file"):
        archives.unpack(path, {"x": "x"}, tmp_path / "out")


@pytest.mark.parametrize("packed", ["gz", "bz2", "xz", ""])
def test_sound_archives_of_every_kind_are_read(packed: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, f"w:{packed}") as archive:
        for name in ("a", "b" * 300):
            info = tarfile.TarInfo(name)
            info.size = 3_000_000
            archive.addfile(info, io.BytesIO(bytes(range(250)) * 12_000))
    assert archives.member_names(path) == ["a", "b" * 300]
    archives.unpack(path, {"b" * 300: "c"}, tmp_path / "out")
    assert (tmp_path / "out" / "c").read_bytes() == bytes(range(250)) * 12_000


@pytest.mark.parametrize("packed", ["gz", "bz2", "xz"])
def test_damaged_ones_are_one_error(packed: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, f"w:{packed}") as archive:
        info = tarfile.TarInfo("a")
        info.size = 3_000
        archive.addfile(info, io.BytesIO(bytes(3_000)))
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], content[:40] + bytes(20) + content[60:]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="not a valid zip or tar archive"):
            archives.unpack(path, {"a": "a"}, tmp_path / "out")


@pytest.fixture
def server() -> Iterator[Misbehaving]:
    with misbehaving() as one:
        one.files["/a"] = bytes(100_000)
        yield one


QUIET = Watch(Console(file=io.StringIO()))
IMPATIENT = Timeouts(
    connect=10.0, read=5.0, idle=10.0, contacts=2, pause=0.01, attempts=3, grace=2.0, slowest=50_000
)


@pytest.mark.parametrize("how", ["drip", "slow", "headers"])
@pytest.mark.timeout(30)
def test_a_server_that_drips_is_given_up(how: str, server: Misbehaving, tmp_path: Path) -> None:
    """One byte every 50 ms is no silence; nor are 4,096 a time, nor a head that never ends."""
    server.script["/a"] = [how]
    start = time.monotonic()
    with pytest.raises(FetchError, match=r"less than 50,000 bytes per second|too little at a time"):
        transfer(f"{server.url}/a", tmp_path / "a", 100_000, StallTimer(IMPATIENT), QUIET)
    assert time.monotonic() - start < 20
    kept = (tmp_path / "a").stat().st_size
    time.sleep(0.3)
    assert (tmp_path / "a").stat().st_size == kept  # who was left behind writes nothing more
    assert (kept > 0) == (how == "slow")


@pytest.mark.parametrize("url", ["http://example.org/a", "HTTP://example.org/a", "http://127.0.0.1.example.org/a"])
def test_a_card_names_no_address_without_encryption(url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        RemoteFile(url=url, path="a", sha256="0" * 64)


def test_this_machine_needs_none() -> None:
    assert RemoteFile(url="http://127.0.0.1:8000/a", path="a", sha256="0" * 64).url


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("http://example.org/a", "not encrypted"),
        ("//example.org/a", "not encrypted"),
        ("file:///etc/passwd", "cannot be followed"),
    ],
)
def test_a_redirect_to_such_an_address_is_not_followed(
    to: str, words: str, server: Misbehaving, tmp_path: Path
) -> None:
    server.script["/a"] = [f"redirect:{to}"]
    with pytest.raises(FetchError, match=f"redirect.* {words}"):
        transfer(f"{server.url}/a", tmp_path / "a", 100_000, StallTimer(IMPATIENT), QUIET)


def test_what_arrives_slowly_but_well_is_taken(server: Misbehaving, tmp_path: Path) -> None:
    server.script["/a"] = ["slow"]
    content = bytes(range(250)) * 150
    server.files["/a"] = content
    timeouts = Timeouts(connect=10.0, read=5.0, idle=10.0, grace=5.0, slowest=1_000)
    transfer(f"{server.url}/a", tmp_path / "a", len(content), StallTimer(timeouts), QUIET)
    assert hashlib.sha256((tmp_path / "a").read_bytes()).digest() == hashlib.sha256(content).digest()
