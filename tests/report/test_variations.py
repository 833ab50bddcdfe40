"""Tables 4 and 5, readings and content ablation: rows, marks, gaps and differences."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest

from bench.engine import registry
from bench.report import experiments
from bench.report.artifacts import ARTIFACTS, builders
from bench.report.paper import Paper
from bench.report.scores import Scores
from bench.report.statistics import Resamples, pair
from bench.report.table import Table
from bench.report.tables.ablation import ablation_pairs, ablation_table
from bench.report.tables.variation_forms import CSV_HEADER
from bench.report.tables.variations import SPECS, build_variations
from bench.runs.plan import Variant
from bench.runs.records import DataFacts, ModalityFacts, RunRecord
from bench.runs.tuning.space import search_space

BUILDERS: dict[str, Any] = {
    **{name: partial(build_variations, name) for name in SPECS},
    "controls": lambda scores, facts, paper: ablation_table(scores, facts, paper, [{} for _ in facts]),
}


def modalities(*names: str) -> list[ModalityFacts]:
    return [ModalityFacts(name=name, dim=2, coverage=1.0, origin="file", fingerprint="f") for name in names]


def texts(table: Table, block: int = 0) -> dict[str, list[str]]:
    """First cell to the others."""
    rows = [[cell.text for cell in row.cells] for row in table.blocks[block].rows]
    return {row[0]: row[1:] for row in rows}


def marked(table: Table, column: int, block: int = 0) -> dict[str, str]:
    rows = table.blocks[block].rows
    return {row.cells[0].text: row.cells[column].mark for row in rows if row.cells[column].mark}


def csv(table: Any) -> list[dict[str, Any]]:
    assert table.csv_header[: len(CSV_HEADER)] == CSV_HEADER
    return [dict(zip(table.csv_header, row, strict=True)) for row in table.csv_rows]


@pytest.fixture
def scores(make_record: Any) -> Any:
    def make(
        facts: Sequence[DataFacts], values: dict[str, Sequence[Any]], more: Sequence[RunRecord] = ()
    ) -> Scores:
        """Scores by label, one a repetition."""
        n_asked = max(len(each) for each in values.values())
        records = [
            make_record(label, repetition, value, each)
            for each in facts
            for label, across in values.items()
            for repetition, value in enumerate(across)
        ]
        return Scores([*records, *more], n_asked)

    return make


def test_table_4_shows_what_the_data_has_and_says_what_it_lacks(
    make_facts: Any, scores: Any, paper: Paper
) -> None:
    facts = make_facts(
        modalities=modalities("visual", "acoustic"), missing={"textual": "text_feat.npy is not in DIR/tiktok"}
    )
    values = {"visual": [0.1, 0.3], "acoustic": [0.4, 0.4], "all": [0.25, 0.35]}
    table = BUILDERS["table4"](
        scores([facts], {f"ludp@modality={name}": each for name, each in values.items()}), [facts], paper
    )
    shown = texts(table)
    assert list(shown) == ["visual", "acoustic", "textual", "all"]
    assert shown["visual"][1] == "0.2000 ± 0.1414"
    assert shown["textual"][:3] == ["– (not in this data)"] * 3
    assert shown["textual"][3:] == ["0.0362", "0.0584", "0.0531"]
    assert marked(table, 2) == {"acoustic": "best", "all": "second"}
    assert marked(table, 5) == {"all": "best", "visual": "second"}
    assert any("no textual modality (text_feat.npy is not in DIR/tiktok)" in note for note in table.notes)
    assert not any("not compared" in note for note in table.notes)
    (row,) = [row for row in csv(table) if (row["variation"], row["metric"]) == ("textual", "recall@10")]
    assert (row["mean"], row["n_runs"], row["paper_value"]) == (None, 0, 0.0584)
    assert row["reason"] == "text_feat.npy is not in DIR/tiktok"


def test_table_4_takes_any_modalities_of_any_data(make_facts: Any, scores: Any, paper: Paper) -> None:
    facts = [
        make_facts("baby", modalities=modalities("video", "text"), missing={"sound": "not published"}),
        make_facts("movielens", modalities=modalities("tags"), data_hash="other"),
    ]
    table = BUILDERS["table4"](scores(facts[:1], {"ludp@modality=video": [0.1]}), facts, paper)
    assert list(texts(table)) == ["video", "text", "sound", "all"]
    assert len(table.blocks[0].columns) == 4
    assert list(texts(table, 1)) == ["visual", "acoustic", "textual", "tags", "all"]
    reasons = {row["variation"]: row["reason"] for row in csv(table) if row["dataset"] == "movielens"}
    assert reasons["visual"] == "this data does not have it"
    assert reasons["tags"] is reasons["all"] is None
    assert texts(table, 1)["tags"] == ["– (no finished run)"] * 3 + ["–"] * 3


def test_table_5_fed_with_the_papers_values_marks_as_the_paper_does(
    make_facts: Any, make_record: Any, paper: Paper
) -> None:
    facts = [make_facts(name) for name in paper.datasets]
    records = [
        make_record(row.label, 0, paper.table5[each.name][n], each)
        for each in facts
        for n, row in experiments.layer_rows().items()
    ]
    table = BUILDERS["table5"](Scores(records, 1), facts, paper)
    for block, order in enumerate((("1", "2"), ("2", "3"))):
        for column in range(1, 7):
            assert marked(table, column, block) == {order[0]: "best", order[1]: "second"}
        for cells in texts(table, block).values():
            assert cells[:3] == cells[3:]
    assert "the user-item graph has 2" in table.caption


def test_a_partial_variation_says_so_and_is_not_compared(
    make_facts: Any, make_failed: Any, scores: Any, paper: Paper
) -> None:
    facts = make_facts()
    failed = [make_failed("ludp@item layers=2", 1), make_failed("ludp@item layers=3", 0)]
    values = {"ludp@item layers=1": [0.1, 0.2], "ludp@item layers=2": [0.9]}
    table = BUILDERS["table5"](scores([facts], values, failed), [facts], paper)
    assert texts(table)["2"][1] == "– (1 of 2 seeds)"
    assert texts(table)["3"][1] == "– (no finished run)"
    assert marked(table, 2) == {"1": "best"}
    (note,) = [note for note in table.notes if "not compared" in note]
    assert note.endswith(": 2 (1 of 2 seeds, 1 failed), 3 (0 of 2 seeds, 1 failed).")
    row = next(row for row in csv(table) if (row["variation"], row["metric"]) == ("2", "recall@10"))
    assert (row["mean"], row["sd"], row["mark"]) == (None, None, "")
    assert (row["n_runs"], row["n_failed"], row["n_asked"]) == (1, 1, 2)


def test_readings_are_set_against_the_literal_one(make_facts: Any, scores: Any, paper: Paper) -> None:
    facts = make_facts()
    values = {"Eq. 5 literal": [0.2, 0.2], "Eq. 5 mean": [0.25, 0.25], "not its own neighbour": [0.3]}
    table = BUILDERS["readings"](
        scores([facts], {f"ludp@reading={name}": each for name, each in values.items()}), [facts], paper
    )
    shown = texts(table)
    assert list(shown) == list(experiments.READINGS)
    assert [cells[0] for cells in shown.values()][:4] == [
        "item_graph_norm: rsqrt_row",
        "item_graph_norm: mean",
        "item_graph_norm: sym_weighted",
        "knn_self: false",
    ]
    assert [cells[5] for cells in shown.values()][:4] == ["–", "+25.0%", "", ""]
    titles = [column.title for column in table.blocks[0].columns]
    assert titles[2:] == ["P@10", "R@10", "NDCG@10", "R@20", "R@20 against 'Eq. 5 literal'"]


def test_content_ablation_compares_along_a_model(make_facts: Any, scores: Any, paper: Paper) -> None:
    facts = make_facts()
    values = {
        "ludp": [0.2, 0.2], "ludp@features=shuffled": [0.1, 0.1], "ludp@features=noise": [0.15, 0.15],
        "ludp@features=constant": [0.9], "vbpr": [0.4, 0.4], "vbpr@features=shuffled": [0.5, 0.5],
    }  # fmt: skip
    metric, pairs = (
        "recall@20",
        [each for each in ablation_pairs() if {len(values.get(one, [])) for one in each} == {2}],
    )
    whole = {label: across for label, across in values.items() if len(across) == 2}
    of_users = np.array(list(whole.values()))[:, :, None]  # one user, who has the mean
    contrasts = Resamples([*whole], {metric: of_users}, 1).family(metric, [pair(*each) for each in pairs])
    found = {(metric, each): contrast for each, contrast in zip(pairs, contrasts, strict=True)}
    models = ("ludp", "vbpr", "lattice")
    table = ablation_table(scores([facts], values), [facts], paper, [found], models)
    shown = texts(table)
    assert list(shown) == ["LUDP", "VBPR", "LATTICE"]
    assert shown["LUDP"] == [
        "0.2000 ± 0.0000", "0.1000 ± 0.0000", "0.1500 ± 0.0000", "– (1 of 2 seeds)",
        "-50.0% [-50.0%, -50.0%]", "-25.0% [-25.0%, -25.0%]", "",
    ]  # fmt: skip
    assert shown["VBPR"][4:] == ["+25.0% [+25.0%, +25.0%]", "", ""]
    assert [cell.mark for cell in table.blocks[0].rows[0].cells[1:5]] == ["best", "", "second", ""]
    assert [cell.mark for cell in table.blocks[0].rows[1].cells[1:3]] == ["second", "best"]
    assert {row["metric"] for row in csv(table)} == {"precision@10", "recall@10", "ndcg@10", "recall@20"}
    assert len(csv(table)) == 3 * 4 * 4
    assert sum("LUDP, constant (1 of 2 seeds, 0 failed)" in note for note in table.notes) == 1
    assert len(set(table.notes)) == len(table.notes)


def test_variants_that_the_call_names_stand_beside_the_rows_at_the_shared_setting(
    make_facts: Any, scores: Any, paper: Paper
) -> None:
    facts = make_facts(modalities=modalities("visual", "acoustic"))
    rows = [row.label for row in (*experiments.part_rows().values(), *experiments.modality_rows(facts).values())]
    made = scores([facts], {**{label: [0.1] for label in rows}, "ludp@base": [0.3], "ludp@visual": [0.2]})
    call = ["ludp", "ludp@base", "ludp@visual", "mf"]
    figure = build_variations("fig3", made, [facts], paper, call)
    shown = {row["variation"]: row["mean"] for row in csv(figure) if row["metric"] == "recall@10"}
    shared = ("base", "base + item graph", "base + user preference", "full")
    assert shown == {**dict.fromkeys(shared, 0.1), "base, own setting": 0.3}
    table = build_variations("table4", made, [facts], paper, call)
    assert [*texts(table)][:2] == ["visual", "visual, own setting"]  # below its row
    assert marked(table, 2)["visual, own setting"] == "best"
    for artifact in (figure, table):
        assert "that their own search chose" in artifact.caption
    assert [*shown][:2] == ["base", "base, own setting"]
    other = make_facts("movielens", modalities=modalities("acoustic"), data_hash="b" * 16)
    (rows_of_other,) = ({row["variation"] for row in csv(build_variations("table4", made, [other], paper, call))},)
    assert "visual, own setting" not in rows_of_other  # data without the modality
    alone = build_variations("fig3", made, [facts], paper, ["ludp"])
    assert len({row["variation"] for row in csv(alone)}) == 4
    assert "own setting" not in alone.caption


def test_a_variant_of_its_own_fixes_what_its_row_fixes_and_all_that_has_no_effect_without_it() -> None:
    entry, facts_of_all = registry.load("ludp"), {"visual", "acoustic", "textual"}
    for part, label in experiments.own_part_labels().items():
        variant = entry.file.variants[Variant.of(label).variant]
        assert experiments.LUDP_PARTS[part].items() <= variant.items()
        of_graph = {"knn_k", "n_item_layers", "item_graph_norm"}
        searched = search_space(entry, Variant.of(label).variant).candidates
        assert (of_graph <= set(searched)) is variant["use_item_graph"]
        assert ("pref_exclude_pos" in searched) is variant["use_user_pref"]
        assert {"train_batch_size", "learning_rate", "reg_weight", "ui_readout"} <= set(searched)
    assert experiments.own_modality_labels().keys() == facts_of_all
    for name, label in experiments.own_modality_labels().items():
        assert entry.file.variants[Variant.of(label).variant] == {"modalities": [name]}


def test_every_artifact_has_a_builder() -> None:
    assert builders().keys() == ARTIFACTS.keys()


@pytest.mark.parametrize("name", BUILDERS)
def test_every_row_that_is_run_is_shown_and_no_other(
    name: str, make_facts: Any, scores: Any, paper: Paper
) -> None:
    facts = make_facts(modalities=modalities("visual", "acoustic"), missing={"textual": "no file"})
    planned = [row.label for row in ARTIFACTS[name].rows(facts)]
    made = BUILDERS[name](scores([facts], {label: [0.1] for label in planned}), [facts], paper)
    shown = {row["model"]: row["mean"] for row in csv(made) if row["model"]}
    assert sorted(shown) == sorted(planned)
    assert set(shown.values()) == {0.1}
    assert not any("not compared" in note for note in made.notes)
    assert all(row["data"] == "tiktok [real, random split]" for row in csv(made))
