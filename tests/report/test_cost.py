"""The table of costs: means, what is missing, and on what machine."""

from __future__ import annotations

from typing import Any

import pytest

from bench.report.material import DataRuns
from bench.report.paper import Paper
from bench.report.tables.cost import CSV_HEADER, cost_table
from bench.runs.records import Cost, RunRecord

MACHINE = {
    **{"processor": "CPU 9000", "cores": 4, "device": "cpu", "threads": 1, "n_workers": 4},
    "packages": {"torch": "2.0"},
}


def cost_of(train_seconds: float, epochs: int, **changes: Any) -> Cost:
    fields: dict[str, Any] = {
        "train_seconds": train_seconds,
        "valid_seconds": 0.5 * epochs,
        "test_seconds": 0.25,
        "total_seconds": 100.0,
        "epochs": epochs,
        "peak_memory_bytes": 300 * 2**20,
        "peak_memory_scope": "run",
        "n_parameters": 123456,
    }
    return Cost(**(fields | changes))


@pytest.fixture
def runs(make_facts: Any, make_record: Any) -> Any:
    def make(by_label: dict[str, list[Cost]], n_asked: int = 2, **machine: Any) -> DataRuns:
        facts = make_facts()
        made: dict[str, list[RunRecord]] = {
            label: [
                make_record(label, repetition, facts=facts, cost=cost, environment=MACHINE | machine)
                for repetition, cost in enumerate(costs)
            ]
            for label, costs in by_label.items()
        }
        return DataRuns(facts, facts.label, made, n_asked)

    return make


def shown(same: DataRuns, paper: Paper) -> dict[str, list[str]]:
    rows = cost_table([same], paper).blocks[0].rows
    return {row.cells[0].text: [cell.text for cell in row.cells[1:]] for row in rows}


def test_means_over_runs(runs: Any, paper: Paper) -> None:
    same = runs({"mf": [cost_of(10.0, 10), cost_of(30.0, 15)]})
    assert shown(same, paper)["MF"] == ["12.5", "20.00", "1.500", "0.500", "0.250", "100.00", "123,456", "300"]
    table = cost_table([same], paper)
    rows = {row["quantity"]: row for row in (dict(zip(CSV_HEADER, r, strict=True)) for r in table.csv_rows)}
    assert rows["train_seconds_per_epoch"]["mean"] == 1.5
    assert rows["train_seconds_per_epoch"]["sd"] == pytest.approx(0.5**0.5)
    assert (rows["epochs"]["n_runs"], rows["epochs"]["n_asked"]) == (2, 2)
    assert "n=2 seeds" in table.caption


def test_what_is_missing_is_said(runs: Any, paper: Paper) -> None:
    same = runs({"mf": [cost_of(1.0, 1), cost_of(1.0, 1)], "ludp": [cost_of(2.0, 2)], "acf": []})
    assert list(shown(same, paper)) == ["MF", "LUDP (1 of 2 seeds)", "ACF (0 of 2 seeds)"]
    assert shown(same, paper)["ACF (0 of 2 seeds)"] == ["–"] * 8
    notes = cost_table([same], paper).notes
    assert "tiktok [real, random split]: runs are missing: LUDP (1 of 2 seeds), ACF (0 of 2 seeds)." in notes
    whole = cost_table([runs({"mf": [cost_of(1.0, 1), cost_of(1.0, 1)]})], paper)
    assert not any("runs are missing" in note for note in whole.notes)


def test_controls_stand_below_a_rule(runs: Any, paper: Paper) -> None:
    one = cost_of(1.0, 1)
    table = cost_table([runs({"mf": [one], "ludp": [one], "popularity": [one], "ease": [one]}, 1)], paper)
    assert [row.ruled for row in table.blocks[0].rows] == [False, False, True, False]
    assert [row.cells[0].text for row in table.blocks[0].rows][2:] == ["Popularity", "EASE"]


def test_the_machine_is_named(runs: Any, paper: Paper) -> None:
    one, many = runs({"mf": [cost_of(1.0, 1)]}, 1), runs({"ludp": [cost_of(1.0, 1)]}, 1, n_workers=1, threads=2)
    assert cost_table([one], paper).notes[-1] == (
        "All runs were made on CPU 9000 with 4 cores, device cpu, 1 thread per run, 4 runs at a time, torch 2.0."
    )
    *_, first, second, warning = cost_table([one, many], paper).notes
    assert first.endswith("4 runs at a time, torch 2.0: MF on tiktok [real, random split].")
    assert second.endswith("2 threads per run, 1 run at a time, torch 2.0: LUDP on tiktok [real, random split].")
    assert "cannot be compared" in warning
    bare = runs({"mf": [cost_of(1.0, 1)]}, 1)
    bare.by_label["mf"][0].environment.clear()
    assert "an unknown processor" in cost_table([bare], paper).notes[-1]


def test_a_peak_of_the_whole_process_is_said_to_be_one(runs: Any, paper: Paper) -> None:
    same = runs({"mf": [cost_of(1.0, 1)], "ludp": [cost_of(1.0, 1, peak_memory_scope="process")]}, 1)
    (note,) = [note for note in cost_table([same], paper).notes if "peak memory" in note]
    assert note.startswith("tiktok [real, random split]: the peak memory of LUDP is the process's")
