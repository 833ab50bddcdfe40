"""From a card to the cache: what is fetched, what is used instead, and that offline is offline."""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from data.server import Misbehaving, misbehaving
from data.test_archives import CONTENT, tarred, zipped
from rich.console import Console

from bench.cli.commands import prepare as command
from bench.cli.run import main
from bench.core.errors import DataError, FetchError, UsageError
from bench.core.types import DataRequest
from bench.data import cards
from bench.data.cards import DatasetCard, Download
from bench.data.fetch.collect import fetch
from bench.data.fetch.transfer import Timeouts, Watch
from bench.data.load import fallback_warning, fetch_missing, load_from_card, source_to_fetch

QUICK = Timeouts(connect=5.0, read=1.0, idle=20.0, pause=0.01, attempts=2)
MD5 = "md5:" + "0" * 32
QUIET = Watch(Console(quiet=True))


@pytest.fixture
def server() -> Iterator[Misbehaving]:
    with misbehaving() as running:
        yield running


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def card(server: Misbehaving, tiktok_dir: Path, loose_tiktok: DatasetCard) -> DatasetCard:
    """The TikTok card, with made-up data on the server in place of the public one; nothing of it is here."""
    files = []
    for path in sorted(tiktok_dir.iterdir()):
        content = server.files[f"/tiktok/{path.name}"] = path.read_bytes()
        files.append({"url": f"{server.url}/tiktok/{path.name}", "path": path.name, "md5": md5(content)})
    shutil.rmtree(tiktok_dir.parent)
    download = Download.model_validate({"files": files})
    real = loose_tiktok.sources[0].model_copy(update={"download": download})
    return loose_tiktok.model_copy(update={"sources": [real, *loose_tiktok.sources[1:]]})


@pytest.fixture
def request_of(tmp_path: Path) -> Callable[..., DataRequest]:
    return lambda **options: DataRequest(cache_dir=tmp_path / "cache", scale=0.01, **options)


def test_what_the_real_source_lacks_is_fetched(
    card: DatasetCard, server: Misbehaving, request_of: Callable[..., DataRequest]
) -> None:
    assert source_to_fetch(card, request_of()) is card.sources[0]
    assert server.seen == []
    assert fetch_missing(card, request_of(), QUICK, QUIET) is None
    assert load_from_card(card, request_of()).source == "real"
    assert source_to_fetch(card, request_of()) is None


def test_nothing_is_fetched_for_other_sources(
    card: DatasetCard, server: Misbehaving, request_of: Callable[..., DataRequest]
) -> None:
    assert fetch_missing(card, request_of(source="surrogate"), QUICK, QUIET) is None
    assert source_to_fetch(cards.load("movielens"), request_of()) is None  # embedded, without a network
    assert server.seen == []


def test_a_directory_of_the_user_s_is_taken_as_it_is(
    card: DatasetCard, server: Misbehaving, request_of: Callable[..., DataRequest], tmp_path: Path
) -> None:
    own = tmp_path / "own" / "tiktok"
    own.mkdir(parents=True)
    assert fetch_missing(card, request_of(data_dirs=(tmp_path / "own",)), QUICK, QUIET) is None
    assert list(own.iterdir()) == []
    (tmp_path / "own" / "image_feat.npy").write_bytes(b"")
    shutil.rmtree(own)
    with pytest.raises(UsageError, match="Pass the directory above"):
        fetch_missing(card, request_of(data_dirs=(tmp_path / "own",)), QUICK, QUIET)
    assert server.seen == []


def test_files_in_a_wrong_place_are_refused_although_the_cache_is_complete(
    card: DatasetCard, request_of: Callable[..., DataRequest], tmp_path: Path
) -> None:
    """Fetching and loading find the same."""
    fetch_missing(card, request_of(), QUICK, QUIET)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "image_feat.npy").write_bytes(b"")
    request = request_of(data_dirs=(tmp_path / "own",))
    with pytest.raises(UsageError, match="Pass the directory above"):
        fetch_missing(card, request, QUICK, QUIET)
    with pytest.raises(UsageError, match="Pass the directory above"):
        load_from_card(card, request)


def test_an_unreachable_source_falls_back_aloud(
    card: DatasetCard, server: Misbehaving, request_of: Callable[..., DataRequest]
) -> None:
    server.script["/tiktok/trnMat.pkl"] = ["status:503"]
    problem = fetch_missing(card, request_of(), QUICK, QUIET)
    assert isinstance(problem, FetchError)
    data = load_from_card(card, request_of())
    warning = fallback_warning(problem, data)
    for words in (f"{server.url}/tiktok/trnMat.pkl", "503", "Used instead: surrogate", "--offline"):
        assert words in warning
    with pytest.raises(FetchError, match="503"):
        fetch_missing(card, request_of(source="real"), QUICK, QUIET)


def test_the_command_line_falls_back_once_and_offline_asks_nobody(
    card: DatasetCard,
    server: Misbehaving,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cards, "load", lambda name: card)
    server.script["/tiktok/trnMat.pkl"] = ["status:404"]
    folders = ["--results-dir", str(tmp_path / "results"), "--cache-dir", str(tmp_path / "cache")]
    call = ["--datasets", "tiktok", "--models", "popularity", "--artifacts", "table2", "--scale", "0.01", *folders]
    assert main(call) == 0  # the tests' environment is offline
    assert main([*call, "--offline"]) == 0
    assert server.seen == []
    monkeypatch.delenv("LUDP_BENCH_OFFLINE")
    assert "WARNING" not in capsys.readouterr().out
    assert main([*call, "--offline"]) == 0
    assert main([*call, "--dry-run"]) == 0
    assert "a run would first fetch" in capsys.readouterr().out
    assert server.seen == []
    assert main(call) == 0
    assert capsys.readouterr().out.count("WARNING, tiktok:") == 1
    assert main([*call, "--source", "real"]) == 2
    assert "404" in capsys.readouterr().err


@pytest.fixture
def prepare(card: DatasetCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """`ludp-bench prepare`; what it prints."""
    monkeypatch.delenv("LUDP_BENCH_OFFLINE")
    monkeypatch.setattr(cards, "load", lambda name: card)

    def run(*options: str) -> str:
        parser, console = argparse.ArgumentParser(), Console(record=True, width=200, quiet=False, file=None)
        command.add_arguments(parser)
        with console.capture() as shown:
            command.run(parser.parse_args(["tiktok", "--cache-dir", str(tmp_path / "cache"), *options]), console)
        return shown.get()

    return run


def test_prepare_fetches_checks_and_tells(
    prepare: Callable[..., str], server: Misbehaving, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"not complete.*trnMat.pkl \(absent\)"):
        prepare("--offline")
    assert server.seen == []
    told = prepare()
    assert "5 files" in told
    assert told.count(" fetched ") == 5
    assert "REAL DATA" in told
    assert "  audit      Pairs with the highest item index of their user: validation " in told
    (tmp_path / "cache" / "tiktok" / "valMat.pkl").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"valMat.pkl \(damaged\)"):
        prepare("--offline")
    told = prepare()
    assert (told.count(" replaced "), told.count("  present ")) == (1, 4)
    assert "its md5 is" in told
    server.seen.clear()
    assert " there " in prepare("--offline")
    assert server.seen == []


def test_prepare_takes_a_directory_of_the_user_s_as_it_is(
    prepare: Callable[..., str], server: Misbehaving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own" / "tiktok"
    own.mkdir(parents=True)
    for address, content in server.files.items():
        (own / Path(address).name).write_bytes(content)
    told = prepare("--data-dir", str(tmp_path / "own"))
    assert f"{own} is used; nothing is fetched" in told
    assert "REAL DATA" in told
    monkeypatch.setenv("LUDP_BENCH_DATA", str(tmp_path / "own"))
    assert prepare() == told
    assert server.seen == []
    assert not (tmp_path / "cache").exists()


def test_prepare_hears_that_the_environment_is_offline(
    prepare: Callable[..., str], server: Misbehaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUDP_BENCH_OFFLINE", "1")
    with pytest.raises(DataError, match="not complete"):
        prepare()
    assert server.seen == []


def test_the_cards_pin_the_same_files_for_reading_and_for_fetching() -> None:
    source = cards.load("tiktok").sources[0]
    assert isinstance(source, cards.PickledCooSource)
    assert source.download is not None
    read = [source.files.train, source.files.valid, source.files.test, *source.features.values()]
    assert {one.path: one.git_blob for one in read} == {
        str(one.path): one.git_blob for one in source.download.files
    }
    assert {path for path, optional in source.download.targets.items() if optional} == {"text_feat.npy"}


def test_a_member_of_an_archive(server: Misbehaving, tmp_path: Path) -> None:
    packed = server.files["/ml.zip"] = zipped(tmp_path / "packed").read_bytes()
    file = {"url": f"{server.url}/ml.zip", "members": {"ml/ratings.dat": "ratings.dat"}, "md5": md5(packed)}
    reports = fetch(Download.model_validate({"files": [file]}), tmp_path / "cache", "ml", QUICK, QUIET)
    assert [(one.path, one.state) for one in reports] == [("ratings.dat", "fetched")]
    place = tmp_path / "cache" / "ml"
    assert {path.name: path.read_bytes() for path in place.iterdir()} == {"ratings.dat": CONTENT["ml/ratings.dat"]}


@pytest.fixture
def record(server: Misbehaving, tmp_path: Path) -> Callable[..., Download]:
    """A record with a plain file and two archives, and a download that wants some of it."""
    server.files["/f/m.inter"] = b"userID\titemID\n"
    server.files["/f/M-10.zip"] = zipped(
        tmp_path / "z", {"m/image/vit.npy": b"v", "m/x/vit.npy": b"w"}
    ).read_bytes()
    server.files["/f/more-10.tar.gz"] = tarred(tmp_path / "t", {"text/minilm.npy": b"t"}).read_bytes()
    server.files["/f/huge-20.zip"] = b"never asked for"

    def make(described: Any = None, **options: Any) -> Download:
        entries = [
            {"key": name[3:], "size": len(content), "checksum": f"md5:{md5(content)}",
             "links": {"self": f"{server.url}{name}"}}
            for name, content in server.files.items() if name.startswith("/f/")
        ]  # fmt: skip
        server.files["/api/7"] = json.dumps({"files": entries} if described is None else described).encode()
        wanted = {"members": ["m.inter", "image/vit.npy"], "optional_members": ["text/minilm.npy", "no.npy"]}
        zenodo = {"record": 7, "match": "[!h]*", "api": f"{server.url}/api"} | wanted | options
        return Download.model_validate({"zenodo": zenodo})

    return make


def test_a_record_lists_its_own_files(
    server: Misbehaving, record: Callable[..., Download], tmp_path: Path
) -> None:
    reports = fetch(record(), tmp_path / "cache", "m", QUICK, QUIET)
    assert {one.path: one.state for one in reports} == {
        "m.inter": "fetched", "image/vit.npy": "fetched", "text/minilm.npy": "fetched", "no.npy": "left out",
    }  # fmt: skip
    assert (tmp_path / "cache" / "m" / "image" / "vit.npy").read_bytes() == b"v"
    assert not server.ranges("/f/huge-20.zip")


@pytest.mark.parametrize(
    ("described", "options", "words"),
    [
        ({"files": []}, {}, "none of its files matches"),
        (None, {"match": "q*"}, "huge-20.zip"),
        (None, {"members": ["absent.npy"]}, "absent.npy is in none of"),
        (None, {"members": ["vit.npy"]}, "all end with 'vit.npy'"),
        ({"message": "gone"}, {}, "does not describe a Zenodo record"),
        ([], {}, "does not describe a Zenodo record"),
        ({"files": [{"key": "../m", "size": 1, "checksum": MD5, "links": {"self": "https://a/b"}}]}, {},
         "does not describe a Zenodo record"),
        ({"files": [{"key": "m", "size": 1, "checksum": "crc:0", "links": {"self": "https://a/b"}}]}, {}, "crc:0"),
        ({"files": [{"key": "m", "size": 1, "checksum": MD5, "links": {"self": "file:///x"}}]}, {},
         "does not describe a Zenodo record"),
    ],
)  # fmt: skip
def test_a_record_that_does_not_hold_what_is_wanted(
    described: Any, options: dict[str, Any], words: str, record: Callable[..., Download], tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        fetch(record(described, **options), tmp_path / "cache", "m", QUICK, QUIET)
    assert words in str(caught.value)
    assert not (tmp_path / "cache" / "m").exists()


def test_a_machine_without_a_network_loses_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_of: Callable[..., DataRequest]
) -> None:
    def no_name(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    asked: list[float] = []
    monkeypatch.setattr(socket, "getaddrinfo", no_name)
    monkeypatch.setattr("bench.data.fetch.transfer.time.sleep", asked.append)
    from bench.data.fetch.transfer import SHORT_TIMEOUTS

    problem = fetch_missing(cards.load("tiktok"), request_of(), SHORT_TIMEOUTS, QUIET)
    assert "Name or service not known" in str(problem)
    assert sum(asked) <= 1
    assert SHORT_TIMEOUTS.contacts * SHORT_TIMEOUTS.connect + SHORT_TIMEOUTS.pause < 20
    assert SHORT_TIMEOUTS.idle < 20
