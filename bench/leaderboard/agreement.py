"""Layer 10. What records say against each other: other data under one hash, one run given as several. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from bench.digest import hash_value
from bench.leaderboard.rows import configuration
from bench.record_files import Damaged, RecordFile
from bench.records import DataFacts, RunRecord
from bench.report.aggregate import data_key

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
