"""What a pruning rule would have done to trials that ran to their end: its cost in the chosen value, its saving.

The trials of a search are taken in the order in which they were made, and in random orders, with the waves of a
search. A replayed trial ends where the rule stops it, with the best score so far, and later trials are compared
with that. What the sampler would have proposed after other scores is not replayed.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.core.protocol import bound_at
from bench.runs.record_files import RecordFile, read_record
from bench.runs.records import RunRecord
from bench.runs.tuning.pruning import PruningRule, steps_per_epoch
from bench.runs.tuning.results import valid_score
from bench.runs.tuning.study import wave_of

RULES = {
    "none": None,
    "below the median": PruningRule(),
    "below the 0.4 quantile": PruningRule(quantile=0.4),
    "below the 0.25 quantile": PruningRule(quantile=0.25),
    "below the 0.1 quantile": PruningRule(quantile=0.1),
    "below the median, from 500 steps": PruningRule(first_steps=500),
    "below the median, from 1,000 steps": PruningRule(first_steps=1000),
    "below the median, from 4,000 steps": PruningRule(first_steps=4000),
    "below the median, from 8,000 steps": PruningRule(first_steps=8000),
    "below the median, rungs of a factor 3": PruningRule(growth=3.0),
    "below the 0.25 quantile, from 4,000 steps": PruningRule(quantile=0.25, first_steps=4000),
}
N_BEST = 5  # settings that would be confirmed


@dataclass(frozen=True)
class Replay:
    """What a rule did to the trials of one search, as means over the orders.

    Attributes:
        loss: validation score of the best trial less that of the best one that is left.
        is_missed: share of the orders in which the best trial was pruned.
        kept: share of the five best trials that are left.
        pruned: share of the trials that were stopped.
        steps, seconds: share of training steps, and of seconds of training and validation, that is saved.
    """

    loss: float
    is_missed: float
    kept: float
    pruned: float
    steps: float
    seconds: float


def searches(results: Path) -> dict[tuple[str, str], list[RunRecord]]:
    """Finished trials without bounds below a results directory, by data and model, in the order they were made.

    A search of several code versions, protocols or limits of epochs counts as several.
    """
    found: dict[tuple[str, str], list[RunRecord]] = {}
    for path in sorted((results / "trials").glob("**/*.json")):
        file = read_record(path)
        if not isinstance(file, RecordFile):
            continue
        record = file.record
        if record.spec.stage == "tuning" and record.metrics is not None and not record.spec.bounds:
            kind = f"{path.relative_to(results).parts[1]}, {record.spec.max_epochs} epochs, {record.code_hash[:4]}"
            name = record.data.label, f"{record.spec.label} ({kind})"
            found.setdefault(name, []).append(record)
    for name, records in found.items():
        found[name] = sorted(records, key=lambda record: (record.started, record.key))
    return found


def replay(trials: Sequence[RunRecord], rule: PruningRule | None, n_orders: int = 50, seed: int = 0) -> Replay:
    """Replay a search under a rule.

    Args:
        trials: that ran to their end, in the order in which they were made.
        rule: None for no pruning.
        n_orders: the order as made, and so many random ones less one.
        seed: of these.
    """
    rng, orders = random.Random(seed), [list(trials)]
    orders += [rng.sample(list(trials), len(trials)) for _ in range(n_orders - 1)]
    found = [_one(order, rule) for order in orders]
    fields = ("loss", "is_missed", "kept", "pruned", "steps", "seconds")
    return Replay(**{name: statistics.fmean(getattr(each, name) for each in found) for name in fields})


def _one(trials: Sequence[RunRecord], rule: PruningRule | None) -> Replay:
    metric = trials[0].protocol.selection_metric
    made: list[RunRecord] = []
    for number, trial in enumerate(trials):
        bounds = rule.bounds(made[: wave_of(number).start], metric) if rule is not None else ()
        made.append(_cut(trial, _last_epoch(trial, bounds, metric)))
    whole = [len(trial.curve) == len(end.curve) for trial, end in zip(trials, made, strict=True)]
    ranked = sorted(range(len(trials)), key=lambda place: (-valid_score(trials[place]), place))
    best = valid_score(trials[ranked[0]])
    left = max((valid_score(trials[place]) for place in ranked if whole[place]), default=0.0)
    top = ranked[:N_BEST]
    return Replay(
        loss=best - left,
        is_missed=float(left < best),
        kept=sum(whole[place] for place in top) / len(top),
        pruned=1 - sum(whole) / len(whole),
        steps=_saved(trials, made, lambda record: (steps_per_epoch(record) or 0) * len(record.curve)),
        seconds=_saved(trials, made, _seconds),
    )


def _last_epoch(trial: RunRecord, bounds: tuple[tuple[int, float], ...], metric: str) -> int:
    """The epoch at whose end the trial would have been stopped; its own last one where it would not."""
    n_steps, best = steps_per_epoch(trial), float("-inf")
    for place, epoch in enumerate(trial.curve, 1):
        best = max(best, epoch.valid[metric])
        bound = None if n_steps is None else bound_at(bounds, place, place * n_steps)
        if bound is not None and best < bound:
            return place
    return len(trial.curve)


def _cut(trial: RunRecord, n_epochs: int) -> RunRecord:
    assert trial.cost is not None
    n_steps = steps_per_epoch(trial)
    steps = None if n_steps is None else n_steps * n_epochs
    cost = trial.cost.model_copy(update={"epochs": n_epochs, "steps": steps})
    return trial.model_copy(update={"curve": trial.curve[:n_epochs], "cost": cost})


def _seconds(record: RunRecord) -> float:
    return sum(epoch.train_seconds + epoch.valid_seconds for epoch in record.curve)


def _saved(trials: Sequence[RunRecord], made: Sequence[RunRecord], amount: object) -> float:
    assert callable(amount)
    before, after = sum(map(amount, trials)), sum(map(amount, made))
    return 1 - after / before if before else 0.0
