"""Layer 10. Users' own scores behind the rows of a table: differences to the best, and what a page compares with.

For the page a user's score, averaged over the repetitions, is a whole number of billionths in four bytes, and
scores that differ by less than two are tied. Precision and Recall differ by far more or not at all, so that their
wins and losses are those of the full numbers; so are those of NDCG but for sums of discounts that meet by chance.
The bytes are compressed: most scores are zero.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol as Structural

import numpy as np
from numpy.typing import NDArray

from bench.leaderboard.rows import Board, BoardRow
from bench.list_files import StoredLists
from bench.record_files import Damaged
from bench.records import RunRecord
from bench.report.gaps import Gap, gaps
from bench.report.resampling import FloatArray
from bench.seeds import derive_seed
from bench.store import Contradicted

UNIT = 1e-9
MAX_VALUES = 1_000_000  # users x rows of a page: 24 MB in the browser, a tenth of it in the file


@dataclass(frozen=True, eq=False)
class BoardScores:
    """What lies behind the complete rows of a table.

    Attributes:
        by_row: by a row's id, scores in the metrics of `Board.shown`, averaged over repetitions,
            `[n_metrics, n_users]`.
        ranking: by a row's id, scores in the metric that ranks, `[n_seeds, n_users]`.
        problems: by the id of a complete row, why it is not among them.
        contradicted: lists whose means are not those of their record, by which the record was changed.
    """

    by_row: dict[str, FloatArray]
    ranking: dict[str, FloatArray]
    problems: dict[str, str]
    contradicted: tuple[Contradicted, ...] = ()

    @property
    def is_blind(self) -> bool:
        """Whether every user has the same scores by all rows, so that the metric that ranks tells none apart."""
        first, *others = self.ranking.values() or [np.zeros(0)]
        return bool(others) and all(np.array_equal(first, each) for each in others)

    @property
    def n_users(self) -> int:
        """Users that all rows were evaluated on; 0 without rows."""
        return next((scores.shape[-1] for scores in self.by_row.values()), 0)


class Lists(Structural):
    """Where lists of runs are read."""

    def read_lists(self, record: RunRecord) -> StoredLists | Damaged:
        """Read the lists of a finished run; or why they cannot be used."""
        ...


def read_scores(board: Board, store: Lists) -> BoardScores:
    """Read the lists of the complete rows; none stops the others."""
    by_row: dict[str, FloatArray] = {}
    ranking: dict[str, FloatArray] = {}
    problems: dict[str, str] = {}
    contradicted: list[Contradicted] = []
    users: NDArray[np.int64] | None = None
    for row in board.complete:
        lists = [store.read_lists(record) for record in row.records]
        contradicted += [each for each in lists if isinstance(each, Contradicted)]
        problem = _problem(board, row, lists, users)
        if problem:
            problems[row.id] = problem
            continue
        whole = [each for each in lists if isinstance(each, StoredLists)]
        users = whole[0].users
        by_row[row.id] = np.array(
            [np.mean([each.per_user[metric] for each in whole], axis=0) for metric in board.shown]
        )
        ranking[row.id] = np.array([each.per_user[board.ranked_by] for each in whole])
    return BoardScores(by_row, ranking, problems, tuple(contradicted))


def _problem(
    board: Board, row: BoardRow, lists: Sequence[StoredLists | Damaged], users: NDArray[np.int64] | None
) -> str:
    """Say why the lists of a row cannot be compared; empty if they can."""
    for record, found in zip(row.records, lists, strict=True):
        if isinstance(found, Damaged):
            return f"the lists of {record.key}: {found.problem}"
        if not set(board.shown) <= set(found.per_user):
            return f"the lists of {record.key} lack a metric"
        users = found.users if users is None else users
        if not np.array_equal(users, found.users):
            return f"the lists of {record.key} are about other users"
    return ""


def behind_best(board: Board, scores: BoardScores) -> dict[str, Gap]:
    """Every compared row against the best one in the metric that ranks, tested together, by id."""
    ranked = [row.id for row in board.complete if row.id in scores.by_row]
    if not ranked or ranked[0] != board.complete[0].id:
        return {}
    best, others = scores.ranking[ranked[0]], [scores.ranking[name] for name in ranked[1:]]
    seed = derive_seed(0, "significance", board.facts.data_hash, board.facts.split_hash)
    return dict(zip(ranked[1:], gaps(np.array(others), best, seed), strict=True))


def chosen_for_page(found: Sequence[tuple[Board, BoardScores]], max_values: int = MAX_VALUES) -> list[list[str]]:
    """Ids of the rows whose users a page holds, by table: the best of each first, as long as there is room.

    Args:
        found: tables with their scores.
        max_values: users x rows.
    """
    chosen: list[list[str]] = [[] for _ in found]
    room = max_values
    for place in range(max((len(board.complete) for board, _ in found), default=0)):
        for (board, scores), rows in zip(found, chosen, strict=True):
            name = board.complete[place].id if place < len(board.complete) else ""
            if name in scores.by_row and scores.n_users <= room:
                room -= scores.n_users
                rows.append(name)
    return chosen


def packed(scores: BoardScores, rows: Sequence[str]) -> str:
    """The users' scores of rows for the page: metrics, rows, users, little-endian, zlib, base64."""
    averaged = np.array([scores.by_row[name] for name in rows]).transpose(1, 0, 2)
    units = np.rint(averaged / UNIT).astype("<u4")
    return base64.b64encode(zlib.compress(units.tobytes(), 9)).decode("ascii")
