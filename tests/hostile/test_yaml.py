"""YAML that grows, nests or surprises, and texts that YAML could take for something else."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.core.errors import ConfigError
from bench.core.yaml_files import dump_yaml, parse_yaml, read_yaml
from bench.data import cards

ALIASES = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
)
MERGES = "\n".join(
    ["m0: &m0 {a: 1}"] + [f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 10)}]}}" for n in range(1, 10)]
)
CHAIN = "\n".join(["a0: &a0 [x]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 300)])
BOMBS = {
    "aliases": (ALIASES, "values, its aliases written out"),
    "merged mappings": (MERGES, "values, its aliases written out"),
    "aliases as keys": (ALIASES + "\n? *a9\n: 1", "aliases written out"),
    "a value inside itself": ("a: &a [*a]", "inside themselves"),
    "a mapping inside itself": ("a: &a\n  b: *a", "inside themselves"),
    "deep lists": ("[" * 100_000, "levels deep"),
    "deep mappings": ("{a: " * 100_000, "levels deep"),
    "deep blocks": ("\n".join(" " * n + "a:" for n in range(500)), "levels deep"),
    "deep by aliases": (CHAIN, "levels deep"),
    "too long": ("a: '" + "x" * (2 << 20) + "'", "longer than"),
    "a key twice": ("a: 1\na: 2", "'a' is given twice"),
    "a key twice, inside": ("a: {b: 1, b: 2}", "'b' is given twice"),
    "an object": ("!!python/object/apply:os.system [touch x]", "a tag that is not read"),
    "a date by its tag": ("a: !!timestamp x", "a tag that is not read"),
    "a number by its tag": ("a: !!int '1:30'", "a tag that is not read"),
    "a truth by its tag": ("a: !!bool maybe", "a tag that is not read"),
    "a set": ("a: !!set {b}", "a tag that is not read"),
    "a list as a key": ("? [a]\n: 1", "unhashable"),
    "two documents": ("a: 1\n---\nb: 1", "single document"),
    "an unknown alias": ("a: *b", "undefined alias"),
}  # fmt: skip


@pytest.mark.parametrize("case", BOMBS)
@pytest.mark.timeout(30)
def test_bombs_are_refused_at_once(case: str, tmp_path: Path) -> None:
    text, words = BOMBS[case]
    start = time.process_time()
    with pytest.raises(yaml.YAMLError, match=words):
        parse_yaml(text)
    assert time.process_time() - start < 5
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"x\.yaml .*(Correct the file|remove it)\.") as caught:
        read_yaml(tmp_path / "x.yaml")
    assert len(str(caught.value)) < 800


@pytest.mark.timeout(20)
def test_aliases_that_are_few_are_read() -> None:
    assert parse_yaml("a: &a {b: 1}\nc: {<<: *a, d: 2}\ne: *a") == {
        "a": {"b": 1},
        "c": {"b": 1, "d": 2},
        "e": {"b": 1},
    }


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
@pytest.mark.timeout(20)
def test_what_is_no_file(make: Any, tmp_path: Path) -> None:
    make(tmp_path / "x.yaml")
    with pytest.raises(ConfigError, match=r"x\.yaml is a .*, and a file is expected there"):
        read_yaml(tmp_path / "x.yaml")


WORDS: dict[str, Any] = {
    "1e5": 1e5, "1e-3": 1e-3, "-2E+4": -2e4, "1.5": 1.5, ".5": 0.5, "12": 12, "-3": -3, "0": 0, "true": True,
    "False": False, "null": None, "~": None, "": None, ".inf": float("inf"),
    "007": "007", "1:30": "1:30", "1:30.5": "1:30.5", "yes": "yes", "no": "no", "on": "on", "off": "off", "y": "y",
    "2020-01-01": "2020-01-01", "1_000": "1_000", "0x1f": "0x1f", "0b1": "0b1", "0o7": "0o7", "nan": "nan",
    "inf": "inf", "1.2.3": "1.2.3", "=": "=", "00": "00", "tRue": "tRue",
}  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
def test_what_a_plain_word_is(word: str) -> None:
    assert parse_yaml(f"a: {word}") == {"a": WORDS[word]}


@pytest.mark.parametrize(
    "word", [*WORDS, "<<", "- a", "a: b", "#", "*a", "&a", "!a", "%", "@", "\x85", "\u2028", "'"]
)
def test_a_text_that_is_written_is_read_again(word: str) -> None:
    value = {word: [word, {"x": word}], "list": [[word], word]}
    assert parse_yaml(dump_yaml(value)) == value
    assert yaml.safe_load(dump_yaml(value)) == value  # by a reader of YAML 1.1, too


LEAVES = st.text() | st.integers() | st.booleans() | st.none()


def nested(inner: Any) -> Any:
    return st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)


@given(st.recursive(LEAVES, nested, max_leaves=8))
@settings(max_examples=200, deadline=None)
def test_any_values_are(value: Any) -> None:
    assert parse_yaml(dump_yaml(value)) == value


def test_what_is_shared_is_written_out() -> None:
    shared = ["x"]
    assert "&" not in dump_yaml({"a": shared, "b": shared})


def card(tmp_path: Path, **changes: str) -> Path:
    """The card of an import, with lines replaced."""
    text = (cards.DATASETS / "ml-100k.yaml").read_text(encoding="utf-8")
    for old, new in changes.items():
        text = text.replace(f"{old}: ", f"{old}: {new} #", 1)
    path = tmp_path / "ml-100k.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("value", ["2020", "1e5", "true", "null"])
def test_a_hand_written_name_that_is_no_text_is_told_so(value: str, tmp_path: Path) -> None:
    card(tmp_path, paper_name=value)
    with pytest.raises(ConfigError, match=r"'paper_name' is .*expected a valid string") as caught:
        cards.load("ml-100k", tmp_path)
    assert ("put it in quotes" in str(caught.value)) == (value != "null")


@pytest.mark.parametrize("name", ["../x", "/x", "a/b", ".hidden", "a\\b", "", "a" * 65, "a b", "-x", "x\n", "a:b"])
@pytest.mark.parametrize("place", ["modalities", "unavailable"])
def test_names_that_become_files_have_one_form(name: str, place: str, tmp_path: Path) -> None:
    values = parse_yaml((cards.DATASETS / "movielens.yaml").read_text(encoding="utf-8"))
    if place == "modalities":
        values["modalities"] = [name]
    else:
        values["sources"][0]["features"][name] = {"path": "x.npy"}
    (tmp_path / "movielens.yaml").write_text(dump_yaml(values), encoding="utf-8")
    with pytest.raises(ConfigError, match="as it becomes the name of a file"):
        cards.load("movielens", tmp_path)
