"""Interactive charts, as plotly JSON, of the figures that gain from hovering and zooming. Pure.

plotly.js is 5 MB, nearly all of a page, and its Python package ships no smaller build. The page contains it once
and runs it only when a reader opens the first chart. Until then, and in print, the page shows the matplotlib
drawing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.report.figure import Figure, plot_styles
from bench.report.paper import Paper
from bench.report.wording import metric_name, model_display

DASHES = {"-": "solid", "--": "dash", "-.": "dashdot"}
PARTS = {"valid": "validation", "test": "test"}
MEAN = "mean"  # value of the column `repetition` for a mean over repetitions
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Chart:
    """The mapping from a figure's CSV columns to charts.

    Attributes:
        panels: columns whose values split the rows into panels.
        x: columns for the horizontal axis, one panel each.
        y: column for the vertical axis.
        mode: "lines" by model, or "markers" by `colour`.
        colour: column that defines the series.
        text: columns shown when the reader hovers over a point.
    """

    panels: tuple[str, ...]
    x: tuple[str, ...]
    y: str
    mode: str = "lines"
    colour: str = "model"
    text: tuple[str, ...] = ()


@dataclass(frozen=True)
class Panel:
    """One chart: a title and a plotly figure as JSON."""

    title: str
    figure: dict[str, Any]


CHARTS = {
    "curves": Chart(("data",), ("epoch", "seconds"), "valid", text=("repetition",)),
    "budget": Chart(("data",), ("n_trials",), "test"),
    "patience": Chart(("data",), ("patience",), "valid", text=("epochs",)),
    "fig4": Chart(("data", "model"), ("x",), "y", "markers", "user", ("kind", "user", "item")),
}


def panels(name: str, figure: Figure, paper: Paper) -> list[Panel]:
    """Return the charts of a figure; none for an artifact that is not in `CHARTS`.

    Args:
        name: name of the artifact.
        figure: the figure.
        paper: gives names and colours.
    """
    if name not in CHARTS:
        return []
    chart, by_panel = CHARTS[name], dict[tuple[str, ...], Rows]()
    for values in figure.csv_rows:
        row = dict(zip(figure.csv_header, values, strict=True))
        if row[chart.y] is not None:
            by_panel.setdefault(tuple(str(row[column]) for column in chart.panels), []).append(row)
    return [
        Panel(_title(chart, values, paper), _figure(chart, rows, x, paper))
        for values, rows in by_panel.items()
        for x in chart.x
    ]


def _title(chart: Chart, values: Sequence[str], paper: Paper) -> str:
    names = [
        model_display(value, paper) if column == "model" else value
        for column, value in zip(chart.panels, values, strict=True)
    ]
    return ", ".join(names)


def _figure(chart: Chart, rows: Rows, x: str, paper: Paper) -> dict[str, Any]:
    series: dict[tuple[Any, Any], Rows] = {}
    for row in rows:
        series.setdefault((row[chart.colour], row.get("repetition")), []).append(row)
    traces = _lines(chart, series, x, paper) if chart.mode == "lines" else _points(chart, series, x)
    is_map = chart.mode == "markers"
    square = {"scaleanchor": "x"} if is_map else {}  # distances of t-SNE mean the same in both directions
    layout = {
        "xaxis": {"title": {"text": "" if is_map else x}, "visible": not is_map},
        "yaxis": {"title": {"text": "" if is_map else _y_title(chart, rows)}, "visible": not is_map, **square},
        "margin": {"l": 60, "r": 10, "t": 10, "b": 50},
        "height": 420,
        "hovermode": "closest",
        "legend": {"orientation": "h", "y": -0.2},
    }
    return {"data": traces, "layout": layout}


def _y_title(chart: Chart, rows: Rows) -> str:
    """Return the title of the vertical axis: the part and the metric."""
    return f"{PARTS[chart.y]} {metric_name(rows[0]['metric'])}"


def _lines(chart: Chart, series: dict[tuple[Any, Any], Rows], x: str, paper: Paper) -> list[dict[str, Any]]:
    """Return one line per run; the lines of one model share colour and legend entry."""
    looks = plot_styles(list(dict.fromkeys(label for label, _ in series)), paper)
    traces, named = [], set[str]()
    has_mean = {label for label, repetition in series if repetition == MEAN}
    for (label, repetition), rows in series.items():
        style, is_faint = looks[label], label in has_mean and repetition != MEAN
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers" if len(rows) == 1 else "lines",
                "name": model_display(label, paper),
                "legendgroup": label,
                "showlegend": not is_faint and label not in named,
                "opacity": 0.4 if is_faint else 1,
                "x": [row[x] for row in rows],
                "y": [row[chart.y] for row in rows],
                "text": [_hint(chart, row) for row in rows],
                "line": {
                    "color": style["color"],
                    "dash": DASHES.get(str(style["linestyle"]), "dot"),
                    "width": style["linewidth"],
                },
            }
        )
        named |= set() if is_faint else {label}
    return traces


def _points(chart: Chart, series: dict[tuple[Any, Any], Rows], x: str) -> list[dict[str, Any]]:
    """Return one cloud per user with a star for the user; items of several users are grey."""
    traces = []
    for (owner, _), rows in sorted(series.items(), key=lambda each: (each[0][0] is None, each[0][0] or 0)):
        marker: dict[str, Any] = {
            "symbol": ["star" if row["kind"] == "user" else "circle" for row in rows],
            "size": [14 if row["kind"] == "user" else 6 for row in rows],
        }
        if owner is None:
            marker["color"] = "#B0B0B0"
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "of several users" if owner is None else f"user {owner}",
                "x": [row[x] for row in rows],
                "y": [row[chart.y] for row in rows],
                "text": [_hint(chart, row) for row in rows],
                "hoverinfo": "text",
                "marker": marker,
            }
        )
    return traces


def _hint(chart: Chart, row: dict[str, Any]) -> str:
    return ", ".join(f"{column} {row[column]}" for column in chart.text if row.get(column) is not None)
