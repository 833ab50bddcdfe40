"""The learning curve of a row as coordinates of a small drawing. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.core.types import EpochFacts
from bench.report.leaderboard.rows import BoardRow

WIDTH, HEIGHT, MARGIN = 260, 96, 5  # units of the drawing, which the page shows as pixels
MOST_POINTS = 40  # a line; more cannot be seen at this size
Point = tuple[float, float]


@dataclass(frozen=True)
class Curve:
    """Validation scores by epoch, a line per repetition.

    Attributes:
        lines: points of each line, as SVG writes them.
        bests: the point of the best epoch of each repetition.
        low: lowest drawn score; `high` the highest.
        n_epochs: epochs of the longest repetition.
    """

    lines: Sequence[str]
    bests: Sequence[Point]
    low: float
    high: float
    n_epochs: int


def curve_of(row: BoardRow, metric: str) -> Curve | None:
    """Return the curve of a row in the metric that selects epochs; None without two epochs, as of a control."""
    curves = [[each for each in record.curve if metric in each.valid] for record in row.records]
    bests = [record.best_epoch for record in row.records]
    values = [each.valid[metric] for curve in curves for each in curve]
    n_epochs = max((each.epoch for curve in curves for each in curve), default=0)
    if n_epochs < 2:
        return None
    low, high = min(values), max(values)

    def place(each: EpochFacts) -> Point:
        x = MARGIN + (WIDTH - 2 * MARGIN) * (each.epoch - 1) / (n_epochs - 1)
        share = (each.valid[metric] - low) / (high - low) if high > low else 0.5
        return round(x, 1), round(HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * share, 1)

    lines = [
        " ".join(f"{x:g},{y:g}" for x, y in map(place, _thinned(curve, best)))
        for curve, best in zip(curves, bests, strict=True)
    ]
    marks = [
        place(each) for curve, best in zip(curves, bests, strict=True) for each in curve if each.epoch == best
    ]
    return Curve(lines, marks, low, high, n_epochs)


def _thinned(curve: Sequence[EpochFacts], best: int | None) -> list[EpochFacts]:
    """Keep evenly spaced epochs, the last one and the best one."""
    step = -(-len(curve) // MOST_POINTS)
    return [each for n, each in enumerate(curve) if n % step == 0 or n == len(curve) - 1 or each.epoch == best]
