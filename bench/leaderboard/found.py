"""Layer 10. Every record of a results directory, runs and trials, and what is no record. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.record_files import Damaged, RecordFile, read_record
from bench.records import RunRecord

RUNS, TRIALS = "runs", "trials"


@dataclass(frozen=True, eq=False)
class Found:
    """What lies in a results directory.

    Attributes:
        root: the directory.
        runs: records of reported runs, in the order of their paths.
        trials: those of trials of the tuning.
        damaged: files that hold no valid record, were changed after the run, or are at another record's place.
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
    """Read a results directory.

    Raises:
        ResultsError: a file cannot be read.
    """
    by_folder: dict[str, list[RecordFile]] = {RUNS: [], TRIALS: []}
    damaged: list[Damaged] = []
    for folder, files in by_folder.items():
        for each in _read(root / folder):
            if isinstance(each, RecordFile):
                files.append(each)
            else:
                damaged.append(each)
    return Found(root, tuple(by_folder[RUNS]), tuple(by_folder[TRIALS]), tuple(damaged))


def _read(folder: Path) -> Iterator[RecordFile | Damaged]:
    seen: dict[str, Path] = {}
    for path in sorted(folder.glob("**/*.json")):
        file = read_record(path)
        if isinstance(file, RecordFile) and file.record.key != path.stem:
            yield Damaged(path, f"it holds the record of the run {file.record.key}")
        elif isinstance(file, RecordFile) and seen.setdefault(path.stem, path) != path:
            yield Damaged(path, f"the same run has a record at {seen[path.stem]}")
        elif file is not None:
            yield file
