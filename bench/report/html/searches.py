"""Which hyperparameters of a call come from earlier searches. Reads models' files through the registry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.core.errors import listed
from bench.core.names import split_label
from bench.engine import registry
from bench.engine.tuned import TunedEntry, TunedFile
from bench.report.material import Material
from bench.report.wording import model_display
from bench.runs.records import DataFacts, RunRecord


@dataclass(frozen=True)
class Earlier:
    """The rows of a call by the origin of their values.

    Attributes:
        entries: what the searches found, by displayed name and data set.
        others: displayed names and data sets of rows without values of a search.
        given: displayed names of rows to which the call gave other values.
    """

    entries: dict[str, TunedEntry]
    others: tuple[str, ...]
    given: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """Describe the origin in one or two sentences."""
        trials = sorted({each.trials for each in self.entries.values()})
        dates = sorted({each.date[:10] for each in self.entries.values()})
        n = " to ".join(map(str, dict.fromkeys((trials[0], trials[-1]))))
        span = " to ".join(dict.fromkeys((dates[0], dates[-1])))
        words = f"Values of earlier searches ({n} trials per model, {span})."
        given = f" The call gave values (--set) for {listed(self.given)}." if self.given else ""
        return f"{words} Without a search: {listed(self.others)}.{given}" if self.others else words


def from_searches(material: Material) -> Earlier | None:
    """Return the rows whose values come from the models' tuned files; None if no row has such values."""
    entries: dict[str, TunedEntry] = {}
    others: list[str] = []
    for facts, label, run in _rows(material):
        name = f"{model_display(label, material.paper)} on {facts.name}"
        entry = _entry(run, facts)
        if entry is not None:
            entries[name] = entry
        elif run.spec.params:  # a row without parameters has nothing to search
            others.append(name)
    return Earlier(entries, tuple(others), tuple(set_in_call(material))) if entries else None


def set_in_call(material: Material) -> list[str]:
    """Return the rows that have other values than the models' files, because the call gave them."""
    found = []
    for facts, label, run in _rows(material):
        model, variant = split_label(label)
        if entry := registry.find(model):
            own = entry.params(facts.full_name, variant, split_hash=facts.split_hash).model_dump()
            if run.spec.params not in ({}, own):  # baselines without settings have no parameters
                found.append(model_display(label, material.paper))
    return list(dict.fromkeys(found))


def _rows(material: Material) -> Iterator[tuple[DataFacts, str, RunRecord]]:
    """Yield the first finished run of every row of the call, with its data set and label."""
    for facts in material.facts:
        for label in material.labels:
            if runs := material.runs(facts, label):
                yield facts, label, runs[0]


def _entry(run: RunRecord, facts: DataFacts) -> TunedEntry | None:
    """Return the search whose values a run has; None if there is none, or the run has other values."""
    model, variant = run.spec.model, run.spec.variant
    entry = registry.find(model)
    tuned = TunedFile.of(entry).used(facts.full_name, facts.split_hash, variant) if entry else None
    if entry is None or tuned is None:
        return None
    own = entry.file.variants.get(variant, {})
    values = {name: value for name, value in tuned.values.items() if name not in own}
    return tuned if all(run.spec.params.get(name) == value for name, value in values.items()) else None
