"""Layer 8. The budget curve: what tuning with fewer trials would have reported, for every model. Pure.

Where the lines of two models cross, which of them is better depends on how much they were tuned.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from bench.report.figure import PAGE_WIDTH, Figure, look
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.wording import DATA_FIELDS, data_notes, data_values, metric_title, model_display, row_order
from bench.tuning.results import StudyResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

CSV_HEADER = (
    *DATA_FIELDS,
    *("protocol", "model", "sampler", "n_trials", "metric", "valid", "test"),
)
PANEL_HEIGHT = 2.6


def build(material: Material) -> Figure:
    """The budget curves of a call."""
    return budget_figure(material.studies, material.paper)


def budget_figure(studies: Sequence[StudyResult], paper: Paper) -> Figure:
    """Expected validation and test score of the chosen one of n trials; a row of two panels a data set.

    Args:
        studies: the searches, data set by data set.
        paper: for names and order of the models.
    """
    used = studies[0].default.protocol
    by_data = [list(group) for _, group in groupby(studies, key=lambda study: study.facts.label)]
    notes = [note for same in by_data for note in data_notes(same[0].facts, same[0].facts.label, paper)]
    caption = (
        f"Tuning budget. Expected {metric_title(used.selection_metric)} of the trial that the validation part "
        f"chooses among n, over all subsets of the trials: left on the validation part, right on the test part. "
        f"One seed."
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
        CSV_HEADER,
        rows,
        lambda: _draw(by_data, paper, used.selection_metric),
    )


def _draw(by_data: Sequence[Sequence[StudyResult]], paper: Paper, metric: str) -> Drawing:
    from matplotlib.figure import Figure as Drawing
    from matplotlib.ticker import MaxNLocator

    drawing = Drawing(figsize=(PAGE_WIDTH, PANEL_HEIGHT * len(by_data)), layout="constrained")
    panels = drawing.subplots(len(by_data), 2, squeeze=False)
    for row, same in zip(panels, by_data, strict=True):
        for axes, part in zip(row, ("valid", "test"), strict=True):
            _panel(axes, same, part, paper)
            words = "validation" if part == "valid" else "test"
            axes.set_ylabel(f"expected {words} {metric_title(metric)}")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        row[-1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return drawing


def _panel(axes: Axes, studies: Sequence[StudyResult], part: str, paper: Paper) -> None:
    by_label = {study.label: study for study in studies}
    ordered = row_order(by_label, paper)
    for label, style in look(ordered, paper).items():
        curve = by_label[label].budget_curve()
        scores = [point.valid if part == "valid" else point.test for point in curve]
        name = model_display(label, paper)
        axes.plot([point.n_trials for point in curve], scores, label=name, markevery=5, **style)
    axes.set_xlabel("trials")
    axes.set_title(studies[0].facts.label)
