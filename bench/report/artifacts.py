"""Registry of tables and figures: the runs that each needs, and how it is built and written.

To add one, write a function from `Material` to `Table` or `Figure`, and name it in `ARTIFACTS` and in `builders`.
Writes the files of the named artifacts into a given directory.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.core.errors import UsageError, unknown_name
from bench.report import experiments
from bench.runs.plan import Variant
from bench.runs.records import DataFacts, RunRecord

if TYPE_CHECKING:
    from bench.report.figure import Figure
    from bench.report.material import Material
    from bench.report.table import Table

Needs = Literal["nothing", "models", "rows", "studies"]
Rows = Callable[[DataFacts], list[Variant]]


def _rows(*families: Callable[[], Mapping[Any, Variant]]) -> Rows:
    """Return the rows of experiments that are the same on every data set."""
    return lambda facts: [row for family in families for row in family().values()]


def _modality_rows(facts: DataFacts) -> list[Variant]:
    return [*experiments.modality_rows(facts).values()]


def _claimed_rows(facts: DataFacts) -> list[Variant]:
    return rows_of(("table4", "fig3", "fig5", "table5", "fig6"), facts)


_NO_ROWS = _rows()


@dataclass(frozen=True)
class Artifact:
    """A table or figure that the command line can request by name; `builders` has the function that builds it.

    Attributes:
        title: one line for `--list`.
        needs: what must have run: nothing, all models of the call, the artifact's own rows, or the searches of
            `--tune`.
        rows: the artifact's own rows on a data set, besides the models of the call.
    """

    title: str
    needs: Needs
    rows: Rows = _NO_ROWS

    def records(self, material: Material) -> Iterator[RunRecord]:
        """Yield the runs or search trials that this artifact shows."""
        if self.needs == "studies":
            yield from (record for study in material.studies for record in study.records)
            return
        for facts in material.facts:
            labels = [row.label for row in self.rows(facts)]
            for label in dict.fromkeys([*(material.labels if self.needs == "models" else ()), *labels]):
                yield from material.runs(facts, label)


ARTIFACTS = {
    "table2": Artifact("data statistics, the paper's beside ours", "nothing"),
    "audit": Artifact("how far the splits are from random ones", "nothing"),
    "table3": Artifact("all models: Precision, Recall and NDCG@10, the paper's values beside ours", "models"),
    "table4": Artifact("LUDP on each modality and on all, the paper's values beside ours", "rows", _modality_rows),
    "table5": Artifact(
        "LUDP by number of item-graph layers, the paper's values beside ours",
        "rows",
        _rows(experiments.layer_rows),
    ),
    "fig3": Artifact("LUDP without its parts", "rows", _rows(experiments.part_rows)),
    "fig4": Artifact("users and their items by t-SNE, LightGCN beside LUDP", "rows", _rows(experiments.map_rows)),
    "fig5": Artifact("LUDP by fusion of the modalities", "rows", _rows(experiments.fusion_rows)),
    "fig6": Artifact("LUDP by number of neighbours in the item graphs", "rows", _rows(experiments.neighbour_rows)),
    "curves": Artifact("validation scores of all models by epoch and by second", "models"),
    "patience": Artifact("the scores that a shorter patience would have kept", "models"),
    "cost": Artifact("seconds, parameters and memory of all models, and the machine", "models"),
    "groups": Artifact("who is served: users by activity, items by popularity, coverage", "models"),
    "controls": Artifact(
        "content ablation: content models with shuffled, noise or constant features",
        "rows",
        _rows(experiments.ablation_rows),
    ),
    "readings": Artifact("LUDP's ambiguous equations, each choice alone", "rows", _rows(experiments.reading_rows)),
    "significance": Artifact("differences between models: paired tests, intervals, effect sizes", "models"),
    "cd": Artifact("average ranks over data sets and metrics, critical differences", "models"),
    "claims": Artifact(
        "every empirical claim of the paper's section 5: its numbers, ours, a verdict", "models", _claimed_rows
    ),
    "tuning": Artifact("the search: its cost, default and chosen values, every run in the CSV", "studies"),
    "budget": Artifact("what fewer trials would have given, for every model", "studies"),
}


def builders() -> dict[str, Callable[[Material], Table | Figure]]:
    """Return the function that builds each artifact, by name; call it only to build, it imports much."""
    from bench.report.tables import (
        ablation,
        claims,
        cost,
        critical,
        curves,
        data,
        groups,
        models,
        patience,
        significance,
        tuning,
        user_map,
        variations,
    )

    return {
        "table2": data.build,
        "audit": data.build_audit,
        "table3": models.build,
        **{name: partial(variations.build, name) for name in variations.SPECS},
        "fig4": user_map.build,
        "curves": curves.build,
        "patience": patience.build,
        "cost": cost.build,
        "groups": groups.build,
        "controls": ablation.build,
        "significance": significance.build,
        "cd": critical.build,
        "claims": claims.build,
        "tuning": tuning.build,
        "budget": tuning.build_budget,
    }


def build(name: str, material: Material) -> Table | Figure:
    """Build an artifact; its caption ends with the protocol and the number of capped runs, if it shows runs."""
    from bench.report.stops import stopped_by_cap
    from bench.report.wording import protocol_sentence

    built, artifact = builders()[name](material), ARTIFACTS[name]
    if artifact.needs == "nothing":
        return built
    parts = (built.caption, protocol_sentence(material.protocol), stopped_by_cap(artifact.records(material)))
    return replace(built, caption=" ".join(filter(None, parts)))


def check_names(names: Sequence[str], models: Sequence[str], is_tuned: bool) -> list[str]:
    """Return the distinct names in the order of `ARTIFACTS`; without names, all that this call can build.

    Args:
        names: artifact names from the command line.
        models: names of the models of the call.
        is_tuned: whether the call searches parameters.

    Raises:
        UsageError: an artifact does not exist, or shows a search and the call has none.
    """
    for name in names:
        if name not in ARTIFACTS:
            raise unknown_name("artifact", name, ARTIFACTS)
        if ARTIFACTS[name].needs == "studies" and not is_tuned:
            raise UsageError(
                f"The artifact '{name}' shows a parameter search, and this call has none. Add --tune N or "
                f"--tune-minutes M; existing trials are reused."
            )
    if names:
        return [name for name in ARTIFACTS if name in names]
    possible = {"nothing": True, "models": True, "rows": True, "studies": is_tuned}
    return [
        name
        for name, artifact in ARTIFACTS.items()
        if possible[artifact.needs] and (artifact.rows is _NO_ROWS or experiments.LUDP in models)
    ]


def with_rows(names: Sequence[str], facts: Sequence[DataFacts], left_out: Container[tuple[str, str]]) -> list[str]:
    """Return the names without artifacts that would be empty because all their own rows are left out."""
    return [name for name in names if _has_rows(ARTIFACTS[name], facts, left_out)]


def _has_rows(artifact: Artifact, facts: Sequence[DataFacts], left_out: Container[tuple[str, str]]) -> bool:
    """Return whether the artifact shows models of the call, has no own rows, or keeps one of them."""
    rows = [(each.name, row.label) for each in facts for row in artifact.rows(each)]
    return artifact.needs == "models" or not rows or any(row not in left_out for row in rows)


def rows_of(names: Sequence[str], facts: DataFacts) -> list[Variant]:
    """Return the rows that the named artifacts need besides the models of the call."""
    return [row for name in names for row in ARTIFACTS[name].rows(facts)]


def write(
    names: Sequence[str], material: Material, directory: Path
) -> dict[str, tuple[Table | Figure, list[Path]]]:
    """Build and write the named artifacts into `tables/` and `figures/` of a directory.

    Returns:
        Each artifact with the files written for it, by name.

    Raises:
        ResultsError: a file cannot be written.
    """
    from bench.report.figure import Figure, write_figure
    from bench.report.render import write_table

    built = {name: _with_notes(name, build(name, material), material) for name in names}
    written: dict[str, tuple[Table | Figure, list[Path]]] = {}
    for name, each in built.items():
        if isinstance(each, Figure):
            written[name] = each, write_figure(each, directory / "figures", name)
        else:
            written[name] = each, write_table(each, directory / "tables", name)
    return written


def _with_notes(name: str, artifact: Table | Figure, material: Material) -> Table | Figure:
    """Add footnotes on the rows that were left out of the call, if this is a table of runs."""
    from bench.report.table import Table

    if not isinstance(artifact, Table) or ARTIFACTS[name].needs == "nothing":
        return artifact
    return replace(artifact, notes=(*artifact.notes, *material.left_out))
