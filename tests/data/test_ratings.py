"""The ratings of GroupLens: as they are fetched, and malformed in every way."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data.server import misbehaving
from data.test_archives import zipped
from data.test_obtain import QUICK
from rich.console import Console

from bench.core.errors import DataError
from bench.core.types import DataRequest
from bench.data import cards
from bench.data.cards import Download, RatingsSource
from bench.data.fetch.collect import fetch
from bench.data.fetch.transfer import Watch
from bench.data.formats.place import SourceOptions
from bench.data.formats.ratings import read_source
from bench.data.load import load_from_card

ROWS = ["10::7::5::978300760", "2::7::3::978300761", "2::9::1::978300762", "10::7::4::978300700"]


@pytest.fixture
def source() -> RatingsSource:
    found = cards.load("ml-1m").sources[0]
    assert isinstance(found, RatingsSource)
    return found.model_copy(update={"expected": cards.Counts(n_users=2, n_items=2)})


def test_users_and_items_are_numbered_in_the_order_of_their_ids(source: RatingsSource, tmp_path: Path) -> None:
    (tmp_path / "ratings.dat").write_text("\n".join(ROWS) + "\n")
    (whole,) = read_source(source, tmp_path, SourceOptions()).parts
    assert (whole.users.tolist(), whole.items.tolist()) == ([0, 0, 1], [0, 1, 0])  # 2-7, 2-9, 10-7
    assert whole.timestamps is not None
    assert whole.timestamps.tolist() == [978300761, 978300762, 978300700]  # of a repeated pair the earliest


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a table of ratings"),
        ("1\t2\t3\t4\n", "4 columns"),
        ("1::2::3\n", "3 columns divided by '::'"),
        ("\n".join([*ROWS, "x::7::3::9"]), "row 5: the user is 'x'"),
        ("\n".join([*ROWS, "1::7.5::3::9"]), "row 5: the item is '7.5'"),
        ("\n".join([*ROWS, "1::-7::3::9"]), "row 5: the item is '-7'"),
        ("\n".join([*ROWS, "1::7::::9"]), "row 5: the rating is ''"),
        ("\n".join([*ROWS, "1::7::3::inf"]), "row 5: the time is 'inf'"),
        ("\n".join([*ROWS, "1::7::3"]), "row 5: the time is ''"),
        ("\n".join([*ROWS, "1::7::3::4::5"]), "not a table of ratings"),
        ("\n".join([*ROWS, "3::7::3::9"]), "n_users  2           3"),
    ],
)
def test_malformed_tables(text: str, words: str, source: RatingsSource, tmp_path: Path) -> None:
    if text.startswith("1\t2"):
        source = source.model_copy(update={"separator": ","})
        words = "n_users  2           1"
    (tmp_path / "ratings.dat").write_text(text)
    with pytest.raises(DataError) as caught:
        read_source(source, tmp_path, SourceOptions())
    assert words in str(caught.value)


def test_from_the_archive_to_the_split(source: RatingsSource, tmp_path: Path) -> None:
    """The card's own download, its archive from a server here, on a table of the card's own form."""
    rng = np.random.default_rng(0)
    rows = [f"{u}::{i}::4::{1000 + u}" for u in range(1, 30) for i in rng.choice(40, 10, replace=False) + 1]
    packed = zipped(tmp_path / "ml-1m.zip", {"ml-1m/ratings.dat": "\n".join(rows).encode()}).read_bytes()
    assert source.download is not None
    (named,) = source.download.files
    with misbehaving() as server:
        server.files["/ml-1m.zip"] = packed
        here = named.model_dump(exclude={"sha256", "path"}) | {
            "url": f"{server.url}/ml-1m.zip",
            "md5": hashlib.md5(packed).hexdigest(),
        }
        download = Download.model_validate({"files": [here]})
        fetch(download, tmp_path / "cache", source.directory, QUICK, Watch(Console(quiet=True)))
    loose = source.model_copy(update={"expected": cards.Counts()})
    card = cards.load("ml-1m").model_copy(update={"sources": [loose]})
    data = load_from_card(card, DataRequest(cache_dir=tmp_path / "cache"))
    assert (data.source, data.n_users, data.n_interactions) == ("real", 29, 290)
    assert data.modalities == ()


@pytest.mark.parametrize("name", ["ml-1m", "ml-100k"])
def test_the_cards_name_the_archive_s_member(name: str) -> None:
    source: Any = cards.load(name).sources[0]
    (file,) = source.download.files
    assert file.members == {f"{name}/{source.file.path}": source.file.path}
    assert file.md5
    assert file.sha256
