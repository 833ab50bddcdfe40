"""Layer 9. The parameters of all runs, as tables: a model's own in full, of variations what differs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.records import RunSpec
from bench.report.html.provenance import words
from bench.report.material import Material
from bench.report.table import Block, Column
from bench.report.wording import model_display, row_order

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
