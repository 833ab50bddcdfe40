"""Every choice of the evaluation protocol. Touches nothing.

| choice | here | seen elsewhere, and why not |
|---|---|---|
| candidates | every item that the user has not interacted with | samples of 100: a different, easier ranking |
| hidden at validation | training items | - |
| hidden at test | training and validation items (`hide_at_test`) | training only: validation items fill the list |
| how they are hidden | score minus infinity | 1e-5: a seen item outranks every negative score |
| ties | lowest item id | left to the library: CPU and GPU disagree |
| users without held-out items | left out and counted | zero: the mean then measures the split |
| Recall | hits / held-out items | / min(held-out, K): another metric under the same name |
| NDCG | ideal over min(held-out, K) | ideal over the hits found: inflated |
| selection | best validation score, in `selection_metric` | test scores |
| a tie with the best epoch | is not an improvement, as in MMRec (`>`) | an improvement, as in RecBole (`>=`) |
| rounding | only when rendered | before model selection |

Papers and the public code of their field stop training at different points, so there are two named protocols:

| | `field` (default) | `paper` |
|---|---|---|
| metric that chooses epochs and hyperparameters | validation Recall@20 | validation Recall@10 |
| epochs without a better score | 20 | 10 |
| epochs at most | 1,000 | 300 |
| source | MMRec and what is built on it | the LUDP paper, Sec. 5.1.4; it gives no limit, 300 is RecBole's |

Their numbers never share a table. `VERSION` and the name enter every record and every path. Raise the version when
any of these choices changes.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Bounds = tuple[tuple[int, float], ...]  # (training steps, score) rungs of a trial, ascending
MIN_EPOCHS = 20  # no trial is stopped earlier

VERSION = "2"
METRICS = ("precision", "recall", "ndcg")
SHORT_METRICS = {"precision": "P", "recall": "R", "ndcg": "NDCG"}
CUTOFFS = (5, 10, 20, 50)
SHOWN_CUTOFFS = (10, 20)  # those of the leaderboard
TOPK_DEPTH = 50
PRIMARY_CUTOFF = 10

ProtocolName = Literal["field", "paper"]
HideAtTest = Literal["train+valid", "train"]


@dataclass(frozen=True)
class Protocol:
    """The training and evaluation protocol of one run. Without arguments it is `field`; see `get_protocol`.

    Attributes:
        name: the named protocol that it is, or was changed from.
        version: version of this module's choices.
        hide_at_test: parts whose items cannot be recommended at test.
        patience: epochs without a better validation score after which training stops; a tie is not better.
        selection_metric: validation metric that chooses epochs and hyperparameters.
        max_epochs: epochs after which training stops in any case. A profile may stop it earlier; see `RunSpec`.
    """

    name: ProtocolName = "field"
    version: str = VERSION
    hide_at_test: HideAtTest = "train+valid"
    patience: int = 20
    selection_metric: str = "recall@20"
    max_epochs: int = 1000

    @property
    def tag(self) -> str:
        """Return the short name for paths and tables: `p2-field`, or `p2-field-patience40` if a choice differs."""
        is_version_1 = self.version == PROTOCOL_1.version
        base = PROTOCOL_1 if is_version_1 else PROTOCOLS[self.name]
        hidden = "" if self.hide_at_test == base.hide_at_test else "-hide-train"
        patience = "" if self.patience == base.patience else f"-patience{self.patience}"
        if is_version_1:
            return f"p{self.version}{hidden}{patience}"
        epochs = "" if self.max_epochs == base.max_epochs else f"-epochs{self.max_epochs}"
        select = "" if self.selection_metric == base.selection_metric else f"-select-{self.selection_metric}"
        return f"p{self.version}-{self.name}{patience}{epochs}{select}{hidden}"

    @property
    def identity(self) -> dict[str, str | int] | list[str | int]:
        """Return all choices as plain values, for the keys of runs and searches."""
        # the form of version 1 keeps the keys of its runs
        if self.version == PROTOCOL_1.version:
            return [self.version, self.hide_at_test, self.patience]
        return asdict(self)


PROTOCOLS: dict[ProtocolName, Protocol] = {
    "field": Protocol(),
    # Sec. 5.1.4 of the LUDP paper, which names no limit of epochs; 300 is RecBole's
    "paper": Protocol("paper", patience=10, selection_metric="recall@10", max_epochs=300),
}
PROTOCOL_1 = replace(PROTOCOLS["paper"], version="1")  # the only protocol of version 1, before protocols had names


def get_protocol(name: ProtocolName, **changes: Any) -> Protocol:
    """Return a named protocol, with some choices replaced.

    Args:
        name: one of `PROTOCOLS`.
        changes: fields of `Protocol` to replace.
    """
    return replace(PROTOCOLS[name], **changes)


def metric_key(metric: str, cutoff: int) -> str:
    """Return the name of a metric in records, for example `recall@10`."""
    return f"{metric}@{cutoff}"


def metric_parts(key: str) -> tuple[str, int]:
    """Split a metric's name in records into metric and cutoff: `recall@10` into `recall` and 10."""
    metric, _, cutoff = key.partition("@")
    return metric, int(cutoff)


def short_metric(metric: str) -> str:
    """Return the short name of a metric key, for example `NDCG@10` for `ndcg@10`."""
    name, cutoff = metric_parts(metric)
    return f"{SHORT_METRICS.get(name, name)}@{cutoff}"


SELECTABLE = tuple(metric_key(metric, cutoff) for metric in METRICS for cutoff in CUTOFFS)


def bound_at(bounds: Bounds, epoch: int, steps: int) -> float | None:
    """Return the score that a trial must have reached after an epoch, or None if it may not be stopped yet.

    Args:
        bounds: the rungs of its `RunSpec`, ascending.
        epoch: counted from 1.
        steps: training steps made so far.
    """
    place = bisect_right(bounds, steps, key=lambda rung: rung[0])
    return bounds[place - 1][1] if place and epoch >= MIN_EPOCHS else None
