"""Layer 8. Variations of a model with their scores, notes and tidy rows, the same for tables and figures. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bench.protocol import METRICS, PRIMARY_CUTOFF, metric_key
from bench.records import DataFacts
from bench.report.cells import incomplete
from bench.report.paper import Paper
from bench.report.scores import Score, Scores
from bench.report.table import CsvValue, Mark, marks
from bench.report.wording import DATA_FIELDS, data_headings, data_notes, data_values

ALL_METRICS = tuple(metric_key(metric, PRIMARY_CUTOFF) for metric in METRICS)
CSV_HEADER = (
    *DATA_FIELDS,
    *("protocol", "hide_at_test", "model", "variation", "metric", "mean", "sd"),
    *("n_runs", "n_failed", "n_asked", "mark", "paper_value", "reason"),
)


@dataclass(frozen=True)
class Variation:
    """One variation of a model.

    Attributes:
        name: what tables and axes call it.
        label: what its runs are found by; "" where it cannot be made.
        reason: why it cannot be made.
        detail: its parameters in words, for tables that show them.
        published: the paper's values by metric.
    """

    name: str
    label: str = ""
    reason: str = ""
    detail: str = ""
    published: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """The variations on one data set.

    Attributes:
        facts: the data set.
        heading: its name with its source.
        variations: in order.
        scores: by metric, one a variation.
    """

    facts: DataFacts
    heading: str
    variations: Sequence[Variation]
    scores: Mapping[str, Sequence[Score]]

    def marks(self, metric: str) -> list[Mark]:
        """Best and second best among complete cells."""
        return marks([score.complete for score in self.scores[metric]])


def with_selection(selection_metric: str) -> tuple[str, ...]:
    """The metrics of the paper's tables, and the one that selects where it is none of them."""
    return tuple(dict.fromkeys((*ALL_METRICS, selection_metric)))


def families(
    scores: Scores,
    facts: Sequence[DataFacts],
    variations: Callable[[DataFacts], Sequence[Variation]],
    metrics: Sequence[str] = ALL_METRICS,
) -> list[Family]:
    """The variations on every data set with their scores.

    Args:
        scores: of all runs.
        facts: data sets, in order.
        variations: of a data set.
        metrics: keys like `recall@10`.

    Raises:
        UsageError: there is no data set, one is given twice, or nobody computed a metric.
    """
    scores.require(metrics)
    found = []
    for each, heading in zip(facts, data_headings(facts), strict=True):
        made = variations(each)
        by_metric = {
            m: [scores.get(each, one.label, m) if one.label else Score() for one in made] for m in metrics
        }
        found.append(Family(each, heading, made, by_metric))
    return found


def notes(found: Sequence[Family], paper: Paper) -> tuple[str, ...]:
    """What the data is, and which variations are not compared because runs are missing."""
    return tuple(
        note for family in found for note in (*data_notes(family.facts, family.heading, paper), *_gaps(family))
    )


def _gaps(family: Family) -> Iterator[str]:
    """A variation without all its runs would otherwise flatter the others."""
    possible = [
        (one.name, score)
        for across in family.scores.values()
        for one, score in zip(family.variations, across, strict=True)
        if one.label
    ]
    named = incomplete(possible)
    if named:
        yield f"{family.heading}: incomplete, hence not compared: {named}."


def csv_rows(found: Sequence[Family], scores: Scores) -> tuple[tuple[CsvValue, ...], ...]:
    """One row a data set, metric and variation, with the columns `CSV_HEADER`."""
    return tuple(
        (
            *data_values(family.facts),
            *(scores.protocol, scores.hide_at_test, one.label, one.name, metric, score.mean, score.sd),
            *(score.n_runs, score.n_failed, score.n_asked, mark, one.published.get(metric), one.reason or None),
        )
        for family in found
        for metric, across in family.scores.items()
        for one, score, mark in zip(family.variations, across, family.marks(metric), strict=True)
    )
