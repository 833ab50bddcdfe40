"""Figure 4: users and their items by t-SNE, LightGCN beside LUDP, the same users in both.

The paper shows "some users" and leaves it to the eye whether their items lie together. Here a seed draws the
users, and the number under each panel measures it in the full space of the model's vectors. Reads checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.core.hashing import derive_seed
from bench.core.types import BenchmarkData, FloatArray, IntArray
from bench.report.experiments import MAPPED_MODELS
from bench.report.figure import PAGE_WIDTH, Figure
from bench.report.material import Material
from bench.report.wording import DATA_FIELDS, data_notes, data_values, model_display
from bench.runs.records import DataFacts
from bench.runs.runner import final_vectors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

N_USERS = 10
MIN_ITEMS, MAX_ITEMS = 10, 30  # per user: fewer make no cloud, more hide the items of others
PERPLEXITY = 30.0
PANEL_HEIGHT = 3.6
SHARED = "#B0B0B0"
CSV_HEADER = (*DATA_FIELDS, "model", "repetition", "kind", "user", "item", "x", "y", "silhouette")
NAME = "Users and their items (the paper's Figure 4)"
CAPTION = (
    "Users (stars) and items that they interact with in training (dots), LightGCN beside LUDP: t-SNE of the "
    f"vectors whose dot products are the scores, by cosine distance, first seed. The same {N_USERS} users, "
    f"drawn at random from those with {MIN_ITEMS} training items or more, and up to {MAX_ITEMS} random items "
    "of each, in one colour per user; items of several users are grey. Distances between clouds and their sizes "
    "mean nothing in a t-SNE. The number is the mean silhouette of the users' item clouds in the full space, by "
    "cosine distance and without grey items: 1 if items lie close to those of the same user and far from the "
    "others, 0 if clouds cannot be told apart. The models were trained on these items."
)


@dataclass(frozen=True, eq=False)
class Sample:
    """The users and items of a figure.

    Attributes:
        users: their ids, ascending, `[n]`.
        items: ids of their items, each once, `[m]`.
        owners: position in `users` of each item's user, -1 for an item of several users, `[m]`.
    """

    users: IntArray
    items: IntArray
    owners: IntArray


@dataclass(frozen=True, eq=False)
class Panel:
    """One model on one data set; `missing` says why the panel is empty."""

    label: str
    facts: DataFacts
    sample: Sample
    repetition: int = 0
    missing: str = ""
    places: NDArray[np.float64] | None = None
    silhouette: float | None = None


def build(material: Material) -> Figure:
    """Build Figure 4 of a call: one row of two panels per data set."""
    panels = [
        [_panel(material, data, facts, label) for label in MAPPED_MODELS]
        for data, facts in zip(material.data.values(), material.facts, strict=True)
    ]
    names = {label: model_display(label, material.paper) for label in MAPPED_MODELS}
    notes = [note for facts in material.facts for note in data_notes(facts, facts.label, material.paper)]
    notes += [
        f"{each.facts.label}: no {names[each.label]} ({each.missing})."
        for pair in panels
        for each in pair
        if each.missing
    ]
    csv_rows = tuple(row for pair in panels for each in pair for row in _csv_rows(each))
    return Figure(NAME, CAPTION, tuple(notes), CSV_HEADER, csv_rows, lambda: _draw(panels, names))


def choose(data: BenchmarkData, seed: int) -> Sample:
    """Choose the users and items to show: the same for every model, and for every call with this seed.

    Args:
        data: the data set; only users with at least `MIN_ITEMS` training items are drawn.
        seed: of the draw.
    """
    train, generator = data.split.train, np.random.default_rng(seed)
    eligible = np.flatnonzero(np.diff(train.offsets) >= MIN_ITEMS)
    users = np.sort(generator.choice(eligible, min(N_USERS, len(eligible)), replace=False))
    owned = [train.items[train.offsets[user] : train.offsets[user + 1]] for user in users]
    shown = [generator.choice(items, min(MAX_ITEMS, len(items)), replace=False) for items in owned]
    items = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *shown]))
    belongs = np.array([np.isin(items, each) for each in owned]).reshape(len(users), len(items))
    owners = np.where(belongs.sum(axis=0) == 1, belongs.argmax(axis=0) if len(users) else -1, -1)
    return Sample(users, items, owners)


def cloud_silhouette(vectors: FloatArray, owners: IntArray) -> float | None:
    """Return the mean over users of their items' mean silhouette, by cosine distance; None below two clouds.

    A user with a single item counts as 0: the silhouette of a cloud of one is not defined.

    Args:
        vectors: of the items, `[m, D]`.
        owners: position of each item's user, -1 for none, `[m]`.
    """
    from sklearn.metrics import silhouette_samples

    own = owners >= 0
    clouds = np.unique(owners[own])
    if not 2 <= len(clouds) < own.sum():
        return None
    values = silhouette_samples(vectors[own], owners[own], metric="cosine")
    return float(np.mean([values[owners[own] == cloud].mean() for cloud in clouds]))


def _panel(material: Material, data: BenchmarkData, facts: DataFacts, label: str) -> Panel:
    runs = [record for record in material.runs(facts, label) if record.spec.repetition == 0]
    base_seed = material.records[0].spec.base_seed if material.records else 0
    sample = choose(data, derive_seed(base_seed, facts.name, "figure 4"))
    if len(sample.users) < 2:
        return Panel(label, facts, sample, missing=f"fewer than two users have {MIN_ITEMS} training items")
    if not runs:
        return Panel(label, facts, sample, missing="its first seed has no finished run")
    vectors = final_vectors(runs[0], data, material.store)
    if vectors is None:
        why = f"the parameters of run {runs[0].key} are missing, damaged, or of another version of the model"
        return Panel(label, facts, sample, missing=why)
    users, items = vectors
    shown = np.concatenate([users[sample.users], items[sample.items]])
    return Panel(
        label,
        facts,
        sample,
        places=_places(shown),
        silhouette=cloud_silhouette(items[sample.items], sample.owners),
    )


def _places(vectors: FloatArray) -> NDArray[np.float64]:
    """Map vectors to two dimensions by t-SNE, `[n, 2]`."""
    from sklearn.manifold import TSNE

    # t-SNE needs a perplexity well below the number of points
    perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
    # exact gradients in one thread: the same vectors give the same places
    tsne = TSNE(perplexity=perplexity, metric="cosine", init="random", random_state=0, method="exact", n_jobs=1)
    return np.asarray(tsne.fit_transform(vectors), dtype=np.float64)


def _csv_rows(panel: Panel) -> list[tuple[Any, ...]]:
    start = (*data_values(panel.facts), panel.label, panel.repetition)
    if panel.places is None:
        return [(*start, "missing", None, None, None, None, None)]
    users, items, owners = panel.sample.users, panel.sample.items, panel.sample.owners
    kinds: list[tuple[str, int | None, int | None]] = [("user", int(user), None) for user in users]
    for item, owner in zip(items, owners, strict=True):
        kinds.append(("item", int(users[owner]) if owner >= 0 else None, int(item)))
    return [
        (*start, *kind, float(x), float(y), panel.silhouette)
        for kind, (x, y) in zip(kinds, panel.places, strict=True)
    ]


def _draw(panels: Sequence[Sequence[Panel]], names: dict[str, str]) -> Drawing:
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(PAGE_WIDTH, PANEL_HEIGHT * len(panels)), layout="constrained")
    for line, pair in zip(drawing.subplots(len(panels), len(MAPPED_MODELS), squeeze=False), panels, strict=True):
        for axes, panel in zip(line, pair, strict=True):
            _draw_panel(axes, panel, names[panel.label])
    return drawing


def _draw_panel(axes: Axes, panel: Panel, name: str) -> None:
    import matplotlib as mpl

    axes.set_title(f"{name}, {panel.facts.label}")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    if panel.places is None:
        axes.text(0.5, 0.5, f"nothing to show:\n{panel.missing}", ha="center", va="center", wrap=True)
        return
    sample, n_users = panel.sample, len(panel.sample.users)
    palette = mpl.colormaps["tab10"].colors  # type: ignore[attr-defined]
    stars, dots = panel.places[:n_users], panel.places[n_users:]
    colours = [palette[owner % len(palette)] if owner >= 0 else SHARED for owner in sample.owners]
    for owner, dot in zip(sample.owners, dots, strict=True):
        if owner >= 0:
            axes.plot(*zip(stars[owner], dot, strict=True), color=palette[owner % len(palette)], lw=0.4, alpha=0.5)
    axes.scatter(dots[:, 0], dots[:, 1], s=9, c=colours, linewidths=0)
    axes.scatter(
        stars[:, 0],
        stars[:, 1],
        s=70,
        c=palette[:n_users],
        marker="*",
        edgecolors="black",
        linewidths=0.5,
        zorder=3,
    )
    number = "–" if panel.silhouette is None else f"{panel.silhouette:+.3f}"
    axes.set_xlabel(f"mean silhouette of the item clouds, in the full space: {number}")
