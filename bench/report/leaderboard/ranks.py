"""Ranks of the rows of a table in every displayed metric, and their tested differences from the best row. Pure.

The best row was chosen by its score, so its tests are corrected over all pairs of rows. The rows that no test
tells apart from it share its rank. Fewer than `MIN_SEEDS` repetitions say too little about another training: then
the rows are in the order of their means, without shared ranks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.report.comparisons import MIN_SEEDS
from bench.report.leaderboard.rows import Board
from bench.report.statistics import Contrast, FloatArray, Resamples, seed_of_tests


@dataclass(frozen=True)
class BoardRank:
    """The place of a row in one metric.

    Attributes:
        rank: place by the mean, from 1, equal for equal means; None for an incomplete row.
        first: first rank that the row shares; `rank` if it is told apart from the best row.
        last: last rank that it shares.
        gap: tested difference from the best row; None for that row and for rows that could not be compared.
    """

    rank: int | None = None
    first: int | None = None
    last: int | None = None
    gap: Contrast | None = None


def board_ranks(board: Board, by_seed: Mapping[str, FloatArray]) -> dict[str, dict[str, BoardRank]]:
    """Return the rank of every row, by metric and row id.

    Args:
        board: the table.
        by_seed: by row id, per-user scores in the metrics of `board.shown`, `[n_metrics, n_seeds, n_users]`.
    """
    behind = _behind_best(board, by_seed)
    return {metric: _in_metric(board, metric, behind[metric]) for metric in board.shown}


def _in_metric(board: Board, metric: str, behind: Mapping[str, Contrast]) -> dict[str, BoardRank]:
    means = {row.id: row.mean(metric) for row in board.rows}
    known = sorted((mean for mean in means.values() if mean is not None), reverse=True)
    shared = {name for name, gap in behind.items() if not gap.sign}
    shared |= {name for name, mean in means.items() if known and mean == known[0]}
    if board.n_asked < MIN_SEEDS:
        shared = set()
    last = max((_last_place(means[name], known) for name in shared), default=0)
    found: dict[str, BoardRank] = {}
    for name, mean in means.items():
        if mean is None:
            found[name] = BoardRank()
            continue
        rank = 1 + known.index(mean)
        first, end = (1, last) if name in shared else (rank, rank)
        found[name] = BoardRank(rank, first, end, behind.get(name))
    return found


def _last_place(mean: float | None, known: list[float]) -> int:
    """Return the number of rows that are at least as good."""
    return sum(mean is not None and other >= mean for other in known)


def _behind_best(board: Board, by_seed: Mapping[str, FloatArray]) -> dict[str, dict[str, Contrast]]:
    """Test the comparable rows against the best of each metric; by metric and row id.

    A metric has no test if the best row in it cannot be compared.
    """
    ids = [row.id for row in board.complete if row.id in by_seed]
    found: dict[str, dict[str, Contrast]] = {metric: {} for metric in board.shown}
    if len(ids) < 2:
        return found
    scores = {metric: np.array([by_seed[name][place] for name in ids]) for place, metric in enumerate(board.shown)}
    resamples = Resamples(ids, scores, seed_of_tests(board.facts))
    for metric in board.shown:
        means = {row.id: row.mean(metric) for row in board.complete}
        best = max(means, key=lambda name: means[name] or 0.0)
        if best in ids:
            others = [name for name in ids if name != best]
            found[metric] = dict(zip(others, resamples.against_best(metric, best), strict=True))
    return found
