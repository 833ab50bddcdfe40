"""What exists of a search: its trials so far and, once it is finished, its result. Reads records; trains nothing.

A search is repeated on a copy of its journal, with records in place of runs. So it is found by the same rules by
which it would go on, also while another process works on it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.core.protocol import Protocol
from bench.core.types import BenchmarkData
from bench.runs.records import RunRecord, RunSpec
from bench.runs.runner import planned_runs
from bench.runs.store import ResultsStore
from bench.runs.tuning.results import StudyResult
from bench.runs.tuning.search import Search, TuningSettings, journal_path, tune


@dataclass(frozen=True)
class Found:
    """What exists of a search.

    Attributes:
        search: the search.
        records: records of its trials so far, failed ones included.
        result: its result; None while trials or confirmation runs are missing.
    """

    search: Search
    records: Sequence[RunRecord]
    result: StudyResult | None


class _MissingRunError(Exception):
    """A run of the search has no record."""


def look_up(search: Search, settings: TuningSettings, store: ResultsStore, protocol: Protocol) -> Found:
    """Find the trials and the result of a search.

    Raises:
        ResultsError: its journal or a record cannot be read.
    """
    trials: list[RunRecord] = []

    def read(specs: Sequence[RunSpec], data: Mapping[str, BenchmarkData]) -> list[RunRecord]:
        plan = planned_runs(specs, data, store, protocol)
        existing = [(run, store.read(run.path)) for run in plan]
        records = [
            record.model_copy(update={"spec": run.spec})
            for run, record in existing
            if isinstance(record, RunRecord)
        ]
        trials.extend(record for record in records if record.spec.stage == "tuning")
        if len(records) < len(plan):
            raise _MissingRunError
        return records

    with TemporaryDirectory() as folder, suppress(_MissingRunError):
        journal = journal_path(search, settings, store, protocol)
        with suppress(FileNotFoundError):
            shutil.copy(journal, folder)
        (result,) = tune([search], settings, store, protocol, read, Path(folder))
        return Found(search, result.records, result)
    return Found(search, trials, None)
