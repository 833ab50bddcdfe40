"""Data cards and the readable refusal of malformed ones."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from bench.core.config import validated
from bench.core.errors import ConfigError, UsageError
from bench.core.yaml_files import read_yaml
from bench.data import cards
from bench.data.card_files import headings

SHIPPED = ("movielens", "tiktok")
GOOD = (cards.DATASETS / "tiktok.yaml").read_text(encoding="utf-8")


class Params(BaseModel):
    """Stands for a model's parameters."""

    model_config = ConfigDict(extra="forbid")

    lr: float
    n_layers: int = 2
    reg_weights: list[float] = []


def test_the_cards_of_the_paper_are_there() -> None:
    assert set(SHIPPED) <= set(cards.names())  # a user may have imported more
    assert [cards.load(name).paper_name for name in SHIPPED] == ["MovieLens", "TikTok"]
    assert cards.load("tiktok").kinds == ["real", "surrogate"]
    assert cards.load("movielens").kinds == ["real", "embedded", "surrogate"]


@pytest.mark.parametrize("name", [*SHIPPED, "m3l-10m"])
def test_every_card_is_complete(name: str) -> None:
    card = cards.load(name)
    assert card.modalities[:3] == ["visual", "acoustic", "textual"] or name not in ("movielens", "tiktok")
    for field in ("title", "licence", "citation", "homepage"):
        assert getattr(card, field).strip()
    assert all(source.how_to_get.strip() for source in card.sources)


def test_surrogates_have_the_dimensions_of_table_2(source_of: Callable) -> None:
    tiktok, movielens = source_of("tiktok", "surrogate"), source_of("movielens", "surrogate")
    assert (tiktok.n_users, tiktok.n_items, tiktok.n_interactions) == (18_855, 34_756, 1_493_532)
    assert [one.dim for one in tiktok.features.values()] == [128, 256, 128]
    assert (movielens.n_users, movielens.n_items, movielens.n_interactions) == (23_018, 10_698, 896_006)
    assert [one.dim for one in movielens.features.values()] == [2048, 256, 768]


def test_cards_are_frozen() -> None:
    with pytest.raises(ValidationError):
        cards.load("tiktok").name = "other"  # type: ignore[misc]


def test_unknown_name_gets_the_nearest(refused: Callable) -> None:
    with refused(UsageError, "data set 'tictok'", "Did you mean 'tiktok'", "movielens, tiktok"):
        cards.load("tictok")


@pytest.mark.parametrize("name", ["../datasets/tiktok", "", "/etc/passwd"])
def test_a_name_is_never_a_path(name: str) -> None:
    with pytest.raises(UsageError):
        cards.load(name)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("n_users: 9308", "n_users: many", ["sources[0].expected.n_users", "'many'", "expected a valid integer"]),
        ("n_users: 9308", "n_users: '9308'", ["sources[0].expected.n_users", "expected a valid integer"]),
        ("n_users: 9308", "n_users: -1", ["sources[0].expected.n_users", "-1", "greater than 0"]),
        ("licence: >-", "license: >-", ["'license' is an unknown key", "mean 'licence'", "'licence' is missing"]),
        ("expected: {", "expect: {", ["'sources[0].expect' is an unknown key", "Did you mean 'expected'"]),
        ("split: random", "split: shiped", ["'split' is 'shiped'", "Did you mean 'shipped'"]),
        ("layout: pickled-coo", "layout: pickle-coo", ["sources[0].layout", "'pickle-coo'", "mean 'pickled-coo'"]),
        ("layout: pickled-coo", "title: no layout", ["sources[0]", "layout"]),
        ("path: trnMat.pkl", "path: ../trnMat.pkl", ["[0].files.train.path", "'../trnMat.pkl'", "stays inside"]),
        ("path: trnMat.pkl", "path: /etc/passwd", ["sources[0].files.train.path", "stays inside"]),
        ("directory: tiktok", "directory: ../..", ["sources[0].directory", "stays inside"]),
        ("&train e2592", "&train X2592", ["sources[0].files.train.git_blob", "pattern"]),
        ("kind: surrogate", "kind: real", ["sources[1].kind", "'real'", "'surrogate'"]),
        ("collaborative: 1.2", "collaborative: .inf", ["sources[1].collaborative", "finite"]),
        ("exposures: 5", "exposures: 0.5", ["sources[1].exposures", "greater than 1"]),
        ("modalities: [", "modalities: visual\n_: [", ["'modalities' is 'visual'", "expected a valid list"]),
        ("name: tiktok", "name: tictoc", ["'name' is 'tictoc'", "expected 'tiktok'"]),
        ("split: random", "split: shipped\nsplit: random", ["'split' is given twice", "line"]),
        ("split: random", "split: [", ["cannot be read as YAML", "line"]),
    ],
)  # fmt: skip
def test_malformed_cards_are_explained(
    old: str, new: str, words: list[str], tmp_path: Path, refused: Callable
) -> None:
    assert old in GOOD
    if old.startswith("layout"):  # the first source's, and only there
        text = GOOD.replace(f"    {old}\n", f"    {new}\n".replace("title: no layout\n", "\n"), 1)
    else:
        text = GOOD.replace(old, new, 1)
    (tmp_path / "tiktok.yaml").write_text(text, encoding="utf-8")
    with refused(ConfigError, "tiktok.yaml", "Correct" if "name" not in words[0] else "", *words):
        cards.load("tiktok", tmp_path)


@pytest.mark.parametrize("content", [b"", b"- a\n- b\n", b"\xff\xfe\x00bad"])
def test_a_file_that_is_no_card(content: bytes, tmp_path: Path, refused: Callable) -> None:
    (tmp_path / "tiktok.yaml").write_bytes(content)
    with refused(ConfigError, "tiktok.yaml"):
        cards.load("tiktok", tmp_path)


def test_two_sources_of_one_kind(tmp_path: Path, refused: Callable) -> None:
    raw = yaml.safe_load(GOOD)
    raw["sources"].append(raw["sources"][1])
    (tmp_path / "tiktok.yaml").write_text(yaml.safe_dump(raw))
    with refused(ConfigError, "at most one source of each kind", "real, surrogate, surrogate"):
        cards.load("tiktok", tmp_path)


@pytest.mark.parametrize(
    ("text", "value"), [("1e-3", 1e-3), ("1E4", 1e4), ("-2e+1", -20.0), ("0.5", 0.5), ("7", 7.0)]
)
def test_floats_may_be_written_without_a_dot(text: str, value: float, tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(f"lr: {text}\nreg_weights: [{text}]\n")
    params = validated(Params, read_yaml(file), file)
    assert params.lr == value
    assert params.reg_weights == [value]
    # and where somebody else read the file as YAML 1.1
    assert validated(Params, yaml.safe_load(file.read_text()), file).lr == value


def test_quoted_numbers_stay_text(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("a: '1e-3'\nb: 1e-3\nc: 1e\n")
    assert read_yaml(file) == {"a": "1e-3", "b": 1e-3, "c": "1e"}


def test_yaml_tags_construct_nothing(tmp_path: Path, refused: Callable) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(f"lr: !!python/object/apply:os.system ['touch {tmp_path}/marker']\n")
    with refused(ConfigError, "p.yaml", "python/object/apply:os.system"):
        read_yaml(file)


def test_validated_serves_other_models(refused: Callable) -> None:
    with refused(
        ConfigError, "models/x.yaml", "'n_layer' is an unknown key", "Did you mean 'n_layers'", "'lr' is missing"
    ):
        validated(Params, {"n_layer": 3}, Path("models/x.yaml"))
    with refused(ConfigError, "'lr' is 'fast'", "expected a valid number", "'reg_weights[1]' is 'b'"):
        validated(Params, {"lr": "fast", "reg_weights": [1, "b"]}, Path("models/x.yaml"))


def test_names_needs_no_heavy_import() -> None:
    heavy = "('torch', 'sklearn', 'pandas', 'scipy')"
    code = f"import sys, bench.data.cards as c; c.names(); print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=cards.DATASETS.parent, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_headings_are_those_of_the_cards() -> None:
    expected = {name: cards.load(name) for name in cards.names()}
    found = headings()
    assert found == {name: (card.title, card.kinds, card.split) for name, card in expected.items()}
    assert len(found) > 3


@pytest.mark.parametrize("line", ["title: TikTok micro-videos", "split: random"])
def test_a_heading_that_a_card_lacks_is_named(line: str, tmp_path: Path, refused: Callable) -> None:
    assert f"\n{line}\n" in GOOD
    (tmp_path / "tiktok.yaml").write_text(GOOD.replace(line, ""), encoding="utf-8")
    with refused(ConfigError, "tiktok.yaml", f"'{line.partition(':')[0]}' is missing"):
        headings(tmp_path)
    (tmp_path / "tiktok.yaml").write_text("a list\n", encoding="utf-8")
    with refused(ConfigError, "tiktok.yaml"):
        headings(tmp_path)
