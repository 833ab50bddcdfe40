"""Archives: only the named members, never outside the folder, never more than allowed."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.core.errors import DataError
from bench.data.fetch.archives import member_names, unpack

CONTENT = {"ml/ratings.dat": b"1::2::3\n" * 1000, "ml/README": b"read me", "ml/sub/deep.npy": b"\0" * 500}


def zipped(path: Path, members: dict[str, bytes] = CONTENT, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, members: dict[str, bytes] = CONTENT, mode: Any = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def refuses(tmp_path: Path) -> Callable[..., None]:
    """Unpacking one member ends in an error with these words, and writes nothing anywhere."""

    def check(archive: Path, member: str, *words: str, place: str = "out.dat", **limits: Any) -> None:
        (tmp_path / "in").mkdir(exist_ok=True)
        before = tree(tmp_path)
        with pytest.raises(DataError) as caught:
            unpack(archive, {member: place}, tmp_path / "in", **limits)
        for word in (*words, str(archive.name)):
            assert word in str(caught.value)
        assert tree(tmp_path) == before

    return check


@pytest.mark.parametrize("make", [zipped, tarred], ids=["zip", "tar.gz"])
def test_a_refused_archive_is_closed(make: Callable[..., Path], tmp_path: Path, monkeypatch: Any) -> None:
    archive = make(tmp_path / "archive")
    monkeypatch.setattr("bench.data.fetch.archives.MOST_MEMBERS", 1)
    with pytest.raises(DataError, match="more than 1 members") as caught:
        member_names(archive)
    assert caught.tb is not None  # whose frames keep what was opened
    assert archive not in [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]


@pytest.mark.parametrize("make", [zipped, tarred], ids=["zip", "tar.gz"])
def test_named_members_and_no_others(make: Callable[..., Path], tmp_path: Path) -> None:
    archive = make(tmp_path / "archive")
    unpack(archive, {"ml/ratings.dat": "ratings.dat", "ml/sub/deep.npy": "a/b.npy"}, tmp_path / "in")
    expected = {"ratings.dat": CONTENT["ml/ratings.dat"], "a/b.npy": CONTENT["ml/sub/deep.npy"]}
    assert tree(tmp_path / "in") == expected
    assert sorted(member_names(archive)) == sorted(CONTENT)


@pytest.mark.parametrize("name", ["../out", "/etc/out", "ml/../../out", "..\\out", "C:out", ""])
@pytest.mark.parametrize("make", [zipped, tarred], ids=["zip", "tar"])
def test_names_that_lead_outside(
    make: Callable[..., Path], name: str, tmp_path: Path, refuses: Callable[..., None]
) -> None:
    refuses(make(tmp_path / "archive", {name or "x": b"evil"}), name, "is refused")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_links_and_devices_of_tar(kind: bytes, tmp_path: Path, refuses: Callable[..., None]) -> None:
    with tarfile.open(tmp_path / "archive", "w") as archive:
        info = tarfile.TarInfo("ml/out")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    refuses(tmp_path / "archive", "ml/out", "'ml/out' is not a regular file")


def test_a_link_of_zip(tmp_path: Path, refuses: Callable[..., None]) -> None:
    with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
        info = zipfile.ZipInfo("ml/out")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
        archive.writestr("folder/", "")
    refuses(tmp_path / "archive", "ml/out", "is not a regular file")
    refuses(tmp_path / "archive", "folder/", "is not a regular file")


def test_a_link_in_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(DataError, match="is a link"):
        unpack(zipped(tmp_path / "archive"), {"ml/README": "link/README"}, tmp_path / "in")
    assert tree(tmp_path / "outside") == {}


@pytest.mark.parametrize("make", [zipped, tarred], ids=["zip", "tar"])
def test_claims_are_held_against_the_limit(
    make: Callable[..., Path], tmp_path: Path, refuses: Callable[..., None]
) -> None:
    bomb = make(tmp_path / "archive", {"bomb": b"\0" * 5_000_000})
    assert bomb.stat().st_size < 20_000
    refuses(bomb, "bomb", "1,000,000", most=1_000_000)


def test_a_tar_is_not_unpacked_to_reach_its_end(tmp_path: Path, refuses: Callable[..., None]) -> None:
    """A header that claims eight exabytes before the wanted member, in a few hundred bytes."""
    info = tarfile.TarInfo("huge")
    info.size = 1 << 63
    with gzip.open(tmp_path / "archive", "wb") as stream:
        stream.write(info.tobuf(tarfile.GNU_FORMAT))
    refuses(tmp_path / "archive", "ml/README", "unpacks to more than")


def test_a_zip_that_holds_more_than_it_claims(tmp_path: Path, refuses: Callable[..., None]) -> None:
    path = zipped(tmp_path / "archive", {"bomb": b"\0" * 100_000})
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\3\4", 22), (b"PK\1\2", 24)):  # both places of the size before packing
        at = content.index(signature) + offset
        assert struct.unpack_from("<I", content, at) == (100_000,)
        struct.pack_into("<I", content, at, 10)
    path.write_bytes(content)
    refuses(path, "bomb")


@pytest.mark.parametrize("make", [zipped, tarred], ids=["zip", "tar"])
def test_a_member_that_is_there_twice(
    make: Callable[..., Path], tmp_path: Path, refuses: Callable[..., None]
) -> None:
    if make is zipped:
        with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
            archive.writestr("ml/out", "one")
            with pytest.warns(UserWarning, match="Duplicate"):
                archive.writestr("ml/out", "two")
    else:
        with tarfile.open(tmp_path / "archive", "w") as archive:
            for content in (b"one", b"two"):
                info = tarfile.TarInfo("ml/out")
                info.size = 3
                archive.addfile(info, io.BytesIO(content))
    refuses(tmp_path / "archive", "ml/out", "occurs twice")


@pytest.mark.parametrize("make", [zipped, tarred], ids=["zip", "tar.gz"])
def test_a_member_that_is_not_there(
    make: Callable[..., Path], tmp_path: Path, refuses: Callable[..., None]
) -> None:
    refuses(make(tmp_path / "archive"), "ml/ratings.txt", "Did you mean 'ml/ratings.dat'")


@pytest.mark.parametrize("make", [zipped, tarred], ids=["zip", "tar.gz"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.95])
def test_what_was_cut_off(
    make: Callable[..., Path], share: float, tmp_path: Path, refuses: Callable[..., None]
) -> None:
    path = make(tmp_path / "archive", {"ml/ratings.dat": bytes(range(256)) * 400})
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    refuses(path, "ml/ratings.dat")


def test_every_flipped_byte_ends_in_the_right_content_or_an_error(tmp_path: Path) -> None:
    sound = zipped(tmp_path / "archive").read_bytes()
    refused = 0
    for at in range(0, len(sound), 7):
        (tmp_path / "bad").write_bytes(sound[:at] + bytes([sound[at] ^ 255]) + sound[at + 1 :])
        try:
            unpack(tmp_path / "bad", {"ml/ratings.dat": f"{at}.dat"}, tmp_path / "in")
        except DataError:
            refused += 1
            assert not (tmp_path / "in" / f"{at}.dat").exists()
        else:
            assert (tmp_path / "in" / f"{at}.dat").read_bytes() == CONTENT["ml/ratings.dat"]
    assert refused > 5
