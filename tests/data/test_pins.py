"""What is compared with a card: every pinned file is hashed once, and errors tell all that differs."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from bench.core.errors import DataError
from bench.core.types import DataRequest
from bench.data import cards
from bench.data.cards import DatasetCard, SourceCard
from bench.data.extraction import Extraction, Extractor, description_path
from bench.data.formats.registry import FORMATS, SOURCES
from bench.data.load import load_from_card
from bench.data.pins import git_blob, package_directory

Hashed = Callable[[Path, Callable[[], Any]], Counter[str]]


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> Hashed:
    """How often each file of a directory is hashed by a call; files are told apart by their sizes."""

    def count(directory: Path, call: Callable[[], Any]) -> Counter[str]:
        names = {path.stat().st_size: path.name for path in directory.iterdir()}
        assert len(names) == len(list(directory.iterdir()))
        found, original = Counter[str](), hashlib.sha1

        def counted(start: bytes, **options: Any) -> Any:
            found[names[int(start.removeprefix(b"blob ").removesuffix(b"\0"))]] += 1
            return original(start, **options)

        with monkeypatch.context() as patch:
            patch.setattr(hashlib, "sha1", counted)
            call()
        return found

    return count


def pinned(card: DatasetCard, directory: Path) -> DatasetCard:
    """The TikTok card with the checksums of these files; the acoustic features also have an encoder."""
    source: Any = card.sources[0]

    def pin(file: Any) -> Any:
        path = directory / file.path
        return file.model_copy(update={"git_blob": git_blob(path)}) if path.exists() else file

    parts = {part: pin(getattr(source.files, part)) for part in ("train", "valid", "test")}
    features = {name: pin(file) for name, file in source.features.items()}
    encoder = cards.Encoder(words="a recipe", git_blob=features["acoustic"].git_blob)
    features["acoustic"] = features["acoustic"].model_copy(update={"encoder": encoder})
    files = source.files.model_copy(update=parts)
    source = source.model_copy(update={"files": files, "features": features})
    return card.model_copy(update={"sources": [source, *card.sources[1:]]})


def request(directory: Path) -> DataRequest:
    return DataRequest(data_dirs=(directory.parent,), cache_dir=directory / "no", split="shipped")


def test_a_pinned_file_is_hashed_once_and_an_unpinned_one_never(
    tiktok_dir: Path, loose_tiktok: DatasetCard, hashed: Hashed
) -> None:
    np.save(tiktok_dir / "audio_feat.npy", np.ones((8, 128), np.float64))
    assert hashed(tiktok_dir, lambda: load_from_card(loose_tiktok, request(tiktok_dir))) == {}
    card = pinned(loose_tiktok, tiktok_dir)
    files = ["trnMat.pkl", "valMat.pkl", "tstMat.pkl", "image_feat.npy", "audio_feat.npy"]
    loaded: list[Any] = []
    once = hashed(tiktok_dir, lambda: loaded.append(load_from_card(card, request(tiktok_dir))))
    assert once == dict.fromkeys(files, 1)
    assert loaded[0].modalities[1].origin.endswith("made by a recipe")


def test_a_described_file_is_hashed_once(tiktok_dir: Path, loose_tiktok: DatasetCard, hashed: Hashed) -> None:
    path = tiktok_dir / "image_feat.npy"
    np.save(tiktok_dir / "audio_feat.npy", np.ones((8, 128), np.float64))
    by = Extractor(library="timm", version="1", model="net", weights="none")
    made = Extraction(
        modality="visual", extractor=by, made_of="posters", n_items=8, n_described=8, features=git_blob(path)
    )
    description_path(path).write_text(made.model_dump_json())
    loose = hashed(tiktok_dir, lambda: load_from_card(loose_tiktok, request(tiktok_dir)))
    assert loose == {"image_feat.npy": 1}
    card = pinned(loose_tiktok, tiktok_dir)
    assert hashed(tiktok_dir, lambda: load_from_card(card, request(tiktok_dir)))["image_feat.npy"] == 1


def test_the_embedded_files_are_hashed_once(hashed: Hashed, tmp_path: Path) -> None:
    directory = package_directory("recbole", "dataset_example/ml-100k")
    assert directory is not None
    embedded = DataRequest("embedded", cache_dir=tmp_path)
    once = hashed(directory, lambda: load_from_card(cards.load("movielens"), embedded))
    assert once == {"ml-100k.inter": 1, "ml-100k.item": 1}


@pytest.mark.parametrize(("name", "problem"), [("tstMat.pkl", "not a pickled"), ("image_feat.npy", "not a plain")])
def test_a_broken_file_of_another_version_is_told_as_both(
    name: str, problem: str, tiktok_dir: Path, loose_tiktok: DatasetCard, refused: Callable
) -> None:
    card = pinned(loose_tiktok, tiktok_dir)
    before = git_blob(tiktok_dir / name)
    (tiktok_dir / name).write_bytes(b"broken")
    words = [problem, f"{name}, checksum (git blob id)", before, git_blob(tiktok_dir / name)]
    with refused(DataError, str(tiktok_dir), "does not match the data card", *words):
        load_from_card(card, request(tiktok_dir))


def test_every_layout_of_a_card_has_a_format() -> None:
    of_cards = {get_args(model.model_fields["layout"].annotation)[0] for model in get_args(SourceCard)}
    assert of_cards == set(SOURCES)
    assert list(FORMATS)[-1] == "table"  # most other formats would pass for one
