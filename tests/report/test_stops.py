"""Signs behind the names of rows whose training ended at the cap or found its best at the start."""

from __future__ import annotations

from typing import Any

import pytest

from bench.core.protocol import PROTOCOLS, get_protocol
from bench.core.types import EpochFacts
from bench.report.artifacts import build
from bench.report.figure import styled
from bench.report.material import DataRuns, Material
from bench.report.paper import Paper
from bench.report.render import to_latex, to_markdown
from bench.report.scores import Scores
from bench.report.stops import Stops, sign_legend, sign_notes, sign_sentence, stopped_by_cap, stops_of
from bench.report.tables.curves import curves_figure
from bench.report.tables.models import table3
from bench.runs.records import RunRecord
from bench.runs.store import ResultsStore

USED = get_protocol("field", patience=3)
CURVES = {  # with at most 6 epochs and patience 3
    "mf": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],  # ended by the cap
    "lightgcn": [0.5, 0.4, 0.3, 0.2],  # best at the start, ended by patience
    "vbpr": [0.1, 0.2, 0.3, 0.4, 0.5, 0.4],  # ended by the cap
    "ngcf": [0.1, 0.5, 0.4, 0.3, 0.2],  # best at the start, ended by patience
    "ludp": [0.1, 0.2, 0.3, 0.2, 0.2, 0.2],  # best at the start, ended by patience in the last epoch
    "acf": [0.1, 0.2, 0.2, 0.3, 0.2, 0.2],  # ended by the cap: patience 3 would have needed a seventh epoch
    "popularity": [0.9],
}


@pytest.fixture
def run(make_record: Any) -> Any:
    def make(label: str, repetition: int = 0, **changes: Any) -> RunRecord:
        scores, metric = CURVES[label], changes.get("used", USED).selection_metric
        loss = None if label == "popularity" else 0.5
        curve = [
            EpochFacts(epoch=n, loss=loss, train_seconds=1, valid_seconds=1, valid={metric: score})
            for n, score in enumerate(scores, 1)
        ]
        best = scores.index(max(scores)) + 1
        fields = {"max_epochs": 6, "used": USED, "curve": curve, "best_epoch": best} | changes
        record: RunRecord = make_record(label, repetition, **fields)
        return record

    return make


def test_both_signs_and_none_for_controls(run: Any, make_failed: Any) -> None:
    found = {label: stops_of([run(label)]) for label in CURVES}
    assert {label: each.signs for label, each in found.items()} == {
        "mf": " †", "lightgcn": " ‡", "vbpr": " †", "ngcf": " ‡", "ludp": " ‡", "acf": " †", "popularity": "",
    }  # fmt: skip
    assert found["popularity"] == Stops(0, 0, 0)
    assert stops_of([run("mf"), run("lightgcn", 1), make_failed("mf", 2)]) == Stops(2, 1, 1)
    assert Stops(2, 1, 1).signs == " †‡"


def test_a_run_with_several_labels_counts_once(run: Any, make_facts: Any, paper: Paper, tmp_path: Any) -> None:
    one = run("mf")
    again = one.model_copy(update={"spec": one.spec.model_copy(update={"variant": "k=10"})})
    assert stops_of([one, again, run("vbpr")]) == Stops(2, 2, 0)
    assert stopped_by_cap([one, again, run("ludp")]) == "Stopped by the cap of 6 epochs: 1 of 2 runs."
    material = Material({}, ["mf"], [one, again, run("popularity")], 1, paper, ResultsStore(tmp_path))
    assert [record.spec.model for record in material.each_run] == ["mf", "popularity"]


def test_footnotes_count_the_runs_of_every_marked_row() -> None:
    by_name = {"MF": Stops(3, 2, 0), "LightGCN": Stops(3, 1, 3), "VBPR": Stops(3, 0, 0), "Popularity": Stops()}
    cap, start = sign_notes("tiktok [real]", by_name)
    assert cap.startswith("tiktok [real]: † the cap of epochs ended the training before patience ran out")
    assert "may still have been rising" in cap
    assert cap.endswith("MF (2 of 3 runs), LightGCN (1 of 3 runs).")
    assert start.startswith("tiktok [real]: ‡ best at the start")
    assert start.endswith("one of the first 3: LightGCN (3 of 3 runs).")
    assert sign_notes("tiktok [real]", {"VBPR": Stops(3)}) == []
    assert sign_sentence([Stops(3)]) == ""
    assert sign_legend(by_name.values()) == ["† ended by the cap: 3 of 9 runs", "‡ best at the start: 3 of 9 runs"]


def test_a_caption_counts_the_runs_that_each_cap_ended(run: Any) -> None:
    assert stopped_by_cap(map(run, CURVES)) == "Stopped by the cap of 6 epochs: 3 of 6 runs."
    assert stopped_by_cap([run("mf"), run("ludp", max_epochs=1000)]) == (
        "Stopped by the cap of 6 epochs: 1 of 1 run; of 1,000 epochs: 0 of 1 run."
    )
    assert stopped_by_cap([run("popularity")]) == ""


def test_table_3_marks_names_and_leaves_published_values_alone(run: Any, make_facts: Any, paper: Paper) -> None:
    records, labels = [run(label) for label in CURVES], list(CURVES)
    stops = [{label: stops_of([record]) for label, record in zip(labels, records, strict=True)}]
    table = table3(Scores(records, 1), labels, [make_facts()], paper, stops=stops)
    names = [row.cells[0].text for row in table.blocks[0].rows]
    assert names == [
        *("MF †", "VBPR †", "ACF †", "NGCF ‡", "LightGCN ‡", "LUDP ‡", "Popularity"),
        *("%Improv.", "%Improv. over baselines"),
    ]  # fmt: skip
    assert "† ended by the cap: 3 of 6 runs; ‡ best at the start: 3 of 6 runs;" in table.caption
    cap, start = (next(note for note in table.notes if sign in note) for sign in "†‡")
    assert cap.endswith("MF (1 of 1 runs), VBPR (1 of 1 runs), ACF (1 of 1 runs).")
    assert start.endswith("NGCF (1 of 1 runs), LightGCN (1 of 1 runs), LUDP (1 of 1 runs).")
    rows = [dict(zip(table.csv_header, row, strict=True)) for row in table.csv_rows]
    ends = {row["model"]: (row["n_stopped_by_cap"], row["n_best_at_start"]) for row in rows}
    assert (ends["mf"], ends["ludp"], ends["popularity"]) == ((1, 0), (0, 1), (0, 0))
    assert "MF †" in to_markdown(table)
    assert r"MF \dag{}" in to_latex(table)
    assert r"LUDP \ddag{}" in to_latex(table)


def test_the_curves_carry_the_signs_and_their_legend(run: Any, make_facts: Any, paper: Paper) -> None:
    runs = {label: [run(label)] for label in ("mf", "lightgcn", "popularity")}
    figure = curves_figure([DataRuns(make_facts(), "tiktok [real]", runs, 1, USED)], paper)
    with styled():
        *panels, by_second = figure.draw().axes
    assert [axes.get_title() for axes in panels] == ["MF †", "LightGCN ‡"]
    names = [text.get_text() for text in by_second.texts]
    assert names == ["MF †", "LightGCN ‡", "Popularity (best baseline)"]
    assert by_second.get_title(loc="left") == "† ended by the cap: 1 of 2 runs; ‡ best at the start: 1 of 2 runs"
    assert sum("†" in note or "‡" in note for note in figure.notes) == 2
    assert "† ended by the cap: 1 of 2 runs; ‡ best at the start: 1 of 2 runs;" in figure.caption


@pytest.mark.parametrize("used", [USED, PROTOCOLS["paper"]])
def test_the_caption_of_an_artifact_names_the_protocol(
    run: Any, paper: Paper, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, make_facts: Any, used: Any
) -> None:
    facts = make_facts()
    records = [run(label, facts=facts, used=used) for label in ("mf", "lightgcn", "popularity")]
    material = Material({}, ["mf", "lightgcn", "popularity"], records, 1, paper, ResultsStore(tmp_path))
    monkeypatch.setitem(vars(material), "facts", [facts])
    caption = build("curves", material).caption
    name = {"p2-field-patience3": "Recall@20", "p2-paper": "Recall@10"}[used.tag]
    assert f"Protocol {used.tag}: validation {name} selects, patience {used.patience}, at most" in caption
    assert caption.endswith("Stopped by the cap of 6 epochs: 1 of 2 runs.")
