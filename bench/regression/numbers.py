"""Layer 6. The numbers that the check compares, from a run's record and lists. Pure.

A number is there because some fault shows in it first:

| number | what moves it |
|---|---|
| valid, test precision, recall, ndcg @10, @20 | anything that changes the ranking; two cut-offs and three metrics, so that a fault in one formula, in the ideal DCG or in what is hidden at one of the two evaluations stands out |
| loss, first and last epoch | step size, initialisation, negatives, regularisation, batches; spreads least over seeds |
| coverage@10 | scores that collapse onto popular items, padding taken for an item |
| cold@10 | content that reaches no item without interactions, or the wrong one |
| best epoch | selection and early stopping |
| epochs, parameters, users valid, users test | what is trained, on what, and who is evaluated: equal for all seeds |
| seen@50, empty@50 | lists with items that must be hidden, or with places left empty |
| selection gap | the chosen epoch is not the best by validation |
"""  # noqa: E501

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bench.list_files import StoredLists
from bench.protocol import TOPK_DEPTH, metric_key
from bench.records import RunRecord
from bench.regression.data import cold_items
from bench.types import BenchmarkData, Metrics

CUTOFFS = (10, 20)
LOSS_RESOLUTION = 1e-6  # of a loss itself: sums of thousands of 32-bit values


class Value(NamedTuple):
    """A measured number.

    Attributes:
        value: the number.
        step: the least by which it can differ, such as one hit of one user; 0 where the seed has no say in it.
    """

    value: float
    step: float


def numbers_of(record: RunRecord, lists: StoredLists, data: BenchmarkData) -> dict[str, Value]:
    """All numbers of a finished run by name.

    Args:
        record: the run's.
        lists: its test lists.
        data: what it was made on.

    Raises:
        ValueError: the run is not finished.
    """
    if record.metrics is None or record.cost is None or record.best_epoch is None:
        raise ValueError(f"the run {record.key} is not finished")
    valid, test = record.metrics.valid, record.metrics.test
    chooses = record.protocol.selection_metric
    best = max(epoch.valid[chooses] for epoch in record.curve)
    counts = {
        "epochs": record.cost.epochs,
        "parameters": record.cost.n_parameters,
        "users valid": valid.n_users,
        "users test": test.n_users,
        "selection gap": best - valid.values[chooses],
        **_list_counts(lists, data),
    }
    losses = [epoch.loss for epoch in (record.curve[0], record.curve[-1])]
    found = {**_metrics("valid", valid), **_metrics("test", test)}
    for name, loss in zip(("loss, first epoch", "loss, last epoch"), losses, strict=True):
        if loss is not None:  # a control has none
            found[name] = Value(loss, LOSS_RESOLUTION * abs(loss))
    found |= {"best epoch": Value(record.best_epoch, 1.0), **_list_shares(lists, data)}
    return found | {name: Value(float(value), 0.0) for name, value in counts.items()}


def _metrics(part: str, metrics: Metrics) -> dict[str, Value]:
    """One hit of one user is the step of recall and NDCG at most, and of precision exactly."""
    found = {}
    for cutoff in CUTOFFS:
        for metric, hit in (("precision", 1 / cutoff), ("recall", 1.0), ("ndcg", 1.0)):
            key = metric_key(metric, cutoff)
            found[f"{part} {key}"] = Value(metrics.values[key], hit / metrics.n_users)
    return found


def _list_shares(lists: StoredLists, data: BenchmarkData) -> dict[str, Value]:
    top = lists.items[:, : CUTOFFS[0]]
    shown = np.unique(top[top >= 0])
    cold = cold_items(data)[top] & (top >= 0)
    return {
        f"coverage@{CUTOFFS[0]}": Value(len(shown) / data.n_items, 1 / data.n_items),
        f"cold@{CUTOFFS[0]}": Value(float(cold.mean()), 1 / len(top)),  # most models show none: a rare event
    }


def _list_counts(lists: StoredLists, data: BenchmarkData) -> dict[str, float]:
    """Shares of the places: those whose item the user has in training or validation, and those without item."""
    keys = lists.users[:, None] * data.n_items + lists.items
    seen = np.concatenate([data.split.train.keys, data.split.valid.keys])
    hidden = np.isin(keys, seen) & (lists.items >= 0)
    return {
        f"seen@{TOPK_DEPTH}": float(hidden.mean()),
        f"empty@{TOPK_DEPTH}": float((lists.items < 0).mean()),
    }
