"""The tables and figures by name: the runs that each needs, and how it is made and written.

A new one is a function from `Material` to a table or figure, and a line in `ARTIFACTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.core.errors import UsageError, unknown_name
from bench.report import experiments
from bench.runs.plan import Row
from bench.runs.records import DataFacts, RunRecord

if TYPE_CHECKING:
    from bench.report.figure import Figure
    from bench.report.material import Material
    from bench.report.table import Table

Needs = Literal["nothing", "models", "rows", "studies"]


def _no_rows(facts: DataFacts) -> Sequence[Row]:
    return ()


@dataclass(frozen=True)
class Artifact:
    """One table or figure.

    Attributes:
        title: one line for `--list`.
        needs: what must be made for it: nothing, runs of all models of the call, runs of its own rows, or the
            searches of `--tune`.
        builder: `module.function` under `bench.report.tables`; takes a `Material`, gives a `Table` or `Figure`.
        rows: its own rows on a data set.
    """

    title: str
    needs: Needs
    builder: str
    rows: Callable[[DataFacts], Sequence[Row]] = _no_rows

    def build(self, material: Material) -> Table | Figure:
        """Make it; its caption names the protocol and counts the runs that a cap of epochs ended."""
        module, _, function = self.builder.partition(".")
        made: Table | Figure = getattr(import_module(f"bench.report.tables.{module}"), function)(material)
        if self.needs == "nothing":
            return made
        from bench.report.stops import stopped_by_cap
        from bench.report.wording import protocol_sentence

        words = (made.caption, protocol_sentence(material.protocol), stopped_by_cap(self._records(material)))
        return replace(made, caption=" ".join(filter(None, words)))

    def _records(self, material: Material) -> Iterator[RunRecord]:
        """The runs, or trials, that it shows."""
        if self.needs == "studies":
            yield from (record for study in material.studies for record in study.records)
            return
        for facts in material.facts:
            labels = [row.label for row in self.rows(facts)]
            for label in dict.fromkeys([*(material.labels if self.needs == "models" else ()), *labels]):
                yield from material.runs(facts, label)


ARTIFACTS = {
    "table2": Artifact("data statistics, the paper's beside ours", "nothing", "data.build"),
    "audit": Artifact("how far the splits are from random ones", "nothing", "data.build_audit"),
    "table3": Artifact(
        "all models: Precision, Recall and NDCG@10, the paper's values beside ours", "models", "models.build"
    ),
    "table4": Artifact(
        "LUDP on each modality and on all, the paper's values beside ours",
        "rows",
        "variations.build_table4",
        lambda facts: [*experiments.modality_rows(facts).values()],
    ),
    "table5": Artifact(
        "LUDP by number of item-graph layers, the paper's values beside ours",
        "rows",
        "variations.build_table5",
        lambda facts: [*experiments.layer_rows().values()],
    ),
    "fig3": Artifact(
        "LUDP without its parts",
        "rows",
        "variations.build_fig3",
        lambda facts: [*experiments.part_rows().values()],
    ),
    "fig4": Artifact(
        "users and their items by t-SNE, LightGCN beside LUDP",
        "rows",
        "user_map.build",
        lambda facts: [Row("lightgcn"), Row(experiments.LUDP)],
    ),
    "fig5": Artifact(
        "LUDP by fusion of the modalities",
        "rows",
        "variations.build_fig5",
        lambda facts: [*experiments.fusion_rows().values()],
    ),
    "fig6": Artifact(
        "LUDP by number of neighbours in the item graphs",
        "rows",
        "variations.build_fig6",
        lambda facts: [*experiments.neighbour_rows().values()],
    ),
    "curves": Artifact("validation scores of all models by epoch and by second", "models", "curves.build"),
    "patience": Artifact("what an earlier stop of the training would have kept", "models", "patience.build"),
    "cost": Artifact("seconds, parameters and memory of all models, and the machine", "models", "cost.build"),
    "groups": Artifact(
        "who is served: users by activity, items by popularity, coverage", "models", "groups.build"
    ),
    "controls": Artifact(
        "content models with content that says nothing",
        "rows",
        "ablation.build",
        lambda facts: [*experiments.control_rows().values()],
    ),
    "readings": Artifact(
        "LUDP's ambiguous equations, each choice alone",
        "rows",
        "variations.build_readings",
        lambda facts: [*experiments.reading_rows().values()],
    ),
    "significance": Artifact(
        "differences between models: paired tests, intervals, effect sizes", "models", "significance.build"
    ),
    "cd": Artifact("average ranks over data sets and metrics, critical differences", "models", "critical.build"),
    "claims": Artifact(
        "every empirical claim of the paper's section 5: its numbers, ours, a verdict",
        "models",
        "claims.build",
        lambda facts: [
            *experiments.modality_rows(facts).values(),
            *experiments.part_rows().values(),
            *experiments.fusion_rows().values(),
            *experiments.layer_rows().values(),
            *experiments.neighbour_rows().values(),
        ],
    ),
    "tuning": Artifact(
        "the search: its cost, default and chosen values, every run in the CSV", "studies", "tuning.build"
    ),
    "budget": Artifact("what fewer trials would have given, for every model", "studies", "tuning.build_budget"),
}


def check_names(names: Sequence[str], models: Sequence[str], is_tuned: bool) -> list[str]:
    """The names, each once, in the order of `ARTIFACTS`; all that can be made of this call if none is given.

    Args:
        names: as asked for.
        models: names of the models of the call.
        is_tuned: whether it tunes.

    Raises:
        UsageError: one does not exist, or shows a tuning that was not asked for.
    """
    for name in names:
        if name not in ARTIFACTS:
            raise unknown_name("artifact", name, ARTIFACTS)
        if ARTIFACTS[name].needs == "studies" and not is_tuned:
            raise UsageError(
                f"The artifact '{name}' shows a search. Add --tune N or --tune-minutes M; trials that exist are "
                f"not made again."
            )
    if names:
        return [name for name in ARTIFACTS if name in names]
    possible = {"nothing": True, "models": True, "rows": True, "studies": is_tuned}
    return [
        name
        for name, artifact in ARTIFACTS.items()
        if possible[artifact.needs] and (artifact.rows is _no_rows or experiments.LUDP in models)
    ]


def with_rows(names: Sequence[str], facts: Sequence[DataFacts], left_out: Container[tuple[str, str]]) -> list[str]:
    """The names without those whose own rows are left out on every data set, so that nothing would be shown."""
    return [name for name in names if _shows(ARTIFACTS[name], facts, left_out)]


def _shows(artifact: Artifact, facts: Sequence[DataFacts], left_out: Container[tuple[str, str]]) -> bool:
    rows = [(each.name, row.label) for each in facts for row in artifact.rows(each)]
    return artifact.needs == "models" or not rows or any(row not in left_out for row in rows)


def rows_of(names: Sequence[str], facts: DataFacts) -> list[Row]:
    """The rows that the named artifacts need besides the models of the call."""
    return [row for name in names for row in ARTIFACTS[name].rows(facts)]


def write(
    names: Sequence[str], material: Material, directory: Path
) -> dict[str, tuple[Table | Figure, list[Path]]]:
    """Build and write the named artifacts, tables and figures in folders of their own; each with its files.

    Raises:
        ResultsError: a file cannot be written.
    """
    from bench.report.figure import Figure, write_figure
    from bench.report.render import write_table

    built = {name: _with_notes(name, ARTIFACTS[name].build(material), material) for name in names}
    written: dict[str, tuple[Table | Figure, list[Path]]] = {}
    for name, each in built.items():
        if isinstance(each, Figure):
            written[name] = each, write_figure(each, directory / "figures", name)
        else:
            written[name] = each, write_table(each, directory / "tables", name)
    return written


def _with_notes(name: str, made: Table | Figure, material: Material) -> Table | Figure:
    """A table of runs with what was left out of the call."""
    from bench.report.table import Table

    if not isinstance(made, Table) or ARTIFACTS[name].needs == "nothing":
        return made
    return replace(made, notes=(*made.notes, *material.left_out))
