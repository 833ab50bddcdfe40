"""The origin of the numbers: call, data, protocol, machines, failures, parameters, records and papers. Pure.

The parameters of a model are shown in full, and those of a variation as differences from its model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from bench.core.errors import listed
from bench.core.names import model_of
from bench.engine import registry
from bench.report.html.searches import from_searches, set_in_call
from bench.report.html.summary import About
from bench.report.leaderboard.entries import web_address
from bench.report.material import Material
from bench.report.stops import stopped_by_cap
from bench.report.table import Block, Cell, Column, Row
from bench.report.wording import metric_name, model_display, row_order, seeds
from bench.runs.record_files import place_of_record
from bench.runs.records import DataFacts, ProtocolFacts, RunRecord, RunSpec

ENVIRONMENT = ("python", "platform", "processor", "cores", "threads", "n_workers", "device")
UNITS = {"hours": 3600, "minutes": 60, "seconds": 1}
Source = TypeVar("Source")
Specs = dict[tuple[str, str], RunSpec]  # by data set and label
DOCS_INDEX = "docs/index.md"


@dataclass(frozen=True)
class Link:
    """A link of the page."""

    text: str
    address: str


def links(material: Material) -> list[Link]:
    """Return the links at the top of the page: the leaderboard, and the documentation at the code's host."""
    docs = next((found for record in material.records if (found := web_address(record, DOCS_INDEX))), "")
    return [Link("Leaderboard", "leaderboard.html"), *([Link("Documentation", docs)] if docs else [])]


def papers(material: Material) -> list[tuple[str, str, str]]:
    """Return name, reference and address of the paper of every model; the address is "" without one."""
    found = []
    for model in dict.fromkeys(map(model_of, row_order(_model_labels(material), material.paper))):
        card = registry.card_of(model)
        if card is not None:
            address = card.url if card.url.startswith("https://") else ""
            found.append((model_display(model, material.paper), card.paper, address))
    return found


def records(material: Material) -> list[tuple[str, list[Link]]]:
    """Return the records of every row and data set, as links to the files beside the page."""
    by_row: dict[str, dict[int, str]] = {}
    for record in material.records:
        row = f"{model_display(record.spec.label, material.paper)} on {record.data.label}"
        address = quote(place_of_record(record).as_posix())
        by_row.setdefault(row, {})[record.spec.repetition + 1] = address
    return [(row, [Link(f"seed {number}", own[number]) for number in sorted(own)]) for row, own in by_row.items()]


def provenance(material: Material, about: About) -> Block:
    """Return the overview table of the call."""
    records = material.records
    base_seeds = _distinct(records, lambda record: record.spec.base_seed)
    facts = {
        "Command": about.command,
        "Code": _distinct(records, _commit),
        "Runs": _runs(material),
        "Computing": _computing(material),
        "Seeds": f"{seeds(material.n_seeds)} per model, root {base_seeds}",
        "Profile": f"{about.profile}, at most {about.max_epochs:,} epochs. {stopped_by_cap(records)}".strip(),
        "Search": f"{about.budget} per model and data set" if about.budget else _searched(material),
        "Protocol": _distinct((record.protocol for record in records), _choices) or material.protocol.tag,
        "Items without a modality": _distinct(records, lambda each: each.spec.params.get("missing")),
        "Machine": _distinct(records, lambda each: each.environment.get("processor")),
        "Started": _period(records),
    }
    return _two_columns(facts)


def _searched(material: Material) -> str:
    earlier = from_searches(material)
    if earlier is None and (given := set_in_call(material)):
        return f"none in this call, which gave values (--set) for {listed(given)}"
    return earlier.words if earlier else "none; the models' own values"


def data(material: Material) -> Block:
    """Return the data sets: source, origin, hashes, and modalities with the share of items that have them."""
    titles = (
        "Data set",
        "Source",
        "Origin",
        "Modalities (share of the items)",
        "Split",
        "Data hash",
        "Split hash",
    )
    rows = tuple(
        text_row(
            *(facts.label, facts.source, facts.origin, _coverage(facts)),
            *(facts.split, facts.data_hash, facts.split_hash),
        )
        for facts in material.facts
    )
    return Block(tuple(Column(title, align="left") for title in titles), rows)


def _coverage(facts: DataFacts) -> str:
    present = [f"{each.name} ({each.coverage:.2%})" for each in facts.modalities]
    return ", ".join([*present, *(f"{name} (missing)" for name in facts.missing)])


def environment(material: Material) -> Block:
    """Return machine and package versions, each with all values that occur."""
    facts = {name: _distinct(material.records, _getter(name)) for name in ENVIRONMENT}
    names = {name for record in material.records for name in record.environment.get("packages", {})}
    facts |= {name: _distinct(material.records, _getter("packages", name)) for name in sorted(names)}
    return _two_columns(facts)


def failures(material: Material) -> Block | None:
    """Return the failed runs with their errors; None if all finished."""
    failed = [record for record in material.records if record.status == "failed"]
    columns = tuple(Column(title, align="left") for title in ("Model", "Data set", "Seed", "Error", "Run"))
    rows = tuple(
        text_row(
            model_display(record.spec.label, material.paper),
            record.data.label,
            str(record.spec.repetition + 1),
            f"{record.error.kind}: {record.error.message}" if record.error else "unknown",
            record.key,
        )
        for record in failed
    )
    return Block(columns, rows) if rows else None


def text_row(*texts: str) -> Row:
    """Return a row of cells that hold text only."""
    return Row(tuple(Cell(words=text) for text in texts))


def _two_columns(facts: dict[str, str]) -> Block:
    """Return a block of names and values, without empty values."""
    rows = tuple(text_row(name, text) for name, text in facts.items() if text)
    return Block((Column("What", align="left"), Column("Value", align="left")), rows)


def _getter(*path: str) -> Callable[[RunRecord], Any]:
    """Return a function that reads a nested value of a record's environment, or None."""

    def get(record: RunRecord) -> Any:
        value: Any = record.environment
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return value

    return get


def _distinct(sources: Iterable[Source], get: Callable[[Source], Any]) -> str:
    """Return the sorted distinct values as text; "" without any."""
    return "; ".join(sorted({str(value) for source in sources if (value := get(source)) is not None}))


def _commit(record: RunRecord) -> str | None:
    git = record.environment.get("git") or {}
    if git.get("commit") is None:
        return None
    state = {True: " with uncommitted changes", False: "", None: " (changes unknown)"}[git.get("modified")]
    return f"commit {git['commit']}{state}"


def _runs(material: Material) -> str:
    n_failed = sum(run.status == "failed" for run in material.each_run)
    return f"{len(material.each_run) - n_failed:,} finished, {n_failed:,} failed"


def _computing(material: Material) -> str:
    """Return the summed time of all runs and trials."""
    trials = [record for study in material.studies for record in [*study.records, *study.confirmations]]
    seconds = sum(record.cost.total_seconds for record in [*material.each_run, *trials] if record.cost)
    unit = next((unit for unit in UNITS if seconds >= UNITS[unit]), "seconds")
    amount = f"{seconds / UNITS[unit]:,.1f} {unit}"
    return f"{amount} in finished runs" + (f", {len(trials):,} runs of the search included" if trials else "")


def _choices(used: ProtocolFacts) -> str:
    return (
        f"{used.name}, version {used.version} ({used.tag}): full ranking of all items not seen; hidden at test: "
        f"{used.hide_at_test} items; epochs and values chosen by validation {metric_name(used.selection_metric)}; "
        f"patience {used.patience} epochs; at most {used.max_epochs:,} epochs; K = "
        f"{', '.join(map(str, used.cutoffs))}; the test part is evaluated once"
    )


def _period(records: Sequence[RunRecord]) -> str:
    started = sorted(record.started for record in records)
    return f"{started[0]} to {started[-1]}" if len(started) > 1 else "".join(started)


def parameters(material: Material) -> list[tuple[str, Block | None]]:
    """Return the parameter table of every model, one column per data set and variant; None without parameters."""
    specs = _specs(material)
    by_model: dict[str, list[str]] = {}
    for label in row_order(_model_labels(material), material.paper):
        by_model.setdefault(model_of(label), []).append(label)
    return [
        (model_display(model, material.paper), _table(material, labels, specs))
        for model, labels in by_model.items()
        if any(label in labels for _, label in specs)
    ]


def variations(material: Material) -> Block | None:
    """Return what the rows of single artifacts change in their model's values; None without such rows."""
    specs, own = _specs(material), set(_model_labels(material))
    columns = tuple(Column(title, align="left") for title in ("Row", "Data set", "Differs in"))
    rows = tuple(
        text_row(model_display(label, material.paper), data, _differences(spec, specs.get((data, spec.model))))
        for (data, label), spec in specs.items()
        if label not in own
    )
    return Block(columns, rows) if rows else None


def _specs(material: Material) -> Specs:
    """Return one run specification for every data set and label, ordered by data set."""
    return {
        (facts.label, record.spec.label): record.spec
        for facts in material.facts
        for record in material.records
        if record.data.label == facts.label
    }


def _model_labels(material: Material) -> list[str]:
    """Return the labels of the call, and the models that single artifacts added."""
    return list(dict.fromkeys([*material.labels, *(each.spec.model for each in material.records)]))


def _table(material: Material, labels: Sequence[str], specs: Specs) -> Block | None:
    shown = {key: spec.params for key, spec in specs.items() if key[1] in labels}
    names = list(dict.fromkeys(name for params in shown.values() for name in params))
    several = len(labels) > 1
    columns = [
        Column(model_display(label, material.paper) if several else data, group=data if several else "")
        for data, label in shown
    ]
    rows = tuple(text_row(name, *(_value(params.get(name)) for params in shown.values())) for name in names)
    return Block((Column("Parameter", align="left"), *columns), rows) if names else None


def _differences(spec: RunSpec, own: RunSpec | None) -> str:
    base = {} if own is None else own.params
    changes = [
        f"{name} = {_value(value)}"
        for name, value in spec.params.items()
        if name not in base or base[name] != value
    ]
    changes += [f"content: {spec.features}"] if spec.features != "given" else []
    return ", ".join(changes) or "nothing"


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
