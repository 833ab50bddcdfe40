"""Where the parameters of a row come from: a search, models' files or the command line. Reads models' files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.core.errors import BenchError
from bench.core.hashing import hash_value
from bench.core.names import split_label
from bench.engine import registry
from bench.engine.tuned import TunedFile, tuned_path
from bench.report.leaderboard.rows import Board, BoardRow
from bench.runs.records import DataFacts, RunRecord
from bench.runs.tuning.results import ConfirmedSetting, valid_score

TUNED, DEFAULTS, CHANGED = "tuned", "defaults", "own values"


@dataclass(frozen=True)
class Origin:
    """The origin of a row's parameters.

    Attributes:
        n_trials: trials of this model, code, data, split and protocol in the results directory.
        words: description of where the values come from.
        note: remark on the values in the model's tuned file; often empty.
        tag: the origin in a word or two, which tells rows of one model apart; "" if unknown.
    """

    n_trials: int
    words: str
    note: str = ""
    tag: str = ""


def origin_of(row: BoardRow, board: Board, trials: Sequence[RunRecord]) -> Origin:
    """Determine where the parameters of a row come from.

    Args:
        row: the row.
        board: its table.
        trials: all trials of the results directory.
    """
    if given := row.first.foreign:
        made = f"{given.form} of another program{f', {given.file}' if given.file else ''}; no training here"
        return Origin(0, made, " ".join(given.notes), "lists")
    ours = [trial for trial in trials if _belongs(trial, row, board)]
    own = [trial for trial in ours if trial.spec.stage == "tuning"]
    scores = [valid_score(trial) for trial in own if trial.metrics is not None]
    params = row.first.spec.params
    if words := _confirmed(ours, params, board.ranked_by):
        return Origin(len(own), f"{words}, among {len(own)} trials", tag=TUNED)
    best = [trial for trial in own if trial.metrics is not None and valid_score(trial) == max(scores)]
    if any(trial.spec.params == params for trial in best):
        words = f"best of {len(own)} trials, validation {board.ranked_by} {max(scores):.4f}"
        return Origin(len(own), words, tag=TUNED)
    by_file = _by_file(row, board.facts)
    others = f"; the {len(own)} trials chose other values" if scores else ""
    return replace(by_file, n_trials=len(own), words=f"{by_file.words}{others}")


def _confirmed(ours: Sequence[RunRecord], params: Mapping[str, Any], metric: str) -> str:
    """Describe the confirmation that chose the parameters; "" if none did."""
    settings: dict[str, list[RunRecord]] = {}
    for record in ours:
        if record.spec.stage == "confirm":
            settings.setdefault(record.spec.params_hash, []).append(record)
    groups = [ConfirmedSetting(number, records) for number, records in enumerate(settings.values())]
    means = {each.records[0].spec.params_hash: each.mean for each in groups if each.mean is not None}
    mean = means.get(hash_value(params))
    if mean is None or mean < max(means.values()):
        return ""
    n_seeds = len(settings[hash_value(params)])
    over = f"the mean over {n_seeds} fresh seeds, validation {metric} {mean:.4f}"
    return f"best of {len(groups)} settings by {over}"


def _belongs(trial: RunRecord, row: BoardRow, board: Board) -> bool:
    """Return whether a trial is of a search that could have chosen the values of a row."""
    spec, of_row = trial.spec, row.first.spec
    return (
        spec.label == row.label
        and trial.code_hash == row.first.code_hash
        and (trial.data.data_hash, trial.data.split_hash) == (board.facts.data_hash, board.facts.split_hash)
        and trial.protocol.protocol == board.protocol
        and (spec.max_epochs, spec.base_seed) == (of_row.max_epochs, of_row.base_seed)
        and _not_searched(row.model, spec.params) == _not_searched(row.model, of_row.params)
    )


def _not_searched(model: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that no search of the model varies; none of a model whose file is not here."""
    entry = registry.find(model)
    return {} if entry is None else {name: params[name] for name in params if name not in entry.file.search}


def _by_file(row: BoardRow, facts: DataFacts) -> Origin:
    """Compare the parameters with the model's files."""
    entry, variant, dataset = registry.find(row.model), split_label(row.label)[1], facts.full_name
    if entry is None:
        return Origin(0, "the model's file is not here: give it with --plugin")
    name, params, base = entry.path.name, row.first.spec.params, facts.card
    try:
        current = entry.params(dataset, variant, split_hash=facts.split_hash).model_dump()
        default = entry.params("", variant).model_dump()
        untuned = entry.params(dataset, variant).model_dump()
    except BenchError:
        return Origin(0, f"{name} has no such variant")
    if current == params:
        values = TunedFile.of(entry).used(dataset, facts.split_hash, variant)
        if values is not None and current != untuned:
            return Origin(0, f"{tuned_path(entry).name}, values for {dataset}", values.words, TUNED)
        key = next((key for key in (f"{base}@{variant}", base) if key in entry.file.datasets), None)
        if key is None or current == default:
            return Origin(0, f"{name}, {f'variant {variant}' if variant else 'defaults'}", tag=DEFAULTS)
        return Origin(0, f"{name}, values for {key}", tag=f"values for {key}")
    if default == params:
        return Origin(0, f"{name}, defaults", tag=DEFAULTS)
    changed = [f"{key}={value}" for key, value in params.items() if current.get(key) != value]
    return Origin(0, f"differs from {name}: {', '.join(changed) or 'fewer parameters'}", tag=CHANGED)
