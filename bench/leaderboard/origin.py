"""Layer 10. Where the parameters of a row come from: the trials that exist, and the model's file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import registry
from bench.errors import BenchError
from bench.leaderboard.rows import Board, BoardRow
from bench.private_paths import shortened
from bench.protocol import SELECTION_METRIC
from bench.records import RunRecord
from bench.tuning.chosen import note_of
from bench.tuning.results import valid_score


@dataclass(frozen=True)
class Origin:
    """What the parameters of a row cost.

    Attributes:
        n_trials: trials of this model, code, data, split and protocol in the results directory.
        words: where the values come from.
        note: what the model's file says of them; often empty.
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
    own = [trial for trial in trials if _belongs(trial, row, board)]
    scores = [valid_score(trial) for trial in own if trial.metrics is not None]
    params = row.records[0].spec.params
    best = [trial for trial in own if trial.metrics is not None and valid_score(trial) == max(scores)]
    if any(trial.spec.params == params for trial in best):
        return Origin(len(own), f"best of {len(own)} trials, validation {SELECTION_METRIC} {max(scores):.4f}")
    said, note = _by_file(row, board.facts.name)
    return Origin(len(own), f"{said}; the {len(own)} trials chose others" if scores else said, note)


def _belongs(trial: RunRecord, row: BoardRow, board: Board) -> bool:
    return (
        trial.spec.label == row.label
        and trial.code_hash == row.records[0].code_hash
        and (trial.data.data_hash, trial.data.split_hash) == (board.facts.data_hash, board.facts.split_hash)
        and (trial.protocol.version, trial.protocol.hide_at_test) == (board.version, board.hide_at_test)
    )


def _by_file(row: BoardRow, dataset: str) -> tuple[str, str]:
    """Whether they are those of the model's file today, and the remark on them there."""
    if row.model not in registry.names():
        return "no file of this model here", ""
    entry, variant = registry.load(row.model), row.label.partition("@")[2]
    name, params = entry.path.name, row.records[0].spec.params
    try:
        here = entry.params(dataset, variant).model_dump()
        default = entry.params("", variant).model_dump()
    except BenchError:
        return f"{name} has no such variant", ""
    if here == params:
        key = next((key for key in (f"{dataset}@{variant}", dataset) if key in entry.file.datasets), None)
        if key is None or here == default:
            return f"{name}, {f'variant {variant}' if variant else 'defaults'}", ""
        return f"{name}, values for {key}", note_of(entry.path, key)
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
