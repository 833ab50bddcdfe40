"""Signs, footnotes and caption sentences on how trainings ended. Pure.

Two ends make a score doubtful. If the cap of epochs ended a training before patience ran out, the validation score
may still have been rising. If a training keeps one of its first epochs, later ones brought no improvement.
Controls are fitted in one step and have neither end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.core.errors import listed
from bench.core.text import counted
from bench.runs.records import N_FIRST_EPOCHS, RunRecord

CAP, START = "†", "‡"


@dataclass(frozen=True)
class Stops:
    """Counts of how the trainings of a row ended.

    Attributes:
        n_runs: trained runs; 0 for a control.
        n_cap: runs that the cap of epochs ended before patience ran out.
        n_start: runs whose best epoch is among the first.
    """

    n_runs: int = 0
    n_cap: int = 0
    n_start: int = 0

    @property
    def signs(self) -> str:
        """Return the signs to append to a name, with a leading blank; "" without any."""
        signs = f"{CAP if self.n_cap else ''}{START if self.n_start else ''}"
        return f" {signs}" if signs else ""


def stops_of(records: Iterable[RunRecord]) -> Stops:
    """Count how these runs ended, without failed runs and controls; a run with several labels counts once."""
    trained = [run for run in each_once(records) if run.stop_reason is not None]
    n_cap = sum(run.stop_reason == "cap" for run in trained)
    return Stops(len(trained), n_cap, sum(run.is_best_at_start for run in trained))


def each_once(records: Iterable[RunRecord]) -> list[RunRecord]:
    """Return every run once, under its first label: rows of equal parameters share a run."""
    first: dict[str, RunRecord] = {}
    for record in records:
        first.setdefault(record.key, record)
    return list(first.values())


def sign_notes(heading: str, by_name: Mapping[str, Stops]) -> list[str]:
    """Return a footnote for each sign that a table or figure shows, with the runs of every marked row.

    Args:
        heading: heading of the data set.
        by_name: stops by the displayed name of a row.
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
    """Return the signs of a figure in a few words, with the number of runs."""
    each = list(stops)
    n_runs, n_cap, n_start = (sum(getattr(one, name) for one in each) for name in ("n_runs", "n_cap", "n_start"))
    counts = {f"{CAP} ended by the cap": n_cap, f"{START} best at the start": n_start}
    return [f"{meaning}: {n} of {n_runs} runs" for meaning, n in counts.items() if n]


def sign_sentence(stops: Iterable[Stops]) -> str:
    """Return the legend of the signs as a sentence of a caption; "" without signs."""
    legend = "; ".join(sign_legend(stops))
    return f"{legend}; the notes list the rows." if legend else ""


def stopped_by_cap(records: Iterable[RunRecord]) -> str:
    """Return a caption sentence counting the trained runs that a cap of epochs ended; "" without trained runs."""
    by_cap: dict[int, list[RunRecord]] = {}
    for record in each_once(records):
        if record.stop_reason is not None:
            by_cap.setdefault(record.spec.max_epochs, []).append(record)
    counts = []
    for cap, runs in sorted(by_cap.items()):
        n = sum(run.stop_reason == "cap" for run in runs)
        counts.append(f"of {cap:,} epochs: {n:,} of {counted(len(runs), 'run')}")
    return f"Stopped by the cap {'; '.join(counts)}." if counts else ""
