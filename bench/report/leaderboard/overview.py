"""The overview figure of all tables of a leaderboard, whichever calls made their runs.

Reads users' scores where there are too few seeds for intervals over them; writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.core.errors import ResultsError, listed
from bench.core.names import split_label
from bench.report.figure import Figure
from bench.report.leaderboard.rows import Board, BoardRow, boards, read_results
from bench.report.material import Material
from bench.report.paper import load_paper
from bench.report.tables import overview
from bench.runs.records import RunRecord
from bench.runs.store import ResultsStore

NAME = "overview"


def overview_of(root: Path, n_asked: int | None = None) -> Figure:
    """Build the overview of all tables of a results directory.

    Of several rows of a model, the one with the best validation score stands for it. All panels have as many seeds
    as the table with the fewest.

    Args:
        root: the results directory.
        n_asked: repetitions of a complete row; None takes the largest number that most rows of a table have.

    Raises:
        ResultsError: no run has finished, or the tables have several protocols; or users' scores are missing.
    """
    tables, _ = boards([file.record for file in read_results(root).runs], n_asked)
    if not tables:
        raise ResultsError(f"No run below {root} has finished, so there is nothing to draw.")
    _check_protocols(tables)
    n_seeds = min(board.n_asked for board in tables)
    chosen = [(row, several) for board in tables for row, several in _chosen(board)]
    records = [record for row, _ in chosen for record in _named(row) if record.spec.repetition < n_seeds]
    labels = list(dict.fromkeys(row.label for row, _ in chosen))
    facts = [board.facts for board in tables]
    material = Material({}, labels, records, n_seeds, load_paper(), ResultsStore(root), recorded=facts)
    figure = overview.build(material)
    return replace(figure, notes=(*figure.notes, *_notes(tables, n_seeds)))


def _check_protocols(tables: Sequence[Board]) -> None:
    """Raise an error if the tables have several protocols, whose numbers cannot share a figure."""
    tags = sorted({board.protocol.tag for board in tables})
    if len(tags) > 1:
        raise ResultsError(
            f"The tables have {len(tags)} protocols: {listed(tags)}. A figure shows one. Copy the runs of one "
            f"protocol into a directory of their own, and name it with --results-dir."
        )


def _chosen(board: Board) -> list[tuple[BoardRow, bool]]:
    """Return one row per label, complete ones first, and whether the label has others."""
    named: dict[str, list[BoardRow]] = {}
    for row in board.rows:
        named.setdefault(row.label, []).append(row)
    return [(max(rows, key=lambda row: _on_validation(row, board)), len(rows) > 1) for rows in named.values()]


def _on_validation(row: BoardRow, board: Board) -> tuple[bool, float]:
    return row.is_complete, row.mean(board.ranked_by, "valid") or 0.0


def _named(row: BoardRow) -> list[RunRecord]:
    """Return the records of a row under its label; a run may have been made under another name."""
    model, variant = split_label(row.label)
    named = {"model": model, "variant": variant}
    return [record.model_copy(update={"spec": record.spec.model_copy(update=named)}) for record in row.records]


def _notes(tables: Sequence[Board], n_seeds: int) -> list[str]:
    more = [f"{board.facts.label} ({board.n_asked})" for board in tables if board.n_asked > n_seeds]
    several = [
        f"{row.label} on {board.facts.label}"
        for board in tables
        for row, has_others in _chosen(board)
        if has_others
    ]
    notes = []
    if more:
        notes.append(f"The first {n_seeds} seeds of each row, because a table has no more: {listed(more)}.")
    if several:
        notes.append(f"Of several rows, the one with the best validation score: {listed(several)}.")
    return notes
