"""Where the numbers come from, as tables: call, data, protocol, machines, failures. Pure.

The parameters of all runs, as tables: a model's own in full, of variations what differs. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from bench.report.html.summary import About
from bench.report.material import Material
from bench.report.stops import stopped_by_cap
from bench.report.table import Block, Cell, Column, Row
from bench.report.wording import metric_name, model_display, row_order, seeds
from bench.runs.records import DataFacts, ProtocolFacts, RunRecord, RunSpec

ENVIRONMENT = ("python", "platform", "processor", "cores", "threads", "n_workers", "device")
UNITS = {"hours": 3600, "minutes": 60, "seconds": 1}
Thing = TypeVar("Thing")


def provenance(material: Material, about: About) -> Block:
    """The box at the head of the page."""
    records = material.records
    said = {
        "Command": about.command,
        "Code": _distinct(records, _commit),
        "Runs": _runs(material),
        "Computing": _computing(material),
        "Seeds": f"{seeds(material.n_seeds)} a model, root {_distinct(records, lambda each: each.spec.base_seed)}",
        "Profile": f"{about.profile}, at most {about.max_epochs:,} epochs. {stopped_by_cap(records)}".strip(),
        "Tuning": f"{about.budget} a model and data set" if about.budget else "none in this call",
        "Protocol": _distinct((record.protocol for record in records), _choices) or material.protocol.tag,
        "Items without a modality": _distinct(records, lambda each: each.spec.params.get("missing")),
        "Machine": _distinct(records, lambda each: each.environment.get("processor")),
        "Started": _period(records),
    }
    return _pairs(said)


def data(material: Material) -> Block:
    """The data sets: source, origin, modalities with the share of the items that have them, and hashes."""
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
        words(
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
    """Machine and versions, each with all values that occur."""
    said = {name: _distinct(material.records, _getter(name)) for name in ENVIRONMENT}
    names = {name for record in material.records for name in record.environment.get("packages", {})}
    said |= {name: _distinct(material.records, _getter("packages", name)) for name in sorted(names)}
    return _pairs(said)


def failures(material: Material) -> Block | None:
    """The runs that failed, with their errors; None if all finished."""
    failed = [record for record in material.records if record.status == "failed"]
    columns = tuple(Column(title, align="left") for title in ("Model", "Data set", "Seed", "Error", "Run"))
    rows = tuple(
        words(
            model_display(record.spec.label, material.paper),
            record.data.label,
            str(record.spec.repetition + 1),
            f"{record.error.kind}: {record.error.message}" if record.error else "unknown",
            record.key,
        )
        for record in failed
    )
    return Block(columns, rows) if rows else None


def words(*texts: str) -> Row:
    """A row of words."""
    return Row(tuple(Cell(words=text) for text in texts))


def _pairs(said: dict[str, str]) -> Block:
    rows = tuple(words(name, text) for name, text in said.items() if text)
    return Block((Column("What", align="left"), Column("Value", align="left")), rows)


def _getter(*path: str) -> Callable[[RunRecord], Any]:
    def get(record: RunRecord) -> Any:
        value: Any = record.environment
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return value

    return get


def _distinct(each: Iterable[Thing], get: Callable[[Thing], Any]) -> str:
    """All values that occur, in order; empty if there is none."""
    return "; ".join(sorted({str(value) for one in each if (value := get(one)) is not None}))


def _commit(record: RunRecord) -> str | None:
    git = record.environment.get("git") or {}
    if git.get("commit") is None:
        return None
    state = {True: " with uncommitted changes", False: "", None: " (changes unknown)"}[git.get("modified")]
    return f"commit {git['commit']}{state}"


def _runs(material: Material) -> str:
    n_failed = sum(record.status == "failed" for record in material.records)
    return f"{len(material.records) - n_failed:,} finished, {n_failed:,} failed"


def _computing(material: Material) -> str:
    """Time of all runs and trials, as if one after the other."""
    trials = [record for study in material.studies for record in [*study.records, *study.confirmations]]
    seconds = sum(record.cost.total_seconds for record in [*material.records, *trials] if record.cost)
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


Params = dict[tuple[str, str], RunSpec]


def parameters(material: Material) -> list[tuple[str, Block | None]]:
    """A table a model: a column for every data set, and variant of the call; None for a model without any."""
    found = _found(material)
    by_model: dict[str, list[str]] = {}
    for label in row_order(_own(material), material.paper):
        by_model.setdefault(label.partition("@")[0], []).append(label)
    return [
        (model_display(model, material.paper), _table(material, labels, found))
        for model, labels in by_model.items()
        if any(label in labels for _, label in found)
    ]


def variations(material: Material) -> Block | None:
    """What the rows of single tables and figures change in their model's own values; None without such rows."""
    found, own = _found(material), set(_own(material))
    columns = tuple(Column(title, align="left") for title in ("Row", "Data set", "Differs in"))
    rows = tuple(
        words(model_display(label, material.paper), data, _differences(spec, found.get((data, spec.model))))
        for (data, label), spec in found.items()
        if label not in own
    )
    return Block(columns, rows) if rows else None


def _found(material: Material) -> Params:
    """A spec for every data set and label, data set by data set."""
    return {
        (facts.label, record.spec.label): record.spec
        for facts in material.facts
        for record in material.records
        if record.data.label == facts.label
    }


def _own(material: Material) -> list[str]:
    """The labels of the call, and models that single artifacts brought in."""
    return list(dict.fromkeys([*material.labels, *(each.spec.model for each in material.records)]))


def _table(material: Material, labels: Sequence[str], found: Params) -> Block | None:
    shown = {place: spec.params for place, spec in found.items() if place[1] in labels}
    names = list(dict.fromkeys(name for params in shown.values() for name in params))
    several = len(labels) > 1
    columns = [
        Column(model_display(label, material.paper) if several else data, group=data if several else "")
        for data, label in shown
    ]
    rows = tuple(words(name, *(_value(params.get(name)) for params in shown.values())) for name in names)
    return Block((Column("Parameter", align="left"), *columns), rows) if names else None


def _differences(spec: RunSpec, own: RunSpec | None) -> str:
    base = {} if own is None else own.params
    said = [
        f"{name} = {_value(value)}"
        for name, value in spec.params.items()
        if name not in base or base[name] != value
    ]
    said += [f"content: {spec.features}"] if spec.features != "given" else []
    return ", ".join(said) or "nothing"


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
