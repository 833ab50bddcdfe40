"""Plan, keys, registry and command-line values."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, get_args

import pytest
import toy

from bench.cli.options import MISSING, overrides, parse
from bench.cli.run import check_names as models_and_data
from bench.cli.run import check_reference
from bench.core.errors import ConfigError, UsageError
from bench.core.places import shared_folder
from bench.core.protocol import Protocol
from bench.engine import plugins, registry
from bench.report.artifacts import check_names
from bench.report.material import default_reference
from bench.report.paper import load_paper
from bench.runs.machine import pick_device
from bench.runs.plan import Variant, make_plan, merge_overrides, profile
from bench.runs.record_files import run_key
from bench.runs.records import DataFacts
from bench.runs.task import check_on_existing
from models.layers.features import Missing

FACTS = DataFacts.of(toy.random_data())


def plan(labels: list[str], n_seeds: int = 2, **sets: Any) -> Any:
    return make_plan(["tiktok", "movielens"], labels, n_seeds, 10, 2023, sets)


def test_values_of_a_search_hold_on_its_split_alone() -> None:
    entry = registry.load("ease")
    (chosen,) = [each for each in entry.tuned.entries if each.split == "random"]  # type: ignore[attr-defined]
    for split_hash, expected in (
        (chosen.split_hash, chosen.values["reg_weight"]),
        ("another base seed", entry.file.defaults["reg_weight"]),
    ):
        (spec,) = make_plan(["tiktok"], ["ease"], 1, 10, 7, {}, splits={"tiktok": split_hash})
        assert spec.params["reg_weight"] == expected
    assert chosen.values["reg_weight"] != entry.file.defaults["reg_weight"]


def test_plan_is_every_combination_and_depends_on_nothing_else() -> None:
    specs = plan(["mf", "lightgcn"])
    assert len(specs) == 8
    assert len({(s.dataset, s.model, s.repetition) for s in specs}) == 8
    assert set(map(repr, plan(["mf"]))) <= set(map(repr, specs))


def test_a_label_that_an_artifact_needs_too_keeps_its_place_and_values() -> None:
    again = {"tiktok": [Variant("mf", values={"reg_weight": 0.5}), Variant("vbpr")]}
    specs = make_plan(["tiktok"], ["mf", "lightgcn"], 1, 10, 2023, {}, more=again)
    assert [spec.label for spec in specs] == ["mf", "lightgcn", "vbpr"]
    assert specs[0].params["reg_weight"] != 0.5


def test_parameters_are_resolved_in_layers() -> None:
    by_data = {spec.dataset: spec.params for spec in plan(["ludp"], 1, ludp={"knn_k": 20})}
    assert by_data["tiktok"]["knn_k"] == by_data["movielens"]["knn_k"] == 20
    assert by_data["tiktok"]["n_item_layers"] == 1
    assert by_data["movielens"]["n_item_layers"] == 2


def test_one_policy_for_all_models_that_have_it() -> None:
    labels, everywhere = ["mf", "ludp", "vbpr", "contentknn"], {"missing": "mean"}
    more = {"tiktok": [Variant.of("lattice")]}
    sets = {"ludp": {"missing": "zero"}}
    specs = make_plan(["tiktok"], labels, 1, 10, 2023, sets, more=more, everywhere=everywhere)
    found = {spec.model: spec.params.get("missing") for spec in specs}
    assert found == {"mf": None, "ludp": "zero", "vbpr": "mean", "contentknn": "mean", "lattice": "mean"}
    fixed = merge_overrides(labels, everywhere, sets)
    assert fixed == {"ludp": {"missing": "zero"}, "vbpr": everywhere, "contentknn": everywhere}
    assert merge_overrides(["mf"], {}, {"mf": {"reg_weight": 1}}) == {"mf": {"reg_weight": 1}}
    assert get_args(Missing) == MISSING


def test_values_of_single_models_reach_rows_that_a_table_adds() -> None:
    more = {"tiktok": [Variant.of("ludp")]}
    (spec,) = make_plan(["tiktok"], [], 1, 10, 2023, {"ludp": {"knn_k": 7}}, more=more)
    assert spec.params["knn_k"] == 7


def test_the_default_reference_is_the_papers_model_or_the_first_one() -> None:
    paper = load_paper()
    assert default_reference(["mf", "ludp"], paper) == "ludp"
    assert default_reference(["mf", "ludp@literal"], paper) == "mf"
    assert default_reference([], paper) == ""
    assert parse(["--reference", "mf"]).what.reference == "mf"
    check_reference(None, ["mf"])
    check_reference("mf", ["ease", "mf"])
    with pytest.raises(UsageError, match=r"'ludp'.*Available: ease, mf"):
        check_reference("ludp", ["ease", "mf"])


def test_key_changes_with_everything_that_could_change_a_number() -> None:
    spec = plan(["mf"])[0]
    other_data = FACTS.model_copy(update={"data_hash": "x"})
    other_split = FACTS.model_copy(update={"split_hash": "x"})
    keys = [
        run_key(spec, FACTS, Protocol(), "code"),
        run_key(spec.model_copy(update={"repetition": 1}), FACTS, Protocol(), "code"),
        run_key(spec.model_copy(update={"base_seed": 1}), FACTS, Protocol(), "code"),
        run_key(spec.model_copy(update={"max_epochs": 9}), FACTS, Protocol(), "code"),
        run_key(spec.model_copy(update={"params": {**spec.params, "reg_weight": 0.5}}), FACTS, Protocol(), "code"),
        run_key(spec, other_data, Protocol(), "code"),
        run_key(spec, other_split, Protocol(), "code"),
        run_key(spec, FACTS, Protocol(version="0"), "code"),
        run_key(spec, FACTS, Protocol(hide_at_test="train"), "code"),
        run_key(spec, FACTS, Protocol(patience=3), "code"),
        run_key(spec, FACTS, Protocol(), "other code"),
    ]
    assert len(set(keys)) == len(keys)
    assert run_key(spec.model_copy(update={"variant": "named"}), FACTS, Protocol(), "code") == keys[0]


def test_code_hash_follows_code_and_ignores_comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(shared_folder(), tmp_path, dirs_exist_ok=True)
    for module in (registry, plugins):
        monkeypatch.setattr(module, "shared_folder", lambda: tmp_path)
    before = registry.code_hash("mf")
    source = (tmp_path / "layers" / "losses.py").read_text(encoding="utf-8")
    (tmp_path / "layers" / "losses.py").write_text("# a remark\n" + source.replace("Loss", "loss", 1))
    assert registry.code_hash("mf") == before
    (tmp_path / "layers" / "losses.py").write_text(source.replace("loss.mean()", "loss.sum()"))
    assert registry.code_hash("mf") != before


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: registry.load("ligthgcn"), ["ligthgcn", "'lightgcn'", "mf"]),
        (lambda: plan(["mf"], mf={"reg_wieght": 1}), ["reg_wieght", "'reg_weight'"]),
        (lambda: plan(["mf"], lightgcn={"n_layers": 1}), ["lightgcn"]),
        (lambda: plan(["ludp@literl"]), ["literl"]),
        (lambda: plan(["mf"], 0), ["--seeds", "at least 1"]),
        (lambda: profile("quik"), ["quik", "'quick'", "full"]),
        (lambda: profile("paper"), ["--profile full", "--protocol paper"]),
        (lambda: check_names(["tabel2"], [], False), ["tabel2", "'table2'"]),
        (lambda: check_on_existing("skipp"), ["skipp", "'skip'"]),
        (lambda: pick_device("gpu"), ["gpu", "cpu"]),
        (lambda: overrides(["ludp.knn_k"]), ["MODEL.KEY=VALUE"]),
        (lambda: parse(["--dataset", "tiktok"]), ["--dataset", "'--datasets'"]),
        (lambda: parse(["--source", "reel"]), ["reel", "'real'"]),
        (lambda: parse(["--seeds", "many"]), ["--seeds", "many"]),
        (lambda: parse(["--epochs", "-3"]), ["--epochs", "a whole number from 1", "'-3'"]),
        (lambda: parse(["--epochs", "1" + 20 * "0"]), ["--epochs", "at most 9 digits"]),
        (lambda: models_and_data(parse(["--models", "mf@"])), ["'mf@'", "has no variant", "Write mf"]),
        (lambda: parse(["--hide-at-test", "all"]), ["train+valid"]),
        (lambda: parse(["--patience", "0"]), ["--patience", "a whole number from 1", "'0'"]),
        (lambda: parse(["--missing", "neighbor-mean"]), ["--missing policy", "'neighbour-mean'"]),
        (lambda: merge_overrides(["mf", "ease"], {"missing": "mean"}, {}), ["--missing mean", "mf, ease"]),
    ],
)
def test_wrong_names_are_answered_with_the_nearest(call: Any, words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [("knn_k", 0), ("knn_k", "many"), ("fusion", "sums"), ("learning_rate", -1), ("modalities", 3)],
)
def test_wrong_values_name_file_and_key(key: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        plan(["ludp"], ludp={key: value})
    assert key in str(caught.value)
    assert "ludp.yaml" in str(caught.value)


def test_cuda_without_a_device_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UsageError, match="--device cpu"):
        pick_device("cuda")
    assert pick_device("auto").type == "cpu"


def test_option_values_are_read_as_yaml() -> None:
    assert overrides(["ludp.modalities=[visual]", "ludp.knn_self=false", "mf.reg_weight=1e-3"]) == {
        "ludp": {"modalities": ["visual"], "knn_self": False},
        "mf": {"reg_weight": 1e-3},
    }
    assert registry.load("mf").params("tiktok", overrides={"reg_weight": "1e-3"}).reg_weight == 1e-3


def test_a_value_that_does_not_fit_is_laid_to_who_gave_it() -> None:
    with pytest.raises(
        ConfigError, match=r"^ludp\.knn_k='many' in place of .*'many': expected a valid integer"
    ) as one:
        registry.load("ludp").params("tiktok", overrides={"knn_k": "many"})
    assert str(one.value).endswith("Correct the given value.")
