"""Records as a data frame, one row per run, for notebooks and programs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.core.names import FOREIGN
from bench.core.protocol import CUTOFFS, METRICS, metric_key
from bench.runs.records import RunRecord

if TYPE_CHECKING:
    import pandas as pd

METRIC_COLUMNS = tuple(metric_key(metric, cutoff) for metric in METRICS for cutoff in CUTOFFS)
OWN, OTHER = "trained here", "lists of another program"


def frame_of(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Return one row per record.

    The columns are `dataset`, `source`, `split`, `protocol`, `model`, `seed` (from 1), `status` and `origin`, the
    test metrics such as `recall@10`, `valid` (the validation metric that chose the epoch), and `best_epoch`,
    `epochs`, `train_seconds`, `n_parameters`, `params`, `command` and `key`. A failed run has no metrics. Lists of
    another program have neither seed nor cost.
    """
    import pandas as pd

    rows = [_row(record) for record in records]
    return pd.DataFrame(rows, columns=list(_row(records[0]))) if rows else pd.DataFrame()


def _row(record: RunRecord) -> dict[str, Any]:
    spec, cost, metrics = record.spec, record.cost, record.metrics
    is_own = record.foreign is None
    test = {} if metrics is None else metrics.test.values
    valid = {} if metrics is None else metrics.valid.values
    return {
        "dataset": record.data.name,
        "source": record.data.source,
        "split": record.data.split,
        "protocol": record.protocol.tag,
        "model": spec.label.removeprefix(FOREIGN),
        "seed": spec.repetition + 1 if is_own else None,
        "status": record.status,
        "origin": OWN if is_own else OTHER,
        **{name: test.get(name) for name in METRIC_COLUMNS},
        "valid": valid.get(record.protocol.selection_metric),
        "best_epoch": record.best_epoch,
        "epochs": cost and cost.epochs,
        "train_seconds": cost and cost.train_seconds,
        "n_parameters": cost and cost.n_parameters,
        "params": dict(spec.params),
        "command": record.command,
        "key": record.key,
    }
