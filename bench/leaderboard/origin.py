"""Layer 10. Where the parameters of a row come from: the trials that exist, and the model's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import registry
from bench.digest import hash_value
from bench.errors import BenchError
from bench.leaderboard.rows import Board, BoardRow
from bench.private_paths import shortened
from bench.records import RunRecord
from bench.tuned import TunedFile, tuned_path
from bench.tuning.results import Confirmed, valid_score


@dataclass(frozen=True)
class Origin:
    """What the parameters of a row cost.

    Attributes:
        n_trials: trials of this model, code, data, split and protocol in the results directory.
        words: where the values come from.
        note: what the model's tuned values say of them; often empty.
    """

    n_trials: int
    words: str
    note: str = ""


def origin_of(row: BoardRow, board: Board, trials: Sequence[RunRecord]) -> Origin:
    """The origin of a row's parameters.

    Args:
        row: the row.
        board: its table.
        trials: all trials of the results directory.
    """
    ours = [trial for trial in trials if _belongs(trial, row, board)]
    own = [trial for trial in ours if trial.spec.stage == "tuning"]
    scores = [valid_score(trial) for trial in own if trial.metrics is not None]
    params = row.records[0].spec.params
    if words := _confirmed(ours, params, board.ranked_by):
        return Origin(len(own), f"{words}, among {len(own)} trials")
    best = [trial for trial in own if trial.metrics is not None and valid_score(trial) == max(scores)]
    if any(trial.spec.params == params for trial in best):
        return Origin(len(own), f"best of {len(own)} trials, validation {board.ranked_by} {max(scores):.4f}")
    said, note = _by_file(row, board.facts.name)
    return Origin(len(own), f"{said}; the {len(own)} trials chose others" if scores else said, note)


def _confirmed(ours: Sequence[RunRecord], params: Mapping[str, Any], metric: str) -> str:
    """What a confirmation says of the parameters where it chose them; "" where it did not, or there was none."""
    settings: dict[str, list[RunRecord]] = {}
    for record in ours:
        if record.spec.stage == "confirm":
            settings.setdefault(record.spec.params_hash, []).append(record)
    groups = [Confirmed(number, records) for number, records in enumerate(settings.values())]
    means = {each.records[0].spec.params_hash: each.mean for each in groups if each.mean is not None}
    mean = means.get(hash_value(params))
    if mean is None or mean < max(means.values()):
        return ""
    n_seeds = len(settings[hash_value(params)])
    over = f"the mean over {n_seeds} fresh seeds, validation {metric} {mean:.4f}"
    return f"best of {len(groups)} settings by {over}"


def _belongs(trial: RunRecord, row: BoardRow, board: Board) -> bool:
    return (
        trial.spec.label == row.label
        and trial.code_hash == row.records[0].code_hash
        and (trial.data.data_hash, trial.data.split_hash) == (board.facts.data_hash, board.facts.split_hash)
        and trial.protocol.protocol == board.protocol
    )


def _by_file(row: BoardRow, dataset: str) -> tuple[str, str]:
    """Whether they are those of the model's file today, and the remark on them there."""
    if row.model not in registry.names():
        return "no file of this model here", ""
    entry, variant = registry.load(row.model), row.label.partition("@")[2]
    name, params, base = entry.path.name, row.records[0].spec.params, dataset.partition("@")[0]
    try:
        here = entry.params(dataset, variant).model_dump()
        default = entry.params("", variant).model_dump()
        untuned = entry.params(dataset, variant, with_tuned=False).model_dump()
    except BenchError:
        return f"{name} has no such variant", ""
    if here == params:
        tuned = TunedFile.of(entry)
        found = (tuned.find(dataset, variant) if variant else None) or tuned.find(dataset)
        if found is not None and here != untuned:
            return f"{tuned_path(entry).name}, values for {dataset}", found.words
        key = next((key for key in (f"{base}@{variant}", base) if key in entry.file.datasets), None)
        if key is None or here == default:
            return f"{name}, {f'variant {variant}' if variant else 'defaults'}", ""
        return f"{name}, values for {key}", ""
    if default == params:
        return f"{name}, defaults", ""
    changed = [f"{key}={value}" for key, value in params.items() if here.get(key) != value]
    return f"not as in {name}: {', '.join(changed) or 'fewer parameters'}", ""


def code_path(model: str) -> str:
    """The model's file, from the root of the repository where it lies in it; "" for one that is not here."""
    if model not in registry.names():
        return ""
    path = registry.load(model).path.with_suffix(".py")
    root = Path(__file__).resolve().parents[2]
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else shortened(str(path))
