"""Records and facts without any run behind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from bench.core.names import split_label
from bench.core.protocol import CUTOFFS, METRICS, PROTOCOL_1, Protocol, metric_key
from bench.core.types import Metrics, MetricsByPart
from bench.report.paper import Paper, load_paper
from bench.runs.records import DataFacts, Failure, ModalityFacts, ProtocolFacts, RunRecord, RunSpec

MakeFacts = Callable[..., DataFacts]
MakeRecord = Callable[..., RunRecord]


def facts_of(name: str = "tiktok", **changes: Any) -> DataFacts:
    modality = ModalityFacts(name="visual", dim=128, coverage=1.0, origin="file", fingerprint="f" * 16)
    fields: dict[str, Any] = {
        "name": name,
        "source": "real",
        "origin": "public files.",
        "scale": None,
        "split": "random",
        "data_hash": "aaaabbbbccccdddd",
        "split_hash": "1111222233334444",
        "n_users": 9308,
        "n_items": 6710,
        "n_interactions": 68722,
        "n_train": 59541,
        "n_valid": 3051,
        "n_test": 6130,
        "modalities": [modality],
        "missing": {},
        "notes": [],
        "advice": "",
    }
    return DataFacts(**(fields | changes))


def record_of(
    label: str = "ludp",
    repetition: int = 0,
    scores: float | Mapping[str, float] = 0.1,
    facts: DataFacts | None = None,
    **changes: Any,
) -> RunRecord:
    """A finished record; `scores` is one value for all metrics, or some of them (the others are 0.5)."""
    model, variant = split_label(label)
    names = [metric_key(metric, cutoff) for metric in METRICS for cutoff in CUTOFFS]
    values = {name: scores.get(name, 0.5) if isinstance(scores, Mapping) else scores for name in names}
    part = Metrics(values=values, n_users=changes.pop("n_users", 10), n_skipped=0)
    spec_fields = ("params", "max_epochs", "base_seed")
    spec: dict[str, Any] = {"params": {"reg_weight": 0.1}, "max_epochs": 5, "base_seed": 1}
    spec |= {name: changes.pop(name) for name in spec_fields if name in changes}
    choices = ("version", "hide_at_test", "patience", "selection_metric")
    used = changes.pop("used", PROTOCOL_1 if changes.get("version") == PROTOCOL_1.version else Protocol())
    used = replace(used, **{name: changes.pop(name) for name in choices if name in changes})
    data = facts or facts_of()
    fields: dict[str, Any] = {
        "key": f"key-{label}-{repetition}",
        "status": "finished",
        "spec": RunSpec(dataset=data.name, model=model, variant=variant, repetition=repetition, **spec),
        "data": data,
        "protocol": ProtocolFacts.of(used),
        "code_hash": "c" * 16,
        "seeds": {},
        "command": "",
        "started": "2023-01-01T00:00:00Z",
        "environment": {},
        "metrics": MetricsByPart(valid=part, test=part),
    }
    return RunRecord(**(fields | changes))


def failed_of(label: str = "ludp", repetition: int = 0, **changes: Any) -> RunRecord:
    error = Failure(kind="TrainingError", message="The loss is not finite.")
    return record_of(label, repetition, **({"status": "failed", "metrics": None, "error": error} | changes))


@pytest.fixture(scope="session")
def paper() -> Paper:
    return load_paper()


@pytest.fixture
def make_facts() -> MakeFacts:
    return facts_of


@pytest.fixture
def make_record() -> MakeRecord:
    return record_of


@pytest.fixture
def make_failed() -> MakeRecord:
    return failed_of
