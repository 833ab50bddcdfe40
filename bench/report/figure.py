"""A figure as a value, the common style, and the files of a figure. Writes only into the given directory.

Figures use matplotlib's objects and never pyplot, which keeps global state. Equal numbers give equal bytes.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import UsageError
from bench.core.files import os_errors, write_atomically, write_text
from bench.core.names import model_of, split_label
from bench.core.text import for_markdown
from bench.engine.registry import names
from bench.report.paper import Paper
from bench.report.render import WRITE_ADVICE, to_csv
from bench.report.table import CsvValue

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

COLUMN_WIDTH = 3.4  # inches, of a two-column page
PAGE_WIDTH = 7.0
# Colours of Okabe and Ito and of Paul Tol that stay furthest apart under any colour vision.
COLOURS = ("#E69F00", "#56B4E9", "#117733", "#D55E00", "#AA4499", "#332288", "#882255", "#661100")
MARKERS = ("s", "^", "D", "v", "P", "X", "<", ">")
ACCENT, ACCENT_MARKER = "#000000", "o"  # of the proposed model
GREYS = ("#6E6E6E", "#9A9A9A", "#BDBDBD")  # models outside the paper; their lines tell them apart as well
OTHER_MARKERS = ("p", "h", "*", "d", "8")
OWN_FILL, VARIANT_FILLS = "full", ("none", "left", "bottom", "right", "top")  # which part of a marker is filled
LINES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))  # a model, then its variants
STYLE: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "pdf.fonttype": 42,  # TrueType, so that text can be searched and edited
    "svg.fonttype": "none",
    "svg.hashsalt": "ludp-bench",  # fixed ids for equal bytes; by default they are random
    "savefig.dpi": 300,
}
TIP = "tip:"  # begins the id of an artist whose SVG shows the rest of the id when a reader points at it
TIP_GROUP = re.compile(rf'<g id="{TIP}([^"]*)">')


@dataclass(frozen=True)
class Figure:
    """A figure for people (`draw`) and its numbers for programs.

    Attributes:
        name: for example "Figure 6".
        caption: what the figure shows, and on which data.
        notes: footnotes, in order.
        csv_header: names of the tidy columns.
        csv_rows: one tuple per point at full precision; None for a missing value.
        draw: makes a new drawing; call it within `styled()`.
        draw_narrow: makes the same drawing for the screen of a phone; None for a figure that is narrow enough.
    """

    name: str
    caption: str
    notes: tuple[str, ...]
    csv_header: tuple[str, ...]
    csv_rows: tuple[tuple[CsvValue, ...], ...]
    draw: Callable[[], Drawing]
    draw_narrow: Callable[[], Drawing] | None = None

    @cached_property
    def drawing(self) -> Drawing:
        """Return the drawing with its final layout, which is the costly part, for all files and the page."""
        return _laid_out(self.draw)

    @cached_property
    def svg(self) -> str:
        """Return the drawing as SVG without a date; an artist whose id begins with `TIP` gets a tooltip."""
        return _svg(self.drawing)


@contextmanager
def styled() -> Iterator[None]:
    """Apply the common style while a figure is drawn and saved."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)  # type: ignore[arg-type]  # its keys are typed as literals
        yield


def plot_styles(labels: Sequence[str], paper: Paper) -> dict[str, dict[str, Any]]:
    """Return keyword arguments of `Axes.plot` for every label.

    A model has the same colour in every figure: the paper's models in its order, the proposed one in the accent
    colour, all others in grey. Variants share the colour of their model; their marker is hollow or half filled,
    and their line is broken.

    Args:
        labels: models and variants of the figure.
        paper: gives the order of the models.
    """
    proposed, rivals = paper.proposed, [model for model in paper.models if model != paper.proposed]
    # All registered models take part, so that a grey does not depend on the models of one figure.
    others = sorted({*names(), *map(model_of, labels)} - set(paper.models))
    colours = {model: COLOURS[place % len(COLOURS)] for place, model in enumerate(rivals)}
    colours |= {model: GREYS[place % len(GREYS)] for place, model in enumerate(others)} | {proposed: ACCENT}
    markers = {model: MARKERS[place % len(MARKERS)] for place, model in enumerate(rivals)}
    markers |= {model: OTHER_MARKERS[place % len(OTHER_MARKERS)] for place, model in enumerate(others)}
    markers |= {proposed: ACCENT_MARKER}
    first_line = {model: 1 + place for place, model in enumerate(others)}
    n_variants: Counter[str] = Counter()
    styles = {}
    for label in labels:
        model, variant = split_label(label)
        n_variants[model] += bool(variant)
        # a variant never has its model's line; lines and fills have different periods, so that pairs do not repeat
        own_line, other = first_line.get(model, 0), 1 + (n_variants[model] - 1) % (len(LINES) - 1)
        line = LINES[(own_line + (other if variant else 0)) % len(LINES)]
        width = 1.8 if model == proposed else 1.1
        fill = VARIANT_FILLS[(n_variants[model] - 1) % len(VARIANT_FILLS)] if variant else OWN_FILL
        style = {"color": colours[model], "marker": markers[model], "linestyle": line, "linewidth": width}
        styles[label] = {**style, "fillstyle": fill, "zorder": 3 if model == proposed else 2}
    return styles


def spread_name(n_asked: int | None) -> str:
    """Return what points and error bars are, for axes: `mean, SD over 5 seeds`, or `1 seed` without bars."""
    if n_asked is None:
        return "no run yet"
    return "1 seed" if n_asked == 1 else f"mean, SD over {n_asked} seeds"


def write_figure(figure: Figure, directory: Path, name: str) -> list[Path]:
    """Write `name`.pdf, .png and .svg, the numbers as `name`.csv and the caption as `name`.md.

    A figure with a form for the screen of a phone is also written as `name`-narrow.svg.

    Raises:
        UsageError: `name` is empty or contains a directory.
        ResultsError: a file cannot be written.
    """
    if not name or Path(name).name != name:
        raise UsageError(f"The figure name '{name}' is not a file name. Give a name without a directory.")
    texts = {
        f"{name}.svg": figure.svg, f"{name}.csv": to_csv(figure),
        f"{name}.md": f"{markdown_of(figure, f'{name}.svg', figure.notes)}\n",
    }  # fmt: skip
    if figure.draw_narrow is not None:
        texts[f"{name}-narrow.svg"] = _svg(_laid_out(figure.draw_narrow))
    paths = [directory / file for file in (f"{name}.pdf", f"{name}.png", *texts)]
    with os_errors(f"The figure {directory / name} cannot be written", WRITE_ADVICE):
        for path in paths:
            if path.name in texts:
                write_text(path, texts[path.name])
            else:
                _save(figure.drawing, path, path.suffix.removeprefix("."))
    return paths


def _laid_out(draw: Callable[[], Drawing]) -> Drawing:
    with styled():
        drawing = draw()
        fix_layout(drawing)
        return drawing


def _svg(drawing: Drawing) -> str:
    content = io.StringIO()
    with styled():
        drawing.savefig(content, format="svg", metadata={"Date": None})
    return TIP_GROUP.sub(r"<g><title>\1</title>", content.getvalue())


def _save(drawing: Drawing, path: Path, form: str) -> None:
    # Without dates, equal numbers give equal bytes.
    metadata: Any = {"CreationDate": None} if form == "pdf" else {}
    with styled():
        write_atomically(path, lambda temporary: drawing.savefig(temporary, format=form, metadata=metadata))


def fix_layout(drawing: Drawing) -> None:
    """Lay a drawing out and keep the result, so that later steps and files do not compute it again."""
    drawing.draw_without_rendering()
    drawing.set_layout_engine("none")


def markdown_of(figure: Figure, address: str, notes: Sequence[str]) -> str:
    """Return the image, the caption and the given notes of a figure as Markdown."""
    title = for_markdown(figure.name)
    lines = "\n".join(f"- {for_markdown(note, begins_line=True)}" for note in notes)
    head = title if title.endswith("?") else f"{title}."
    return f"![{title}]({address})\n\n**{head}** {for_markdown(figure.caption)}\n\n{lines}"
