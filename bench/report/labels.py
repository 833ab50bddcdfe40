"""Names beside points and at the ends of lines, moved apart so that none covers another.

They fix the layout, to know the size of the panels: call them when all else is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.report.figure import fix_layout

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

FONT_SIZE = 6.5
MARGIN = 4.0  # points between the axes and the names at the ends of lines
HEIGHTS = (0, 6, -6, 12, -12, 18, -18)  # points above a marker, the closest first
SIDES = tuple((across, up) for up in HEIGHTS for across in (5, -5, 0) if across or abs(up) == 6)


@dataclass(frozen=True)
class Name:
    """A name with the point that it belongs to, in the units of the data."""

    text: str
    x: float
    y: float
    colour: str = "black"


def name_line_ends(drawing: Drawing, names: Sequence[tuple[Axes, Sequence[Name]]]) -> None:
    """Write each name right of its panel, as high as its line ends, and join the two by a thin line.

    Args:
        drawing: the whole drawing.
        names: panels, each with the names and ends of its lines.
    """
    written = [[_beside(axes, each) for each in ends] for axes, ends in names]
    fix_layout(drawing)
    per_point = drawing.dpi / 72
    for (axes, ends), texts in zip(names, written, strict=True):
        if not texts:
            continue
        box = axes.get_window_extent()
        wanted = [float(axes.transData.transform((each.x, each.y))[1]) for each in ends]
        heights = spread(wanted, FONT_SIZE * 1.25 * per_point, box.y0, box.y1)
        for text, height in zip(texts, heights, strict=True):
            text.xyann = (1.0 + MARGIN * per_point / box.width, (height - box.y0) / box.height)


def _beside(axes: Axes, name: Name) -> Annotation:
    line: dict[str, Any] = {"arrowstyle": "-", "linewidth": 0.4, "color": name.colour, "shrinkA": 0, "shrinkB": 0}
    return axes.annotate(
        name.text, (name.x, name.y), (1.02, 0.5), textcoords="axes fraction", fontsize=FONT_SIZE, va="center",
        arrowprops={**line, "alpha": 0.6, "relpos": (0.0, 0.5)}, annotation_clip=False,
    )  # fmt: skip


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return places close to the wanted ones, in their order, at least `gap` apart and within bounds if they fit.

    Args:
        wanted: places along an axis.
        gap: smallest distance of two places.
        low: lower bound; crossed if the places do not fit otherwise.
        high: upper bound.
    """
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    places = list(wanted)
    at = low
    for each in order:
        places[each] = at = max(wanted[each], at)
        at += gap
    at = high
    for each in reversed(order):
        places[each] = at = min(places[each], at)
        at -= gap
    return places


def name_points(drawing: Drawing, names: Sequence[tuple[Axes, Sequence[Name]]]) -> None:
    """Write each name at the first side of its point where it covers neither another name nor a point.

    Args:
        drawing: the whole drawing.
        names: panels, each with the names of its points.
    """
    fix_layout(drawing)
    for axes, points in names:
        marks = [_square(axes, each) for each in points]
        taken: list[Bbox] = []
        for own, name in zip(marks, points, strict=True):
            taken.append(_write(axes, name, [*taken, *(each for each in marks if each is not own)]))


def _square(axes: Axes, name: Name) -> Bbox:
    """Return the place of a point's marker, in pixels."""
    from matplotlib.transforms import Bbox

    x, y = axes.transData.transform((name.x, name.y))
    half = 3.0
    return Bbox.from_extents(x - half, y - half, x + half, y + half)


def _write(axes: Axes, name: Name, taken: Sequence[Bbox]) -> Bbox:
    """Write a name at its best side and return the place that it takes, in pixels."""
    panel, best = axes.get_window_extent(), None
    for side in SIDES:
        text = axes.annotate(name.text, (name.x, name.y), side, fontsize=FONT_SIZE, **_alignment(side))
        box = text.get_window_extent()
        n_covered = sum(box.overlaps(each) for each in taken) + 2 * (not _holds(panel, box))
        text.remove()
        if best is None or n_covered < best[0]:
            best = n_covered, side, box
        if not n_covered:
            break
    assert best is not None
    _, side, box = best
    line: dict[str, Any] = {}
    if all(side):  # neither beside nor above nor below: a line says which point it is
        line = {"arrowprops": {"arrowstyle": "-", "linewidth": 0.4, "color": "dimgrey", "shrinkB": 2}}
    axes.annotate(name.text, (name.x, name.y), side, fontsize=FONT_SIZE, **_alignment(side), **line)
    return box


def _alignment(side: tuple[int, int]) -> dict[str, Any]:
    across, up = side
    ha = "center" if across == 0 else "left" if across > 0 else "right"
    va = "center" if up == 0 else "bottom" if up > 0 else "top"
    return {"textcoords": "offset points", "ha": ha, "va": va}


def _holds(panel: Bbox, box: Bbox) -> bool:
    return bool(panel.x0 <= box.x0 and box.x1 <= panel.x1 and panel.y0 <= box.y0 and box.y1 <= panel.y1)
