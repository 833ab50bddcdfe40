"""A data set with its split: one canonical name for all spellings, and errors that say what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from bench.core.errors import ConfigError, UsageError
from bench.core.names import SPLITS, base_and_split, base_name, canonical
from bench.core.types import BenchmarkData, DataRequest
from bench.data import cards
from bench.data.load import load_dataset
from bench.data.split import RULES
from bench.runs.records import DataFacts


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., BenchmarkData]:
    """A small surrogate of TikTok by any spelling of its name."""

    def made(name: str, split: str | None = None, **options: object) -> BenchmarkData:
        request = DataRequest(source="surrogate", scale=0.01, cache_dir=tmp_path, split=split, **options)  # type: ignore[arg-type]
        return load_dataset(name, request)

    return made


def test_one_name_for_all_spellings() -> None:
    assert canonical("tiktok", "random", "random") == "tiktok"
    assert canonical("tiktok", "shipped", "random") == "tiktok@shipped"
    assert (base_and_split("tiktok"), base_and_split("tiktok@user"), base_and_split("tiktok@")) == (
        ("tiktok", None),
        ("tiktok", "user"),
        ("tiktok", ""),
    )
    assert base_name("tiktok@shipped") == base_name("tiktok") == "tiktok"
    assert ("shipped", *RULES) == SPLITS


@pytest.mark.parametrize(
    ("dataset", "split", "name", "rule"),
    [
        ("tiktok", None, "tiktok", "random"),
        ("tiktok@random", None, "tiktok", "random"),
        ("tiktok", "random", "tiktok", "random"),
        ("tiktok@random", "user", "tiktok", "random"),  # --split is for names that say none
        ("tiktok", "user", "tiktok@user", "user"),
        ("tiktok@shipped", "user", "tiktok@shipped", "shipped"),
        ("movielens@global_time", None, "movielens@global_time", "global_time"),
    ],
)
def test_what_a_name_means(dataset: str, split: str | None, name: str, rule: str) -> None:
    chosen = cards.choose(dataset, split)
    assert (chosen.name, chosen.split, chosen.card.name) == (name, rule, base_name(name))


def test_the_papers_rule_is_the_default_of_every_card() -> None:
    assert {cards.load(name).split for name in cards.names()} == {"random"}


def test_a_split_does_not_change_with_its_spelling(load: Callable[..., BenchmarkData]) -> None:
    plain, named, asked = load("tiktok"), load("tiktok@random"), load("tiktok", split="random")
    assert plain.name == named.name == asked.name == "tiktok"
    assert plain.split_hash == named.split_hash == asked.split_hash
    by_user = load("tiktok@user")
    assert by_user.name == load("tiktok", split="user").name == "tiktok@user"
    assert by_user.split_hash == load("tiktok", split="user").split_hash != plain.split_hash
    assert by_user.data_hash == plain.data_hash
    assert load("tiktok", base_seed=1).split_hash != plain.split_hash


def test_a_card_with_another_default_has_the_same_parts(
    load: Callable[..., BenchmarkData], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seed of a split is of the base and the card's name alone, not of what its default happens to be."""
    before = load("tiktok@user")
    text = (cards.DATASETS / "tiktok.yaml").read_text(encoding="utf-8").replace("split: random", "split: user", 1)
    (tmp_path / "tiktok.yaml").write_text(text, encoding="utf-8")
    for function in (cards.load, cards.names):
        monkeypatch.setattr(function, "__defaults__", (tmp_path,))
    after = load("tiktok")
    assert (after.name, load("tiktok@random").name) == ("tiktok", "tiktok@random")
    for part in ("train", "valid", "test"):
        assert np.array_equal(after.split.part(part).keys, before.split.part(part).keys)  # type: ignore[arg-type]


def test_facts_say_the_split_whatever_the_spelling(load: Callable[..., BenchmarkData]) -> None:
    assert DataFacts.of(load("tiktok")).label == "tiktok [surrogate x0.01, random split]"
    facts = DataFacts.of(load("tiktok@user"))
    assert (facts.name, facts.card, facts.label) == (
        "tiktok@user",
        "tiktok",
        "tiktok [surrogate x0.01, user split]",
    )
    earlier = facts.model_copy(update={"name": "tiktok", "split": "shipped", "source": "real", "scale": None})
    assert earlier.label == "tiktok [real, shipped split]"  # as records of version 1 have it


@pytest.mark.parametrize(
    ("dataset", "split", "words"),
    [
        (
            "tiktok@shiped",
            None,
            ["split 'shiped'", "Did you mean 'shipped'", ", ".join(SPLITS), "'tiktok@shiped'"],
        ),
        ("tiktok", "randm", ["split 'randm'", "Did you mean 'random'", "--split"]),
        ("tiktok@", None, ["'tiktok@'", "no split after '@'", "tiktok@shipped", "'tiktok' for its default"]),
        ("tiktok@random@user", None, ["split 'random@user'", "tiktok@random@user"]),
        ("tiktik@shipped", None, ["data set 'tiktik'", "Did you mean 'tiktok'"]),
        ("@shipped", None, ["data set ''", "movielens, tiktok"]),
    ],
)
def test_names_that_mean_nothing(dataset: str, split: str | None, words: list[str], refused: Callable) -> None:
    with refused(UsageError, *words):
        cards.choose(dataset, split)


@pytest.mark.parametrize(
    ("dataset", "source", "words"),
    [
        ("tiktok@shipped", "surrogate", ["'shipped' needs parts", "surrogate source of 'tiktok'", "random, user"]),
        ("tiktok@global_time", "surrogate", ["'global_time' needs the time", "'tiktok'", "random, user"]),
        ("movielens@shipped", "embedded", ["'shipped' needs parts", "embedded", "MovieLens-100K", "global_time"]),
    ],
)
def test_splits_that_a_source_cannot_have(
    dataset: str, source: str, words: list[str], tmp_path: Path, refused: Callable
) -> None:
    request = DataRequest(source=source, scale=0.01, cache_dir=tmp_path / "cache")  # type: ignore[arg-type]
    with refused(UsageError, *words, f"Use for example '{base_name(dataset)}'"):
        load_dataset(dataset, request)


def test_ratings_ship_no_parts(tmp_path: Path, refused: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    card = yaml.safe_load((cards.DATASETS / "ml-1m.yaml").read_text(encoding="utf-8"))
    del card["sources"][0]["expected"], card["sources"][0]["download"]
    (tmp_path / "ml-1m.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    for function in (cards.load, cards.names):
        monkeypatch.setattr(function, "__defaults__", (tmp_path,))
    (tmp_path / "ml-1m").mkdir()
    rows = [
        f"{user}::{item}::5::{100 * user + item}" for user in range(6) for item in range(8) if (user + item) % 3
    ]
    (tmp_path / "ml-1m" / "ratings.dat").write_text("\n".join(rows), encoding="utf-8")
    request = DataRequest(cache_dir=tmp_path)
    with refused(UsageError, "'shipped' needs parts", "real source of 'ml-1m'", "random, user, global_time"):
        load_dataset("ml-1m@shipped", request)
    assert load_dataset("ml-1m@global_time", request).split.name == "global_time"


def test_no_card_has_a_name_that_reads_as_a_split(tmp_path: Path) -> None:
    text = (cards.DATASETS / "tiktok.yaml").read_text(encoding="utf-8").replace("name: tiktok", "name: a@b", 1)
    (tmp_path / "a@b.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="'name' is 'a@b'"):
        cards.load("a@b", tmp_path)
