"""The lines of runs on the console: one a run or a group, no test score, within the width."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import pytest
from boards import add_run
from rich.console import Console

from bench.core.names import split_label
from bench.core.protocol import Protocol
from bench.runs.display import Layout, RunDisplay, describe
from bench.runs.records import RunRecord, RunSpec


def spec_of(label: str = "ludp", repetition: int = 0, stage: Any = "final", dataset: str = "tiktok") -> RunSpec:
    model, variant = split_label(label)
    return RunSpec(
        dataset=dataset, model=model, variant=variant, repetition=repetition, base_seed=1, max_epochs=4,
        params={}, stage=stage,
    )  # fmt: skip


def lines(records: list[tuple[RunRecord, int | None]], layout: Layout | None = None, width: int = 80) -> list[str]:
    """What a display prints for records, each with the worker that made it."""
    console = Console(file=io.StringIO(), width=width, markup=False, emoji=False, highlight=False)
    with RunDisplay(console, len({record.key for record, _ in records}), Protocol(), layout) as display:
        for record, worker in records:
            if worker is not None:
                display.run_started(record.spec, worker)
            display.run_done(record, worker)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_a_line_shows_no_test_score(tmp_path: Path) -> None:
    for stage in ("final", "tuning", "confirm"):
        record = add_run(tmp_path, "ludp", stage=stage)
        assert record.metrics is not None
        valid, test = (part.values["recall@20"] for part in (record.metrics.valid, record.metrics.test))
        assert f"{valid:.4f}" != f"{test:.4f}"
        said = "  ".join(describe(record, False))
        assert said == f"valid R@20 {valid:.4f}  epoch 4/4 (pruned)  9.0 s"
        assert f"{test:.4f}" not in said


def test_a_run_that_was_lost_before_it_started_is_counted(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=80, markup=False, emoji=False, highlight=False)
    with RunDisplay(console, 1, Protocol()) as display:
        display.run_done(add_run(tmp_path, "mf", status="failed"), 0)
    assert console.file.getvalue().startswith("[1/1] tiktok  MF")  # type: ignore[attr-defined]


def test_a_line_names_data_model_and_stage(tmp_path: Path) -> None:
    assert lines([(add_run(tmp_path, "ludp"), 0)])[0].startswith("[1/1] tiktok  LUDP  valid R@20 0.3000")
    trial = lines([(add_run(tmp_path, "ludp", stage="tuning"), 0)])[0]
    assert trial.startswith("[1/1] tiktok  LUDP trial  valid")
    again = lines([(add_run(tmp_path, "ludp", repetition=1, stage="confirm"), 0)])[0]
    assert again.startswith("[1/1] tiktok  LUDP confirmation 2  valid")
    seeds = Layout([spec_of(), spec_of(repetition=1)])
    assert lines([(add_run(tmp_path, "ludp"), 0)], seeds)[0].startswith("[1/1] tiktok  LUDP seed 1  valid")


def test_variations_share_a_line_and_failed_ones_have_their_own(tmp_path: Path) -> None:
    labels = ("ludp", "ludp@k=5", "ludp@k=9", "ludp@k=20")
    layout = Layout([spec_of(label) for label in labels], ["ludp"])
    made = [
        add_run(tmp_path, "ludp"),
        add_run(tmp_path, "ludp@k=5", skill=0.2, values={"knn_k": 5}),
        add_run(tmp_path, "ludp@k=9", status="failed", values={"knn_k": 9}),
        add_run(tmp_path, "ludp@k=20", skill=0.4, values={"knn_k": 20}),
    ]
    assert lines([(each, 0) for each in made], layout) == [
        "[1/4] tiktok  LUDP  valid R@20 0.3000  epoch 4/4 (pruned)  9.0 s",
        "[3/4] tiktok  LUDP (k=9)  FAILED: The loss is not finite.",
        "[4/4] tiktok  LUDP, 2 variations  valid R@20 0.2000 to 0.4000  18 s",
    ]
    assert len(lines([(each, 0) for each in made], Layout(is_verbose=True))) == 4


def test_the_runs_of_an_interrupted_group_are_said(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=80)
    layout = Layout([spec_of(label) for label in ("ludp@k=5", "ludp@k=9", "mf")], ["mf"])
    record = add_run(tmp_path, "ludp@k=5", values={"knn_k": 5})
    with contextlib.suppress(KeyboardInterrupt), RunDisplay(console, 3, Protocol(), layout) as display:
        display.run_started(record.spec, 0)
        display.run_done(record, 0)
        raise KeyboardInterrupt
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    assert "LUDP, 1 variation  valid R@20 0.3000" in said
    assert "1 of 3 runs are finished." in said


def test_kept_runs_are_counted_and_two_names_of_a_run_are_one(tmp_path: Path) -> None:
    first, second, third = (add_run(tmp_path, label) for label in ("ludp", "mf", "vbpr"))
    other_name = first.model_copy(update={"spec": first.spec.model_copy(update={"variant": "k=20"})})
    told = lines([(first, None), (second, None), (third, 0), (other_name, None)])
    assert told[0] == "2 runs are finished already and kept"
    assert [line[:5] for line in told[1:]] == ["[3/3]"]
    verbose = lines([(first, None), (second, None)], Layout(is_verbose=True))
    assert [line[-6:] for line in verbose] == ["(kept)"] * 2


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_the_console(width: int, tmp_path: Path) -> None:
    labels = ["ludp", "ludp@a very long name of a variant, longer than any", "mf"]
    records = [add_run(tmp_path, label, values={"knn_k": n + 5}) if "ludp" in label else add_run(tmp_path, label)
               for n, label in enumerate(labels)]  # fmt: skip
    told = lines([(each, 0) for each in records], Layout([each.spec for each in records]), width)
    assert max(map(len, told)) <= width
    assert "…" not in "".join(told)
