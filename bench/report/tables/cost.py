"""The cost table: seconds, parameters and memory of the models, and the machines of their runs. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from bench.core.errors import listed
from bench.core.text import counted
from bench.report.material import DataRuns, Material, runs_by_data
from bench.report.paper import Paper
from bench.report.table import Block, Cell, Column, CsvValue, Row, Table
from bench.report.wording import DATA_FIELDS, NOTHING, data_values, model_display, seeds
from bench.runs.controls import is_control
from bench.runs.records import Cost, RunRecord

CSV_HEADER = (*DATA_FIELDS, "model", "quantity", "mean", "sd", "n_runs", "n_asked")
MEBIBYTE = 2**20
QUANTITIES: dict[str, tuple[str, str, Callable[[Cost], float]]] = {
    "epochs": ("Epochs", ",.4g", lambda cost: cost.epochs),
    "train_seconds": ("Training (s)", ",.2f", lambda cost: cost.train_seconds),
    "train_seconds_per_epoch": ("An epoch (s)", ",.3f", lambda cost: cost.train_seconds / cost.epochs),
    "valid_seconds_per_epoch": ("Validation pass (s)", ",.3f", lambda cost: cost.valid_seconds / cost.epochs),
    "test_seconds": ("Test pass (s)", ",.3f", lambda cost: cost.test_seconds),
    "total_seconds": ("Whole run (s)", ",.2f", lambda cost: cost.total_seconds),
    "n_parameters": ("Parameters", ",.0f", lambda cost: cost.n_parameters),
    "peak_memory_mib": ("Peak memory (MiB)", ",.0f", lambda cost: cost.peak_memory_bytes / MEBIBYTE),
}


def build(material: Material) -> Table:
    """Build the cost table of a call."""
    return cost_table(runs_by_data(material), material.paper)


def cost_table(by_data: Sequence[DataRuns], paper: Paper) -> Table:
    """Tabulate means over the finished runs of each model, one block per data set.

    Args:
        by_data: the runs, data set by data set.
        paper: for names.
    """
    caption = (
        f"Cost of a run, mean over the seeds ({seeds(by_data[0].n_asked)}). Training is all epochs until the "
        f"run stopped, without validation; for a baseline it is the fit. The whole run includes building the "
        f"model. Parameters are those that are trained. Peak memory is that of the process, libraries and data "
        f"included."
    )
    notes: list[str] = []
    for same in by_data:
        notes += same.notes(paper) + _whole_process(same, paper)
    return Table(
        name="Cost",
        caption=caption,
        blocks=tuple(_block(same, paper) for same in by_data),
        notes=(*notes, *machines(by_data, paper)),
        csv_header=CSV_HEADER,
        csv_rows=tuple(row for same in by_data for row in _csv(same)),
    )


def _block(same: DataRuns, paper: Paper) -> Block:
    columns = [Column(title, group=same.heading) for title, _, _ in QUANTITIES.values()]
    n_models = sum(not is_control(label) for label in same.by_label)
    rows = []
    for place, (label, runs) in enumerate(same.by_label.items()):
        partial = f" ({len(runs)} of {same.n_asked} seeds)" if len(runs) < same.n_asked else ""
        cells = [
            Cell(statistics.fmean(values), form=form) if (values := _values(runs, quantity)) else NOTHING
            for _, form, quantity in QUANTITIES.values()
        ]
        rows.append(Row((Cell(words=model_display(label, paper) + partial), *cells), ruled=0 < place == n_models))
    return Block((Column("Model", align="left"), *columns), tuple(rows))


def _values(runs: Sequence[RunRecord], quantity: Callable[[Cost], float]) -> list[float]:
    return [quantity(run.cost) for run in runs if run.cost is not None]


def _csv(same: DataRuns) -> list[tuple[CsvValue, ...]]:
    rows = []
    for label, runs in same.by_label.items():
        for name, (_, _, quantity) in QUANTITIES.items():
            values = _values(runs, quantity)
            mean = statistics.fmean(values) if values else None
            sd = statistics.stdev(values) if len(values) > 1 else None
            rows.append((*data_values(same.facts), label, name, mean, sd, len(values), same.n_asked))
    return rows


def _whole_process(same: DataRuns, paper: Paper) -> list[str]:
    """Name models whose peak memory could not be reset before a run: it may be that of an earlier run."""
    named = [
        model_display(label, paper)
        for label, runs in same.by_label.items()
        if any(run.cost is not None and run.cost.peak_memory_scope == "process" for run in runs)
    ]
    if not named:
        return []
    return [f"{same.heading}: the peak memory of {listed(named)} is the process's, earlier runs in it included."]


def machines(by_data: Sequence[DataRuns], paper: Paper) -> list[str]:
    """Describe the machines of the runs, each with its models if there are several."""
    by_machine: dict[str, list[str]] = {}
    for same in by_data:
        for label, runs in same.by_label.items():
            name = f"{model_display(label, paper)} on {same.heading}"
            for run in runs:
                by_machine.setdefault(_machine(run.environment), []).append(name)
    if len(by_machine) < 2:
        return [f"All runs were made on {machine}." for machine in by_machine]
    notes = [f"Made on {machine}: {listed(dict.fromkeys(made))}." for machine, made in by_machine.items()]
    return [*notes, "The runs were made in different ways, so their seconds and memory cannot be compared."]


def _machine(environment: dict[str, Any]) -> str:
    """Describe processor, device, threads per run and parallel runs, as far as the record has them."""
    workers = environment.get("n_workers")
    at_a_time = "an unknown number of runs" if workers is None else counted(workers, "run")
    cores = counted(environment.get("cores", "?"), "core")
    n_threads = counted(environment.get("threads", "?"), "thread")
    return (
        f"{environment.get('processor', 'an unknown processor')} with {cores}, device "
        f"{environment.get('device', 'unknown')}, {n_threads} per run, {at_a_time} at a time, torch "
        f"{environment.get('packages', {}).get('torch', '?')}"
    )
