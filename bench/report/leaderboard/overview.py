"""The overview figure of all tables of a leaderboard, whichever calls made their runs.

Reads users' scores, because runs that contradict them are in no table; writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from bench.core.errors import ResultsError, listed
from bench.core.names import split_label
from bench.core.text import counted
from bench.report.comparisons import MIN_SEEDS
from bench.report.figure import Figure
from bench.report.leaderboard.build import consistent
from bench.report.leaderboard.forms import headings
from bench.report.leaderboard.rows import Board, BoardRow, read_results
from bench.report.material import Material
from bench.report.paper import Paper, load_paper
from bench.report.tables import overview
from bench.report.wording import model_display
from bench.runs.records import RunRecord
from bench.runs.store import ResultsStore

NAME = "overview"


@dataclass(frozen=True, eq=False)
class Choice:
    """The row that stands for a model in one table.

    Attributes:
        board: its table.
        row: the row.
        records: its first runs, as many as every panel has.
        has_others: whether the table has more rows of this model.
    """

    board: Board
    row: BoardRow
    records: Sequence[RunRecord]
    has_others: bool


def overview_of(root: Path, n_asked: int | None = None) -> Figure:
    """Build the overview of all tables of a results directory.

    Of several rows of a model, the one with the best validation score stands for it. All panels have as many seeds
    as the table with the fewest. Lists of other programs are left out, because these were not trained here.

    Args:
        root: the results directory.
        n_asked: repetitions of a complete row; None takes the largest number that most rows of a table have.

    Raises:
        ResultsError: no model has a finished run, the tables have several protocols, or users' scores are missing.
    """
    store, paper = ResultsStore(root), load_paper()
    tables = [_trained(board) for board in consistent(read_results(root), n_asked, store).tables]
    tables = [board for board in tables if board.rows]
    if not tables:
        among = "" if n_asked is None else f" among the first {counted(n_asked, 'seed')}; give a larger --seeds"
        raise ResultsError(f"No model below {root} has a finished run to draw{among}.")
    _check_protocols(tables)
    n_seeds = min(board.n_asked for board in tables)
    chosen = [each for board in tables for each in _choices(board, n_seeds)]
    figure = _figure(tables, chosen, n_seeds, paper, store)
    notes = _notes(tables, chosen, n_seeds, paper)
    return replace(figure, notes=(*figure.notes, *notes))


def _trained(board: Board) -> Board:
    return replace(board, rows=tuple(row for row in board.rows if not row.is_foreign))


def _check_protocols(tables: Sequence[Board]) -> None:
    """Raise an error if the tables have several protocols, whose numbers cannot share a figure."""
    tags = sorted({board.protocol.tag for board in tables})
    if len(tags) > 1:
        raise ResultsError(
            f"The tables have {len(tags)} protocols: {listed(tags)}. A figure shows one. Copy the runs of one "
            f"protocol, with topk/ or scores/, into a directory of their own, and name it with --results-dir."
        )


def _choices(board: Board, n_seeds: int) -> list[Choice]:
    """Return the row of each model: one with all its first runs, the best of these by their validation scores."""
    named: dict[str, list[BoardRow]] = {}
    for row in sorted(board.rows, key=lambda row: row.id):  # equal scores: in an order without the test part
        named.setdefault(row.label, []).append(row)
    metric, choices = board.ranked_by, []
    for rows in named.values():
        of_row = [[record for record in row.records if record.spec.repetition < n_seeds] for row in rows]
        place = max(range(len(rows)), key=lambda each: (len(of_row[each]), _on_validation(of_row[each], metric)))
        choices.append(Choice(board, rows[place], _named(rows[place], of_row[place]), len(rows) > 1))
    return choices


def _on_validation(records: Sequence[RunRecord], metric: str) -> float:
    return fmean([record.metrics.valid.values[metric] for record in records if record.metrics] or [0.0])


def _named(row: BoardRow, records: Sequence[RunRecord]) -> list[RunRecord]:
    """Return records of a row under its label; a run may have been made under another name."""
    model, variant = split_label(row.label)
    named = {"model": model, "variant": variant}
    return [record.model_copy(update={"spec": record.spec.model_copy(update=named)}) for record in records]


def _figure(
    tables: Sequence[Board], chosen: Sequence[Choice], n_seeds: int, paper: Paper, store: ResultsStore
) -> Figure:
    labels = list(dict.fromkeys(each.row.label for each in chosen))
    records = [record for each in chosen for record in each.records]
    facts = [board.facts for board in tables]
    material = Material({}, labels, records, n_seeds, paper, store, recorded=facts)
    try:
        return overview.build(material)
    except ResultsError as problem:
        raise ResultsError(
            f"Below {MIN_SEEDS} seeds the intervals are over users, whose scores are not all there: {problem} "
            f"Or copy topk/ or scores/ of that run beside runs/."
        ) from problem


def _notes(tables: Sequence[Board], chosen: Sequence[Choice], n_seeds: int, paper: Paper) -> list[str]:
    by_board = dict(zip(tables, headings(tables), strict=True))
    more = [f"{name} ({board.n_asked} there)" for board, name in by_board.items() if board.n_asked > n_seeds]
    several = [
        f"{model_display(each.row.label, paper)} on {by_board[each.board]}" for each in chosen if each.has_others
    ]
    notes = []
    if more:
        notes.append(
            f"All data sets are drawn with the first {counted(n_seeds, 'seed')} of a row: {listed(more)}."
        )
    if several:
        notes.append(f"Of several rows, the one with the best validation score: {listed(several)}.")
    return notes
