"""Layer 8. What tables and figures are made of: the records of a call, and what lies behind them on demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from bench.errors import ResultsError
from bench.list_files import StoredLists
from bench.protocol import Protocol
from bench.record_files import Damaged
from bench.records import DataFacts, RunRecord
from bench.report.aggregate import data_key, tidy
from bench.report.paper import Paper
from bench.report.scores import Scores
from bench.store import ResultsStore
from bench.tuning.results import StudyResult
from bench.types import BenchmarkData


@dataclass(frozen=True)
class Material:
    """What artifacts are made of.

    Attributes:
        data: the data sets of the call by name, in order.
        labels: labels of the models of the call, in order.
        records: one record for every planned run, rows of single artifacts included.
        n_seeds: repetitions that were asked for.
        paper: the published values.
        store: where lists and parameters of the runs lie.
        studies: the searches of the call.
        left_out: what was not run since the data lacks the content, in sentences.
    """

    data: Mapping[str, BenchmarkData]
    labels: Sequence[str]
    records: Sequence[RunRecord]
    n_seeds: int
    paper: Paper
    store: ResultsStore
    studies: Sequence[StudyResult] = ()
    left_out: tuple[str, ...] = ()

    @cached_property
    def facts(self) -> list[DataFacts]:
        """The data sets, in order."""
        return [DataFacts.of(each) for each in self.data.values()]

    @cached_property
    def protocol(self) -> Protocol:
        """The one that all records were made under; the default one where there is none."""
        made = [*self.records, *(record for study in self.studies for record in study.records)]
        return made[0].protocol.protocol if made else Protocol()

    @cached_property
    def frame(self) -> pd.DataFrame:
        """All records by `aggregate.tidy`."""
        return tidy(self.records, self.n_seeds)

    @cached_property
    def scores(self) -> Scores:
        """Test scores by data, label and metric."""
        return Scores(self.frame)

    def runs(self, facts: DataFacts, label: str) -> list[RunRecord]:
        """Finished runs of a label on exactly this data and split, by repetition."""
        found = [
            record
            for record in self.records
            if record.status == "finished"
            and record.spec.label == label
            and data_key(record.data) == data_key(facts)
        ]
        return sorted(found, key=lambda record: record.spec.repetition)

    def lists(self, record: RunRecord) -> StoredLists:
        """Recommended lists and per-user metrics of a finished run.

        Raises:
            ResultsError: they are gone, damaged, or not those that the run left.
        """
        found = self.store.read_lists(record)
        if isinstance(found, Damaged):
            raise ResultsError(
                f"The lists of the run {record.key} ({record.spec.dataset} {record.spec.label}) cannot be used: "
                f"{found.path}: {found.problem}. Give the same command with --on-existing rerun to make them "
                f"again."
            )
        return found
