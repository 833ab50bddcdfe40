"""Layer 8. The finished runs of the models of a call by data set, for what is not about scores. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.errors import listed
from bench.protocol import Protocol
from bench.records import DataFacts, RunRecord
from bench.report.material import Material
from bench.report.paper import Paper
from bench.report.wording import data_headings, data_notes, model_display, row_order

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
