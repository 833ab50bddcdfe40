"""Fixtures of the data layer's tests: small valid data in each layout, cards for it, and `refused`."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import coo_matrix

from bench.core.config import validated
from bench.core.errors import BenchError
from bench.core.types import Interactions
from bench.core.yaml_files import read_yaml
from bench.data import cards
from bench.data.cards import DatasetCard

Refused = Callable[..., AbstractContextManager[None]]
USERS, ITEMS = 6, 8


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Expect one error class with all these words in its message, and no file written anywhere near."""
    monkeypatch.chdir(tmp_path)

    def tree() -> dict[str, float]:
        return {str(path): path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}

    @contextmanager
    def expect(error_class: type[BenchError], *words: str) -> Iterator[None]:
        before = tree()
        with pytest.raises(BenchError) as caught:
            yield
        assert type(caught.value) is error_class
        message = str(caught.value)
        for word in words:
            assert word in message, f"{word!r} is not in: {message}"
        assert tree() == before

    return expect


def pairs(*keys: int, n_users: int = USERS, n_items: int = ITEMS) -> Interactions:
    """Interactions from keys user * n_items + item."""
    ids = np.array(keys, dtype=np.int64)
    return Interactions.from_pairs(ids // n_items, ids % n_items, n_users, n_items)


@pytest.fixture
def make_pairs() -> Callable[..., Interactions]:
    """`pairs`, for tests."""
    return pairs


@pytest.fixture
def tiktok_parts() -> dict[str, Interactions]:
    """Parts by file name: users 0 to 4 train (user 5 never), item 7 is in the test part only."""
    return {
        "trnMat.pkl": pairs(0, 1, 8, 10, 17, 19, 24, 29, 36, 38),
        "valMat.pkl": pairs(2, 11),
        "tstMat.pkl": pairs(7, 15, 43),
    }


@pytest.fixture
def tiktok_dir(tmp_path: Path, tiktok_parts: dict[str, Interactions]) -> Path:
    """A sound `tiktok` directory; its parent is the --data-dir."""
    directory = tmp_path / "data" / "tiktok"
    directory.mkdir(parents=True)
    for name, part in tiktok_parts.items():
        matrix = coo_matrix((np.ones(len(part)), (part.users, part.items)), shape=(USERS, ITEMS))
        (directory / name).write_bytes(pickle.dumps(matrix, protocol=3))
    rng = np.random.default_rng(1)
    for name in ("image_feat.npy", "audio_feat.npy"):
        np.save(directory / name, rng.standard_normal((ITEMS, 128)).astype(np.float16))
    return directory


MMREC_ROWS = ["userID\titemID\trating\ttimestamp\tx_label"] + [
    f"{user}\t{item}\t5\t{1000 + 10 * user + item}\t{2 if item == 7 else 1 if item == 6 else 0}"
    for user in range(USERS)
    for item in range(ITEMS)
    if (user + item) % 3 or item >= 6
]


@pytest.fixture
def mmrec_dir(tmp_path: Path) -> Path:
    """A sound `movielens` directory in the MMRec layout, with visual and textual features."""
    directory = tmp_path / "data" / "movielens"
    directory.mkdir(parents=True)
    (directory / "ml.inter").write_text("\n".join(MMREC_ROWS) + "\n")
    rng = np.random.default_rng(2)
    np.save(directory / "image_feat.npy", rng.standard_normal((ITEMS, 5)))
    np.save(directory / "text_feat.npy", rng.standard_normal((ITEMS, 3)).astype(np.float32))
    return directory


def without_pins(raw: Any) -> Any:
    """A card's values without checksums, expected counts and downloads, so that small made-up data fits."""
    if isinstance(raw, dict):
        return {
            key: without_pins(value)
            for key, value in raw.items()
            if key not in ("git_blob", "expected", "download")
        }
    return [without_pins(value) for value in raw] if isinstance(raw, list) else raw


@pytest.fixture
def loose_tiktok() -> DatasetCard:
    """The TikTok card for made-up data."""
    file = cards.DATASETS / "tiktok.yaml"
    return validated(DatasetCard, without_pins(read_yaml(file)), file)


@pytest.fixture
def source_of() -> Callable[[str, str], Any]:
    """The source of a kind on a card."""
    return lambda name, kind: next(one for one in cards.load(name).sources if one.kind == kind)
