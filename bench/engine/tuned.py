"""Tuned values of models in `NAME.tuned.yaml`, beside the model's YAML. Reads and writes that file.

Only the program writes this file. A search therefore never edits a file with comments, and its values can be
checked as strictly as a record. Each entry belongs to one data set, split and variant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from bench.core.config import Frozen, validated
from bench.core.errors import ConfigError, listed, nearest_hint
from bench.core.files import exclusively, os_errors, write_text
from bench.core.names import base_and_split
from bench.core.yaml_files import dump_yaml, read_yaml
from bench.engine.model_file import ModelEntry, Values, checked_params

HEADER = """\
# Written by run_all.py --tune: a search replaces its entry. The entries that the project ships are those of its
# published searches (results/reference), with the values that these fixed by --set. Values of your own belong into
# {name} under 'datasets'; they hold where no search gave another one. To forget an entry, remove it.
"""
Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class Confirmed(Frozen):
    """How the best settings of a search were confirmed.

    Attributes:
        settings: number of settings trained again.
        seeds: number of new seeds of each.
        dropped: number of settings of which such a run failed.
    """

    settings: Count
    seeds: Count
    dropped: Count = 0


class TunedEntry(Frozen):
    """The values that a search chose, and their provenance.

    Attributes:
        dataset: name of the data card.
        split: name of the split that the search was made on.
        variant: of the model, "" for its own row.
        values: of every parameter that the search could vary.
        metric: the validation metric that decided.
        valid: its value for the chosen setting; with a confirmation, the mean over its seeds.
        valid_default: its value for the defaults in the search, one seed; None if that trial failed.
        trials: number of trials, of which `failed` failed and `pruned` were stopped early.
        confirmed: None without a confirmation, when one seed decided.
        sampler: name of the sampler that proposed the trials.
        base_seed, max_epochs: of every trial.
        protocol: its tag.
        data, data_hash, split_hash, code_hash: the data and code of the search.
        date: of the choice, ISO 8601.
        command: of the call; None if unknown.
    """

    dataset: Text
    split: str
    variant: str = ""
    values: dict[str, Any]
    metric: Text
    valid: Number
    valid_default: Number | None = None
    trials: Count
    failed: Count = 0
    pruned: Count = 0
    confirmed: Confirmed | None = None
    sampler: Text
    base_seed: int
    max_epochs: Count
    protocol: Text
    data: Text
    data_hash: str | None = None
    split_hash: Text
    code_hash: Text
    date: Text
    command: str | None = None

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Return data set, name and hash of the split, and variant, which are unique in a file."""
        return self.dataset, self.split, self.split_hash, self.variant

    @property
    def words(self) -> str:
        """Describe the provenance of the values in a sentence."""
        default = "failed" if self.valid_default is None else f"{self.valid_default:.4f}"
        unusual = [f"{n} {kind}" for n, kind in ((self.failed, "failed"), (self.pruned, "pruned")) if n]
        trials = f"{self.trials} trials" + (f" ({', '.join(unusual)})" if unusual else "")
        over = ""
        if self.confirmed is not None:
            seeds, settings = self.confirmed.seeds, self.confirmed.settings
            over = f", the mean over {seeds} fresh seeds of the best of {settings} settings"
        return (
            f"Chosen by validation {self.metric} {self.valid:.4f}{over}, the default's {default}, among {trials} "
            f"({self.sampler}, base seed {self.base_seed}, at most {self.max_epochs} epochs, protocol "
            f"{self.protocol}) on {self.data}, split {self.split_hash}, code {self.code_hash}, {self.date}."
        )


@dataclass(frozen=True)
class TunedFile:
    """The tuned entries of one model."""

    entries: tuple[TunedEntry, ...] = ()

    @classmethod
    def of(cls, entry: ModelEntry) -> TunedFile:
        """Return the entries of a model from the registry; none without a search."""
        return entry.tuned if isinstance(entry.tuned, TunedFile) else cls()

    def find(self, dataset: str, split_hash: str, variant: str = "") -> TunedEntry | None:
        """Return the entry of exactly this data set, split and variant; None without a search on it.

        Args:
            dataset: `NAME@SPLIT`; values belong to a split, so a name without one has no entry.
            split_hash: of the split. Another source of the card or another base seed makes another split, and what
                a search chose there may have seen this one's test part.
            variant: of the model.
        """
        key = (*base_and_split(dataset), split_hash, variant)
        return next((entry for entry in self.entries if entry.key == key), None)

    def used(self, dataset: str, split_hash: str, variant: str) -> TunedEntry | None:
        """Return the entry that a run uses: the variant's own, or else that of the model; None without both."""
        return (self.find(dataset, split_hash, variant) if variant else None) or self.find(dataset, split_hash)

    def values(self, dataset: str, split_hash: str, variant: str = "") -> Values:
        """Return the values of the entry for a data set, its split and a variant; empty if there is none."""
        entry = self.find(dataset, split_hash, variant)
        return {} if entry is None else dict(entry.values)


def tuned_path(entry: ModelEntry) -> Path:
    """Return the path of a model's tuned values, whether the file exists or not."""
    return entry.path.with_suffix(".tuned.yaml")


def with_tuned(entry: ModelEntry) -> ModelEntry:
    """Return the model with the tuned values beside its YAML.

    Raises:
        ConfigError: the file is damaged, or does not fit the model.
    """
    path = tuned_path(entry)
    if not entry.takes_values or not path.exists():
        return entry
    stat = path.stat()
    return _completed(path, (stat.st_mtime_ns, stat.st_size), _Holder(entry))


def write_tuned(entry: ModelEntry, new: TunedEntry) -> Path:
    """Write an entry into the model's file, replacing one for the same data set, split and variant.

    Raises:
        ConfigError: the existing file is damaged, or the values do not fit the model.
        ResultsError: the file cannot be written.
    """
    path = tuned_path(entry)
    with os_errors(
        f"The chosen values cannot be written to {path}",
        "The trials are kept: make the folder writable and run the same command again.",
    ):
        lock = path.with_name(f".{path.name}.lock")
        with exclusively(lock):
            kept = [each for each in _read(path, entry) if each.key != new.key] if path.exists() else []
            entries = sorted([*kept, new], key=lambda each: each.key)
            _check(entries, entry, path)
            body = dump_yaml([each.model_dump(mode="json") for each in entries])
            write_text(path, HEADER.format(name=entry.path.name) + body)
    return path


@dataclass(frozen=True)
class _Holder:
    """A model as a hashable argument of a cached function, compared by identity."""

    entry: ModelEntry

    def __hash__(self) -> int:
        return id(self.entry)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Holder) and other.entry is self.entry


@cache
def _completed(path: Path, stamp: tuple[int, int], holder: _Holder) -> ModelEntry:
    """Read a model's tuned values, once for each state of the file that `stamp` describes."""
    return replace(holder.entry, tuned=TunedFile(tuple(_read(path, holder.entry))))


def _read(path: Path, entry: ModelEntry) -> list[TunedEntry]:
    raw = read_yaml(path)
    own = f"your own values go into {entry.path.name}"
    advice = f"Only run_all.py --tune writes this file: restore it, or remove it; {own}."
    if not isinstance(raw, list):
        raise ConfigError(f"{path}: expected a list of entries, found {type(raw).__name__}. {advice}")
    entries = [
        validated(TunedEntry, each, f"{path}, entry {number}", advice) for number, each in enumerate(raw, 1)
    ]
    _check(entries, entry, path)
    return entries


def _check(entries: Sequence[TunedEntry], entry: ModelEntry, path: Path) -> None:
    """Refuse duplicate entries, unknown variants and parameters, and values of a wrong type."""
    declared = entry.model_class.Params.model_fields
    seen = set()
    for each in entries:
        about = f"{path}: the entry for {each.dataset}, split '{each.split}'" + (
            f", variant {each.variant}" if each.variant else ""
        )
        if each.key in seen:
            raise ConfigError(f"{about} is given twice. Remove one of them.")
        seen.add(each.key)
        if each.variant and each.variant not in entry.file.variants:
            raise ConfigError(f"{about} is for a variant that {entry.path.name} does not have. Remove the entry.")
        for key in each.values:
            if key not in declared:
                raise ConfigError(
                    f"{about} names '{key}', which {entry.name} does not have.{nearest_hint(key, declared)} Its "
                    f"parameters: {listed(declared)}. Remove the entry and search again."
                )
        defaults = {**entry.file.defaults, **entry.file.variants.get(each.variant, {})}
        advice = "Remove the entry and search again."
        checked_params(entry.model_class.Params, {**defaults, **each.values}, about, advice)
