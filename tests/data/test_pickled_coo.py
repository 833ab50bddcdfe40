"""The public TikTok layout: made-up data through the whole loader, and the real files where they are."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import coo_matrix

from bench.core.errors import DataError
from bench.core.types import DataRequest, Interactions
from bench.data.cards import DatasetCard
from bench.data.formats.safe_pickle import read_cells
from bench.data.load import describe_source, load_dataset, load_from_card


def request(directory: Path, **options: Any) -> DataRequest:
    """Ask for the publisher's parts, unless the options say otherwise."""
    options = {"split": "shipped"} | options
    return DataRequest(data_dirs=(directory.parent,), cache_dir=directory.parent / "cache", **options)


def test_made_up_data(tiktok_dir: Path, loose_tiktok: DatasetCard, tiktok_parts: dict[str, Interactions]) -> None:
    data = load_from_card(loose_tiktok, request(tiktok_dir))
    assert (data.source, data.scale, data.advice, data.split.name) == ("real", None, "", "shipped")
    for part, expected in zip(
        (data.split.train, data.split.valid, data.split.test), tiktok_parts.values(), strict=True
    ):
        assert np.array_equal(part.keys, expected.keys)
    assert [modality.name for modality in data.modalities] == ["visual", "acoustic"]
    assert list(data.missing) == ["textual"]
    # by hand: only item 7 is never in training, only user 5 has nothing there; tests (0, 7) and (1, 7) are cold
    assert "1 of 8 items are never seen in training" in data.notes[0]
    assert "0 validation interactions (0.0%) and 2 test interactions (66.7%)" in data.notes[0]
    assert data.notes[1] == "1 users have no training interaction; 1 of them have test items."


def test_textual_features_of_the_user_s_own(tiktok_dir: Path, loose_tiktok: DatasetCard) -> None:
    before = load_from_card(loose_tiktok, request(tiktok_dir))
    rows = np.ones((8, 768), dtype=np.float32)
    rows[3] = 0
    np.save(tiktok_dir / "text_feat.npy", rows)
    data = load_from_card(loose_tiktok, request(tiktok_dir))
    assert [modality.name for modality in data.modalities] == ["visual", "acoustic", "textual"]
    assert data.missing == {}
    assert "1 of 8 items lack the textual modality." in data.notes
    assert data.data_hash != before.data_hash
    assert data.split_hash == before.split_hash


def test_other_split_on_merged_parts(tiktok_dir: Path, loose_tiktok: DatasetCard) -> None:
    shipped = load_from_card(loose_tiktok, request(tiktok_dir))
    data = load_from_card(loose_tiktok, request(tiktok_dir, split="random"))
    assert data.split.name == "random"
    assert (len(data.split.train), len(data.split.valid), len(data.split.test)) == (13, 1, 1)
    assert data.data_hash == shipped.data_hash
    assert data.split_hash != shipped.split_hash


def test_overlapping_parts(tiktok_dir: Path, loose_tiktok: DatasetCard, refused: Callable) -> None:
    shutil.copy(tiktok_dir / "valMat.pkl", tiktok_dir / "tstMat.pkl")
    with refused(DataError, "2 user-item pairs", "validation", "test"):
        load_from_card(loose_tiktok, request(tiktok_dir))
    data = load_from_card(loose_tiktok, request(tiktok_dir, split="random"))  # each pair counts once
    assert data.n_interactions == 12
    assert "2 user-item pairs are in two of the publisher's parts; they count once here." in data.notes


def test_differing_shapes(tiktok_dir: Path, loose_tiktok: DatasetCard, refused: Callable) -> None:
    (tiktok_dir / "tstMat.pkl").write_bytes(pickle.dumps(coo_matrix(np.eye(6, 9))))
    with refused(DataError, "differ in shape", "trnMat.pkl 6 x 8", "tstMat.pkl 6 x 9"):
        load_from_card(loose_tiktok, request(tiktok_dir))


def test_an_empty_part(tiktok_dir: Path, loose_tiktok: DatasetCard, refused: Callable) -> None:
    (tiktok_dir / "valMat.pkl").write_bytes(pickle.dumps(coo_matrix((6, 8))))
    with refused(DataError, "validation part", "empty"):
        load_from_card(loose_tiktok, request(tiktok_dir))


class Payload:
    """Runs a command when unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


def break_pickle(directory: Path) -> None:
    (directory / "tstMat.pkl").write_bytes(b"broken")


def break_features(directory: Path) -> None:
    np.save(directory / "image_feat.npy", np.ones((7, 128), np.float32))


def remove_part(directory: Path) -> None:
    (directory / "valMat.pkl").unlink()


def plant_payload(directory: Path) -> None:
    (directory / "trnMat.pkl").write_bytes(pickle.dumps(Payload(directory / "marker")))


@pytest.mark.parametrize("source", ["auto", "real"])
@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (break_pickle, ["tstMat.pkl", "not a pickled sparse matrix"]),
        (break_features, ["image_feat.npy", "7 rows", "8 items"]),
        (remove_part, ["valMat.pkl", "is missing"]),
        (plant_payload, ["trnMat.pkl", "posix.system"]),
    ],
)
def test_broken_real_data_is_never_passed_over(
    harm: Callable[[Path], None],
    words: list[str],
    source: Any,
    tiktok_dir: Path,
    loose_tiktok: DatasetCard,
    refused: Callable,
) -> None:
    harm(tiktok_dir)
    with refused(DataError, str(tiktok_dir), *words):
        load_from_card(loose_tiktok, request(tiktok_dir, source=source))
    assert not (tiktok_dir / "marker").exists()


@pytest.mark.parametrize("source", ["auto", "real"])
def test_files_of_another_version(source: Any, tiktok_dir: Path, refused: Callable) -> None:
    """The project's own card pins every file, so that made-up data under the name is refused."""
    with refused(
        DataError,
        "trnMat.pkl",
        "checksum",
        "n_users",
        "e2592cf4a18e9ddcd6a0814679d4faf34d08a373",
        "fetch it again",
    ):
        load_dataset("tiktok", request(tiktok_dir, source=source))


def test_counts_of_another_version(tiktok_dir: Path, loose_tiktok: DatasetCard, refused: Callable) -> None:
    source = loose_tiktok.sources[0]
    expected = source.expected.model_copy(update={"n_users": 6, "n_valid": 99})  # type: ignore[union-attr]
    card = loose_tiktok.model_copy(update={"sources": [source.model_copy(update={"expected": expected})]})
    with refused(DataError, str(tiktok_dir), "expected    found", "n_valid  99          2", "ludp-bench import"):
        load_from_card(card, request(tiktok_dir))


def test_the_public_data(real_data_dir: Path, tmp_path: Path) -> None:
    data = load_dataset("tiktok@shipped", DataRequest(data_dirs=(real_data_dir,), cache_dir=tmp_path))
    assert data.name == "tiktok@shipped"
    assert (data.source, data.n_users, data.n_items, data.n_interactions) == ("real", 9308, 6710, 68722)
    assert (len(data.split.train), len(data.split.valid), len(data.split.test)) == (59541, 3051, 6130)
    for part in (data.split.valid, data.split.test):  # one validation and one test item for each listed user
        assert np.bincount(part.users).max() == 1
    assert "465 of 6,710 items" in data.notes[0]
    assert "449 test interactions (7.3%)" in data.notes[0]
    assert data.notes[1].startswith("10 users have no training interaction")
    visual, acoustic = data.modalities[:2]
    assert np.linalg.norm(visual.matrix, axis=1).mean() == pytest.approx(33, abs=1)
    assert 2 < np.linalg.norm(acoustic.matrix, axis=1).mean() < 6
    if not (real_data_dir / "tiktok" / "text_feat.npy").exists():
        assert list(data.missing) == ["textual"]
        assert "MISSING    textual" in describe_source(data)


def test_the_public_pickles_agree_with_scipy(real_data_dir: Path) -> None:
    path = real_data_dir / "tiktok" / "tstMat.pkl"
    rows, columns, shape = read_cells(path).triplet
    with path.open("rb") as stream:
        trusted = pickle.load(stream)
    assert shape == trusted.shape
    assert np.array_equal(rows, trusted.row)
    assert np.array_equal(columns, trusted.col)
