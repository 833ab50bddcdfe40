"""The search as a table, and the budget curve: what fewer trials would have chosen. Pure.

The table shows what the search cost and chose for every model; its CSV has every run. Where the budget curves of
two models cross, which of them is better depends on how much they were tuned.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from bench.core.errors import listed
from bench.core.names import model_of
from bench.core.protocol import METRICS, PRIMARY_CUTOFF, metric_key, short_metric
from bench.report.figure import PAGE_WIDTH, Figure, plot_styles
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.table import Block, Cell, Column, CsvValue, Row, Table, marks
from bench.report.wording import DASH, DATA_FIELDS, data_notes, data_values, model_display, row_order
from bench.runs.records import RunRecord
from bench.runs.tuning.results import StudyResult, test_score, valid_score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

CUTOFFS = (PRIMARY_CUTOFF, 20)
TEST_METRICS = tuple(metric_key(metric, cutoff) for cutoff in CUTOFFS for metric in METRICS)
CSV_HEADER = (
    *DATA_FIELDS, "protocol", "model", "sampler", "budget", "stage", "trial", "repetition", "state",
    "is_chosen", "params", "metric", "valid",
    *(f"test_{name}" for name in TEST_METRICS), "best_epoch", "epochs", "steps", "stop", "seconds", "cpu_seconds",
    "max_epochs", "base_seed", "code_hash", "key",
)  # fmt: skip
BUDGET_CSV_HEADER = (
    *DATA_FIELDS,
    *("protocol", "model", "sampler", "n_trials", "metric", "valid", "test"),
)
PANEL_HEIGHT = 2.6  # inches


def build_budget(material: Material) -> Figure:
    """Build the budget curves of a call."""
    return budget_figure(material.studies, material.paper)


def budget_figure(studies: Sequence[StudyResult], paper: Paper) -> Figure:
    """Draw the scores of the trial chosen among the first n, one row of two panels per data set.

    Args:
        studies: the searches, data set by data set.
        paper: for names and order of the models.
    """
    used = studies[0].default.protocol
    by_data = [list(group) for _, group in groupby(studies, key=lambda study: study.facts.label)]
    notes = [note for same in by_data for note in data_notes(same[0].facts, same[0].facts.label, paper)]
    caption = (
        f"Tuning budget. {short_metric(used.selection_metric)} of the trial that the validation part chooses "
        f"among the first n: left on the validation part, right on the test part. One seed."
    )
    rows = tuple(
        (
            *(*data_values(study.facts), used.tag, study.label, study.sampler, point.n_trials),
            *(used.selection_metric, point.valid, point.test),
        )
        for study in studies
        for point in study.budget_curve()
    )
    return Figure(
        "Tuning budget",
        caption,
        tuple(notes),
        BUDGET_CSV_HEADER,
        rows,
        lambda: _draw_budget(by_data, paper, used.selection_metric),
    )


def _draw_budget(by_data: Sequence[Sequence[StudyResult]], paper: Paper, metric: str) -> Drawing:
    from matplotlib.figure import Figure as Drawing
    from matplotlib.ticker import MaxNLocator

    drawing = Drawing(figsize=(PAGE_WIDTH, PANEL_HEIGHT * len(by_data)), layout="constrained")
    panels = drawing.subplots(len(by_data), 2, squeeze=False)
    for row, same in zip(panels, by_data, strict=True):
        for axes, part in zip(row, ("valid", "test"), strict=True):
            _panel(axes, same, part, paper)
            words = "validation" if part == "valid" else "test"
            axes.set_ylabel(f"{words} {short_metric(metric)}")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        row[-1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return drawing


def _panel(axes: Axes, studies: Sequence[StudyResult], part: str, paper: Paper) -> None:
    by_label = {study.label: study for study in studies}
    ordered = row_order(by_label, paper)
    for label, style in plot_styles(ordered, paper).items():
        curve = by_label[label].budget_curve()
        scores = [point.valid if part == "valid" else point.test for point in curve]
        name = model_display(label, paper)
        axes.plot(
            [point.n_trials for point in curve], scores, label=name, markevery=5, drawstyle="steps-post", **style
        )
    axes.set_xlabel("trials")
    axes.set_title(studies[0].facts.label)


def build(material: Material) -> Table:
    """Build the tuning table of a call."""
    return tuning_table(material.studies, material.paper, material.labels)


def tuning_table(studies: Sequence[StudyResult], paper: Paper, labels: Sequence[str] = ()) -> Table:
    """Tabulate one row per model and data set, the best validation scores marked; the CSV has one row per run.

    Args:
        studies: the searches, data set by data set.
        paper: for names and order of the models.
        labels: the models of the call; some may have no search.
    """
    used = studies[0].default.protocol
    blocks, notes = [], []
    for _, group in groupby(studies, key=lambda study: study.facts.label):
        same = list(group)
        blocks.append(_block(same, paper))
        notes += data_notes(same[0].facts, same[0].facts.label, paper)
        notes += [note for study in same if (note := _end_note(study, paper))]
    budgets = listed(dict.fromkeys(study.budget.words for study in studies))
    caption = (
        f"Search. Budget of each row: {budgets}.{_fairness(studies, labels)} The first trial is the model's "
        f"default, and the validation part alone chose. Scores are {short_metric(used.selection_metric)} of the "
        f"trial's one seed; 'Confirmed' is "
        f"the mean over fresh seeds, which chose among the best settings ('Again' counts these runs). CPU minutes "
        f"are those of all runs of the row. The gap is what choosing on the test part would have added to the "
        f"test score; no result uses it."
    )
    return Table(
        name="Tuning",
        caption=caption,
        blocks=tuple(blocks),
        notes=tuple(notes),
        csv_header=CSV_HEADER,
        csv_rows=tuple(_csv_row(study, *each) for study in studies for each in _runs(study)),
    )


def _fairness(studies: Sequence[StudyResult], labels: Sequence[str]) -> str:
    """Say whether all models of the call got the same number of trials; "" if there is only one."""
    searched = {study.label for study in studies}
    if len({*searched, *labels}) < 2:
        return ""
    most = max(len(study.records) for study in studies)
    is_equal = all(len(study.records) == min(most, study.space.size) for study in studies)
    if not (searched >= set(labels) and is_equal):
        return " The models did not get the same number of trials."
    is_small = any(study.space.size < most for study in studies)
    return f" Every model got the same number of trials{', or all settings that it has' if is_small else ''}."


def _block(studies: Sequence[StudyResult], paper: Paper) -> Block:
    by_label = {study.label: study for study in studies}
    ordered = [by_label[label] for label in row_order(by_label, paper)]
    group = studies[0].facts.label
    columns = (
        Column("Model", align="left"),
        Column("Trials", group),
        Column("Again", group),
        Column("CPU min", group),
        Column("Valid, default", group),
        Column("Valid, chosen", group),
        Column("Confirmed", group),
        Column("Test, default", group),
        Column("Test, chosen", group),
        Column("Gap", group),
        Column("Chosen, where not the default", group, align="left"),
    )
    best = [None if study.chosen is None else valid_score(study.chosen) for study in ordered]
    rows = tuple(
        Row(
            (
                Cell(words=model_display(study.label, paper)),
                Cell(words=_counted(study.records, True)),
                Cell(words=_counted(study.confirmations, False)),
                Cell(words=_minutes(study)),
                _score(study.default, valid_score),
                Cell(score, mark=mark) if score is not None else Cell(words="failed"),
                Cell(study.chosen_mean) if study.chosen_mean is not None else Cell(words=DASH),
                _score(study.default, test_score),
                _score(study.chosen, test_score),
                Cell(study.selection_gap) if study.selection_gap is not None else Cell(words=DASH),
                Cell(words=_differences(study)),
            )
        )
        for study, score, mark in zip(ordered, best, marks(best), strict=True)
    )
    return Block(columns, rows)


def _counted(records: Sequence[RunRecord], shows_pruned: bool) -> str:
    """Count the runs, and those of them that failed or were pruned; a dash for no run."""
    counts = {"pruned": sum(record.stop_reason == "pruned" for record in records) if shows_pruned else 0}
    counts["failed"] = sum(record.metrics is None for record in records)
    details = ", ".join(f"{n} {what}" for what, n in counts.items() if n)
    return (f"{len(records)}" + (f" ({details})" if details else "")) if records else DASH


def _minutes(study: StudyResult) -> str:
    """Sum the CPU minutes of all runs; a lower bound if some records, of earlier versions, lack them."""
    seconds_of_runs = [record.cpu_seconds for record in (*study.records, *study.confirmations)]
    known = [seconds for seconds in seconds_of_runs if seconds is not None]
    return ("≥ " if len(known) < len(seconds_of_runs) else "") + f"{sum(known) / 60:,.1f}" if known else DASH


def _score(record: RunRecord | None, score: Any) -> Cell:
    return Cell(words="failed") if record is None or record.metrics is None else Cell(score(record))


def _differences(study: StudyResult) -> str:
    changed = {name: value for name, value in study.chosen_values.items() if value != study.space.fixed[name]}
    return ", ".join(f"{name} {value}" for name, value in changed.items()) or DASH


def _end_note(study: StudyResult, paper: Paper) -> str:
    """Return a footnote on chosen numbers beyond which the search tried nothing; "" without any."""
    found = [f"{name} {value}" for name, value in study.at_an_end.items()]
    if not found:
        return ""
    return (
        f"{study.facts.label}: {model_display(study.label, paper)} chose at an end of the list: {listed(found)}. "
        f"A longer list might hold a better value (models/{model_of(study.label)}.yaml)."
    )


def _runs(study: StudyResult) -> Iterator[tuple[int, RunRecord]]:
    """Yield every trial and confirmation run, with the number of the trial."""
    yield from enumerate(study.records)
    for each in study.confirmed:
        yield from ((each.trial, record) for record in each.records)


def _csv_row(study: StudyResult, number: int, record: RunRecord) -> tuple[CsvValue, ...]:
    params = {name: record.spec.params[name] for name in study.space.candidates}
    test = record.metrics.test.values if record.metrics else {}
    return (
        *(*data_values(study.facts), record.protocol.tag),
        *(study.label, study.sampler, study.budget.words, record.spec.stage, number, record.spec.repetition),
        *(record.status, study.records[number] is study.chosen, json.dumps(params)),
        *(record.protocol.selection_metric, valid_score(record) if record.metrics else None),
        *(test.get(name) for name in TEST_METRICS),
        record.best_epoch,
        *((record.cost.epochs, record.cost.steps) if record.cost else (None, None)),
        *(record.stop_reason, record.cost.total_seconds if record.cost else None, record.cpu_seconds),
        *(record.spec.max_epochs, record.spec.base_seed, record.code_hash, record.key),
    )
