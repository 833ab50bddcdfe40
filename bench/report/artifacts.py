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

from bench.core.errors import UsageError, listed, unknown_name
from bench.report import experiments
from bench.runs.plan import Variant

if TYPE_CHECKING:
    from bench.report.figure import Figure
    from bench.report.material import Material
    from bench.report.table import Table
    from bench.runs.records import DataFacts, RunRecord

    Rows = Callable[[DataFacts], list[Variant]]

Needs = Literal["nothing", "models", "rows", "studies"]


def _rows(*families: Callable[[], Mapping[Any, Variant]]) -> Rows:
    """Return the rows of experiments that are the same on every data set."""
    return lambda facts: [row for family in families for row in family().values()]


def _modality_rows(facts: DataFacts) -> list[Variant]:
    return [*experiments.modality_rows(facts).values()]


def _claimed_rows(facts: DataFacts) -> list[Variant]:
    return rows_of(("table4", "fig3", "fig5", "table5", "fig6"), facts, _LUDP)


RANKS = "cd"  # needs several data sets
ON_REPLACED_CONTENT = ("controls", "content")  # the content ablation as a table and as a figure
_NO_ROWS = _rows()
_LUDP = (experiments.LUDP,)


@dataclass(frozen=True)
class Artifact:
    """A table or figure that the command line can request by name; `builders` has the function that builds it.

    Attributes:
        title: one line for `--list`.
        needs: what must have run: nothing, all models of the call, the artifact's own rows, or the searches of
            `--tune`.
        rows: the artifact's own rows on a data set, besides the models of the call.
        varies: the models of its own rows. A model that the call does not name is not trained for them.
        needs_all: whether it can be made only if the call names all of these models, and not just one.
        own: labels of variants that it shows beside its rows, where the call names them as models.
        is_detail: whether it belongs to no group but `all`, although it needs little or nothing that is trained.
    """

    title: str
    needs: Needs
    rows: Rows = _NO_ROWS
    varies: tuple[str, ...] = ()
    needs_all: bool = False
    own: tuple[str, ...] = ()
    is_detail: bool = False

    def can_be_made(self, models: Container[str]) -> bool:
        """Return whether a call of these models can make it."""
        named = [model in models for model in self.varies]
        return not named or (all(named) if self.needs_all else any(named))


ARTIFACTS = {
    "table2": Artifact("data statistics, the paper's beside ours", "nothing"),
    "audit": Artifact("how far the splits are from random ones", "nothing", is_detail=True),
    "accuracy": Artifact("all models as a dot plot, best first, with 95% intervals", "models"),
    "overview": Artifact(
        "every trained model on every data set, baselines as lines, with ranks in the paper",
        "models",
        is_detail=True,
    ),
    "cost-figure": Artifact(
        "accuracy of all models against the seconds of a run, with the Pareto front", "models"
    ),
    "table3": Artifact("all models: Precision, Recall and NDCG@10, the paper's values beside ours", "models"),
    "table4": Artifact(
        "LUDP on each modality and on all, the paper's values beside ours",
        "rows",
        _modality_rows,
        _LUDP,
        own=tuple(experiments.own_modality_labels().values()),
    ),
    "table5": Artifact(
        "LUDP by number of item-graph layers, the paper's values beside ours",
        "rows",
        _rows(experiments.layer_rows),
        _LUDP,
    ),
    "fig3": Artifact(
        "LUDP without its parts",
        "rows",
        _rows(experiments.part_rows),
        _LUDP,
        own=tuple(experiments.own_part_labels().values()),
    ),
    "fig4": Artifact(
        "users and their items by t-SNE, LightGCN beside LUDP",
        "rows",
        _rows(experiments.map_rows),
        experiments.MAPPED_MODELS,
        needs_all=True,
        is_detail=True,
    ),
    "fig5": Artifact("LUDP by fusion of the modalities", "rows", _rows(experiments.fusion_rows), _LUDP),
    "fig6": Artifact(
        "LUDP by number of neighbours in the item graphs", "rows", _rows(experiments.neighbour_rows), _LUDP
    ),
    "curves": Artifact("validation scores of all models by epoch and by second", "models"),
    "patience": Artifact("the scores that a shorter patience would have kept", "models", is_detail=True),
    "cost": Artifact("seconds, parameters and memory of all models, and the machine", "models"),
    "groups": Artifact(
        "who is served: heat maps of users by activity and items by popularity", "models", is_detail=True
    ),
    "controls": Artifact(
        "content ablation: content models with shuffled, noise or constant features",
        "rows",
        _rows(experiments.ablation_rows),
        experiments.CONTENT_MODELS,
    ),
    "content": Artifact(
        "is the content used: the content ablation as a forest plot",
        "rows",
        _rows(experiments.ablation_rows),
        experiments.CONTENT_MODELS,
    ),
    "readings": Artifact(
        "LUDP's ambiguous equations, each choice alone", "rows", _rows(experiments.reading_rows), _LUDP
    ),
    "significance": Artifact("differences between models: paired tests, intervals, effect sizes", "models"),
    "cd": Artifact("average ranks over five or more data sets, critical differences", "models", is_detail=True),
    "claims": Artifact(
        "every empirical claim of the paper's section 5: its numbers, ours, a verdict",
        "models",
        _claimed_rows,
        _LUDP,
    ),
    "tuning": Artifact("the search: its cost, default and chosen values, every run in the CSV", "studies"),
    "budget": Artifact("what fewer trials would have given, for every model", "studies"),
}


def builders() -> dict[str, Callable[[Material], Table | Figure]]:
    """Return the function that builds each artifact, by name; call it only to build, it imports much."""
    from bench.report.tables import (
        accuracy,
        cost,
        critical,
        curves,
        data,
        groups,
        models,
        overview,
        patience,
        significance,
        tuning,
    )

    return {
        "table2": data.build,
        "audit": data.build_audit,
        "accuracy": accuracy.build,
        "overview": overview.build,
        "cost-figure": accuracy.build_cost,
        "table3": models.build,
        **_builders_of_rows(),
        "curves": curves.build,
        "patience": patience.build,
        "cost": cost.build,
        "groups": groups.build,
        "significance": significance.build,
        "cd": critical.build,
        "tuning": tuning.build,
        "budget": tuning.build_budget,
    }


def _builders_of_rows() -> dict[str, Callable[[Material], Table | Figure]]:
    """Return the builders of the artifacts that have rows of their own."""
    from bench.report.tables import ablation, claims, content, user_map, variations

    return {
        **{name: partial(variations.build, name) for name in variations.SPECS},
        "fig4": user_map.build,
        "controls": ablation.build,
        "content": content.build,
        "claims": claims.build,
    }


def build(name: str, material: Material) -> Table | Figure:
    """Build an artifact; its caption ends with the protocol and the number of capped runs, if it shows runs."""
    from bench.report.stops import stopped_by_cap
    from bench.report.wording import protocol_sentence

    built = builders()[name](material)
    if ARTIFACTS[name].needs == "nothing":
        return built
    parts = (built.caption, protocol_sentence(material.protocol), stopped_by_cap(records_of(name, material)))
    return replace(built, caption=" ".join(filter(None, parts)))


def records_of(name: str, material: Material) -> Iterator[RunRecord]:
    """Yield the runs or search trials that an artifact shows."""
    from bench.report.tables.ablation import shown_models

    artifact = ARTIFACTS[name]
    if artifact.needs == "studies":
        yield from (record for study in material.studies for record in study.records)
        return
    varied = shown_models(material) if name in ON_REPLACED_CONTENT else artifact.varies
    named = [label for label in material.labels if artifact.needs == "models" or label in artifact.own]
    for facts in material.facts:
        rows = [row.label for row in artifact.rows(facts) if row.model in varied]
        for label in dict.fromkeys([*named, *rows]):
            yield from material.runs(facts, label)


COMPARISON, ALL = "comparison", "all"  # groups; the first is made by default
OF_THE_PAPER = ("table2", "table3", "table4", "table5", "fig3", "fig4", "fig5", "fig6", "claims")


def groups() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the groups of artifacts by name: a line for `--list`, and the names of the artifacts."""
    usual = {name: artifact for name, artifact in ARTIFACTS.items() if not artifact.is_detail}
    return {
        COMPARISON: (
            "the data, and all models of the call beside each other (default)",
            tuple(name for name, artifact in usual.items() if not artifact.varies),
        ),
        "ablations": (
            "what models lose without a part, a modality or their content: trains variations of the models named",
            tuple(name for name, artifact in usual.items() if artifact.needs == "rows"),
        ),
        "paper": ("the tables, figures and claims of the LUDP paper", OF_THE_PAPER),
        ALL: ("every artifact that the models of the call allow", tuple(ARTIFACTS)),
    }


def expand(names: Sequence[str], is_tuned: bool) -> list[str]:
    """Return the artifacts of names and groups, each once, in the order of `ARTIFACTS`.

    Args:
        names: artifacts and groups; none stands for the comparison.
        is_tuned: whether the call searches parameters; without a search, groups hold no artifact that shows one.

    Raises:
        UsageError: a name does not exist, or an artifact that is named shows a search and the call has none.
    """
    members, chosen = groups(), set()
    for name in names or (COMPARISON,):
        if name in members:
            chosen |= {each for each in members[name][1] if is_tuned or ARTIFACTS[each].needs != "studies"}
            continue
        if name not in ARTIFACTS:
            raise unknown_name("artifact", name, [*ARTIFACTS, *members])
        if ARTIFACTS[name].needs == "studies" and not is_tuned:
            raise UsageError(
                f"The artifact '{name}' shows a parameter search, and this call has none. Add --tune N or "
                f"--tune-minutes M; existing trials are reused."
            )
        chosen.add(name)
    return [name for name in ARTIFACTS if name in chosen]


def check_names(
    names: Sequence[str], models: Sequence[str], is_tuned: bool, content_models: Container[str] | None = None
) -> list[str]:
    """Return the artifacts that a call makes, in the order of `ARTIFACTS`.

    Args:
        names: artifacts and groups from the command line; none stands for the comparison.
        models: names of the models of the call. No other model is trained, so artifacts that need one are left
            out; see `needs_other_models`.
        is_tuned: whether the call searches parameters.
        content_models: see `varied`.

    Raises:
        UsageError: an artifact does not exist, or shows a search and the call has none; or none is left.
    """
    asked = expand(names, is_tuned)
    made = [name for name in asked if ARTIFACTS[name].can_be_made(varied(name, models, content_models))]
    if not made:
        other = dict.fromkeys(model for name in asked for model in ARTIFACTS[name].varies if model not in models)
        raise UsageError(
            f"{listed(asked)} cannot be made of {listed(dict.fromkeys(models))}: a model that is not named is not "
            f"trained. Add {listed(other)} to --models, or leave --models or --artifacts out."
        )
    return made


def needs_other_models(
    names: Sequence[str], models: Sequence[str], is_tuned: bool, content_models: Container[str] | None = None
) -> str:
    """Say in one line what is left out because a call does not name the models for it; "" if nothing is.

    Args:
        names: artifacts and groups from the command line.
        models: names of the models of the call.
        is_tuned: whether the call searches parameters.
        content_models: see `varied`.
    """
    by_models: dict[tuple[str, ...], list[str]] = {}
    for name in expand(names, is_tuned):
        possible = varied(name, ARTIFACTS[name].varies, content_models)
        missing = tuple(model for model in possible if model not in models)
        if missing:
            by_models.setdefault(missing, []).append(name)
    parts = []
    for missing, without in by_models.items():
        first = without[0]  # artifacts that vary the same models are alike in this
        is_made = ARTIFACTS[first].can_be_made(varied(first, models, content_models))
        parts.append(f"{'a part' if is_made else 'all'} of {listed(without)} (needs {listed(missing)})")
    return f"Left out, as only models of the call are trained: {'; '.join(parts)}." if parts else ""


def with_rows(
    names: Sequence[str],
    facts: Sequence[DataFacts],
    models: Container[str],
    left_out: Container[tuple[str, str]],
    content_models: Container[str] | None = None,
) -> list[str]:
    """Return the names without artifacts that would be empty, because rows or data sets for them are missing.

    Args:
        names: the artifacts.
        facts: the data sets.
        models: models that may be trained.
        left_out: data set and label of the runs that are left out.
        content_models: see `varied`.
    """
    from bench.report.tables.critical import has_enough_data

    def has_rows(name: str) -> bool:
        if name == RANKS and not has_enough_data(facts):
            return False
        planned = ((each, rows_of([name], each, models, content_models)) for each in facts)
        rows = [(each.name, row.label) for each, its in planned for row in its]
        shows_others = ARTIFACTS[name].needs == "models" or not ARTIFACTS[name].varies
        return shows_others or any(row not in left_out for row in rows)

    return [name for name in names if has_rows(name)]


def rows_of(
    names: Sequence[str], facts: DataFacts, models: Container[str], content_models: Container[str] | None = None
) -> list[Variant]:
    """Return the rows that the named artifacts need besides the models of the call.

    Args:
        names: the artifacts.
        facts: the data set.
        models: models that may be trained; rows of other models are left out.
        content_models: see `varied`.
    """
    return [
        row
        for name in names
        for row in ARTIFACTS[name].rows(facts)
        if row.model in varied(name, models, content_models)
    ]


def varied(name: str, models: Container[str], content_models: Container[str] | None = None) -> list[str]:
    """Return the models that an artifact varies, out of those that may be trained.

    Args:
        name: the artifact.
        models: models that may be trained.
        content_models: models that the content ablation varies; None for all multimodal ones.
    """
    able = [model for model in ARTIFACTS[name].varies if model in models]
    if name not in ON_REPLACED_CONTENT or content_models is None:
        return able
    return [model for model in able if model in content_models]


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
