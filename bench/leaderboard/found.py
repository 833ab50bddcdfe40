"""Layer 10. Every record of a results directory, runs and trials, and what is no record. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bench.errors import ResultsError
from bench.leaderboard.agreement import disagreements
from bench.record_files import Damaged, RecordFile, read_record
from bench.records import RunRecord
from bench.safe_text import for_line

RUNS, TRIALS = "runs", "trials"


@dataclass(frozen=True, eq=False)
class Found:
    """What lies in a results directory.

    Attributes:
        root: the directory.
        runs: records of reported runs, in the order of their paths.
        trials: those of trials of the tuning.
        damaged: files that hold no valid record, were changed after the run, are at another record's place, or
            contradict the others.
    """

    root: Path
    runs: tuple[RecordFile, ...]
    trials: tuple[RecordFile, ...]
    damaged: tuple[Damaged, ...]

    @property
    def trial_records(self) -> list[RunRecord]:
        """The records of the trials."""
        return [file.record for file in self.trials]


def find(root: Path) -> Found:
    """Read a results directory; what cannot be read or used is among the damaged, with the reason."""
    by_folder: dict[str, list[RecordFile]] = {RUNS: [], TRIALS: []}
    damaged: list[Damaged] = []
    for folder, files in by_folder.items():
        for each in _read(root / folder):
            if isinstance(each, RecordFile):
                files.append(each)
            else:
                damaged.append(each)
    return without_disagreements(Found(root, tuple(by_folder[RUNS]), tuple(by_folder[TRIALS]), tuple(damaged)))


def without_disagreements(found: Found) -> Found:
    """Put records of runs that contradict the others among the damaged."""
    odd = disagreements(found.runs)
    runs = tuple(file for file in found.runs if file.path.stem not in odd)
    return replace(found, runs=runs, damaged=(*found.damaged, *odd.values()))


def _read(folder: Path) -> Iterator[RecordFile | Damaged]:
    for path in sorted(folder.glob("**/*.json")):
        try:
            file = read_record(path)
        except ResultsError as problem:
            yield Damaged(path, for_line(str(problem).rstrip(".")))
            continue
        if file is not None:
            yield file
