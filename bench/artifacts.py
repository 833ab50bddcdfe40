"""Layer 9. The tables and figures by name: what each needs, and how it is written.

A new one is a function from the finished records to files, and a line in `ARTIFACTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.errors import UsageError, unknown_name
from bench.records import DataFacts, RunRecord

if TYPE_CHECKING:
    from bench.report.figure import Figure
    from bench.report.paper import Paper
    from bench.report.table import Table
    from bench.tuning.results import StudyResult

Needs = Literal["nothing", "runs", "studies"]


@dataclass(frozen=True)
class Material:
    """What artifacts are made of.

    Attributes:
        facts: the data sets of this call, in order.
        labels: model labels of this call, in order.
        records: one record for every planned run.
        n_seeds: repetitions that were asked for.
        paper: the published values.
        studies: the searches of this call.
    """

    facts: Sequence[DataFacts]
    labels: Sequence[str]
    records: Sequence[RunRecord]
    n_seeds: int
    paper: Paper
    studies: Sequence[StudyResult] = ()


@dataclass(frozen=True)
class Artifact:
    """One table or figure.

    Attributes:
        title: one line for `--list`.
        needs: what must be made for it: nothing, all planned runs, or the searches of `--tune`.
        build: makes it.
    """

    title: str
    needs: Needs
    build: Callable[[Material], Table | Figure]


def _table2(material: Material) -> Table:
    from bench.report.tables import table2

    return table2(material.facts, material.paper)


def _tuning(material: Material) -> Table:
    from bench.report.tuning import tuning_table

    return tuning_table(material.studies, material.paper)


def _budget(material: Material) -> Figure:
    from bench.report.budget import budget_figure

    return budget_figure(material.studies, material.paper)


def _table3(material: Material) -> Table:
    from bench.report.aggregate import tidy
    from bench.report.tables import table3

    frame = tidy(material.records, material.n_seeds)
    return table3(frame, material.labels, material.facts, material.paper)


ARTIFACTS = {
    "table2": Artifact("data statistics, the paper's beside ours", "nothing", _table2),
    "table3": Artifact(
        "all models: Precision, Recall and NDCG@10, the paper's values beside ours", "runs", _table3
    ),
    "tuning": Artifact("the tuning: default and chosen values, every trial in the CSV", "studies", _tuning),
    "budget": Artifact("what fewer trials would have given, for every model", "studies", _budget),
}


def check_names(names: Sequence[str], is_tuned: bool) -> list[str]:
    """The names, each once, in the order of `ARTIFACTS`; all that can be made if none is given.

    Args:
        names: as asked for.
        is_tuned: whether this call tunes.

    Raises:
        UsageError: one does not exist, or shows a tuning that was not asked for.
    """
    for name in names:
        if name not in ARTIFACTS:
            raise unknown_name("artifact", name, ARTIFACTS)
        if ARTIFACTS[name].needs == "studies" and not is_tuned:
            raise UsageError(
                f"The artifact '{name}' shows a tuning. Add --tune N; trials that exist are not made again."
            )
    return [
        name
        for name, artifact in ARTIFACTS.items()
        if name in names or (not names and (is_tuned or artifact.needs != "studies"))
    ]


def write(
    names: Sequence[str], material: Material, directory: Path
) -> dict[str, tuple[Table | Figure, list[Path]]]:
    """Build and write the named artifacts, tables and figures in folders of their own; each with its files.

    Raises:
        ResultsError: a file cannot be written.
    """
    from bench.report.figure import Figure, write_figure
    from bench.report.render import write_table

    built = {name: ARTIFACTS[name].build(material) for name in names}
    written: dict[str, tuple[Table | Figure, list[Path]]] = {}
    for name, each in built.items():
        if isinstance(each, Figure):
            written[name] = each, write_figure(each, directory / "figures", name)
        else:
            written[name] = each, write_table(each, directory / "tables", name)
    return written
