"""The models of a call in order, data set by data set: what the summary, its tables and the first figures show.

An interval is over seeds where there are at least `MIN_SEEDS`; a figure may use one over users below that. Only
models with all their runs have a place. Reads stored lists for intervals over users.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.core.hashing import derive_seed
from bench.core.names import model_of
from bench.core.protocol import PRIMARY_CUTOFF, metric_key
from bench.engine import registry
from bench.report.comparisons import MIN_SEEDS, read_user_scores
from bench.report.material import Material
from bench.report.scores import Score
from bench.report.statistics import LEVEL, N_RESAMPLES, means_over_resamples, seed_of_tests
from bench.report.wording import mean_over, model_display
from bench.runs.records import DataFacts

KINDS = {
    **{"control": "baseline", "cf": "collaborative", "gcn": "graph", "multimodal": "multimodal"},
    "recbole": "RecBole",
}
Interval = tuple[float, float]


@dataclass(frozen=True)
class Standing:
    """A model with all its runs on one data set.

    Attributes:
        place: 1 for the best; equal scores share a place. Models that lack runs share the last.
        label: of its runs.
        name: as displayed.
        score: test score in the metric that selects.
        second: test score in the metric of `second_metric`.
        seconds: mean duration of a run; None if it was not recorded.
    """

    place: int
    label: str
    name: str
    score: Score
    second: Score
    seconds: float | None

    @property
    def mean(self) -> float:
        """Return the mean test score."""
        return self.score.mean or 0.0

    @property
    def kind(self) -> str:
        """Return the kind of the model in one word."""
        return kind_of(self.label)


def kind_of(label: str) -> str:
    """Return the kind of a model in one word, for example "graph"; "other" for a model that is not there."""
    card = registry.card_of(model_of(label))
    return "other" if card is None else KINDS.get(card.family, card.family)


def second_metric(metric: str) -> str:
    """Return the metric beside the ranking one: NDCG@10, or Recall@10 where that ranks."""
    ndcg, recall = (metric_key(name, PRIMARY_CUTOFF) for name in ("ndcg", "recall"))
    return recall if metric == ndcg else ndcg


def standings(material: Material, facts: DataFacts, with_incomplete: bool = False) -> list[Standing]:
    """Return the models of a call, best first; ties are in the order of their names.

    Args:
        material: scores of the call.
        facts: the data set.
        with_incomplete: whether to append the models that lack runs, which have no mean.
    """
    metric = material.protocol.selection_metric
    scores = {label: material.scores.get(facts, label, metric) for label in material.labels}
    found_places = places({label: score.mean for label, score in scores.items() if score.mean is not None})
    found = [
        Standing(
            found_places.get(label, 1 + len(found_places)),
            label,
            model_display(label, material.paper),
            score,
            material.scores.get(facts, label, second_metric(metric)),
            _mean_seconds(material, facts, label),
        )
        for label, score in scores.items()
        if with_incomplete or score.mean is not None
    ]
    return sorted(found, key=lambda each: (each.place, each.name))


def places(scores: Mapping[str, float]) -> dict[str, int]:
    """Return the place of each score, 1 for the highest; equal scores share a place."""
    best_first = sorted(scores.values(), reverse=True)
    return {name: 1 + best_first.index(score) for name, score in scores.items()}


def _mean_seconds(material: Material, facts: DataFacts, label: str) -> float | None:
    """Return the mean duration of the runs of a model; None if it was not recorded."""
    seconds = [run.cost.total_seconds for run in material.runs(facts, label) if run.cost is not None]
    return statistics.fmean(seconds) if seconds else None


def seed_interval(score: Score) -> Interval | None:
    """Return the 95% interval of a mean over its seeds, by Student's t.

    None below `MIN_SEEDS` seeds, and for a row whose runs are all equal: a baseline that is fitted without a seed
    has no spread over seeds, and an interval without width would look like certainty.
    """
    from scipy.stats import t

    if score.mean is None or not score.sd or score.n_runs < MIN_SEEDS:
        return None
    half = float(t.ppf(1 - LEVEL / 2, score.n_runs - 1)) * score.sd / math.sqrt(score.n_runs)
    return score.mean - half, score.mean + half


def intervals(material: Material, facts: DataFacts, labels: Sequence[str]) -> Mapping[str, Interval]:
    """Return 95% intervals of the mean test score: over seeds from `MIN_SEEDS` on, else over users.

    Args:
        material: the records of a call and the store of their lists.
        facts: the data set.
        labels: rows; those without all their runs get no interval, and those that do not depend on seeds always
            one over users.

    Raises:
        ResultsError: stored lists are missing or damaged.
    """
    metric = material.protocol.selection_metric
    if material.n_seeds >= MIN_SEEDS:
        found = {label: seed_interval(material.scores.get(facts, label, metric)) for label in labels}
        return {label: each for label, each in found.items() if each is not None}
    users = read_user_scores(material, facts, labels, [metric])
    if not users.labels:
        return {}
    seed = seed_of_tests(facts)
    means = means_over_resamples(users.scores[metric].mean(axis=1), derive_seed(seed, "bootstrap"), N_RESAMPLES)
    low, high = np.percentile(means, [100 * LEVEL / 2, 100 * (1 - LEVEL / 2)], axis=-1)
    return {label: (float(low[row]), float(high[row])) for row, label in enumerate(users.labels)}


def interval_over(n_seeds: int) -> str:
    """Return what an interval of `intervals` is over: `seeds` or `users`."""
    return "seeds" if n_seeds >= MIN_SEEDS else "users"


def interval_name(n_seeds: int) -> str:
    """Return what an interval of `intervals` is, for axes and captions."""
    if n_seeds >= MIN_SEEDS:
        return f"mean, 95% interval over {n_seeds} seeds"
    return f"{mean_over(n_seeds)}, 95% interval over users"
