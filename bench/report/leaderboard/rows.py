"""Read the records of a results directory, exclude contradictory ones, and group the rest into tables and rows.

Reads record files, and models' files through the registry; writes nothing. Records share a table if data, split
and protocol are equal, including changed choices of the protocol. They share a row if all but the repetition is
equal. A row is complete if it has the finished repetitions 1 to n, where n is the same for the whole table. Only
complete rows have means and ranks. Repetitions above n are left out and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from bench.core.errors import BenchError, ResultsError
from bench.core.hashing import hash_value
from bench.core.names import join_label, model_of
from bench.core.protocol import METRICS, SHOWN_CUTOFFS, VERSION, Protocol, metric_key
from bench.core.text import for_line
from bench.engine import registry
from bench.engine.model_file import ModelEntry
from bench.report.scores import DataKey, data_key
from bench.runs.record_files import Damaged, RecordFile, read_record
from bench.runs.records import DataFacts, RunRecord

SHOWN = tuple(metric_key(metric, cutoff) for cutoff in SHOWN_CUTOFFS for metric in METRICS)
CONTENT = "the content was replaced (content ablation), for single tables only"
VARIATION = "a variation for single tables and figures, which does not compete"
FAILED = "no finished run in its row"
EXTRA_REPETITION = "a repetition beyond those of a complete row of its table (--seeds N takes more)"
MAX_UNTRAINED_PARAMETERS = 1  # RecBole's untrained models have one parameter, which marks their device
RUNS, TRIALS = "runs", "trials"


@dataclass(frozen=True, eq=False)
class BoardRow:
    """One row: runs that differ in their repetition only.

    Attributes:
        label: model, or `model@variant`.
        distinction: how it differs from other rows of its label; "" if it is the only one.
        records: finished runs among the first `n_asked` repetitions, by repetition.
        n_failed: failed runs among these repetitions.
        n_asked: repetitions of a complete row.
    """

    label: str
    distinction: str
    records: tuple[RunRecord, ...]
    n_failed: int
    n_asked: int

    @property
    def model(self) -> str:
        """Return the name of the model."""
        return model_of(self.label)

    @property
    def is_foreign(self) -> bool:
        """Return whether the row holds the lists of another program, which has no seeds and no training here."""
        return self.first.foreign is not None

    @property
    def is_complete(self) -> bool:
        """Return whether the row has all its repetitions."""
        return len(self.records) == self.n_asked

    @property
    def first(self) -> RunRecord:
        """Return the record of the first finished repetition."""
        return self.records[0]

    @cached_property
    def id(self) -> str:
        """Return an id that depends on the configuration alone, not on the other records."""
        return hash_value(configuration(self.first))[:8]

    def values(self, metric: str, part: str = "test") -> list[float]:
        """Return the metric of every repetition, without repetitions that lack it."""
        by_run = [getattr(record.metrics, part).values for record in self.records if record.metrics is not None]
        return [values[metric] for values in by_run if metric in values]

    def mean(self, metric: str, part: str = "test") -> float | None:
        """Return the mean over repetitions; None for an incomplete row or if one lacks the metric."""
        values = self.values(metric, part)
        return fmean(values) if self.is_complete and len(values) == self.n_asked else None


@dataclass(frozen=True, eq=False)
class Board:
    """One table: rows on the same data, split and protocol, best first and incomplete ones last."""

    facts: DataFacts
    protocol: Protocol
    n_asked: int
    rows: tuple[BoardRow, ...]

    @property
    def complete(self) -> list[BoardRow]:
        """Return the rows with all their repetitions."""
        return [row for row in self.rows if row.is_complete]

    @property
    def id(self) -> str:
        """Return an id that depends on data, split and protocol alone."""
        return "t" + hash_value([*data_key(self.facts), self.protocol.tag])[:8]

    @property
    def ranked_by(self) -> str:
        """Return the ranking metric: the protocol's selection metric, on the test part."""
        return self.protocol.selection_metric

    @property
    def shown(self) -> tuple[str, ...]:
        """Return the displayed metrics: `SHOWN` and the ranking metric."""
        return tuple(dict.fromkeys((*SHOWN, self.ranked_by)))


def boards(records: Iterable[RunRecord], n_asked: int | None) -> tuple[list[Board], Counter[str]]:
    """Group records into tables, sorted by data set, and count the runs in no table by reason.

    Args:
        records: records of final runs; failed ones count as missing.
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
    for key in sorted(tables, key=_table_order):
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
            n = n_asked or _usual_repetitions([group for several in named.values() for group in several])
            found.append(_board(key[1], named, n))
            left_out[EXTRA_REPETITION] += sum(
                record.spec.repetition >= n for several in named.values() for group in several for record in group
            )
    return found, +left_out  # the plus drops reasons with a count of 0


def why_alone(root: Path, record: RunRecord) -> str | None:
    """Say why a record's table has no other row, if the directory has other tables; None if it has company."""
    found, _ = boards([file.record for file in read_results(root).runs], None)
    own = (data_key(record.data), record.protocol.protocol)
    others = [board for board in found if (data_key(board.facts), board.protocol) != own]
    n_beside = sum(len(board.rows) for board in found if board not in others)
    if not others or n_beside > 1:
        return None
    names = (f"{board.facts.label}, protocol {board.protocol.tag}" for board in others)
    named = "; ".join(dict.fromkeys(names))
    return (
        f"This result is alone in its table ({record.data.label}, protocol {record.protocol.protocol.tag}): "
        f"results are compared on the same data, split and protocol only. {root} has runs of: {named}. "
        "--datasets NAME@SPLIT, --protocol, --epochs, --patience, --select and --hide-at-test choose them. To "
        "take this result back, remove its record."
    )


def _usual_repetitions(groups: Sequence[Sequence[RunRecord]]) -> int:
    """Return the largest number of repetitions that more than half of the rows have started.

    The maximum over rows would let one row with more repetitions make all others incomplete.
    """
    # The lists of other programs have no seeds, so they do not count among the rows.
    trained = [group for group in groups if group[0].foreign is None]
    begun = sorted(max(record.spec.repetition + 1 for record in group) for group in trained)
    return begun[(len(begun) - 1) // 2] if begun else 1


def _table_order(key: tuple[DataKey, Protocol]) -> tuple[DataKey, bool, str]:
    """Return the sort key of a table: by data, with protocols of earlier versions last."""
    return key[0], key[1].version != VERSION, key[1].tag


def configuration(record: RunRecord) -> dict[str, Any]:
    """Return all that runs of one row of a table have in common."""
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
    """Return the label of a row: the model, or a variant of its file; None for a variation of a single table."""
    spec, data, names = group[0].spec, group[0].data, {record.spec.variant for record in group}
    # A run keeps the name that it was first made under, even if the parameters are also those of another row: a
    # table's variation may equal the model itself.
    if "" in names:
        return spec.model
    entry = registry.find(spec.model)
    if entry is None:
        return join_label(spec.model, min(names))
    for variant in ("", *entry.file.variants):
        if variant in names or _is_as_in_file(entry, data, variant, spec.params):
            return join_label(spec.model, variant)
    return None


def _is_as_in_file(entry: ModelEntry, data: DataFacts, variant: str, params: dict[str, Any]) -> bool:
    try:
        own = entry.params(data.full_name, variant, split_hash=data.split_hash)
        return bool(own.model_dump() == params)
    except BenchError:
        return False


def _board(used: Protocol, named: dict[str, list[list[RunRecord]]], n: int) -> Board:
    groups = [(label, group) for label, several in named.items() for group in several]
    rows = [_row(label, group, named[label], n) for label, group in groups]
    # `_row` returns None for a row without a finished run among the first n.
    ranked = sorted(filter(None, rows), key=lambda row: _rank_key(row, used.selection_metric))
    facts = groups[0][1][0].data.without_paths()
    return Board(facts, used, n, tuple(ranked))


def _row(label: str, group: Sequence[RunRecord], namesakes: list[list[RunRecord]], n: int) -> BoardRow | None:
    counted = sorted((r for r in group if r.spec.repetition < n), key=lambda record: record.spec.repetition)
    finished = tuple(record for record in counted if record.status == "finished")
    n = 1 if group[0].foreign else n  # no seeds: one result is all there is
    distinction = _distinction(group[0], [other[0] for other in namesakes])
    return BoardRow(label, distinction, finished, len(counted) - len(finished), n) if finished else None


def _rank_key(row: BoardRow, ranked_by: str) -> tuple[float, str, str]:
    mean = row.mean(ranked_by)
    return 0.0 if mean is None else -1.0 - mean, row.label, row.distinction


def _distinction(record: RunRecord, namesakes: Sequence[RunRecord]) -> str:
    """Describe how a row differs from others of its label, for example `reg_weight=0.01, code=1a2b3c4d`."""
    own, others = _flat(record), [_flat(each) for each in namesakes]
    differing = [name for name in own if any(other.get(name) != own[name] for other in others)]
    return ", ".join(f"{name}={own[name]}" for name in differing)


def _flat(record: RunRecord) -> dict[str, Any]:
    config = configuration(record)
    return {**config.pop("params"), **config, "code": config["code"][:8]}


def _contradicting_data(files: Sequence[RecordFile]) -> Iterator[Damaged]:
    """Yield records whose data counts differ from most records with the same hashes; all of them in a tie."""
    by_hash: dict[tuple[str, str], list[RecordFile]] = {}
    for file in files:
        by_hash.setdefault((file.record.data.data_hash, file.record.data.split_hash), []).append(file)
    for group in by_hash.values():
        counts = Counter(_counts(file.record.data) for file in group)
        if len(counts) == 1:
            continue
        (first, n_first), (_, n_second) = counts.most_common(2)
        for file in group:
            if _counts(file.record.data) != first or n_first == n_second:
                other = next(each for each in group if _counts(each.record.data) != _counts(file.record.data))
                other_data = f"the data set of {other.record.key} has the same hashes, but other"
                yield Damaged(file.path, f"{other_data} counts, modalities or source; one of the two was changed")


def _counts(facts: DataFacts) -> str:
    """Hash all facts that follow from the hashes of data and split."""
    own = facts.model_dump(include={"n_users", "n_items", "n_interactions", "n_train", "n_valid", "n_test"})
    modalities = [[each.name, each.dim, each.coverage, each.fingerprint] for each in facts.modalities]
    # Real and embedded data can have equal content, but generated data never equals either.
    return hash_value([own, modalities, facts.scale, facts.source == "surrogate"])


def _duplicated_runs(files: Sequence[RecordFile]) -> Iterator[Damaged]:
    """Yield runs whose losses or lists equal those of another seed of their row to the last digit."""
    rows: dict[str, list[RecordFile]] = {}
    for file in sorted(files, key=lambda each: each.record.spec.repetition):
        record = file.record
        if record.status == "finished" and _depends_on_seed(record):
            table = [*data_key(record.data), record.protocol.version, record.protocol.hide_at_test]
            row = hash_value([table, configuration(record), record.spec.features, record.spec.stage])
            rows.setdefault(row, []).append(file)
    for row_files in rows.values():
        first: dict[str, RunRecord] = {}  # the first run of the row with these losses or lists
        for file in row_files:
            record = file.record
            marks = {f"losses {hash_value([each.loss for each in record.curve])}"}
            marks |= set() if record.lists_hash is None else {f"lists {record.lists_hash}"}
            known = next((first[mark] for mark in sorted(marks) if mark in first), None)
            if known is not None and known.spec.repetition != record.spec.repetition:
                ours, theirs = record.spec.repetition + 1, known.spec.repetition + 1
                equal = f"the losses or lists of seed {ours} equal those of seed {theirs} to the last digit"
                yield Damaged(file.path, f"{equal}, so one run is given as two")
            for mark in marks:
                first.setdefault(mark, record)


def _depends_on_seed(record: RunRecord) -> bool:
    """Return whether the seed affects a run; models without losses or parameters, like controls, have no seed."""
    n_parameters = 0 if record.cost is None else record.cost.n_parameters
    return n_parameters > MAX_UNTRAINED_PARAMETERS and any(each.loss for each in record.curve)


@dataclass(frozen=True, eq=False)
class ResultRecords:
    """The records in a results directory.

    Attributes:
        root: the directory.
        runs: records of final runs, in the order of their paths.
        trials: records of search trials.
        damaged: files without a valid record, changed after the run, at another record's path, or in contradiction
            to other records.
    """

    root: Path
    runs: tuple[RecordFile, ...]
    trials: tuple[RecordFile, ...]
    damaged: tuple[Damaged, ...]

    @property
    def trial_records(self) -> list[RunRecord]:
        """Return the records of the trials."""
        return [file.record for file in self.trials]


def read_results(root: Path) -> ResultRecords:
    """Read a results directory; files that cannot be read or used are listed as damaged, with the reason."""
    read = {folder: list(_read(root / folder)) for folder in (RUNS, TRIALS)}
    runs, trials = (tuple(each for each in found if isinstance(each, RecordFile)) for found in read.values())
    damaged = tuple(each for found in read.values() for each in found if isinstance(each, Damaged))
    return without_disagreements(ResultRecords(root, runs, trials, damaged))


def without_disagreements(found: ResultRecords) -> ResultRecords:
    """Move records of runs that contradict others to the damaged files."""
    odd = {each.path.stem: each for each in (*_contradicting_data(found.runs), *_duplicated_runs(found.runs))}
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
