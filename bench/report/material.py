"""The input of tables and figures: the records of a call, and its finished runs by data set.

Reads the stored lists of a run when a table needs them. Writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from bench.core.errors import ResultsError, listed
from bench.core.names import model_of
from bench.core.protocol import Protocol
from bench.core.types import BenchmarkData
from bench.engine import registry
from bench.report.paper import Paper
from bench.report.scores import Scores, data_key
from bench.report.stops import each_once
from bench.report.wording import data_headings, data_notes, model_display, row_order
from bench.runs.list_files import StoredLists, StoredScores
from bench.runs.record_files import Damaged
from bench.runs.records import DataFacts, RunRecord
from bench.runs.store import ResultsStore
from bench.runs.tuning.results import StudyResult

NO_MEAN = ", and no mean is drawn"


@dataclass(frozen=True)
class Material:
    """The records, data and published values that the artifacts of one call are built from.

    Attributes:
        data: the data sets of the call by name, in order.
        labels: labels of the models of the call, in order.
        records: one record for every planned run, including the rows of single artifacts.
        n_seeds: requested repetitions.
        paper: the published values.
        store: the store of the runs' lists and parameters.
        studies: the searches of the call.
        left_out: sentences on runs that were skipped because the data lacks the content.
        asked_reference: label of the row that all others are compared with; None for the default.
        asked_protocol: protocol of the call.
        recorded: facts of the data sets, where records alone are at hand; empty to take those of `data`.
    """

    data: Mapping[str, BenchmarkData]
    labels: Sequence[str]
    records: Sequence[RunRecord]
    n_seeds: int
    paper: Paper
    store: ResultsStore
    studies: Sequence[StudyResult] = ()
    left_out: tuple[str, ...] = ()
    asked_reference: str | None = None
    asked_protocol: Protocol = field(default_factory=Protocol)
    recorded: Sequence[DataFacts] = ()

    @property
    def reference(self) -> str:
        """Return the label of the row that all others are compared with.

        By default it is the first model from outside this project, else the paper's model, else the first one.
        """
        return self.asked_reference or default_reference(self.labels, self.paper)

    @cached_property
    def facts(self) -> list[DataFacts]:
        """Return the facts of the data sets, in order."""
        return [*self.recorded] or [DataFacts.of(each) for each in self.data.values()]

    @cached_property
    def protocol(self) -> Protocol:
        """Return the protocol of all records, or that of the call without records."""
        records = [*self.records, *(record for study in self.studies for record in study.records)]
        return records[0].protocol.protocol if records else self.asked_protocol

    @cached_property
    def scores(self) -> Scores:
        """Return the test scores by data, label and metric."""
        return Scores(self.records, self.n_seeds)

    @cached_property
    def each_run(self) -> list[RunRecord]:
        """Return the record of every run once; labels with equal parameters share a run."""
        return each_once(self.records)

    def runs(self, facts: DataFacts, label: str) -> list[RunRecord]:
        """Return the finished runs of a label on exactly this data and split, by repetition."""
        finished = [
            record
            for record in self.records
            if record.status == "finished"
            and record.spec.label == label
            and data_key(record.data) == data_key(facts)
        ]
        return sorted(finished, key=lambda record: record.spec.repetition)

    def lists(self, record: RunRecord) -> StoredLists:
        """Read the recommended lists and per-user metrics of a finished run.

        Raises:
            ResultsError: they are missing, damaged, or not those that the run wrote.
        """
        lists = self.store.read_lists(record)
        if isinstance(lists, Damaged):
            raise _unusable("lists", record, lists)
        return lists

    def user_scores(self, record: RunRecord) -> StoredScores:
        """Read the users' scores of a finished run, from its lists or from a compact copy of it.

        Raises:
            ResultsError: they are missing, damaged, or not those that the run wrote.
        """
        scores = self.store.read_scores(record)
        if isinstance(scores, Damaged):
            raise _unusable("scores", record, scores)
        return scores


def default_reference(labels: Sequence[str], paper: Paper) -> str:
    """Return the row that all others are compared with unless the call names one; "" without rows.

    Whoever adds a model of their own asks how it compares, so the first plugin's model goes before the paper's.
    """
    own = {*registry.names()} - registry.built_in_names()
    for wanted in (lambda label: model_of(label) in own, lambda label: label == paper.proposed):
        if found := next(filter(wanted, labels), None):
            return found
    return next(iter(labels), "")


@dataclass(frozen=True)
class DataRuns:
    """The finished runs on one data set.

    Attributes:
        facts: the data set.
        heading: name of the data set with its source.
        by_label: runs by label in the order of rows, by repetition; empty if all failed or are missing.
        n_asked: requested repetitions.
        protocol: protocol of the runs.
    """

    facts: DataFacts
    heading: str
    by_label: Mapping[str, Sequence[RunRecord]]
    n_asked: int
    protocol: Protocol = field(default_factory=Protocol)

    def notes(self, paper: Paper, consequence: str = "") -> list[str]:
        """Return footnotes on the data and on models with missing runs.

        Args:
            paper: gives the names.
            consequence: what the figure omits for such models, for example `NO_MEAN`; continues the sentence.
        """
        incomplete = [
            f"{model_display(label, paper)} ({len(runs)} of {self.n_asked} seeds)"
            for label, runs in self.by_label.items()
            if len(runs) < self.n_asked
        ]
        gaps = [f"{self.heading}: runs are missing{consequence}: {listed(incomplete)}."] if incomplete else []
        return [*data_notes(self.facts, self.heading, paper), *gaps]


def _unusable(what: str, record: RunRecord, found: Damaged) -> ResultsError:
    return ResultsError(
        f"The {what} of the run {record.key} ({record.spec.dataset} {record.spec.label}) cannot be used: "
        f"{found.path}: {found.problem}. Give the command that made the run with "
        "--on-existing rerun to make them again."
    )


def runs_by_data(material: Material) -> list[DataRuns]:
    """Return the finished runs of all models of a call by data set.

    Raises:
        UsageError: there is no data set or model, or one is given twice.
    """
    labels, used = row_order(material.labels, material.paper), material.protocol
    return [
        DataRuns(facts, heading, {label: material.runs(facts, label) for label in labels}, material.n_seeds, used)
        for facts, heading in zip(material.facts, data_headings(material.facts), strict=True)
    ]
