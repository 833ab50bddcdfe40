"""Layer 8. Scores as cells and sentences, in the words that all tables and figures share. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bench.errors import listed
from bench.report.scores import Score, Scores
from bench.report.table import Cell, Mark
from bench.report.wording import DASH

NO_RUN = Cell(words=f"{DASH} (no finished run)")
NOTHING = Cell(words=DASH)


def score_cell(score: Score, mark: Mark = "") -> Cell:
    """Mean and deviation; a mean of fewer repetitions than were asked for says of how many."""
    if score.mean is None:
        return NO_RUN
    if score.complete is None:
        return Cell(score.mean, words=f"({score.n_runs} of {score.n_asked} seeds)")
    return Cell(score.mean, score.sd, mark=mark)


def made_by(scores: Scores) -> str:
    """One sentence for a caption: what the deviations are of."""
    if scores.n_asked is None:
        return "No run has been made yet."
    return _spread(scores.n_asked)


def incomplete(by_name: Iterable[tuple[str, Score]]) -> str:
    """Names without all their runs, each with what it has and lacks; empty if there is none."""
    gaps: Mapping[str, Score] = {name: score for name, score in by_name if score.complete is None}
    if not gaps:
        return ""
    return listed(
        f"{name} ({score.n_runs} of {score.n_asked or '?'} seeds, {score.n_failed} failed)"
        for name, score in gaps.items()
    )


def _spread(n_asked: int) -> str:
    if n_asked == 1:
        return "One seed a cell (n=1), hence no standard deviation."
    return f"Mean ± sample standard deviation over n={n_asked} seeds."
