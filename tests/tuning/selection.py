"""How often a choice picks the truly best setting, and what it loses: by one seed, or by means over fresh seeds.

A setting has a true value, its mean over seeds, and every run of it one draw around that. The values of a search
that was made are draws themselves, wider than the true ones by the seeds' spread; they are drawn towards their
mean for that (Efron and Morris, 1975), each by the same factor, before they are taken for true ones.
"""

from __future__ import annotations

import csv
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Choice:
    """What a way of choosing gives in expectation.

    Attributes:
        hits: share of the draws in which the truly best setting is chosen.
        loss: true value of the best setting less that of the chosen one.
        optimism: score that chose, less the true value of the chosen setting.
        runs: trainings beyond the search.
    """

    hits: float
    loss: float
    optimism: float
    runs: int


def simulate(
    values: Sequence[float], spread: float, n_settings: int, n_seeds: int, n_draws: int = 20_000, seed: int = 0
) -> Choice:
    """Search and choose many times.

    Args:
        values: true values of the settings.
        spread: standard deviation of a run around its setting's true value.
        n_settings: best ones that are trained again; below 2 the search's one seed chooses.
        n_seeds: fresh seeds of each; likewise.
        n_draws: searches.
        seed: of the draws.
    """
    rng, truth = np.random.default_rng(seed), np.asarray(values, dtype=np.float64)
    scores = truth + spread * rng.standard_normal((n_draws, len(truth)))
    rows = np.arange(n_draws)
    if min(n_settings, n_seeds) < 2:
        chosen, told = scores.argmax(axis=1), scores.max(axis=1)
        runs = 0
    else:
        best = np.sort(np.argsort(-scores, axis=1, kind="stable")[:, :n_settings], axis=1)
        noise = spread / n_seeds**0.5 * rng.standard_normal(best.shape)
        means = truth[best] + noise
        place = means.argmax(axis=1)
        chosen, told, runs = best[rows, place], means[rows, place], best.shape[1] * n_seeds
    lost: NDArray[np.float64] = truth.max() - truth[chosen]
    return Choice(float((lost == 0).mean()), float(lost.mean()), float((told - truth[chosen]).mean()), runs)


def shrunk(scores: Sequence[float], spread: float) -> list[float]:
    """Scores of one seed each, drawn towards their mean so that their variance is that of the true values."""
    mean, variance = statistics.fmean(scores), statistics.pvariance(scores)
    factor = max(0.0, 1 - spread**2 / variance) ** 0.5 if variance else 0.0
    return [mean + factor * (score - mean) for score in scores]


def trial_scores(path: Path) -> dict[str, list[float]]:
    """Validation scores of the trials by model, of a table `tuning.csv` or `trials.csv`."""
    found: dict[str, list[float]] = {}
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            score = row.get("valid") or row.get("valid_recall@10")
            if score and row.get("stage", "tuning") == "tuning":
                found.setdefault(row["model"], []).append(float(score))
    return found


def seed_spreads(path: Path, metric: str) -> dict[str, float]:
    """Standard deviation over seeds of the test scores by model, of a table `table3.csv`."""
    with path.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == metric and row["sd"]]
    return {row["model"]: float(row["sd"]) for row in rows}
