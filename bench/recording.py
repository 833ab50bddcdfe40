"""Layer 6. A run as a record: what is known before it is made, and what it gave. Pure but for the clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import torch

from bench.environment import PeakMemory, describe
from bench.evaluate import Evaluation
from bench.identity import seeds_of
from bench.protocol import Protocol
from bench.records import Cost, DataFacts, ProtocolFacts, RunRecord, RunSpec
from bench.training_state import TrainResult
from bench.types import BenchmarkData, Metrics, MetricsByPart
from models.base import Recommender


def blank_record(
    spec: RunSpec,
    key: str,
    facts: DataFacts,
    code_hash: str,
    protocol: Protocol,
    command: str,
    device: torch.device,
) -> RunRecord:
    """A record with everything that is known before the run; its status is failed until it is not."""
    return RunRecord(
        key=key,
        status="failed",
        spec=spec,
        data=facts,
        protocol=ProtocolFacts.of(protocol),
        code_hash=code_hash,
        seeds=seeds_of(spec),
        command=command,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=describe(device),
    )


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a training and its one test evaluation gave."""

    model: Recommender
    result: TrainResult
    test: Evaluation
    n_valid_users: int
    test_seconds: float


def finished_record(
    blank: RunRecord,
    outcome: Outcome,
    memory: PeakMemory,
    seconds: float,
    cpu_seconds: float,
    data: BenchmarkData,
) -> RunRecord:
    """The record of a run that came to its end.

    Args:
        blank: its record from before.
        outcome: what training and test gave.
        memory: started with the run.
        seconds: the whole run.
        cpu_seconds: CPU time of it.
        data: what it was made on.
    """
    result, curve = outcome.result, outcome.result.curve
    best = curve[result.best_epoch - 1]
    n_valid = outcome.n_valid_users
    valid = Metrics(values=best.valid, n_users=n_valid, n_skipped=data.n_users - n_valid)
    cost = Cost(
        train_seconds=sum(epoch.train_seconds for epoch in curve),
        valid_seconds=sum(epoch.valid_seconds for epoch in curve),
        test_seconds=outcome.test_seconds,
        total_seconds=seconds,
        epochs=len(curve),
        peak_memory_bytes=memory.bytes(),
        peak_memory_scope=memory.scope,
        n_parameters=sum(p.numel() for p in outcome.model.parameters() if p.requires_grad),
        cpu_seconds=cpu_seconds,
        steps=result.steps_per_epoch * len(curve),
    )
    update = {
        "status": "finished",
        "metrics": MetricsByPart(valid=valid, test=outcome.test.metrics),
        "curve": curve,
        "best_epoch": result.best_epoch,
        "cost": cost,
    }
    return blank.model_copy(update=update)
