"""Writes what a search leaves: the chosen values beside the model's YAML, and a compact table of all its trials.

The table lies beside the trials' folders and has one line per trial and confirmation run, without test scores. It
is derived from the records. With a few hundred bytes per run, a reader can follow the choice without the records.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.core.files import exclusively, free_name, os_errors, write_text
from bench.core.names import split_label
from bench.core.protocol import Protocol
from bench.engine.model_file import ModelEntry
from bench.engine.tuned import Confirmed, TunedEntry, write_tuned
from bench.runs.records import RunRecord
from bench.runs.tuning.results import StudyResult, valid_score

TABLE = "trials.csv"
HEADER = (
    "dataset", "source", "scale", "split", "data_hash", "split_hash", "model", "search", "sampler", "budget",
    "pruning", "protocol", "metric", "stage", "trial", "repetition", "is_chosen", "state", "valid", "best_epoch",
    "epochs", "steps", "stop", "cpu_seconds", "values", "seeds", "base_seed", "max_epochs", "code_hash", "key",
)  # fmt: skip


def may_be_kept(result: StudyResult) -> bool:
    """Return whether the values belong in the model's file; those for data drawn at random do not."""
    return result.facts.source != "surrogate" and result.chosen is not None


def write_chosen(result: StudyResult, entry: ModelEntry, protocol: Protocol) -> Path:
    """Write the values that a search chose into the file beside the YAML of its model.

    Args:
        result: a search with at least one finished trial.
        entry: the model.
        protocol: protocol of the search.

    Raises:
        ConfigError: the existing file is damaged.
        ResultsError: the file cannot be written.
    """
    return write_tuned(entry, tuned_entry(result, protocol, datetime.now(UTC).date().isoformat()))


def tuned_entry(result: StudyResult, protocol: Protocol, date: str) -> TunedEntry:
    """Return the chosen values with their provenance."""
    chosen, facts = result.chosen, result.facts
    assert chosen is not None
    mean = result.chosen_mean
    return TunedEntry(
        dataset=facts.card,
        split=facts.split,
        variant=split_label(result.label)[1],
        values=result.chosen_values,
        metric=chosen.protocol.selection_metric,
        valid=valid_score(chosen) if mean is None else mean,
        valid_default=None if result.default.metrics is None else valid_score(result.default),
        trials=len(result.records),
        failed=len(result.records) - len(result.finished),
        pruned=result.n_pruned,
        confirmed=None if mean is None else _confirmation(result),
        sampler=result.sampler,
        base_seed=chosen.spec.base_seed,
        max_epochs=chosen.spec.max_epochs,
        protocol=protocol.tag,
        data=facts.label,
        data_hash=facts.data_hash,
        split_hash=facts.split_hash,
        code_hash=chosen.code_hash,
        date=date,
        command=chosen.command or None,
    )


def _confirmation(result: StudyResult) -> Confirmed:
    n_seeds = len(result.confirmed[0].records)
    return Confirmed(settings=len(result.confirmed), seeds=n_seeds, dropped=len(result.dropped))


def export_trials(
    results: Sequence[StudyResult], folder: Path, protocol: Protocol, warn: Callable[[str], None]
) -> Path:
    """Write the trials of searches on one data set into its table; lines of other searches stay.

    Args:
        results: the searches.
        folder: folder of the trials on this data set under this protocol.
        protocol: protocol of the searches.
        warn: called with a message if a file that is no such table lay there.

    Raises:
        ResultsError: the table cannot be read or written.
    """
    path = folder / TABLE
    new = [line for result in results for line in _lines(result, protocol)]
    searches = {line["search"] for line in new}
    with os_errors(
        f"{path} cannot be written",
        "The trials' records are kept: free some space or make the directory writable, and run "
        "the same command again.",
    ):
        folder.mkdir(parents=True, exist_ok=True)
        lock = folder / f".{TABLE}.lock"
        with exclusively(lock):
            kept = [line for line in _read_lines(path, warn) if line.get("search") not in searches]
            text = io.StringIO()
            writer = csv.DictWriter(text, HEADER, lineterminator="\n")
            writer.writeheader()
            writer.writerows(sorted([*kept, *new], key=lambda line: (line["model"], line["search"])))
            write_text(path, text.getvalue())
    return path


def _read_lines(path: Path, warn: Callable[[str], None]) -> list[dict[str, str]]:
    """Read the existing lines, also of an earlier version with fewer columns.

    A file that is not such a table is moved aside, to `trials.csv.old` or `trials.csv.old.2` and so on, and gives
    no lines.
    """
    try:
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
        lines = list(reader)
        is_ours = {"model", "search"} <= set(reader.fieldnames or ()) <= set(HEADER)
    except FileNotFoundError:
        return []
    except (UnicodeDecodeError, csv.Error):
        lines, is_ours = [], False
    if is_ours and all(None not in line for line in lines):
        return lines
    aside = free_name(path.with_name(f"{path.name}.old"))
    path.replace(aside)
    warn(f"{path} was no table of trials, so it is kept as {aside.name}, and a new table is written.")
    return []


def _lines(result: StudyResult, protocol: Protocol) -> Iterator[dict[str, str]]:
    for number, record in enumerate(result.records):
        yield _line(result, protocol, number, record)
    for each in result.confirmed:
        for record in each.records:
            yield _line(result, protocol, each.trial, record)


def _line(result: StudyResult, protocol: Protocol, number: int, record: RunRecord) -> dict[str, str]:
    facts, spec, cost = result.facts, record.spec, record.cost
    values = {name: spec.params[name] for name in result.space.candidates}
    return {
        name: "" if value is None else str(value)
        for name, value in zip(
            HEADER,
            (
                *(facts.name, facts.source, facts.scale, facts.split, facts.data_hash, facts.split_hash),
                *(result.label, result.search_id, result.sampler, result.budget.words, result.pruning),
                *(protocol.tag, record.protocol.selection_metric, spec.stage, number, spec.repetition),
                *(result.records[number] is result.chosen, record.status),
                None if record.metrics is None else repr(valid_score(record)),
                record.best_epoch,
                *((None, None) if cost is None else (cost.epochs, cost.steps)),
                *(record.stop_reason, record.cpu_seconds, json.dumps(values), json.dumps(record.seeds)),
                *(spec.base_seed, spec.max_epochs, record.code_hash, record.key),
            ),
            strict=True,
        )
    }


def describe_dropped(result: StudyResult) -> str:
    """Describe which settings dropped out of the confirmation, and what that did to the choice; "" if none did."""
    if not result.dropped:
        return ""
    trials = ", ".join(f"trial {each.trial}" for each in result.dropped)
    if len(result.dropped) < len(result.confirmed):
        return f"a confirmation run failed of {trials}; the choice is among the others"
    return f"a confirmation run failed of {trials}; the choice is by the one seed of the search"
