"""What tables and figures are made of: the records of a call, and what lies behind them on demand.

The finished runs of the models of a call by data set, for what is not about scores. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from bench.core.errors import ResultsError, listed
from bench.core.protocol import Protocol
from bench.core.types import BenchmarkData
from bench.report.paper import Paper
from bench.report.scores import Scores, data_key, tidy
from bench.report.wording import data_headings, data_notes, model_display, row_order
from bench.runs.list_files import StoredLists
from bench.runs.record_files import Damaged
from bench.runs.records import DataFacts, RunRecord
from bench.runs.store import ResultsStore
from bench.runs.tuning.results import StudyResult


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


NO_MEAN = ", and no mean is drawn"


@dataclass(frozen=True)
class DataRuns:
    """The finished runs on one data set.

    Attributes:
        facts: the data set.
        heading: its name with its source.
        by_label: runs by label in the order of rows, by repetition; none where all failed or are missing.
        n_asked: repetitions that were asked for.
        protocol: that they were made under.
    """

    facts: DataFacts
    heading: str
    by_label: Mapping[str, Sequence[RunRecord]]
    n_asked: int
    protocol: Protocol = field(default_factory=Protocol)

    def notes(self, paper: Paper, consequence: str = "") -> list[str]:
        """Footnotes: what the data are, and which models are without all their runs.

        Args:
            paper: for names.
            consequence: what is not shown of such models, in words that follow on.
        """
        named = [
            f"{model_display(label, paper)} ({len(runs)} of {self.n_asked} seeds)"
            for label, runs in self.by_label.items()
            if len(runs) < self.n_asked
        ]
        gaps = [f"{self.heading}: not all runs are there{consequence}: {listed(named)}."] if named else []
        return [*data_notes(self.facts, self.heading, paper), *gaps]


def runs_by_data(material: Material) -> list[DataRuns]:
    """The runs of all models of a call, data set by data set.

    Raises:
        UsageError: there is no data set or model, or one is given twice.
    """
    labels, used = row_order(material.labels, material.paper), material.protocol
    return [
        DataRuns(facts, heading, {label: material.runs(facts, label) for label in labels}, material.n_seeds, used)
        for facts, heading in zip(material.facts, data_headings(material.facts), strict=True)
    ]
