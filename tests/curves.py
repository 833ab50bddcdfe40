"""Records of trials with made curves, for everything that is about searches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.core.protocol import CUTOFFS, METRICS, Protocol, metric_key
from bench.core.types import EpochFacts, Metrics, MetricsByPart
from bench.runs.record_files import run_key
from bench.runs.records import Cost, DataFacts, Failure, RunRecord, RunSpec
from bench.runs.runner import blank_record

METRIC = Protocol().selection_metric
NAMES = [metric_key(metric, cutoff) for metric in METRICS for cutoff in CUTOFFS]


def values_of(score: float) -> dict[str, float]:
    return dict.fromkeys(NAMES, score)


def facts_of(n_train: int = 1000, **changes: Any) -> DataFacts:
    fields: dict[str, Any] = {
        "name": "tiktok", "source": "real", "origin": "files.", "scale": None, "split": "shipped",
        "data_hash": "aaaabbbbccccdddd", "split_hash": "1111222233334444", "n_users": 60, "n_items": 90,
        "n_interactions": n_train + 100, "n_train": n_train, "n_valid": 50, "n_test": 50, "modalities": [],
        "missing": {}, "notes": [], "advice": "",
    }  # fmt: skip
    return DataFacts(**(fields | changes))


def record_of(
    scores: Sequence[float] | None,
    steps_per_epoch: int | None,
    *,
    key: str | None = None,
    model: str = "mf",
    params: dict[str, Any] | None = None,
    stage: str = "tuning",
    repetition: int = 0,
    max_epochs: int | None = None,
    patience: int | None = None,
    n_train: int = 1000,
    cpu_seconds: float | None = None,
    seconds_per_epoch: float = 1.0,
    bounds: Any = (),
    started: str = "2023-01-01T00:00:00+00:00",
) -> RunRecord:
    """A trial with these validation scores by epoch; None for a failed one, no steps for a control.

    Unless told otherwise it ended at the limit of epochs.
    """
    import torch

    spec = RunSpec(
        dataset="tiktok", model=model, stage=stage, repetition=repetition, base_seed=1,
        max_epochs=max_epochs or len(scores or [0]), params=params or {"reg_weight": 0.1}, bounds=bounds,
    )  # fmt: skip
    protocol = Protocol(**({} if patience is None else {"patience": patience}))
    facts, code = facts_of(n_train), "c" * 16
    key = key or run_key(spec, facts, protocol, code)
    blank = blank_record(spec, key, facts, code, protocol, "run", torch.device("cpu"))
    blank = blank.model_copy(update={"started": started})
    if scores is None:
        error = Failure(kind="NotFinite", message="The loss is not finite.", cpu_seconds=cpu_seconds)
        return blank.model_copy(update={"error": error})
    loss = None if steps_per_epoch is None else 0.5
    curve = [
        EpochFacts(
            epoch=place, loss=loss, train_seconds=seconds_per_epoch, valid_seconds=0.0, valid=values_of(score)
        )
        for place, score in enumerate(scores, 1)
    ]
    part = Metrics(values=values_of(max(scores)), n_users=10, n_skipped=50)
    cost = Cost(
        train_seconds=len(scores) * seconds_per_epoch, valid_seconds=0, test_seconds=0,
        total_seconds=len(scores) * seconds_per_epoch, epochs=len(scores), peak_memory_bytes=1,
        peak_memory_scope="run", n_parameters=1, cpu_seconds=cpu_seconds,
        steps=len(scores) * (steps_per_epoch or 0),
    )  # fmt: skip
    return blank.model_copy(
        update={
            "status": "finished",
            "metrics": MetricsByPart(valid=part, test=part),
            "curve": curve,
            "best_epoch": list(scores).index(max(scores)) + 1,
            "cost": cost,
        }
    )
