"""Records to tables and rows: what may stand beside what. Reads models' files by the registry only.

Records share a table if data, split and protocol are the same, the protocol's changed choices included, and a row
if everything but the repetition is.
A row is complete with the finished repetitions 1 to n, where n is the table's: what was asked for, else the
largest number that more than half of its rows have, so that one row with more repetitions does not take rank and
mean from all others. Only complete rows have means and ranks; further repetitions are left out, and that is said.

What records say against each other: other data under one hash, one run given as several. Pure.

Every record of a results directory, runs and trials, and what is no record. Reads only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.core.errors import BenchError, ResultsError
from bench.core.hashing import hash_value
from bench.core.protocol import METRICS, VERSION, Protocol, metric_key
from bench.core.text import for_line
from bench.engine import registry
from bench.engine.model_file import ModelEntry
from bench.report.scores import DataKey, data_key
from bench.runs.record_files import Damaged, RecordFile, read_record
from bench.runs.records import DataFacts, RunRecord

SHOWN = tuple(metric_key(metric, cutoff) for cutoff in (10, 20) for metric in METRICS)
CONTENT = "the content was replaced, a control for single tables"
VARIATION = "a variation for single tables and figures, which is no candidate"
FAILED = "no finished run in its row"
FURTHER = "a repetition beyond those that most rows of its table have (--seeds N takes more)"


@dataclass(frozen=True, eq=False)
class BoardRow:
    """One row: runs that differ in their repetition only.

    Attributes:
        label: model, or `model@variant`.
        told: what sets it apart from other rows of its label; "" where there is none.
        records: finished ones of the first `n_asked` repetitions, by repetition.
        n_failed: of these repetitions.
        n_asked: repetitions of a complete row.
    """

    label: str
    told: str
    records: tuple[RunRecord, ...]
    n_failed: int
    n_asked: int

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.label.partition("@")[0]

    @property
    def is_complete(self) -> bool:
        """Whether it has all its repetitions."""
        return len(self.records) == self.n_asked

    @cached_property
    def id(self) -> str:
        """The same for the same configuration, whatever else there is."""
        return hash_value(configuration(self.records[0]))[:8]

    def values(self, metric: str, part: str = "test") -> list[float]:
        """The metric in every repetition; those without it are left out."""
        by_run = [getattr(record.metrics, part).values for record in self.records if record.metrics is not None]
        return [values[metric] for values in by_run if metric in values]

    def mean(self, metric: str, part: str = "test") -> float | None:
        """Mean over the repetitions of a complete row; None where one lacks the metric."""
        found = self.values(metric, part)
        return sum(found) / len(found) if self.is_complete and len(found) == self.n_asked else None


@dataclass(frozen=True, eq=False)
class Board:
    """One table: rows on the same data, split and protocol, the best first, incomplete ones last."""

    facts: DataFacts
    protocol: Protocol
    n_asked: int
    rows: tuple[BoardRow, ...]

    @property
    def complete(self) -> list[BoardRow]:
        """Rows with all their repetitions."""
        return [row for row in self.rows if row.is_complete]

    @property
    def id(self) -> str:
        """The same for the same data, split and protocol."""
        return "t" + hash_value([*data_key(self.facts), self.protocol.tag])[:8]

    @property
    def ranked_by(self) -> str:
        """The metric that ranks: the one that the protocol selects by, on the test part."""
        return self.protocol.selection_metric

    @property
    def shown(self) -> tuple[str, ...]:
        """The metrics that are shown: `SHOWN`, and the one that ranks."""
        return tuple(dict.fromkeys((*SHOWN, self.ranked_by)))


def boards(records: Iterable[RunRecord], n_asked: int | None) -> tuple[list[Board], Counter[str]]:
    """All tables, by data set, and how many runs belong into none, by reason.

    Args:
        records: of reported runs; failed ones count as missing.
        n_asked: repetitions of a complete row; None takes the largest number that most rows of a table have.
    """
    tables: dict[tuple[DataKey, Protocol], dict[str, list[RunRecord]]] = {}
    left_out: Counter[str] = Counter()
    for record in records:
        if record.spec.features != "given":
            left_out[CONTENT] += 1
            continue
        key = (data_key(record.data), record.protocol.protocol)
        tables.setdefault(key, {}).setdefault(hash_value(configuration(record)), []).append(record)
    found = []
    for key in sorted(tables, key=_table_place):
        named: dict[str, list[list[RunRecord]]] = {}
        for group in tables[key].values():
            label = label_of(group)
            if label is None:
                left_out[VARIATION] += len(group)
            elif all(record.status == "failed" for record in group):
                left_out[FAILED] += len(group)
            else:
                named.setdefault(label, []).append(group)
        if named:
            n = n_asked or _most([group for several in named.values() for group in several])
            found.append(_board(key[1], named, n))
            left_out[FURTHER] += sum(
                record.spec.repetition >= n for several in named.values() for group in several for record in group
            )
    return found, +left_out  # without those that count nothing


def _most(groups: Sequence[Sequence[RunRecord]]) -> int:
    """The largest number of repetitions that more than half of the rows have begun."""
    begun = sorted(max(record.spec.repetition + 1 for record in group) for group in groups)
    return begun[(len(begun) - 1) // 2]


def _table_place(key: tuple[DataKey, Protocol]) -> tuple[DataKey, bool, str]:
    """By data; of one data set protocols of earlier versions come last."""
    return key[0], key[1].version != VERSION, key[1].tag


def configuration(record: RunRecord) -> dict[str, Any]:
    """All that makes a row within a table."""
    spec = record.spec
    return {
        "model": spec.model,
        "params": spec.params,
        "epochs": spec.max_epochs,
        "patience": record.protocol.patience,
        "base seed": spec.base_seed,
        "code": record.code_hash,
    }


def label_of(group: Sequence[RunRecord]) -> str | None:
    """What the runs are called: the model's own row, or a variant in its file; None for a mere variation.

    A run keeps the name that it was first made under, and a table's variation may equal the model's own row.
    """
    spec, data, names = group[0].spec, group[0].data, {record.spec.variant for record in group}
    if "" in names:
        return spec.model
    if spec.model not in registry.names():
        return f"{spec.model}@{min(names)}"
    entry = registry.load(spec.model)
    for variant in ("", *entry.file.variants):
        if variant in names or _is_as_in_file(entry, f"{data.card}@{data.split}", variant, spec.params):
            return f"{spec.model}@{variant}" if variant else spec.model
    return None


def _is_as_in_file(entry: ModelEntry, dataset: str, variant: str, params: dict[str, Any]) -> bool:
    try:
        return bool(entry.params(dataset, variant).model_dump() == params)
    except BenchError:
        return False


def _board(used: Protocol, named: dict[str, list[list[RunRecord]]], n: int) -> Board:
    groups = [(label, group) for label, several in named.items() for group in several]
    rows = [_row(label, group, named[label], n) for label, group in groups]
    ranked = sorted(filter(None, rows), key=lambda row: _place(row, used.selection_metric))
    facts = groups[0][1][0].data.without_paths()
    return Board(facts, used, n, tuple(ranked))  # rows without a run among the first n go


def _row(label: str, group: Sequence[RunRecord], namesakes: list[list[RunRecord]], n: int) -> BoardRow | None:
    asked = sorted((r for r in group if r.spec.repetition < n), key=lambda record: record.spec.repetition)
    finished = tuple(record for record in asked if record.status == "finished")
    told = _told(group[0], [other[0] for other in namesakes])
    return BoardRow(label, told, finished, len(asked) - len(finished), n) if finished else None


def _place(row: BoardRow, ranked_by: str) -> tuple[float, str, str]:
    mean = row.mean(ranked_by)
    return 0.0 if mean is None else -1.0 - mean, row.label, row.told


def _told(record: RunRecord, namesakes: Sequence[RunRecord]) -> str:
    """Where a row differs from others of the same label, for example `reg_weight=0.01, code 1a2b3c4d`."""
    own, others = _flat(record), [_flat(each) for each in namesakes]
    differing = [name for name in own if any(other.get(name) != own[name] for other in others)]
    return ", ".join(f"{name}={own[name]}" for name in differing)


def _flat(record: RunRecord) -> dict[str, Any]:
    config = configuration(record)
    return {**config.pop("params"), **config, "code": config["code"][:8]}


FEW = 1  # parameters; RecBole's models that are not trained have one, which marks their device


def disagreements(files: Sequence[RecordFile]) -> dict[str, Damaged]:
    """Find records that cannot stand beside the others, by key, each with the reason."""
    return {each.path.stem: each for each in (*_other_data(files), *_repeated(files))}


def _other_data(files: Sequence[RecordFile]) -> Iterator[Damaged]:
    """Yield records whose data has other counts than most records with the same hashes; all of them in a tie."""
    by_hash: dict[tuple[str, str], list[RecordFile]] = {}
    for file in files:
        by_hash.setdefault((file.record.data.data_hash, file.record.data.split_hash), []).append(file)
    for same in by_hash.values():
        counts = Counter(_counts(file.record.data) for file in same)
        if len(counts) == 1:
            continue
        (first, n_first), (_, n_second) = counts.most_common(2)
        for file in same:
            if _counts(file.record.data) != first or n_first == n_second:
                other = next(each for each in same if _counts(each.record.data) != _counts(file.record.data))
                what = f"the data set of {other.record.key} has the same hashes and is another one"
                yield Damaged(file.path, f"{what} by its counts, modalities or source; one of the two was changed")


def _counts(facts: DataFacts) -> str:
    """List what the hashes of data and split settle; real and embedded data can be equal, generated data never."""
    own = facts.model_dump(include={"n_users", "n_items", "n_interactions", "n_train", "n_valid", "n_test"})
    modalities = [[each.name, each.dim, each.coverage, each.fingerprint] for each in facts.modalities]
    return hash_value([own, modalities, facts.scale, facts.source == "surrogate"])


def _repeated(files: Sequence[RecordFile]) -> Iterator[Damaged]:
    """Yield runs that have the losses or the lists of another seed of their row, to the last digit."""
    rows: dict[str, list[RecordFile]] = {}
    for file in sorted(files, key=lambda each: each.record.spec.repetition):
        record = file.record
        if record.status == "finished" and _has_chance(record):
            where = [*data_key(record.data), record.protocol.version, record.protocol.hide_at_test]
            row = hash_value([where, configuration(record), record.spec.features, record.spec.stage])
            rows.setdefault(row, []).append(file)
    for row_files in rows.values():
        first: dict[str, RunRecord] = {}
        for file in row_files:
            record = file.record
            marks = {f"losses {hash_value([each.loss for each in record.curve])}"}
            marks |= set() if record.lists_hash is None else {f"lists {record.lists_hash}"}
            known = next((first[mark] for mark in sorted(marks) if mark in first), None)
            if known is not None and known.spec.repetition != record.spec.repetition:
                ours, theirs = record.spec.repetition + 1, known.spec.repetition + 1
                what = f"the losses or lists of seed {ours} are those of seed {theirs} to the last digit"
                yield Damaged(file.path, f"{what}, so that one run is given as two")
            for mark in marks:
                first.setdefault(mark, record)


def _has_chance(record: RunRecord) -> bool:
    """Whether the seed has a say: not in a model without losses or parameters, such as a control."""
    n_parameters = 0 if record.cost is None else record.cost.n_parameters
    return n_parameters > FEW and any(each.loss for each in record.curve)


RUNS, TRIALS = "runs", "trials"


@dataclass(frozen=True, eq=False)
class Found:
    """What lies in a results directory.

    Attributes:
        root: the directory.
        runs: records of reported runs, in the order of their paths.
        trials: those of trials of the tuning.
        damaged: files that hold no valid record, were changed after the run, are at another record's place, or
            contradict the others.
    """

    root: Path
    runs: tuple[RecordFile, ...]
    trials: tuple[RecordFile, ...]
    damaged: tuple[Damaged, ...]

    @property
    def trial_records(self) -> list[RunRecord]:
        """The records of the trials."""
        return [file.record for file in self.trials]


def find(root: Path) -> Found:
    """Read a results directory; what cannot be read or used is among the damaged, with the reason."""
    by_folder: dict[str, list[RecordFile]] = {RUNS: [], TRIALS: []}
    damaged: list[Damaged] = []
    for folder, files in by_folder.items():
        for each in _read(root / folder):
            if isinstance(each, RecordFile):
                files.append(each)
            else:
                damaged.append(each)
    return without_disagreements(Found(root, tuple(by_folder[RUNS]), tuple(by_folder[TRIALS]), tuple(damaged)))


def without_disagreements(found: Found) -> Found:
    """Put records of runs that contradict the others among the damaged."""
    odd = disagreements(found.runs)
    runs = tuple(file for file in found.runs if file.path.stem not in odd)
    return replace(found, runs=runs, damaged=(*found.damaged, *odd.values()))


def _read(folder: Path) -> Iterator[RecordFile | Damaged]:
    for path in sorted(folder.glob("**/*.json")):
        try:
            file = read_record(path)
        except ResultsError as problem:
            yield Damaged(path, for_line(str(problem).rstrip(".")))
            continue
        if file is not None:
            yield file
