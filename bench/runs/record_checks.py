"""Checks for contradictions within a record: facts that no run can have together. Pure.

Each check is a rule of `bench.runs.runner` or `bench.engine.trainer`, read backwards. A content hash reveals a
record that was changed after its run; these checks reveal a change whose author computed a new hash.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.core.config import first_problem
from bench.core.hashing import SHORT
from bench.core.names import is_foreign
from bench.core.protocol import CUTOFFS, METRICS, TOPK_DEPTH, VERSION, metric_key
from bench.core.types import EpochFacts, Metrics, MetricsByPart
from bench.runs.records import SCHEMA, Cost, DataFacts, RunRecord

SUM_TOLERANCE = 1e-9  # relative, between two sums of the same seconds
PERFECT = 1 + 1e-9  # NDCG divides two sums of the same gains, whose last digits may differ
LARGEST = 2**53


class _Git(BaseModel):
    model_config = ConfigDict(strict=True)

    commit: str | None = None
    modified: bool | None = None
    homepage: str | None = None


class _Environment(BaseModel):
    """The entries of a record's environment that the program reads; others are not checked."""

    model_config = ConfigDict(strict=True)

    python: str = ""
    platform: str = ""
    processor: str | None = None
    device: str = ""
    cores: int | None = None
    threads: int | None = None
    n_workers: int | None = None
    packages: dict[str, str] = {}
    git: _Git | None = None


def contradiction(record: RunRecord) -> str:
    """Return the first contradiction within a record, in words; "" if there is none."""
    return next(_contradictions(record), "")


def _contradictions(record: RunRecord) -> Iterator[str]:
    if not 1 <= record.schema_version <= SCHEMA:
        yield f"its schema_version is {record.schema_version}, and this program reads 1 to {SCHEMA}"
    yield from _form(record)
    yield from _data(record.data)
    if record.foreign is not None or is_foreign(record.spec.model):
        yield from _foreign(record)
        return
    if record.status == "failed":
        if record.error is None:
            yield "it failed without an error"
        if record.metrics is not None:
            yield "it failed, but has the results of a finished run"
        return
    if record.error is not None:
        yield "it is finished, but has the error of a failed run"
    if record.metrics is None or record.cost is None or record.best_epoch is None or not record.curve:
        yield "it is finished, but lacks metrics, cost, curve or best epoch"
        return
    yield from _parts(record, record.metrics)
    yield from _curve(record, record.metrics.valid, record.best_epoch)
    yield from _cost(record.cost, record.curve)


def _foreign(record: RunRecord) -> Iterator[str]:
    """Check that a record of another program's lists claims no training, and that no training claims lists."""
    given, spec = record.foreign, record.spec
    if given is None or not is_foreign(spec.model):
        has = "lacks" if given is None else "has"
        yield f"its model is {spec.model}, and yet it {has} lists of another program"
        return
    trained = (record.cost, record.best_epoch, record.checkpoint_hash, record.error, *record.curve, *spec.params)
    spec_of_training = (spec.variant, spec.repetition, spec.max_epochs, *spec.bounds)
    if any(each is not None for each in trained) or any(spec_of_training):
        yield "it holds lists of another program, and yet facts of a training"
    if record.status != "finished" or record.metrics is None or record.lists_hash is None:
        yield "it holds lists of another program, but lacks their metrics or their hash"
        return
    if record.code_hash != record.lists_hash[:SHORT]:
        yield "its code hash is not that of its lists"
    valid, test, n_users = record.metrics.valid, record.metrics.test, record.data.n_users
    if valid.values or (valid.n_users, valid.n_skipped) != (0, n_users):
        yield "it holds lists of another program for the test part, and yet validation metrics"
    yield from _part(record, "test", test, record.data.n_test)
    if not (0 <= given.longest <= record.protocol.topk_depth and 0 <= given.n_empty <= test.n_users):
        yield f"its longest list has {given.longest} items, and {given.n_empty} of {test.n_users} lists are empty"


def _form(record: RunRecord) -> Iterator[str]:
    try:
        _Environment.model_validate(record.environment)
    except ValidationError as problem:
        yield f"environment.{first_problem(problem)}"
    spec, used = record.spec, record.protocol
    for name, value, least in (
        ("repetition", spec.repetition, 0),
        ("max_epochs", spec.max_epochs, 0 if record.foreign else 1),
        ("patience", used.patience, 1),
        ("topk_depth", used.topk_depth, max(used.cutoffs, default=1)),
    ):
        if not least <= value <= LARGEST:
            yield f"its {name} is {value}, but must be at least {least}"
    if used.version == VERSION and (tuple(used.cutoffs), used.topk_depth) != (CUTOFFS, TOPK_DEPTH):
        yield f"its cut-offs and list length are not those of protocol {VERSION}"
    selectable = [metric_key(metric, cutoff) for metric in METRICS for cutoff in used.cutoffs]
    if used.selection_metric not in selectable:
        yield f"its selection metric is {used.selection_metric!r}, which is none of its metrics"


def _data(facts: DataFacts) -> Iterator[str]:
    parts = (facts.n_train, facts.n_valid, facts.n_test)
    if min(*parts, facts.n_users, facts.n_items) < 0 or facts.n_interactions != sum(parts):
        yield f"its data has {facts.n_interactions} interactions, and parts of {', '.join(map(str, parts))}"
    if facts.n_interactions > facts.n_users * facts.n_items:
        yield "its data has more interactions than pairs of a user and an item"
    if (facts.scale is not None) != (facts.source == "surrogate"):
        yield f"its data is '{facts.source}', but {'has a' if facts.scale is not None else 'has no'} scale"
    if facts.source == "real" and facts.advice:
        yield "its data is 'real', and yet it says how to get the real data"
    for modality in facts.modalities:
        if not (0 <= modality.coverage <= 1 and modality.dim >= 0):
            yield f"the modality {modality.name} has {modality.dim} columns for {modality.coverage} of the items"


def _parts(record: RunRecord, metrics: MetricsByPart) -> Iterator[str]:
    """Check that both parts have all metrics, values between 0 and 1, and counts that fit the data."""
    yield from _part(record, "valid", metrics.valid, record.data.n_valid)
    yield from _part(record, "test", metrics.test, record.data.n_test)


def _part(record: RunRecord, part: str, own: Metrics, n_held_out: int) -> Iterator[str]:
    n_users = record.data.n_users
    yield from _values(
        f"{part} metrics", own.values, {metric_key(m, k) for m in METRICS for k in record.protocol.cutoffs}
    )
    if not (0 <= own.n_users <= n_held_out and own.n_users + own.n_skipped == n_users):
        yield (
            f"its {part} metrics are of {own.n_users} users with {own.n_skipped} left out, and its data "
            f"has {n_users} users and {n_held_out} {part} interactions"
        )


def _values(where: str, values: Mapping[str, float], names: set[str]) -> Iterator[str]:
    odd = sorted(names ^ set(values))
    if odd:
        yield f"its {where} {'lack' if odd[0] in names else 'should not have'} {odd[0]}"
    for name, value in values.items():
        if not 0 <= value <= PERFECT:  # also true for NaN
            yield f"its {where} have {name} = {value}"


def _curve(record: RunRecord, valid: Metrics, best_epoch: int) -> Iterator[str]:
    curve, metric = record.curve, record.protocol.selection_metric
    if [each.epoch for each in curve] != list(range(1, len(curve) + 1)):
        yield "the epochs of its curve are not numbered from 1"
        return
    if len(curve) > record.spec.max_epochs:
        yield f"its curve has {len(curve)} epochs, but {record.spec.max_epochs} were allowed"
    if any(set(each.valid) != set(valid.values) for each in curve) or metric not in valid.values:
        yield f"its curve and its valid metrics do not both hold the same metrics, including {metric}"
        return
    for each in curve:
        yield from _epoch(each)
    scores = [each.valid[metric] for each in curve]
    first_best = scores.index(max(scores)) + 1
    if best_epoch != first_best:
        yield f"its best epoch is {best_epoch}, but by the curve's {metric} it is {first_best}"
    elif valid.values != curve[best_epoch - 1].valid:
        yield f"its valid metrics are not those of epoch {best_epoch} of its curve"
    if len(curve) - best_epoch > record.protocol.patience:
        waited = len(curve) - best_epoch
        yield f"it trained {waited} epochs after its best one, with patience {record.protocol.patience}"


def _epoch(each: EpochFacts) -> Iterator[str]:
    yield from _values(f"validation metrics of epoch {each.epoch}", each.valid, set(each.valid))
    if each.loss is not None and not math.isfinite(each.loss):
        yield f"the loss of epoch {each.epoch} is {each.loss}, but the run is finished"


def _cost(cost: Cost, curve: list[EpochFacts]) -> Iterator[str]:
    numbers: dict[str, Any] = cost.model_dump(exclude={"peak_memory_scope"})
    for name, value in numbers.items():
        if value is not None and not 0 <= value <= LARGEST:  # records of earlier versions lack some
            yield f"its {name} is {value}"
    if cost.epochs != len(curve):
        yield f"its cost is of {cost.epochs} epochs, and its curve has {len(curve)}"
    for name in ("train_seconds", "valid_seconds"):
        total = math.fsum(getattr(each, name) for each in curve)
        if not math.isclose(total, getattr(cost, name), rel_tol=SUM_TOLERANCE, abs_tol=SUM_TOLERANCE):
            yield f"its {name} are {getattr(cost, name)}, but those of its epochs add up to {total}"
