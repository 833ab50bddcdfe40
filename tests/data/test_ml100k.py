"""The MovieLens-100K that ships inside recbole: always there, so every claim about it is tested."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.core.errors import DataError
from bench.core.types import BenchmarkData, DataRequest
from bench.data.formats import ml100k
from bench.data.formats.place import SourceOptions
from bench.data.load import describe_source, load_dataset
from bench.data.pins import package_directory
from bench.data.raw import RawData

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> BenchmarkData:
    return load_dataset("movielens", DataRequest("embedded", cache_dir=tmp_path_factory.mktemp("cache")))


@pytest.fixture
def package() -> Path:
    directory = package_directory("recbole", "dataset_example/ml-100k")
    assert directory is not None
    return directory


def cosine(matrix: Any, one: int, other: int) -> float:
    a, b = matrix[one], matrix[other]
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_counts_and_ids(data: BenchmarkData) -> None:
    assert (data.source, data.n_users, data.n_items, data.n_interactions) == ("embedded", 943, 1682, 100_000)
    assert data.split.name == "random"
    assert (len(data.split.train), len(data.split.valid), len(data.split.test)) == (80_000, 10_000, 10_000)


def test_first_rating_of_the_file(data: BenchmarkData) -> None:
    """The file's first row says: user 196, item 242, time 881250949; indices are one less."""
    for part in (data.split.train, data.split.valid, data.split.test):
        found = np.flatnonzero((part.users == 195) & (part.items == 241))
        if len(found):
            assert part.timestamps is not None
            assert part.timestamps[found].tolist() == [881250949.0]
            return
    pytest.fail("the rating is in no part")


def test_modalities_and_their_absence(data: BenchmarkData) -> None:
    assert [(one.name, one.dim) for one in data.modalities] == [("textual", 128), ("metadata", 32)]
    assert list(data.missing) == ["visual", "acoustic", "knowledge"]
    assert "MovieLens-100K ships no" in data.missing["visual"]
    for modality in data.modalities:
        assert modality.matrix.dtype == np.float32
        assert modality.present.all()
        assert np.array_equal(modality.matrix.any(axis=1), modality.present)


def test_features_tell_what_they_should(data: BenchmarkData) -> None:
    """Star Wars (50) is nearer to The Empire Strikes Back (172) than to Sense and Sensibility (275)."""
    for modality in data.modalities:
        assert cosine(modality.matrix, 49, 171) > cosine(modality.matrix, 49, 274) + 0.3
    assert cosine(data.modalities[0].matrix, 126, 186) > 0.9  # The Godfather and its second part
    assert cosine(data.modalities[1].matrix, 0, 94) > cosine(data.modalities[1].matrix, 0, 99) + 0.3  # Toy Story,
    # Aladdin, Fargo


def test_why_there_is_no_knowledge_modality(package: Path) -> None:
    """The link file numbers movies like another MovieLens; when this turns red, it was corrected: use it then.

    By the graph's own "sequel" relation, linked movies and their sequels hardly ever share a word of their titles.
    """
    tables = [
        pd.read_csv(package / f"ml-100k.{name}", sep="\t", dtype=str, quoting=3) for name in ("item", "link", "kg")
    ]
    items, links, graph = (table.set_axis([c.split(":")[0] for c in table.columns], axis=1) for table in tables)
    title = dict(zip(items["item_id"], items["movie_title"].str.lower().str.split(), strict=True))
    movie = dict(zip(links["entity_id"], links["item_id"], strict=True))
    sequels = graph[graph["relation_id"] == "film.film.sequel"]
    pairs = [
        (movie[head], movie[tail])
        for head, tail in zip(sequels["head_id"], sequels["tail_id"], strict=True)
        if head in movie and tail in movie
    ]
    assert ("153", "1562") in pairs  # Batman Forever and Batman & Robin, as MovieLens-1M numbers them
    common_words = {"the", "a", "of", "and", "in", "to", "(the", "for"}
    sharing = sum(bool(set(title[one]) & set(title[other]) - common_words) for one, other in pairs)
    assert len(pairs) > 50
    assert sharing / len(pairs) < 0.1


def test_people_bring_the_knowledge_modality(tmp_path: Path, package: Path, source_of: Callable) -> None:
    """Movies of one director are near, movies without a word lack the modality, and so do unlisted ones."""
    folder = tmp_path / "ml-100k"
    folder.mkdir()
    movies = [
        {"item_id": n, "director": f"D{n % 200}", "actors": f"A{n % 180}, B{n % 170}", "country": "USA"}
        for n in range(1, 1601)
    ]
    movies[6] = {"item_id": 7, "director": "", "actors": None}
    (folder / "items.jsonl").write_text("\n".join(json.dumps(movie) for movie in movies), encoding="utf-8")
    raw = ml100k.read_source(source_of("movielens", "embedded"), package, SourceOptions((tmp_path,)))
    knowledge = raw.modalities[2]
    assert (knowledge.name, knowledge.dim) == ("knowledge", 128)
    assert "knowledge" not in raw.missing
    assert not knowledge.present[6]
    assert int(knowledge.present.sum()) == 1599
    assert cosine(knowledge.matrix, 9, 209) > cosine(knowledge.matrix, 9, 210) + 0.2


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2 is not a JSON object"),
        ("[]", "line 2 is not a JSON object"),
        ('{"director": "x"}', "item_id"),
        ('{"item_id": 1683}', "1683 is unknown"),
        ('{"item_id": 1}', "1 occurs twice"),
    ],
)
def test_a_broken_list_of_people_names_the_line(
    tmp_path: Path, package: Path, source_of: Callable, refused: Callable, line: str, words: str
) -> None:
    (tmp_path / "ml-100k").mkdir()
    (tmp_path / "ml-100k" / "items.jsonl").write_text('{"item_id": 1}\n' + line, encoding="utf-8")
    with refused(DataError, "items.jsonl", words):
        ml100k.read_source(source_of("movielens", "embedded"), package, SourceOptions((tmp_path,)))


def test_derived_features_are_quick_and_repeatable(
    data: BenchmarkData, package: Path, source_of: Callable
) -> None:
    start = time.perf_counter()
    again = ml100k.read_source(source_of("movielens", "embedded"), package, SourceOptions())
    assert time.perf_counter() - start < 3
    for one, other in zip(data.modalities, again.modalities, strict=True):
        assert one.fingerprint == other.fingerprint
        np.testing.assert_array_equal(one.matrix, other.matrix)


def test_signs_do_not_depend_on_the_solver(
    monkeypatch: pytest.MonkeyPatch, package: Path, source_of: Callable
) -> None:
    from sklearn.decomposition import TruncatedSVD

    source = source_of("movielens", "embedded")
    before = ml100k.read_source(source, package, SourceOptions()).modalities[0].matrix
    original = TruncatedSVD.fit_transform

    def flipped(self: Any, weights: Any) -> Any:
        rows = original(self, weights)
        self.components_ = -self.components_
        return -rows

    monkeypatch.setattr(TruncatedSVD, "fit_transform", flipped)
    np.testing.assert_array_equal(
        ml100k.read_source(source, package, SourceOptions()).modalities[0].matrix, before
    )


def test_fingerprint_follows_the_recipe(package: Path, source_of: Callable) -> None:
    source = source_of("movielens", "embedded")
    smaller = ml100k.read_source(source.model_copy(update={"textual_dim": 16}), package, SourceOptions())
    whole: RawData = ml100k.read_source(source, package, SourceOptions())
    assert smaller.modalities[0].fingerprint != whole.modalities[0].fingerprint
    assert smaller.modalities[1].fingerprint == whole.modalities[1].fingerprint


def test_sentence_embeddings_replace_the_derived_text(tmp_path: Path, data: BenchmarkData) -> None:
    (tmp_path / "ml-100k").mkdir()
    rows = np.random.default_rng(0).standard_normal((1682, 384)).astype(np.float32)
    np.save(tmp_path / "ml-100k" / "text_feat.npy", rows)
    replaced = load_dataset("movielens", DataRequest("embedded", data_dirs=(tmp_path,), cache_dir=tmp_path / "no"))
    assert [(one.name, one.dim) for one in replaced.modalities] == [("textual", 384), ("metadata", 32)]
    np.testing.assert_array_equal(replaced.modalities[0].matrix, rows)
    assert str(tmp_path) in replaced.modalities[0].origin
    assert replaced.split_hash == data.split_hash
    assert replaced.data_hash != data.data_hash


@pytest.mark.parametrize("shape", [(1681, 384), (1682, 100)])
def test_unfit_embeddings_are_an_error(shape: tuple[int, int], tmp_path: Path, refused: Callable) -> None:
    (tmp_path / "ml-100k").mkdir()
    np.save(tmp_path / "ml-100k" / "text_feat.npy", np.ones(shape, np.float32))
    with refused(DataError, "ml-100k/text_feat.npy"):
        load_dataset("movielens", DataRequest("embedded", data_dirs=(tmp_path,)))


def test_posters_and_trailers_have_gaps(tmp_path: Path) -> None:
    (tmp_path / "ml-100k").mkdir()
    rng = np.random.default_rng(0)
    for name, width, absent in (("image", 6, [4, 1681]), ("audio", 3, [0, 7, 8])):
        rows = rng.standard_normal((1682, width)).astype(np.float32)
        rows[absent] = 0
        np.save(tmp_path / "ml-100k" / f"{name}_feat.npy", rows)
    data = load_dataset("movielens", DataRequest("embedded", data_dirs=(tmp_path,), cache_dir=tmp_path / "no"))
    names = [one.name for one in data.modalities]
    assert names == ["visual", "acoustic", "textual", "metadata"]
    assert [int((~one.present).sum()) for one in data.modalities[:2]] == [2, 3]
    assert np.flatnonzero(~data.modalities[1].present).tolist() == [0, 7, 8]
    assert {"visual", "acoustic"}.isdisjoint(data.missing)
    assert all(one.origin.endswith("encoder not stated") for one in data.modalities[:2])  # not those of the card
    assert "3 of 1,682 items lack the acoustic modality." in data.notes


def test_the_public_content(real_data_dir: Path, tmp_path: Path) -> None:
    if not (real_data_dir / "ml-100k" / "text_feat.npy").is_file():
        pytest.skip("no ml-100k/text_feat.npy beside the TikTok data")
    data = load_dataset("movielens", DataRequest("embedded", data_dirs=(real_data_dir,), cache_dir=tmp_path))
    by_name = {one.name: one for one in data.modalities}
    assert np.linalg.norm(by_name["textual"].matrix, axis=1) == pytest.approx(1, abs=1e-3)
    assert {name: int(one.present.sum()) for name, one in by_name.items() if name in ("visual", "acoustic")} == {
        "visual": 1666,
        "acoustic": 1339,
    }
    assert "EfficientNet-Lite0" in by_name["visual"].origin
    assert "VGGish" in by_name["acoustic"].origin
    assert "all-MiniLM-L6-v2" in by_name["textual"].origin


def test_the_public_one_million(real_data_dir: Path, tmp_path: Path) -> None:
    """Counts and coverage of the shared copy."""
    if not (real_data_dir / "movielens" / "movielens.inter").is_file():
        pytest.skip("no movielens/movielens.inter beside the TikTok data")
    request = DataRequest(data_dirs=(real_data_dir,), cache_dir=tmp_path)
    data, shipped = load_dataset("movielens", request), load_dataset("movielens@shipped", request)
    assert (data.name, shipped.name) == ("movielens", "movielens@shipped")
    for each, sizes in ((data, (433_409, 54_175, 54_175)), (shipped, (346_501, 86_626, 108_632))):
        assert (each.source, each.n_users, each.n_items) == ("real", 6036, 3081)
        assert (len(each.split.train), len(each.split.valid), len(each.split.test)) == sizes
        assert [(one.name, one.dim, int(one.present.sum())) for one in each.modalities] == [
            ("visual", 1280, 3040),
            ("acoustic", 128, 3081),
            ("textual", 384, 3042),
        ]
        assert each.missing == {}
    assert data.data_hash == shipped.data_hash
    assert "MovieLens-1M, its ratings of 4 stars and more" in data.origin
    for one, encoder in zip(data.modalities, ("EfficientNet-Lite0", "VGGish", "all-MiniLM-L6-v2"), strict=True):
        assert encoder in one.origin


@pytest.mark.parametrize("name", ["ml-100k.inter", "ml-100k.item"])
def test_other_files_than_the_card_s(
    name: str, tmp_path: Path, package: Path, source_of: Callable, refused: Callable
) -> None:
    shutil.copytree(package, tmp_path / "copy")
    with (tmp_path / "copy" / name).open("a") as stream:
        stream.write("1\t2\t3\t4\n")
    with refused(DataError, name, "checksum"):
        ml100k.read_source(source_of("movielens", "embedded"), tmp_path / "copy", SourceOptions())


def test_splits_by_time_and_user(tmp_path: Path) -> None:
    by_time = load_dataset("movielens@global_time", DataRequest("embedded", cache_dir=tmp_path)).split
    assert by_time.train.timestamps is not None
    assert by_time.test.timestamps is not None
    assert by_time.train.timestamps.max() < by_time.valid.timestamps.min()  # type: ignore[union-attr]
    assert by_time.valid.timestamps.max() < by_time.test.timestamps.min()  # type: ignore[union-attr]
    by_user = load_dataset("movielens@user", DataRequest("embedded", cache_dir=tmp_path)).split
    assert len(np.unique(by_user.test.users)) == 943


def test_description(data: BenchmarkData) -> None:
    text = describe_source(data)
    for words in (
        "EMBEDDED",
        "943 users",
        "1,682 items",
        "100,000",
        "MISSING    visual",
        "metadata: 32 columns",
        "real data",
        "M3L-10M",
    ):
        assert words in text


def test_recbole_is_not_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from bench.data.load import load_dataset; from bench.core.types import DataRequest; "
        "load_dataset('movielens', DataRequest()); print([m for m in ('recbole', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
