"""Per-user scores of the rows of a table, read from a results directory and packed for the page."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol as Structural

import numpy as np
from numpy.typing import NDArray

from bench.report.leaderboard.rows import Board, BoardRow
from bench.report.statistics import FloatArray
from bench.runs.list_files import StoredScores
from bench.runs.record_files import Damaged
from bench.runs.records import RunRecord
from bench.runs.store import Contradicted

# On the page a user's mean score is a whole number of billionths in four bytes, and scores that differ by less
# than two units are tied. Different values of Precision and Recall are much further apart, so their wins and
# losses are exact. Those of NDCG are exact except where different sums of discounts nearly coincide.
UNIT = 1e-9
MAX_VALUES = 1_000_000  # users x rows of a page: 24 MB in the browser, a tenth of that in the file


@dataclass(frozen=True, eq=False)
class BoardScores:
    """Per-user scores of the complete rows of a table.

    Attributes:
        by_seed: by row id, scores in the metrics of `Board.shown`, `[n_metrics, n_seeds, n_users]`.
        ranked: place of the ranking metric in `Board.shown`.
        problems: by id of a complete row, why its scores cannot be used.
        contradicted: scores whose means differ from those in their record, so that the record was changed.
    """

    by_seed: dict[str, FloatArray]
    ranked: int
    problems: dict[str, str]
    contradicted: tuple[Contradicted, ...] = ()

    @property
    def rows_are_equal(self) -> bool:
        """Return whether every user has the same scores in all rows, so that the metric cannot rank them."""
        first, *others = [each[self.ranked] for each in self.by_seed.values()] or [np.zeros(0)]
        return bool(others) and all(np.array_equal(first, each) for each in others)

    @property
    def n_users(self) -> int:
        """Return the number of users that all rows were evaluated on; 0 without rows."""
        return next((scores.shape[-1] for scores in self.by_seed.values()), 0)


class ScoreReader(Structural):
    """A reader of the per-user metrics of runs."""

    def read_scores(self, record: RunRecord) -> StoredScores | Damaged:
        """Read the per-user metrics of a finished run, or return why they cannot be used."""
        ...


def read_scores(board: Board, store: ScoreReader) -> BoardScores:
    """Read the scores of the complete rows; unusable ones are reported and do not stop the others."""
    by_seed: dict[str, FloatArray] = {}
    problems: dict[str, str] = {}
    contradicted: list[Contradicted] = []
    users: NDArray[np.int64] | None = None
    for row in board.complete:
        found = [store.read_scores(record) for record in row.records]
        contradicted += [each for each in found if isinstance(each, Contradicted)]
        problem = _problem(board, row, found, users)
        if problem:
            problems[row.id] = problem
            continue
        stored = [each for each in found if isinstance(each, StoredScores)]
        users = stored[0].users
        own = np.array([[each.per_user[metric] for each in stored] for metric in board.shown])
        # the one result of another program stands against every repetition of a model
        by_seed[row.id] = np.repeat(own, board.n_asked, axis=1) if row.is_foreign else own
    return BoardScores(by_seed, board.shown.index(board.ranked_by), problems, tuple(contradicted))


def _problem(
    board: Board, row: BoardRow, found: Sequence[StoredScores | Damaged], users: NDArray[np.int64] | None
) -> str:
    """Return why the scores of a row cannot be compared; "" if they can."""
    for record, stored in zip(row.records, found, strict=True):
        if isinstance(stored, Damaged):
            return f"the scores of {record.key}: {stored.problem}"
        if not set(board.shown) <= set(stored.per_user):
            return f"the scores of {record.key} lack a metric"
        users = stored.users if users is None else users
        if not np.array_equal(users, stored.users):
            return f"the scores of {record.key} cover other users"
    return ""


def chosen_for_page(tables: Sequence[tuple[Board, BoardScores]], max_values: int = MAX_VALUES) -> list[list[str]]:
    """Choose the rows, by id and table, whose per-user scores a page holds: the best of every table first.

    Args:
        tables: tables with their scores.
        max_values: limit on users x rows over all tables.
    """
    chosen: list[list[str]] = [[] for _ in tables]
    room = max_values
    for place in range(max((len(board.complete) for board, _ in tables), default=0)):
        for (board, scores), rows in zip(tables, chosen, strict=True):
            name = board.complete[place].id if place < len(board.complete) else ""
            if name in scores.by_seed and scores.n_users <= room:
                room -= scores.n_users
                rows.append(name)
    return chosen


def packed(scores: BoardScores, rows: Sequence[str]) -> str:
    """Encode per-user scores for the page: `[n_metrics, n_rows, n_users]`, little-endian, zlib, base64."""
    averaged = np.array([scores.by_seed[name].mean(axis=1) for name in rows]).transpose(1, 0, 2)
    units = np.rint(averaged / UNIT).astype("<u4")
    return base64.b64encode(zlib.compress(units.tobytes(), 9)).decode("ascii")  # most scores are zero
