"""Is the content used: the content ablation as a forest plot, for all held-out items and for rare ones alone.

Content should matter most where interactions are few. Reads the stored lists; writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.core.names import model_of
from bench.core.protocol import metric_key, metric_parts
from bench.core.types import BenchmarkData, BoolArray, TopK
from bench.engine.evaluate import hit_matrix
from bench.report.comparisons import Comparisons, Pair, View, compare_pairs, contrast_values, shown_difference
from bench.report.figure import PAGE_WIDTH, TIP, Figure, plot_styles
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.statistics import Contrast
from bench.report.table import CsvValue
from bench.report.tables.ablation import (
    CSV_HEADER,
    KINDS,
    TESTS,
    ablation_pairs,
    ablation_table,
    content_of,
    not_varied,
    shown_models,
    tests_of,
)
from bench.report.tables.groups import popularity
from bench.report.wording import data_headings, data_values, metric_name, model_display, seeds
from bench.runs.list_files import StoredLists, StoredScores
from bench.runs.records import DataFacts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

TESTS_OF_RARE = "In the CSV, rare items are a family of tests of their own, corrected by Holm's method."
KIND_NAMES = {"shuffled": "other items' content", "noise": "noise", "constant": "one constant row"}
ROW_HEIGHT, FRAME = 0.17, 1.0  # inches per row, and around the rows of a panel


@dataclass(frozen=True, eq=False)
class RareItems:
    """The items that few users have: at most the median number of training interactions, cold items included.

    Attributes:
        members: which items are rare, `[n_items]` bool.
        most: training interactions of the most frequent of them.
        n_held_out: test interactions with them.
        n_test: all test interactions.
    """

    members: BoolArray
    most: int
    n_held_out: int
    n_test: int

    @classmethod
    def of(cls, data: BenchmarkData) -> RareItems:
        """Find the rare items of a data set."""
        counts = popularity(data)
        most = int(np.quantile(counts, 0.5, method="inverted_cdf"))
        members = counts <= most
        return cls(members, most, int(members[data.split.test.items].sum()), len(data.split.test))

    @property
    def title(self) -> str:
        """Say what they are, for a panel."""
        few = f"rare items: ≤ {self.most:,} training interactions"
        return f"{few}\n{self.n_held_out:,} of {self.n_test:,} held-out"


@dataclass(frozen=True, eq=False)
class Panel:
    """One panel of the figure.

    Attributes:
        title: above it.
        metric: the metric that it shows.
        compared: the tests of `ablation_pairs`.
        is_relative: whether it shows differences as shares of the score with the content as given.
    """

    title: str
    metric: str
    compared: Comparisons
    is_relative: bool

    def contrast(self, pair: Pair) -> Contrast | str:
        """Return the contrast of a pair of labels, or in words why none can be shown."""
        found = self.compared.contrasts.get((self.metric, pair))
        if found is None:
            has_users = bool(self.compared.scores.n_users) or not self.compared.scores.labels
            return "no result" if has_users else "no user has a rare item"
        return "no relative change of 0" if self.is_relative and found.relative is None else found

    def given(self, model: str) -> str:
        """Return a model's score with the content as given; "" without it."""
        scores = self.compared.scores
        if model not in scores.labels or not scores.n_users:
            return ""
        return f"as given: {scores.scores[self.metric][scores.labels.index(model)].mean():.4f}"


def build(material: Material) -> Figure:
    """Build the forest plot of the content ablation of a call.

    Raises:
        ResultsError: stored lists are missing or damaged.
    """
    tests, metric, models = tests_of(material), material.protocol.selection_metric, shown_models(material)
    of_rare = metric_key("recall", metric_parts(metric)[1])
    contrasts = [each.contrasts for each in tests]
    table = ablation_table(material.scores, material.facts, material.paper, contrasts, models)
    panels: list[Panel] = []
    rows: list[tuple[CsvValue, ...]] = []
    sets = zip(material.data.values(), material.facts, data_headings(material.facts), tests, strict=True)
    for data, facts, heading, of_all in sets:
        rare = RareItems.of(data)
        compared = compare_pairs(
            material, facts, TESTS, ablation_pairs(), [of_rare], rare_view(data, rare, of_rare)
        )
        panels += [
            Panel(f"{heading}\nall {rare.n_test:,} held-out interactions", metric, of_all, True),
            Panel(rare.title, of_rare, compared, False),
        ]
        rows += rare_rows(facts, compared, of_rare, material, models)
    relative, absolute = metric_name(metric), metric_name(of_rare)
    caption = (
        f"Change of test {relative} when a model is trained on replaced content instead of the items' own, with "
        f"the 95% bootstrap interval over users ({seeds(material.n_seeds)}), not corrected for the number of rows "
        f"and without other seeds. Left of 0 the content helps; an interval across 0 leaves open whether there is "
        f"an effect. Left panels: all test items, relative to the score with the content "
        f"as given. Right panels: {absolute} of rare test items alone, averaged over the users with at least one, "
        f"and not relative, as the score as given may be near 0. An item is rare if it has at most the median "
        f"number of an item's training interactions. {TESTS_OF_RARE}"
    )
    notes = (*table.notes, *not_varied(material))
    csv_rows = (*table.csv_rows, *rows)

    def draw() -> Drawing:
        return _draw(panels, models, material.paper, material.n_seeds)

    return Figure("Is the content used?", caption, notes, CSV_HEADER, csv_rows, draw)


def rare_view(data: BenchmarkData, rare: RareItems, metric: str) -> View:
    """Return the view of lists that keeps the users with rare held-out items, and Recall@K of these items.

    Args:
        data: the data set.
        rare: its rare items.
        metric: key of Recall@K.
    """
    cutoff, test = metric_parts(metric)[1], data.split.test
    of_users = np.bincount(test.users[rare.members[test.items]], minlength=data.n_users)  # [n_users]

    def view(lists: StoredLists) -> StoredScores:
        has_any = of_users[lists.users] > 0
        users, first = lists.users[has_any], lists.items[has_any, :cutoff]
        hits = hit_matrix(TopK(users, first, 0), test) & rare.members[first]
        return StoredScores(users, {metric: hits.sum(axis=1) / of_users[users]})

    return view


def rare_rows(
    facts: DataFacts, compared: Comparisons, metric: str, material: Material, models: Sequence[str]
) -> list[tuple[CsvValue, ...]]:
    """Return a row with the columns `CSV_HEADER` for every complete label of the comparison on rare items.

    There are none where no user has a rare test item.

    Args:
        facts: the data set.
        compared: the comparison.
        metric: key of Recall@K.
        material: the records of the call.
        models: models to show.
    """
    given, shown, rows = dict(ablation_pairs()), compared.scores, []
    for place, label in enumerate(shown.labels):
        if not shown.n_users or model_of(label) not in models:
            continue
        of_seeds = shown.scores[metric][place].mean(axis=1)  # [n_seeds]
        sd = float(of_seeds.std(ddof=1)) if len(of_seeds) > 1 else None
        name = f"{model_display(model_of(label), material.paper)}, {content_of(label)}"
        runs = (len(of_seeds), 0, material.n_seeds)
        contrast = compared.contrasts.get((metric, (label, given.get(label, ""))))
        rows.append(
            (
                *data_values(facts),
                *(material.scores.protocol, material.scores.hide_at_test, label, name),
                *(f"{metric} of rare items", float(of_seeds.mean()), sd, *runs, "", None, None),
                *contrast_values(contrast),
            )
        )
    return rows


def _draw(panels: Sequence[Panel], models: Sequence[str], paper: Paper, n_seeds: int) -> Drawing:
    """Draw one row of panels per data set: all held-out items, and rare ones."""
    from matplotlib.figure import Figure as Drawing
    from matplotlib.ticker import MaxNLocator

    shown = _compared(panels, models)
    n_sets = len(panels) // 2
    height = n_sets * (FRAME + ROW_HEIGHT * len(shown) * len(KINDS))
    drawing = Drawing(figsize=(PAGE_WIDTH, height), layout="constrained")
    grid = drawing.subplots(n_sets, 2, squeeze=False, sharey=True)
    for axes, panel in zip(grid.flat, panels, strict=True):
        _forest(axes, shown, panel, paper)
        axes.set_title(panel.title)
        axes.xaxis.set_major_formatter(_share if panel.is_relative else _signed)
        axes.xaxis.set_major_locator(MaxNLocator(5))
    for axes, panel in zip(grid[-1], panels, strict=False):
        measure = "relative change of" if panel.is_relative else "change of rare items'"
        axes.set_xlabel(
            f"{measure} test {metric_name(panel.metric)}\n"
            f"(95% interval over users, {seeds(n_seeds).removeprefix('n=')})"
        )
    return drawing


def _share(value: float, _: int) -> str:
    return f"{_signed(100 * value, _)}%"


def _signed(value: float, _: int) -> str:
    return f"{value:+g}" if (value := round(value, 6)) else "0"


def _compared(panels: Sequence[Panel], models: Sequence[str]) -> Sequence[str]:
    """Return the models with a result in some panel; all models if none has one."""
    found = {given for panel in panels for _, (_, given) in panel.compared.contrasts}
    return [model for model in models if model in found] or models


def _forest(axes: Axes, models: Sequence[str], panel: Panel, paper: Paper) -> None:
    """Draw a head per model and below it a row per kind of content, from top to bottom."""
    styles = plot_styles(models, paper)
    heads = {model_display(model, paper): place * len(KINDS) for place, model in enumerate(models)}
    places, names = [*heads.values()], [*heads]
    for model, (shown, head) in zip(models, heads.items(), strict=True):
        _write(axes, head, panel.given(model))
        pairs = [pair for pair in ablation_pairs() if pair[1] == model]
        for place, pair in enumerate(pairs, start=head + 1):
            kind = KIND_NAMES[content_of(pair[0])]
            places.append(place)
            names.append(kind)
            contrast = panel.contrast(pair)
            if isinstance(contrast, str):
                _write(axes, place, contrast)
            else:
                _whisker(axes, place, contrast, panel.is_relative, styles[model], f"{shown}, {kind}")
    axes.axvline(0, color="black", linewidth=0.8, zorder=1)
    axes.set_yticks(places, names)
    for tick in axes.get_yticklabels():
        tick.set_fontweight("bold" if tick.get_text() in heads else "normal")
    axes.set_ylim(len(models) * len(KINDS) - 0.5, -0.5)


def _write(axes: Axes, place: int, words: str) -> None:
    axes.text(0.98, place, words, transform=axes.get_yaxis_transform(), va="center", ha="right", fontsize=6)


def _whisker(
    axes: Axes, place: int, contrast: Contrast, is_relative: bool, style: Mapping[str, Any], name: str
) -> None:
    """Draw a difference with its interval at a height."""
    words, middle, ends = shown_difference(contrast), contrast.difference, [contrast.low, contrast.high]
    if not is_relative:
        words = f"{middle:+.4f} [{contrast.low:+.4f}, {contrast.high:+.4f}]"
    elif contrast.relative is not None:
        middle = contrast.relative
        ends = [end for end in (contrast.relative_low, contrast.relative_high) if end is not None]
    axes.plot(ends, [place] * len(ends), color=style["color"], linewidth=1.2)
    (dot,) = axes.plot([middle], [place], marker=style["marker"], color=style["color"])
    dot.set_gid(f"{TIP}{name}: {words}")
