"""Results directories without any training behind them: records, lists and trials that fit each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.names import split_label
from bench.core.protocol import CUTOFFS, METRICS, TOPK_DEPTH, Protocol, metric_key
from bench.core.types import EpochFacts, Interactions, Metrics, MetricsByPart, TopK
from bench.engine import registry
from bench.engine.evaluate import means, per_user
from bench.runs.record_files import run_key, seeds_of
from bench.runs.records import Cost, DataFacts, Failure, ProtocolFacts, RunRecord, RunSpec
from bench.runs.store import ResultsStore

N_USERS, N_ITEMS, N_EPOCHS = 60, 90, 4
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def facts_of(name: str = "tiktok", **changes: Any) -> DataFacts:
    fields: dict[str, Any] = {
        "name": name, "source": "real", "origin": "public files.", "scale": None, "split": "random",
        "data_hash": "aaaabbbbccccdddd", "split_hash": "1111222233334444", "n_users": N_USERS,
        "n_items": N_ITEMS, "n_train": 200, "n_valid": 70, "n_test": len(held_out()), "modalities": [],
        "missing": {}, "notes": [], "advice": "",
    }  # fmt: skip
    fields |= changes
    parts = fields["n_train"] + fields["n_valid"] + fields["n_test"]
    return DataFacts(**({"n_interactions": parts} | fields))


def held_out() -> Interactions:
    """One to three test items of every user."""
    rng = np.random.default_rng(5)
    users = np.repeat(np.arange(N_USERS), rng.integers(1, 4, N_USERS))
    return Interactions.from_pairs(users, rng.integers(0, N_ITEMS, len(users)), N_USERS, N_ITEMS)


def lists_of(skill: float, seed: int) -> TopK:
    """Make lists in which a held-out item is pushed towards the front as often as `skill` says."""
    rng, wanted = np.random.default_rng(seed), held_out()
    scores = rng.random((N_USERS, N_ITEMS))
    lucky = rng.random(len(wanted)) < skill
    scores[wanted.users[lucky], wanted.items[lucky]] += rng.random(lucky.sum())
    return TopK(np.arange(N_USERS), np.argsort(-scores, axis=1)[:, :TOPK_DEPTH], 0)


def params_of(label: str, facts: DataFacts, values: Mapping[str, Any]) -> dict[str, Any]:
    model, variant = split_label(label)
    entry = registry.find(model)
    if entry is None:
        return dict(values)
    own = variant if variant in entry.file.variants else ""
    return entry.params(facts.full_name, own, dict(values), facts.split_hash).model_dump()


def add_run(
    root: Path,
    label: str,
    repetition: int = 0,
    skill: float = 0.3,
    facts: DataFacts | None = None,
    status: str = "finished",
    stage: str = "final",
    values: Mapping[str, Any] | None = None,
    **changes: Any,
) -> RunRecord:
    """Write a run with its lists below `root`; `changes` are of its record, but for those of its spec.

    The lists depend on label, repetition and skill only, so that two directories can hold the same run.
    """
    data, store = facts or facts_of(), ResultsStore(root)
    model, variant = split_label(label)
    own = {name: changes.pop(name) for name in ("max_epochs", "base_seed", "features") if name in changes}
    spec = RunSpec(
        dataset=data.name, model=model, variant=variant, repetition=repetition, stage=stage,
        params=params_of(label, data, values or {}), **({"max_epochs": 30, "base_seed": 2023} | own),
    )  # fmt: skip
    protocol = changes.pop("protocol", Protocol(hide_at_test=changes.pop("hide_at_test", "train+valid")))
    code = changes.pop("code_hash", "c0dec0dec0dec0de")
    key = run_key(spec, data, protocol, code)
    scores = changes.pop("scores", [skill / (N_EPOCHS - n) for n in range(N_EPOCHS)])
    loss = changes.pop("loss", 0.5)
    fields: dict[str, Any] = {
        "key": key, "status": status, "spec": spec, "data": data,
        "protocol": ProtocolFacts.of(protocol),
        "code_hash": code, "seeds": seeds_of(spec), "command": f"python run_all.py --models {label} 'a <b>'",
        "started": "2023-01-01T00:00:00+00:00", "environment": environment(),
    }  # fmt: skip
    if status == "failed":
        fields["error"] = Failure(kind="NotFinite", message="The loss is not finite.")
    else:
        fields |= finished(store, key, label, repetition, skill, stage, scores, loss)
    record = RunRecord(**(fields | changes))
    store.write_record(store.record_path(key, protocol, data.name, data.source, spec), record)
    return record


def finished(
    store: ResultsStore,
    key: str,
    label: str,
    repetition: int,
    skill: float,
    stage: str,
    scores: Sequence[float],
    loss: float | None,
) -> dict[str, Any]:
    """Give the fields of a run with these validation scores; its lists are written. No loss: it is a control."""
    topk = lists_of(skill, sum(map(ord, label)) + 1000 * repetition)
    users = per_user(topk, held_out(), CUTOFFS)
    test = Metrics(values=means(users), n_users=N_USERS, n_skipped=0)
    curve = [
        EpochFacts(
            epoch=n + 1, loss=None if loss is None else loss / (n + 1) + repetition / 1000,
            train_seconds=(1.5 + repetition) / len(scores), valid_seconds=1 / len(scores),
            valid=dict.fromkeys((metric_key(m, k) for m in METRICS for k in CUTOFFS), score),
        )
        for n, score in enumerate(scores)
    ]  # fmt: skip
    best = scores.index(max(scores))
    valid = Metrics(values=curve[best].valid, n_users=N_USERS, n_skipped=0)
    cost = Cost(
        train_seconds=1.5 + repetition, valid_seconds=1, test_seconds=1, total_seconds=9, epochs=len(scores),
        peak_memory_bytes=2**28, peak_memory_scope="run", n_parameters=1234,
    )  # fmt: skip
    found: dict[str, Any] = {"metrics": MetricsByPart(valid=valid, test=test), "cost": cost, "curve": curve}
    if stage == "final":
        found["lists_hash"] = store.write_topk(key, topk, users)
    return found | {"best_epoch": best + 1}


def environment(**changes: Any) -> dict[str, Any]:
    git = {"commit": COMMIT, "modified": False, "homepage": "https://example.org/someone/bench"}
    told = {"processor": "Some CPU", "platform": "Some system", "device": "cpu", "threads": 2, "git": git}
    return told | changes


def records_in(root: Path) -> list[RunRecord]:
    """Read the records of reported runs, in the order of their paths."""
    found = [ResultsStore(root).read(path) for path in sorted((root / "runs").glob("**/*.json"))]
    return [record for record in found if isinstance(record, RunRecord)]


def record_file(root: Path, record: RunRecord) -> Path:
    (found,) = (path for folder in ("runs", "trials") for path in (root / folder).glob(f"**/{record.key}.json"))
    return found
