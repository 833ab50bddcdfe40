"""Who is served: Recall by user activity and item popularity, and coverage, Gini and novelty of the lists. Pure.

Groups are quarters of the users or items by training interactions. Equal counts stay together: a group ends at
the largest count of its quarter, so heavy ties make groups uneven, or fewer. A cell is the mean of a measure over
all seeds. "First" below means the first `PRIMARY_CUTOFF` of a user's list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.core.protocol import PRIMARY_CUTOFF, metric_key, short_metric
from bench.core.types import BenchmarkData, BoolArray, IntArray, TopK
from bench.engine.evaluate import hit_matrix
from bench.report.figure import PAGE_WIDTH, TIP, Figure
from bench.report.material import Material
from bench.report.scores import Score, data_key
from bench.report.table import CsvValue
from bench.report.wording import (
    DASH,
    DATA_FIELDS,
    data_headings,
    data_notes,
    data_values,
    model_display,
    row_order,
)
from bench.runs.list_files import StoredLists
from bench.runs.records import DataFacts, RunRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

QUARTERS = (0.25, 0.5, 0.75)
RECALL = metric_key("recall", PRIMARY_CUTOFF)
CSV_HEADER = (
    *DATA_FIELDS,
    *("model", "by", "group", "n", "metric", "mean", "sd", "n_runs", "n_failed", "n_asked"),
)
CAPTION = (
    f"{short_metric(RECALL)} for groups of users and of items by their training interactions, {{made}}; the "
    "darker a cell, the closer it is to the best model of its column. For users it is the mean over the n users "
    "with test interactions, for items the share of the n test interactions that are among the "
    f"first {PRIMARY_CUTOFF} of their user. Groups are quarters, uneven where many have the same number; cold "
    "users and items have no training interaction. Coverage, Gini and novelty of the lists are in the CSV."
)
ROW_HEIGHT, FRAME = 0.17, 0.85  # inches per model, and around the rows of a heat map
DARK = 0.75  # share of the best from which a cell needs white text


@dataclass(frozen=True, eq=False)
class Group:
    """Users or items whose counts lie between two bounds.

    Attributes:
        least: the smallest count in it.
        most: the largest; 0 for cold items.
        members: which of all users or items are in it, `[n_users]` or `[n_items]`.
        is_open: whether it is named by its smallest count alone.
    """

    least: int
    most: int
    members: BoolArray
    is_open: bool = False

    @property
    def name(self) -> str:
        """Return the group's range of counts, for example "5 to 7"."""
        if self.most == 0:
            return "0 (cold)"
        if self.is_open:
            return f"{self.least:,} or more"
        return f"{self.least:,}" if self.least == self.most else f"{self.least:,} to {self.most:,}"


def quarters(counts: IntArray, taking_part: BoolArray) -> list[Group]:
    """Split users or items into at most four non-empty groups by count, ascending; equal counts stay together.

    Args:
        counts: of all users or items, `[n]`.
        taking_part: which of them are grouped, `[n]` bool.
    """
    some = counts[taking_part]
    if not len(some):
        return []
    bounds = np.unique([*np.quantile(some, QUARTERS, method="inverted_cdf"), some.max()])
    places = np.searchsorted(bounds, counts)  # a count equal to a bound belongs to the group that it ends
    groups = [taking_part & (places == place) for place in range(len(bounds))]
    return [Group(int(counts[inside].min()), int(counts[inside].max()), inside) for inside in groups]


def user_groups(data: BenchmarkData) -> list[Group]:
    """Return quarters of the users with test and training interactions, and those without training, if any.

    Models rank for users without training interactions by where they began, or by popularity, so that these users
    can change the order of the models. Where there are some, a last group is all other users.
    """
    evaluated, counts = np.diff(data.split.test.offsets) > 0, np.diff(data.split.train.offsets)
    cold, others = evaluated & (counts == 0), evaluated & (counts > 0)
    groups = quarters(counts, others)
    if cold.any():
        groups.append(Group(0, 0, cold))
        if others.any():
            groups.append(Group(1, int(counts[others].max()), others, is_open=True))
    return groups


def item_groups(data: BenchmarkData) -> list[Group]:
    """Return quarters of the items with training interactions, and the cold items, if any, as a last group."""
    counts = popularity(data)
    cold = [Group(0, 0, counts == 0)] if (counts == 0).any() else []
    return [*quarters(counts, counts > 0), *cold]


def popularity(data: BenchmarkData) -> IntArray:
    """Count the training interactions of every item, `[n_items]`."""
    return np.bincount(data.split.train.items, minlength=data.n_items)


def user_mean(lists: StoredLists, members: BoolArray, metric: str = RECALL) -> float | None:
    """Return the mean of a metric over the evaluated users of a group; None without any.

    Args:
        lists: of all evaluated users.
        members: which users are in the group, `[n_users]`.
        metric: one of the lists' metrics.
    """
    values = lists.per_user[metric][members[lists.users]]
    return float(values.mean()) if len(values) else None


def item_recall(lists: StoredLists, data: BenchmarkData, members: BoolArray) -> float | None:
    """Return the share of a group's test interactions that are among the first of their user; None without any.

    Args:
        lists: of all evaluated users.
        data: the data set.
        members: which items are in the group, `[n_items]`.
    """
    first = lists.items[:, :PRIMARY_CUTOFF]
    hits = first[hit_matrix(TopK(lists.users, first, 0), data.split.test)]
    n_test = int(members[data.split.test.items].sum())
    return float(members[hits].sum() / n_test) if n_test else None


def exposure(lists: StoredLists, n_items: int) -> IntArray:
    """Count how often each item is among the first, `[n_items]`."""
    first = lists.items[:, :PRIMARY_CUTOFF]
    return np.bincount(first[first >= 0], minlength=n_items)  # -1 fills short lists


def coverage(shown: IntArray) -> float:
    """Return the share of all items that are among the first of at least one user.

    Args:
        shown: result of `exposure`.
    """
    return float((shown > 0).mean())


def gini(shown: IntArray) -> float | None:
    """Return the Gini coefficient of exposure; None if nothing is shown.

    It is the sum over i of (2i - n - 1) x_i / (n * sum of x), x ascending: 0 if all n items are shown equally
    often, (n - 1) / n if only one item is shown.

    Args:
        shown: result of `exposure`.
    """
    if not shown.any():
        return None
    ascending, n_items = np.sort(shown), len(shown)
    weights = 2 * np.arange(1, n_items + 1) - n_items - 1
    return float((weights * ascending).sum() / (n_items * ascending.sum()))


def novelty(shown: IntArray, counts: IntArray) -> float | None:
    """Return the mean of -log2((c + 1) / (C + n_items)) over shown items, in bits; None if nothing is shown.

    One is added to every count, so that a cold item has a finite value.

    Args:
        shown: result of `exposure`.
        counts: training interactions c of every item, of sum C, `[n_items]`.
    """
    if not shown.any():
        return None
    bits = -np.log2((counts + 1) / (counts.sum() + len(counts)))
    return float((shown * bits).sum() / shown.sum())


@dataclass(frozen=True, eq=False)
class Measure:
    """One column of a block.

    Attributes:
        by: "user", "item" or "all": what is grouped.
        group: name of the group, or of the measure if `by` is "all".
        n: number of users or test interactions.
        metric: name in the CSV.
        of: the measure of one run's lists.
    """

    by: str
    group: str
    n: int
    metric: str
    of: Callable[[StoredLists], float | None]

    def is_drawn(self, by: str) -> bool:
        """Return whether the figure shows it in the panel of users or items; the CSV has all."""
        return self.by == by and self.metric == RECALL

    @property
    def title(self) -> str:
        """Return the column head."""
        return self.group if self.by == "all" else f"{self.group}\n(n={self.n:,})"


@dataclass(frozen=True, eq=False)
class HeatMap:
    """One panel of the figure.

    Attributes:
        heading: of the data set.
        by: "user" or "item".
        names: of the models, best first.
        columns: scores by group, in the order of `names`.
    """

    heading: str
    by: str
    names: Sequence[str]
    columns: dict[Measure, list[Score]]


def build(material: Material) -> Figure:
    """Build the heat maps of a call: users and items by training interactions, with all models of the call.

    Raises:
        ResultsError: the lists of a finished run are missing or damaged.
    """
    labels = row_order(material.labels, material.paper)
    maps: list[HeatMap] = []
    notes: list[str] = []
    csv_rows: list[tuple[CsvValue, ...]] = []
    headings = data_headings(material.facts)
    for data, facts, heading in zip(material.data.values(), material.facts, headings, strict=True):
        measures = measures_of(data, material.protocol.selection_metric)
        scores = _scores(material, facts, labels, measures)
        (overall,) = (scores[each] for each in measures if each.by == "all" and each.metric == RECALL)
        order = sorted(range(len(labels)), key=lambda row: _descending(overall[row]))
        names = [model_display(labels[row], material.paper) for row in order]
        for by in ("user", "item"):
            columns = {each: [scores[each][row] for row in order] for each in measures if each.is_drawn(by)}
            maps.append(HeatMap(heading, by, names, columns))
        notes += data_notes(facts, heading, material.paper)
        for label in labels:
            csv_rows += [_csv_row(facts, label, each, scores[each][labels.index(label)]) for each in scores]
    caption = CAPTION.format(made="1 seed" if material.n_seeds == 1 else f"means of {material.n_seeds} seeds")
    return Figure(
        "Who is served", caption, tuple(notes), CSV_HEADER, tuple(csv_rows), lambda: _draw(maps, len(labels))
    )


def _descending(score: Score) -> tuple[bool, float]:
    """Return the sort key of a score: the best first, then rows that lack runs, those with the most runs first."""
    return score.mean is None, -score.n_runs if score.mean is None else -score.mean


def measures_of(data: BenchmarkData, metric: str) -> list[Measure]:
    """Return the measures of a data set: of groups of users, of groups of items, and of whole lists.

    Args:
        data: the data set.
        metric: of the protocol's selection, which the groups of cold and other users have beside Recall@10.
    """
    by_user, by_item = user_groups(data), item_groups(data)
    n_users = int((np.diff(data.split.test.offsets) > 0).sum())
    counts, test_items = popularity(data), data.split.test.items

    def of_users(group: Group, name: str = RECALL) -> Measure:
        n, members = int(group.members.sum()), group.members
        return Measure("user", group.name, n, name, lambda lists: user_mean(lists, members, name))

    def of_items(group: Group) -> Measure:
        n, members = int(group.members[test_items].sum()), group.members
        return Measure("item", group.name, n, RECALL, lambda lists: item_recall(lists, data, members))

    def whole(name: str, of: Callable[[IntArray], float | None]) -> Measure:
        key = metric_key(name.lower(), PRIMARY_CUTOFF)
        return Measure("all", name, n_users, key, lambda lists: of(exposure(lists, data.n_items)))

    everyone = np.ones(data.n_users, dtype=bool)
    return [
        *(of_users(group) for group in by_user),
        *(of_users(group, metric) for group in by_user if metric != RECALL and (group.is_open or not group.most)),
        *(of_items(group) for group in by_item),
        Measure("all", short_metric(RECALL), n_users, RECALL, lambda lists: user_mean(lists, everyone)),
        whole("Coverage", coverage),
        whole("Gini", gini),
        whole("Novelty", lambda shown: novelty(shown, counts)),
    ]


def _scores(
    material: Material, facts: DataFacts, labels: Sequence[str], measures: Sequence[Measure]
) -> dict[Measure, list[Score]]:
    """Return for every measure the scores of all labels; each run's lists are read once."""
    by_measure: dict[Measure, list[Score]] = {each: [] for each in measures}
    for label in labels:
        lists = [material.lists(record) for record in material.runs(facts, label)]
        n_failed = sum(_is_failed(record, facts, label) for record in material.records)
        for each, scores in by_measure.items():
            values = [value for value in map(each.of, lists) if value is not None]
            is_whole = len(values) == len(lists)  # a run without the group's items has no value
            scores.append(Score.of(values if is_whole else [], len(lists), n_failed, material.n_seeds))
    return by_measure


def _is_failed(record: RunRecord, facts: DataFacts, label: str) -> bool:
    return record.status == "failed" and record.spec.label == label and data_key(record.data) == data_key(facts)


def _draw(maps: Sequence[HeatMap], n_models: int) -> Drawing:
    from matplotlib.figure import Figure as Drawing

    n_sets = len(maps) // 2
    size = (PAGE_WIDTH, n_sets * (FRAME + ROW_HEIGHT * n_models))
    drawing = Drawing(figsize=size, layout="constrained")
    grid = drawing.subplots(n_sets, 2, squeeze=False, sharey="row")
    for axes, each in zip(grid.flat, maps, strict=True):
        _draw_map(axes, each)
    return drawing


def _draw_map(axes: Axes, each: HeatMap) -> None:
    """Draw a heat map; the darkest cell of a column is its best model."""
    axes.grid(False)
    axes.tick_params(length=0)
    axes.set_title(each.heading if each.by == "user" else "", loc="left")
    axes.set_xlabel(f"training interactions of the {each.by}")
    if not each.columns:
        axes.text(0.5, 0.5, "no group has test interactions", ha="center", transform=axes.transAxes)
        return
    shares = [_shares(scores) for scores in each.columns.values()]
    colours = np.array(shares, dtype=np.float64).T
    axes.imshow(colours, cmap="Blues", vmin=0, vmax=1.3, aspect="auto")  # below the darkest blue text is readable
    for column, (measure, scores) in enumerate(each.columns.items()):
        for row, score in enumerate(scores):
            ink = "white" if colours[row, column] > DARK else "black"
            text = axes.text(column, row, _shown(score), ha="center", va="center", fontsize=6, color=ink)
            text.set_gid(f"{TIP}{each.names[row]}, {measure.title}: {_shown(score)}")
    axes.set_xticks(range(len(each.columns)), [measure.title for measure in each.columns], fontsize=6)
    axes.set_yticks(range(len(each.names)), each.names)


def _shares(scores: Sequence[Score]) -> list[float]:
    """Return complete means as shares of the best one of their column; nan for the others."""
    best = max((score.mean or 0.0 for score in scores), default=0.0)
    return [float("nan") if score.mean is None else score.mean / (best or 1.0) for score in scores]


def _shown(score: Score) -> str:
    if score.mean is not None:
        return f"{score.mean:.3f}"
    return score.progress if 0 < score.n_runs < (score.n_asked or 0) else DASH


def _csv_row(facts: DataFacts, label: str, each: Measure, score: Score) -> tuple[CsvValue, ...]:
    return (
        *data_values(facts),
        *(label, each.by, "all" if each.by == "all" else each.group, each.n, each.metric, score.mean, score.sd),
        *(score.n_runs, score.n_failed, score.n_asked),
    )
