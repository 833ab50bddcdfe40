"""Ranks of the rows of a table in every displayed metric, and their tested differences from the best row. Pure.

The rows that no test tells apart from the best one share its rank. Fewer than `MIN_SEEDS` repetitions say too
little about another training: then the rows are in the order of their means, without shared ranks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.report.comparisons import MIN_SEEDS
from bench.report.leaderboard.rows import Board
from bench.report.statistics import FloatArray, Gap, gaps_of_families, seed_of_tests


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
    gap: Gap | None = None


def standings(board: Board, by_seed: Mapping[str, FloatArray]) -> dict[str, dict[str, BoardRank]]:
    """Return the standing of every row, by metric and row id.

    Args:
        board: the table.
        by_seed: by row id, per-user scores in the metrics of `board.shown`, `[n_metrics, n_seeds, n_users]`.
    """
    behind = _behind_best(board, by_seed)
    return {metric: _in_metric(board, metric, behind[metric]) for metric in board.shown}


def _in_metric(board: Board, metric: str, behind: Mapping[str, Gap]) -> dict[str, BoardRank]:
    means = {row.id: row.mean(metric) for row in board.rows}
    known = sorted((mean for mean in means.values() if mean is not None), reverse=True)
    shared = {name for name, gap in behind.items() if not gap.differs}
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


def _behind_best(board: Board, by_seed: Mapping[str, FloatArray]) -> dict[str, dict[str, Gap]]:
    """Test the comparable rows against the best of each metric, as one family a metric; by metric and row id.

    A metric has no test if the best row in it cannot be compared.
    """
    rows = [row for row in board.complete if row.id in by_seed]
    tested: dict[str, str] = {}
    families = []
    for place, metric in enumerate(board.shown):
        means = {row.id: row.mean(metric) for row in board.complete}
        best = max(board.complete, key=lambda row: means[row.id] or 0.0, default=None)
        if best is None or best.id not in by_seed or len(rows) < 2:
            continue
        tested[metric] = best.id
        others = np.array([by_seed[row.id][place] for row in rows if row.id != best.id])
        families.append((others, by_seed[best.id][place]))
    seed = seed_of_tests(board.facts)
    found: dict[str, dict[str, Gap]] = {metric: {} for metric in board.shown}
    for (metric, best_id), family in zip(tested.items(), gaps_of_families(families, seed), strict=True):
        found[metric] = dict(zip([row.id for row in rows if row.id != best_id], family, strict=True))
    return found
