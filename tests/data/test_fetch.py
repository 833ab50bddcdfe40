"""Downloads from a server that misbehaves: what lands in the cache is whole, right and at once."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data.server import Misbehaving, misbehaving
from pydantic import ValidationError
from rich.console import Console

from bench.core.errors import FetchError
from bench.data.cards import Download
from bench.data.fetch.collect import examine, fetch
from bench.data.fetch.transfer import Timeouts, Watch
from bench.data.pins import git_blob

QUICK = Timeouts(connect=5.0, read=0.5, idle=20.0, pause=0.01, attempts=4)
CONTENT = {
    "one.npy": np.random.default_rng(1).bytes(1 << 18),
    "two.npy": np.random.default_rng(2).bytes(1 << 17),
}


@pytest.fixture
def server() -> Iterator[Misbehaving]:
    with misbehaving() as running:
        running.files = {f"/{name}": content for name, content in CONTENT.items()}
        yield running


def blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def download(server: Misbehaving, optional: tuple[str, ...] = (), sizes: bool = True) -> Download:
    files = [
        {"url": f"{server.url}/{name}", "path": name, "git_blob": blob(content), "optional": name in optional}
        | ({"size": len(content)} if sizes else {})
        for name, content in CONTENT.items()
    ]
    return Download.model_validate({"files": files})


@pytest.fixture
def bring(server: Misbehaving, tmp_path: Path) -> Callable[..., Any]:
    """Fetch into a cache below tmp_path; the states by path, and what was said."""

    def run(what: Download | None = None, timeouts: Timeouts = QUICK, **options: Any) -> dict[str, str]:
        what = download(server) if what is None else what
        reports = fetch(what, tmp_path / "cache", "toy", timeouts, Watch(Console(quiet=True)), **options)
        return {report.path: report.state for report in reports}

    return run


def landed(folder: Path) -> dict[str, bytes]:
    place = folder / "cache" / "toy"
    return {p.relative_to(place).as_posix(): p.read_bytes() for p in place.rglob("*") if p.is_file()}


def test_all_files_land_whole_and_are_not_asked_for_again(
    server: Misbehaving, tmp_path: Path, bring: Callable[..., Any]
) -> None:
    assert bring() == {"one.npy": "fetched", "two.npy": "fetched"}
    assert landed(tmp_path) == CONTENT
    assert [path.name for path in (tmp_path / "cache" / ".fetch").iterdir()] == ["toy.lock"]
    n_asked = len(server.seen)
    assert bring(check=True) == {"one.npy": "present", "two.npy": "present"}
    assert len(server.seen) == n_asked


@pytest.mark.parametrize("fault", ["half", "stall"])
def test_a_broken_transfer_goes_on_where_it_broke(
    fault: str, server: Misbehaving, tmp_path: Path, bring: Callable[..., Any]
) -> None:
    server.script["/one.npy"] = [fault, "fine"]
    bring()
    assert landed(tmp_path) == CONTENT
    assert server.ranges("/one.npy") == ["", "bytes=131072-"]


@pytest.mark.parametrize("sizes", [True, False], ids=["size known", "size unknown"])
def test_a_server_that_ignores_ranges_is_started_over_with(
    sizes: bool, server: Misbehaving, tmp_path: Path, bring: Callable[..., Any]
) -> None:
    server.script["/one.npy"] = ["half", "whole"]
    bring(download(server, sizes=sizes))
    assert landed(tmp_path) == CONTENT


def test_an_interrupted_command_goes_on(server: Misbehaving, tmp_path: Path, bring: Callable[..., Any]) -> None:
    server.script["/two.npy"] = ["half", "status:503"]
    with pytest.raises(FetchError, match="503"):
        bring()
    assert not (tmp_path / "cache" / "toy").exists()
    server.seen.clear()
    server.script.clear()
    bring()
    assert landed(tmp_path) == CONTENT
    assert server.seen == [("/two.npy", "bytes=65536-")]  # the first file was whole and is not fetched again


def test_what_was_kept_of_another_version_is_dropped(
    server: Misbehaving, tmp_path: Path, bring: Callable[..., Any]
) -> None:
    right = server.files["/one.npy"]
    server.files["/one.npy"] = bytes(len(right))
    server.script["/one.npy"] = ["half", "status:503"]
    with pytest.raises(FetchError):
        bring()
    server.files["/one.npy"], server.script["/one.npy"] = right, ["fine"]
    bring()
    assert landed(tmp_path) == CONTENT
    assert server.ranges("/one.npy")[-1] == ""


def test_damage_on_the_way_is_mended_once(server: Misbehaving, tmp_path: Path, bring: Callable[..., Any]) -> None:
    server.script["/one.npy"] = ["damaged", "fine"]
    bring()
    assert landed(tmp_path) == CONTENT


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (["damaged"], "git_blob"),
        (["longer"], "more than the expected 262,144 bytes"),
        (["half", "shifted"], "bytes from 1, expected from 131072"),
        (["status:404"], "404"),
        (["status:403"], "403"),
        (["redirect:/one.npy"], "redirect cannot be followed"),
        (["redirect:file:///etc/passwd"], "redirect cannot be followed"),
    ],
    ids=["damaged", "longer", "shifted", "404", "403", "a loop", "not http"],
)
def test_what_no_second_try_helps(
    script: list[str], words: str, server: Misbehaving, tmp_path: Path, bring: Callable[..., Any]
) -> None:
    server.script["/one.npy"] = script
    with pytest.raises(FetchError, match=words) as caught:
        bring()
    assert f"{server.url}/one.npy" in str(caught.value)
    assert not (tmp_path / "cache" / "toy").exists()
    assert all(path == "/one.npy" for path, _ in server.seen)
    if "404" in words:
        assert len(server.seen) == 1


def test_a_redirect_is_followed(server: Misbehaving, tmp_path: Path, bring: Callable[..., Any]) -> None:
    server.files["/moved"] = CONTENT["one.npy"]
    server.script["/one.npy"] = ["half", "redirect:/moved"]
    bring()
    assert landed(tmp_path) == CONTENT
    assert server.ranges("/moved") == ["bytes=131072-"]


def test_a_busy_server_is_asked_again(server: Misbehaving, tmp_path: Path, bring: Callable[..., Any]) -> None:
    server.script["/one.npy"] = ["status:503", "status:429", "fine"]
    bring()
    assert landed(tmp_path) == CONTENT


def test_a_busy_server_is_given_up(server: Misbehaving, bring: Callable[..., Any]) -> None:
    server.script["/one.npy"] = ["status:503"]
    with pytest.raises(FetchError, match="503"):
        bring()
    assert len(server.seen) == QUICK.attempts


def test_a_longer_partial_than_the_file_is_dropped(
    server: Misbehaving, tmp_path: Path, bring: Callable[..., Any]
) -> None:
    server.script["/one.npy"] = ["half", "status:416", "fine"]
    bring()
    assert landed(tmp_path) == CONTENT
    assert server.ranges("/one.npy") == ["", "bytes=131072-", ""]


def test_an_optional_file_may_be_lacking(server: Misbehaving, tmp_path: Path, bring: Callable[..., Any]) -> None:
    del server.files["/two.npy"]
    assert bring(download(server, optional=("two.npy",))) == {"one.npy": "fetched", "two.npy": "left out"}
    assert set(landed(tmp_path)) == {"one.npy"}


@pytest.mark.parametrize("where", ["silent", "no listener", "no name in time", "stalls for good"])
def test_an_unreachable_source_is_given_up_in_time(
    where: str, server: Misbehaving, bring: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    timeouts = Timeouts(connect=0.3, read=0.2, idle=1.0, pause=0.01, attempts=50)
    if where == "silent":
        server.script["/one.npy"] = ["silent"]
    elif where == "no listener":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            server.server_port = free.getsockname()[1]
    elif where == "no name in time":
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(20))
    else:
        server.script["/one.npy"] = ["stall"]
    start = time.monotonic()
    with pytest.raises(FetchError):
        bring(timeouts=timeouts)
    assert time.monotonic() - start < 8  # of a loaded machine; the limits above add up to less than two


def test_only_what_is_absent_or_damaged_is_fetched(
    server: Misbehaving, tmp_path: Path, bring: Callable[..., Any]
) -> None:
    place = tmp_path / "cache" / "toy"
    place.mkdir(parents=True)
    (place / "one.npy").write_bytes(b"damaged")
    (place / "own.txt").write_bytes(b"the user's")
    states = {one.path: one.state for one in examine(download(server), place)}
    assert states == {"one.npy": "damaged", "two.npy": "absent"}
    assert bring() == {
        "one.npy": "present",
        "two.npy": "fetched",
    }  # a run leaves damage to the reader, which refuses it
    assert bring(check=True) == {"one.npy": "replaced", "two.npy": "present"}
    assert landed(tmp_path) == CONTENT | {"own.txt": b"the user's"}


def test_two_at_once_fetch_once(server: Misbehaving, tmp_path: Path, bring: Callable[..., Any]) -> None:
    states: list[dict[str, str]] = []
    threads = [threading.Thread(target=lambda: states.append(bring())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(state["one.npy"] for state in states) == ["fetched", "present", "present"]
    assert landed(tmp_path) == CONTENT
    assert len(server.seen) == 2


def test_a_cache_that_cannot_be_written(server: Misbehaving, tmp_path: Path, bring: Callable[..., Any]) -> None:
    (tmp_path / "cache").write_text("a file in its place")
    with pytest.raises(FetchError, match="cannot be written"):
        bring()


def test_git_s_own_id(tmp_path: Path) -> None:
    (tmp_path / "hello").write_bytes(b"hello\n")
    assert git_blob(tmp_path / "hello") == "ce013625030ba8dba906f756967f9e9ca394464a"  # git hash-object


SUM = {"md5": "0" * 32}


@pytest.mark.parametrize(
    "file",
    [
        {"url": "https://a/b", "path": "b"},
        {"url": "ftp://a/b", "path": "b", **SUM},
        {"url": "file:///etc/passwd", "path": "b", **SUM},
        {"url": "https://a/b", **SUM},
        {"url": "https://a/b", "path": "b", "members": {"c": "d"}, **SUM},
        {"url": "https://a/b", "path": "../b", **SUM},
        {"url": "https://a/b", "path": "/b", **SUM},
        {"url": "https://a/b", "members": {"c": "../d"}, **SUM},
        {"url": "https://a/b", "path": "b", "md5": "0"},
        {"url": "https://a/b", "path": "b", "size": 0, **SUM},
    ],
)
def test_a_card_cannot_name_what_must_not_be(file: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Download.model_validate({"files": [file]})
