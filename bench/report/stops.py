"""How trainings ended, as signs, footnotes and words of captions. Pure.

Two ends make a score doubtful. The cap of epochs may have come while the validation score still rose: then
patience had not run out. And a training that keeps one of its first epochs has found nothing after them. Controls
are fitted in one go and have no such end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.core.errors import listed
from bench.runs.records import N_FIRST_EPOCHS, RunRecord

CAP, START = "†", "‡"


@dataclass(frozen=True)
class Stops:
    """How the trainings of a row ended.

    Attributes:
        n_runs: runs that were trained; 0 for a control.
        n_cap: those that the cap of epochs ended before patience ran out.
        n_start: those whose best epoch is among the first.
    """

    n_runs: int = 0
    n_cap: int = 0
    n_start: int = 0

    @property
    def signs(self) -> str:
        """What stands behind a name, with a blank before it; empty where nothing is to be said."""
        signs = f"{CAP if self.n_cap else ''}{START if self.n_start else ''}"
        return f" {signs}" if signs else ""


def stops_of(runs: Iterable[RunRecord]) -> Stops:
    """How these runs ended; those that failed and controls are not among them."""
    trained = [run for run in runs if run.stop_reason is not None]
    n_cap = sum(run.stop_reason == "cap" for run in trained)
    return Stops(len(trained), n_cap, sum(run.is_best_at_start for run in trained))


def sign_notes(heading: str, by_name: Mapping[str, Stops]) -> list[str]:
    """A footnote for each sign that a table or figure shows, with the runs of every marked row.

    Args:
        heading: of the data set.
        by_name: ends by the shown name of a row.
    """
    capped = [f"{name} ({each.n_cap} of {each.n_runs} runs)" for name, each in by_name.items() if each.n_cap]
    early = [f"{name} ({each.n_start} of {each.n_runs} runs)" for name, each in by_name.items() if each.n_start]
    notes = []
    if capped:
        notes.append(
            f"{heading}: {CAP} the cap of epochs ended the training before patience ran out, so that the score "
            f"may still have been rising: {listed(capped)}."
        )
    if early:
        notes.append(
            f"{heading}: {START} best at the start, the kept epoch is one of the first {N_FIRST_EPOCHS}: "
            f"{listed(early)}."
        )
    return notes


def sign_legend(stops: Iterable[Stops]) -> list[str]:
    """The signs of a picture in a few words, with the number of runs."""
    each = list(stops)
    n_runs, n_cap, n_start = (sum(getattr(one, name) for one in each) for name in ("n_runs", "n_cap", "n_start"))
    said = {f"{CAP} ended by the cap": n_cap, f"{START} best at the start": n_start}
    return [f"{words}: {n} of {n_runs} runs" for words, n in said.items() if n]


def sign_sentence(stops: Iterable[Stops]) -> str:
    """The same as a sentence of a caption; empty where no row has a sign."""
    said = "; ".join(sign_legend(stops))
    return f"{said}; the notes say whose." if said else ""


def stopped_by_cap(records: Iterable[RunRecord]) -> str:
    """A sentence for captions that counts the trained runs that a cap of epochs ended; empty without such runs."""
    by_cap: dict[int, list[RunRecord]] = {}
    for record in records:
        if record.stop_reason is not None:
            by_cap.setdefault(record.spec.max_epochs, []).append(record)
    said = []
    for cap, runs in sorted(by_cap.items()):
        n = sum(run.stop_reason == "cap" for run in runs)
        said.append(f"of {cap:,} epochs: {n:,} of {len(runs):,} run{'' if len(runs) == 1 else 's'}")
    return f"Stopped by the cap {'; '.join(said)}." if said else ""
