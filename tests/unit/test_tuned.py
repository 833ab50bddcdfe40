"""Tuned values: written whole, read back, used for their data set, split and variant only, checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.core.errors import ConfigError, ResultsError
from bench.core.yaml_files import read_yaml
from bench.data import cards
from bench.engine import registry
from bench.engine.model_file import ModelEntry, ModelFile
from bench.engine.tuned import TunedEntry, TunedFile, tuned_path, with_tuned, write_tuned

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"


def entry_of(**changes: Any) -> TunedEntry:
    fields: dict[str, Any] = {
        "dataset": "tiktok", "split": "shipped",
        "values": {"reg_weight": 0.5, "learning_rate": 0.25},
        "metric": "recall@10", "valid": 1 / 3, "trials": 20, "sampler": "tpe", "base_seed": 1, "max_epochs": 9,
        "protocol": "p1", "data": "tiktok [real]", "split_hash": "1", "code_hash": "2", "date": "2023-01-01",
    }  # fmt: skip
    return TunedEntry(**(fields | changes))


@pytest.fixture
def model(tmp_path: Path) -> ModelEntry:
    """MF with a variant, its files in a folder of the test."""
    found = registry.load("mf")
    file = ModelFile(
        defaults=found.file.defaults,
        datasets={"tiktok": {"embedding_size": 8, "reg_weight": 0.7}, "tiktok@deep": {"init_std": 0.2}},
        variants={"deep": {"learning_rate": 0.125}},
    )
    return ModelEntry("mf", found.model_class, file, tmp_path / "mf.yaml")


def test_what_is_written_is_read_back(model: ModelEntry) -> None:
    assert with_tuned(model) is model
    made = [
        entry_of(),
        entry_of(variant="deep", values={"reg_weight": 1e-05}),
        entry_of(split="random", valid=0.1),
        entry_of(split_hash="1234567890123e12", dataset="1e3", date="2023"),  # texts that look like numbers
    ]
    for each in made:
        path = write_tuned(model, each)
    assert path == tuned_path(model) == model.path.with_name("mf.tuned.yaml")
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# Written by run_all.py --tune: a search replaces its entry.")
    found = with_tuned(model)
    entries = TunedFile.of(found).entries
    assert sorted(entries, key=lambda each: each.key) == sorted(made, key=lambda each: each.key)
    assert entries[2].valid == 1 / 3  # to the last digit
    assert [each.name for each in path.parent.iterdir()] == ["mf.tuned.yaml"]  # no lock, no part is left


def test_a_search_replaces_its_own_entry_only(model: ModelEntry) -> None:
    elsewhere = (entry_of(split="random"), entry_of(split_hash="2"))
    for each in (entry_of(), *elsewhere, entry_of(values={"reg_weight": 0.9})):
        write_tuned(model, each)
    found = TunedFile.of(with_tuned(model))
    assert found.values("tiktok@shipped", "1") == {"reg_weight": 0.9}
    assert found.values("tiktok@random", "1") == entry_of().values
    assert found.values("tiktok@shipped", "2") == entry_of().values


def test_values_hold_for_their_data_set_split_and_variant(model: ModelEntry) -> None:
    write_tuned(model, entry_of())
    write_tuned(model, entry_of(variant="deep", values={"reg_weight": 0.25}))
    found = with_tuned(model)
    own = found.params("tiktok@shipped", split_hash="1")
    # by hand 8, tuned over by hand, tuned
    assert (own.embedding_size, own.reg_weight, own.learning_rate) == (8, 0.5, 0.25)
    for elsewhere in ("tiktok@user", "movielens", "toy", ""):
        assert found.params(elsewhere, split_hash="1").learning_rate == model.params("").learning_rate
    assert found.params("tiktok@user", split_hash="1").reg_weight == 0.7  # by hand, whatever the split
    deep = found.params("tiktok@shipped", "deep", split_hash="1")
    # what the variant stands for, over what was tuned for the model; what was tuned for it; by hand for it
    assert (deep.learning_rate, deep.reg_weight, deep.init_std) == (0.125, 0.25, 0.2)
    assert found.params("tiktok@shipped", overrides={"reg_weight": 0.0}, split_hash="1").reg_weight == 0.0
    for other in (None, "2"):  # another source or base seed makes another split
        assert found.params("tiktok@shipped", split_hash=other) == model.params("tiktok")


@pytest.mark.parametrize("folder", ["tiktok-random", "tiktok-shipped"])
def test_a_plain_run_has_the_values_of_the_published_row(folder: str) -> None:
    found = set()
    for path in (ROOT / "results" / "reference" / folder / "runs").glob("*/*/*/*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        spec, data = record["spec"], record["data"]
        if not spec["variant"]:
            own = registry.load(spec["model"]).params(f"tiktok@{data['split']}", split_hash=data["split_hash"])
            assert spec["params"] in ({}, own.model_dump()), path
            found.add(spec["model"])
    assert found == set(registry.names())


def test_a_name_without_a_split_means_that_of_its_card(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cards.full_name("tiktok") == f"tiktok@{cards.load('tiktok').split}"
    assert cards.full_name("tiktok@user") == "tiktok@user"
    assert cards.full_name("nowhere") == "nowhere"


def test_a_new_file_is_seen_by_the_registry_at_once(tmp_path: Path) -> None:
    from bench.engine.plugins import use_plugins

    for suffix in (".py", ".yaml"):
        text = (MODELS / f"mf{suffix}").read_text(encoding="utf-8").replace("class MF", "class Mine")
        (tmp_path / f"mine{suffix}").write_text(text, encoding="utf-8")
    with use_plugins([str(tmp_path)]):
        before = registry.load("mine")
        assert before.params("tiktok@shipped", split_hash="1").reg_weight == before.file.defaults["reg_weight"]
        write_tuned(before, entry_of())
        assert registry.load("mine").params("tiktok@shipped", split_hash="1").reg_weight == 0.5
        assert registry.load("mine") is registry.load("mine")


def written(model: ModelEntry, change: Callable[[list[dict[str, Any]]], Any]) -> Path:
    """A file of one entry after someone changed it."""
    path = write_tuned(model, entry_of())
    raw = read_yaml(path)
    path.write_text(yaml.safe_dump(change(raw) or raw), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda raw: {"tiktok": {"reg_weight": 1}}, "expected a list of entries, found dict.*mf.yaml"),
        (lambda raw: raw[0].update(reg_weight=1), "entry 1.*'reg_weight' is an unknown key"),
        (lambda raw: raw[0].pop("dataset") and None, "entry 1.*'dataset' is missing"),
        (lambda raw: raw[0].update(valid=float("nan")), "entry 1.*'valid'"),
        (lambda raw: raw[0].update(trials=-1), "entry 1.*'trials' is -1"),
        (lambda raw: raw[0].update(values=["reg_weight"]), "entry 1.*'values'"),
        (
            lambda raw: raw[0]["values"].update(reg_wieght=1),
            "split 'shipped' names 'reg_wieght'.*Did you mean 'reg_w",
        ),
        (lambda raw: raw[0]["values"].update(reg_weight="much"), "split 'shipped': 'reg_weight' is 'much'"),
        (lambda raw: raw[0]["values"].update(reg_weight=float("inf")), "'reg_weight' is inf, expected a finite"),
        (lambda raw: raw[0]["values"].update(embedding_size=True), "'embedding_size' is true, expected a number"),
        (lambda raw: raw[0].update(variant="deeper"), "variant that mf.yaml does not have"),
        (lambda raw: [*raw, *raw], "is given twice"),
    ],
)
def test_nonsense_is_refused_in_words(
    model: ModelEntry, change: Callable[[list[dict[str, Any]]], Any], words: str
) -> None:
    path = written(model, change)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=words) as caught:
        with_tuned(model)
    assert str(path) in str(caught.value)
    with pytest.raises(ConfigError):  # nor is it written over
        write_tuned(model, entry_of(split="random"))
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"- {", b"\xff\xfe", b""])
def test_a_damaged_file_is_said(model: ModelEntry, content: bytes) -> None:
    tuned_path(model).write_bytes(content)
    with pytest.raises(ConfigError, match=r"mf\.tuned\.yaml"):
        with_tuned(model)


def test_values_that_do_not_fit_are_never_written(model: ModelEntry) -> None:
    with pytest.raises(ConfigError, match="names 'depth'"):
        write_tuned(model, entry_of(values={"depth": 3}))
    assert not tuned_path(model).exists()


def test_a_place_that_cannot_be_written_is_said(model: ModelEntry, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    gone = replace(model, path=tmp_path / "file" / "mf.yaml")
    with pytest.raises(ResultsError, match=r"cannot be written.*same command"):
        write_tuned(gone, entry_of())


def test_recbole_s_models_have_no_such_file() -> None:
    entry = registry.load("recbole:EASE")
    assert not TunedFile.of(entry).entries
    assert not entry.takes_values


@pytest.mark.parametrize("path", sorted(MODELS.glob("*.tuned.yaml")), ids=lambda path: path.name)
def test_our_own_files_are_the_programs_and_hold_what_was_searched(path: Path) -> None:
    entry = registry.load(path.name.removesuffix(".tuned.yaml"))
    entries = TunedFile.of(entry).entries
    assert path.read_text(encoding="utf-8").startswith("# Written by run_all.py --tune")
    assert entries
    for each in entries:
        assert each.dataset in cards.names()
        assert each.words.startswith(f"Chosen by validation {each.metric} {each.valid:.4f}")
    assert "# Chosen by" not in entry.path.read_text(encoding="utf-8")
