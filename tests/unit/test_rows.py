"""Rows of artifacts: what they change, whom they share runs with, and content that says nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy

from bench.cli.options import parse
from bench.core.errors import UsageError
from bench.core.names import join_label, model_of, split_label
from bench.core.protocol import Protocol
from bench.core.types import Features
from bench.data.ablation import with_features
from bench.engine import registry
from bench.report import experiments
from bench.report.artifacts import ARTIFACTS, check_names, expand, needs_other_models, rows_of, with_rows
from bench.runs.plan import Variant, make_plan
from bench.runs.pool import execute
from bench.runs.record_files import run_key
from bench.runs.records import DataFacts
from bench.runs.store import ResultsStore
from bench.runs.task import RunOptions

DATA = toy.random_data()
FACTS = DataFacts.of(DATA)
ALL = [
    *experiments.modality_rows(FACTS).values(),
    *experiments.layer_rows().values(),
    *experiments.part_rows().values(),
    *experiments.fusion_rows().values(),
    *experiments.neighbour_rows().values(),
    *experiments.reading_rows().values(),
    *experiments.ablation_rows().values(),
]


@pytest.mark.parametrize(
    ("label", "parts"),
    [
        ("ludp", ("ludp", "")),
        ("ludp@literal", ("ludp", "literal")),
        ("ludp@at@home", ("ludp", "at@home")),
        ("recbole:EASE", ("recbole:EASE", "")),
    ],
)
def test_a_label_is_a_model_and_its_variant(label: str, parts: tuple[str, str]) -> None:
    assert (split_label(label), model_of(label), join_label(*parts)) == (parts, parts[0], label)


def test_a_row_is_named_after_its_model_variant_or_variation() -> None:
    assert Variant.of("ludp@literal") == Variant("ludp", "literal")
    assert [Variant.of("mf").label, Variant.of("ludp@literal").label] == ["mf", "ludp@literal"]
    own = Variant("ludp", "literal", "reading=x", {"knn_k": 5})
    assert (own.label, own.base) == ("ludp@reading=x", "ludp@literal")


def test_labels_tell_all_rows_apart_and_values_fit_their_models() -> None:
    labels = [row.label for row in ALL]
    assert len(set(labels)) == len(labels)
    for row in ALL:
        assert set(row.values) <= set(registry.load(row.model).model_class.Params.model_fields)


def plan(rows: list[Variant], **kwargs: Any) -> Any:
    return make_plan(["toy"], [], 1, 2, 1, {}, more={"toy": rows}, **kwargs)


def test_rows_go_over_tuned_values_and_those_over_the_defaults() -> None:
    row = Variant("ludp", name="k=5", values={"knn_k": 5})
    tuned = {("toy", "ludp"): {"knn_k": 50, "reg_weight": 0.5}}
    (spec,) = plan([row], tuned=tuned)
    assert (spec.params["knn_k"], spec.params["reg_weight"], spec.label) == (5, 0.5, "ludp@k=5")


def test_rows_of_the_same_parameters_are_one_run_under_two_names() -> None:
    specs = plan(
        [
            Variant("ludp"),
            Variant("ludp", name="k=10", values={"knn_k": 10}),
            Variant("ludp", name="k=5", values={"knn_k": 5}),
        ]
    )
    keys = [run_key(spec, FACTS, Protocol(), "code") for spec in specs]
    assert len(specs) == 3
    assert keys[0] == keys[1] != keys[2]


def test_a_label_that_several_artifacts_ask_for_is_planned_once() -> None:
    assert (
        len(
            make_plan(
                ["toy"], ["ludp"], 2, 2, 1, {}, more={"toy": [Variant("ludp"), Variant("mf"), Variant("mf")]}
            )
        )
        == 4
    )


def test_other_content_is_another_run_and_given_content_keeps_its_key() -> None:
    given, shuffled = plan([Variant("vbpr"), Variant("vbpr", name="features=shuffled", features="shuffled")])
    assert run_key(given, FACTS, Protocol(), "c") != run_key(shuffled, FACTS, Protocol(), "c")
    assert given.features == "given"


@pytest.mark.parametrize("kind", ["shuffled", "noise", "constant"])
def test_other_content_is_the_same_for_all_models_and_another_for_each_repetition(kind: Features) -> None:
    first, again, other = (with_features(DATA, kind, 1, repetition) for repetition in (0, 0, 1))
    for given, one, two, three in zip(
        DATA.modalities, first.modalities, again.modalities, other.modalities, strict=True
    ):
        assert np.array_equal(one.matrix, two.matrix)
        assert not np.array_equal(one.matrix, given.matrix)
        assert one.matrix.dtype == np.float32
        assert one.fingerprint != given.fingerprint
        assert not one.matrix[~one.present].any()
        if kind == "constant":
            assert np.allclose(one.matrix[one.present], given.matrix[given.present].mean(0), atol=1e-6)
        else:
            assert not np.array_equal(one.matrix, three.matrix)


def test_shuffling_keeps_an_item_s_modalities_together() -> None:
    shuffled = with_features(DATA, "shuffled", 1, 0)
    rows = np.concatenate([m.matrix for m in DATA.modalities], axis=1)
    moved = np.concatenate([m.matrix for m in shuffled.modalities], axis=1)
    assert sorted(map(tuple, rows)) == sorted(map(tuple, moved))


def test_noise_has_the_columns_mean_and_deviation() -> None:
    rows = np.random.default_rng(0).normal(3.0, 2.0, (DATA.n_items, 4))
    data = toy.data_of(DATA.split.train, DATA.split.valid, DATA.split.test, toy.modality("visual", rows))
    drawn = with_features(data, "noise", 1, 0).modalities[0].matrix
    error = 4 * 2.0 / np.sqrt(DATA.n_items)
    assert np.allclose(drawn.mean(0), 3.0, atol=error)
    assert np.allclose(drawn.std(0), 2.0, atol=error)


def test_runs_on_other_content_are_made_and_differ(tmp_path: Path) -> None:
    specs = plan([Variant("vbpr"), Variant("vbpr", name="features=noise", features="noise")])
    options = RunOptions(Protocol(), torch.device("cpu"), "skip", "test", tmp_path / "cache", 1, 1)

    class Silent:
        def __getattr__(self, name: str) -> Any:
            return lambda *_: None

    given, noise = execute(specs, {"toy": DATA}, ResultsStore(tmp_path), options, Silent())
    assert given.curve[0].loss != noise.curve[0].loss
    assert (given.spec.features, noise.spec.features) == ("given", "noise")


MODELS = registry.names()


def test_by_default_the_models_are_compared_and_nothing_else_is_trained() -> None:
    names = check_names([], MODELS, False)
    assert {"table2", "table3", "accuracy", "cost", "curves", "significance"} <= set(names)
    assert not {"audit", "patience", "groups", "cd", "claims", "readings", "fig4", "tuning"} & set(names)
    assert rows_of(names, FACTS, MODELS) == []
    assert check_names(["comparison"], MODELS, False) == names
    assert {"tuning", "budget"} <= set(check_names([], MODELS, True))


def test_other_artifacts_come_by_name_or_group() -> None:
    everything = check_names(["all"], MODELS, False)
    assert set(ARTIFACTS) - set(everything) == {"tuning", "budget"}
    ablations = check_names(["ablations"], MODELS, False)
    assert {"table4", "table5", "fig3", "fig5", "fig6", "controls", "readings"} <= set(ablations)
    assert not {"table3", "fig4", "claims"} & set(ablations)
    of_both = check_names(["table2", "ablations", "audit"], MODELS, False)
    assert of_both == [name for name in ARTIFACTS if name in {*ablations, "table2", "audit"}]
    assert check_names(["paper"], MODELS, False)[-1] == "claims"
    with pytest.raises(UsageError, match=r"'ablation'.*Did you mean 'ablations'"):
        check_names(["ablation"], MODELS, False)


def test_artifacts_name_the_models_that_they_vary() -> None:
    for artifact in ARTIFACTS.values():
        assert {row.model for row in artifact.rows(FACTS)} == set(artifact.varies)


@pytest.mark.parametrize("models", [["mf"], ["ludp"], ["lightgcn", "ludp"], ["vbpr", "lattice"], MODELS])
def test_a_model_that_is_not_named_is_never_trained(models: list[str]) -> None:
    names = check_names(["all"], models, False)
    assert {row.model for row in rows_of(names, FACTS, models)} <= set(models)
    for name in set(expand(["all"], False)) - set(names):
        assert not set(ARTIFACTS[name].varies) <= set(models)
        with pytest.raises(UsageError, match=f"{name} cannot be made of .* is not trained. Add "):
            check_names([name], models, False)


def test_the_content_ablation_of_a_group_varies_the_models_of_the_profile() -> None:
    def varied(*arguments: str) -> set[str]:
        options = parse(["--artifacts", *arguments])
        rows = rows_of(check_names(options.what.artifacts, MODELS, False), FACTS, MODELS, options.content_models)
        return {row.model for row in rows if row.features != "given"}

    assert varied("all") == varied("ablations") == {"ludp", "lattice", "vbpr"}
    assert varied("all", "--profile", "full") == varied("controls") == varied("all", "content")
    assert varied("content") == {*experiments.CONTENT_MODELS}


def test_the_content_ablation_varies_every_multimodal_model() -> None:
    families = {name: registry.load(name).card.family for name in registry.built_in_names()}
    assert {*experiments.CONTENT_MODELS} == {name for name, family in families.items() if family == "multimodal"}


def test_models_whose_content_the_profile_does_not_vary_need_the_artifact_by_name() -> None:
    assert check_names(["content"], ["grcn"], False) == ["content"]
    with pytest.raises(UsageError, match="cannot be made of grcn"):
        check_names(["ablations"], ["grcn"], False, parse([]).content_models)
    said = needs_other_models(["all"], ["grcn"], False, parse([]).content_models)
    assert "all of controls, content (needs ludp, lattice, vbpr)" in said


@pytest.mark.parametrize(("models", "is_made"), [((), False), (("vbpr",), True), (None, True)])
def test_a_content_ablation_whose_models_lack_the_content_is_not_made(
    models: tuple[str, ...] | None, is_made: bool
) -> None:
    left_out = {("toy", row.label) for row in experiments.ablation_rows().values() if row.model != "vbpr"}
    assert (with_rows(["content"], [FACTS], MODELS, left_out, models) == ["content"]) is is_made


def test_what_other_models_are_needed_for_is_said_in_one_line() -> None:
    assert needs_other_models([], ["mf"], False) == needs_other_models(["all"], MODELS, False) == ""
    said = needs_other_models(["all"], ["ludp"], False)
    assert said == (
        "Left out, as only models of the call are trained: all of fig4 (needs lightgcn); a part of controls, "
        "content (needs lattice, vbpr, grcn, mmgcn, acf)."
    )
    quick = needs_other_models(["all"], ["ludp"], False, parse([]).content_models)
    assert "content (needs lattice, vbpr)." in quick
    assert "all of table4, table5, fig3, fig5, fig6, readings, claims (needs ludp)" in needs_other_models(
        ["all"], ["vbpr"], False
    )


def test_an_artifact_of_a_tuning_needs_one() -> None:
    with pytest.raises(UsageError, match="--tune N"):
        check_names(["tuning"], ["mf"], False)
    assert "tuning" in check_names([], ["mf"], True)
