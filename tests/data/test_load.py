"""Which source is taken, what is said about it, and what its hashes depend on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.errors import DataError, UsageError
from bench.core.hashing import derive_seed
from bench.core.protocol import Protocol
from bench.core.types import DataRequest
from bench.data import cards
from bench.data.cards import DatasetCard
from bench.data.formats.surrogate import generate
from bench.data.load import describe_source, describe_split, load_dataset, load_from_card
from bench.data.split import make_split
from bench.runs.record_files import run_key
from bench.runs.records import DataFacts, RunSpec


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., DataRequest]:
    """A request that finds nothing by accident."""
    return lambda **options: DataRequest(**({"cache_dir": tmp_path / "cache"} | options))


def test_auto_takes_the_first_that_is_there(tiktok_dir: Path, loose_tiktok: DatasetCard, ask: Callable) -> None:
    real = ask(data_dirs=(tiktok_dir.parent,))
    assert load_from_card(loose_tiktok, real).source == "real"
    assert load_from_card(loose_tiktok, ask(scale=0.01)).source == "surrogate"
    assert load_dataset("movielens", ask()).source == "embedded"
    assert (
        load_from_card(loose_tiktok, ask(data_dirs=(tiktok_dir.parent,), source="surrogate", scale=0.01)).scale
        == 0.01
    )


def test_directories_are_searched_in_order_and_the_cache_last(
    tiktok_dir: Path, tmp_path: Path, loose_tiktok: DatasetCard, ask: Callable
) -> None:
    (tmp_path / "empty").mkdir()
    data = load_from_card(loose_tiktok, ask(data_dirs=(tmp_path / "empty", tiktok_dir.parent)))
    assert str(tiktok_dir) in data.origin
    assert load_from_card(loose_tiktok, ask(cache_dir=tiktok_dir.parent)).source == "real"


def test_scale_is_ignored_aloud_where_nothing_is_generated(
    tiktok_dir: Path, loose_tiktok: DatasetCard, ask: Callable
) -> None:
    data = load_from_card(loose_tiktok, ask(data_dirs=(tiktok_dir.parent,), scale=0.5))
    assert data.scale is None
    assert data.notes[-1].startswith("--scale 0.5 was ignored")
    assert "real" in data.notes[-1]


def test_a_source_that_is_not_there(tmp_path: Path, refused: Callable, ask: Callable) -> None:
    (tmp_path / "data").mkdir()
    looked = [str(tmp_path / "data" / "tiktok"), str(tmp_path / "cache" / "tiktok")]
    with refused(DataError, "'real'", *looked, "https://github.com/HKUDS/DiffMM", "--data-dir DIR"):
        load_dataset("tiktok", ask(source="real", data_dirs=(tmp_path / "data",)))


def test_an_embedded_package_that_is_not_there(refused: Callable, ask: Callable) -> None:
    card = cards.load("movielens")
    source = card.sources[1].model_copy(update={"package": "surely_not_installed"})
    card = card.model_copy(update={"sources": [card.sources[0], source, card.sources[2]]})
    with refused(DataError, "'embedded'", "surely_not_installed", "requirements"):
        load_from_card(card, ask(source="embedded"))
    assert load_from_card(card, ask(scale=0.01)).source == "surrogate"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"source": "embedded"}, ["source of 'tiktok' 'embedded'", "auto, real, surrogate"]),
        ({"source": "reel"}, ["'reel'", "Did you mean 'real'"]),
        ({"data_dirs": (Path("nowhere"),)}, ["--data-dir nowhere", "no such directory", "Create it"]),
        ({"data_dirs": (Path("nowhere"),), "source": "surrogate"}, ["--data-dir nowhere"]),
        ({"scale": 0}, ["--scale 0"]),
        ({"scale": -0.5}, ["--scale -0.5"]),
        ({"scale": 0.001}, ["--scale 0.001", "19 users", "Take at least"]),
        ({"scale": 0.01, "split": "usr"}, ["'usr'", "Did you mean 'user'"]),
        ({"scale": 0.01, "split": "shipped"}, ["'shipped' needs parts"]),
        ({"scale": 0.01, "split": "global_time"}, ["'global_time' needs the time"]),
    ],
)
def test_requests_that_cannot_be_honoured(
    options: dict[str, Any], words: list[str], refused: Callable, ask: Callable
) -> None:
    with refused(UsageError, *words):
        load_dataset("tiktok", ask(**options))


def test_unknown_data_set(refused: Callable, ask: Callable) -> None:
    with refused(UsageError, "'movielense'", "Did you mean 'movielens'"):
        load_dataset("movielense", ask())


def test_the_files_own_directory_is_not_taken_for_its_parent(
    tiktok_dir: Path, refused: Callable, ask: Callable
) -> None:
    with refused(
        UsageError, f"--data-dir {tiktok_dir}", "image_feat.npy, audio_feat.npy", "Pass the directory above"
    ):
        load_dataset("tiktok", ask(data_dirs=(tiktok_dir,)))


def test_a_file_in_the_directory_s_place(tmp_path: Path, refused: Callable, ask: Callable) -> None:
    (tmp_path / "tiktok").write_text("no directory")
    with refused(DataError, str(tmp_path / "tiktok"), "must be a directory"):
        load_dataset("tiktok", ask(data_dirs=(tmp_path,)))


def test_seeds_depend_on_root_and_name_only(ask: Callable) -> None:
    card = cards.load("tiktok")
    data = load_dataset("tiktok", ask(scale=0.01, base_seed=7))
    by_hand = generate(card.sources[1], 0.01, derive_seed(7, "tiktok", "surrogate"))  # type: ignore[arg-type]
    split = make_split(by_hand.whole, "random", derive_seed(7, "tiktok", "split"))
    for part in ("train", "valid", "test"):
        assert np.array_equal(data.split.part(part).keys, split.part(part).keys)  # type: ignore[arg-type]
    again = load_dataset("tiktok", ask(scale=0.01, base_seed=7, source="surrogate"))
    assert (again.data_hash, again.split_hash) == (data.data_hash, data.split_hash)
    other = load_dataset("tiktok", ask(scale=0.01, base_seed=8))
    assert other.data_hash != data.data_hash


def test_hashes_tell_data_from_split(ask: Callable) -> None:
    one, by_user = (load_dataset("movielens", ask(split=rule)) for rule in (None, "user"))
    reseeded = load_dataset("movielens", ask(base_seed=1))
    assert one.data_hash == by_user.data_hash == reseeded.data_hash
    assert len({one.split_hash, by_user.split_hash, reseeded.split_hash}) == 3


def test_records_take_it_as_it_is(ask: Callable) -> None:
    facts = DataFacts.of(load_dataset("tiktok", ask(scale=0.01)))
    assert facts.label == "tiktok [surrogate x0.01, random split]"
    assert (facts.n_users, facts.n_items, facts.n_interactions) == (189, 348, 14935)
    assert DataFacts.model_validate_json(facts.model_dump_json()) == facts


def test_a_split_that_is_not_random_is_told_and_changes_no_hash(
    tiktok_dir: Path, loose_tiktok: DatasetCard, ask: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = ask(data_dirs=(tiktok_dir.parent,))
    before = load_from_card(loose_tiktok, request)
    monkeypatch.setattr("bench.data.load.warnings", lambda found: [f"The split '{found.split}' is not random."])
    monkeypatch.setattr("bench.data.load.warnings", lambda found: ["The split 'random' is not random."])
    warned = load_from_card(loose_tiktok, request)
    assert DataFacts.of(warned).notes == [*before.notes, "The split 'random' is not random."]
    assert (warned.data_hash, warned.split_hash) == (before.data_hash, before.split_hash)
    assert "  WARNING    The split 'random' is not random." in describe_source(warned).splitlines()


def test_notes_are_no_part_of_a_runs_key(ask: Callable) -> None:
    data = load_dataset("tiktok", ask(scale=0.01))
    spec = RunSpec(dataset="tiktok", model="mf", repetition=0, base_seed=1, max_epochs=2, params={})
    noted = dataclasses.replace(data, notes=("The split is not random.",))
    keys = {run_key(spec, DataFacts.of(each), Protocol(), "code") for each in (data, noted)}
    assert len(keys) == 1


def test_a_split_by_time_is_remarked_and_not_warned_of(ask: Callable) -> None:
    data = load_dataset("movielens", ask(source="embedded", split="global_time"))
    assert data.notes[-1].endswith("Every held-out pair is later than every training pair.")
    assert f"  note       {data.notes[-1]}" in describe_source(data).splitlines()


def test_the_audit_has_a_line_a_measure(ask: Callable) -> None:
    text = describe_split(load_dataset("movielens", ask(source="embedded"))).splitlines()
    assert text[0].startswith("  audit      Pairs with the highest item index of their user: validation 1.")
    assert text[1].startswith("  audit      Pairs that are the latest of their user: validation 1.")
    assert all(line.startswith("  audit      ") for line in text)


def test_the_description_is_loud_about_surrogates(ask: Callable) -> None:
    text = describe_source(load_dataset("tiktok", ask(scale=0.01)))
    for words in ("SURROGATE", "scale 0.01", "189 users, 348 items, 14,935 interactions", "11,949 training",
                  "visual: 128 columns", "Planted", "real data  Put trnMat.pkl"):  # fmt: skip
        assert words in text


def test_the_description_of_real_data_gives_no_advice(
    tiktok_dir: Path, loose_tiktok: DatasetCard, ask: Callable
) -> None:
    text = describe_source(load_from_card(loose_tiktok, ask(data_dirs=(tiktok_dir.parent,))))
    assert "REAL DATA" in text
    assert "MISSING    textual" in text
    assert "real data  " not in text
