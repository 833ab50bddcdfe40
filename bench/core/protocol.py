"""Every choice of the evaluation, in one place. Touches nothing.

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
| a tie with the best epoch | is no improvement, as in MMRec (`>`) | an improvement, as in RecBole (`>=`) |
| rounding | only when rendered | before model selection |

What stops a training differs between a paper and the public code of its field, so there are two protocols by name:

| | `field` (default) | `paper` |
|---|---|---|
| chooses epochs and hyperparameters | validation Recall@20 | validation Recall@10 |
| epochs without a better score | 20 | 10 |
| epochs at most | 1,000 | 300 |
| source | MMRec and what is built on it | the LUDP paper, Sec. 5.1.4; it gives no limit, 300 is RecBole's |

Their numbers never share a table. `VERSION` and the name enter every record and every path; raise the version
when any of this changes meaning.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Bounds = tuple[tuple[int, float], ...]
MIN_EPOCHS = 20  # no trial is stopped earlier

VERSION = "2"
METRICS = ("precision", "recall", "ndcg")
CUTOFFS = (5, 10, 20, 50)
TOPK_DEPTH = 50
PRIMARY_CUTOFF = 10

ProtocolName = Literal["field", "paper"]
HideAtTest = Literal["train+valid", "train"]


@dataclass(frozen=True)
class Protocol:
    """The evaluation of one run. Without arguments it is `field`; `named` gives the others.

    Attributes:
        name: which of the named protocols it is, or was changed from.
        version: version of this module's choices.
        hide_at_test: whose items cannot be recommended at test.
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
        """Short name for paths and tables: `p2-field`, or `p2-field-patience40` where a choice was changed."""
        first = self.version == FIRST.version
        base = FIRST if first else PROTOCOLS[self.name]
        hidden = "" if self.hide_at_test == base.hide_at_test else "-hide-train"
        waits = "" if self.patience == base.patience else f"-patience{self.patience}"
        if first:
            return f"p{self.version}{hidden}{waits}"
        epochs = "" if self.max_epochs == base.max_epochs else f"-epochs{self.max_epochs}"
        select = "" if self.selection_metric == base.selection_metric else f"-select-{self.selection_metric}"
        return f"p{self.version}-{self.name}{waits}{epochs}{select}{hidden}"

    @property
    def identity(self) -> dict[str, str | int] | list[str | int]:
        """All of it as plain values, for the keys of runs and searches; the form of version 1 keeps its keys."""
        if self.version == FIRST.version:
            return [self.version, self.hide_at_test, self.patience]
        return asdict(self)


PROTOCOLS: dict[ProtocolName, Protocol] = {
    "field": Protocol(),
    # Sec. 5.1.4 of the LUDP paper, which names no limit of epochs; 300 is RecBole's
    "paper": Protocol("paper", patience=10, selection_metric="recall@10", max_epochs=300),
}
FIRST = replace(PROTOCOLS["paper"], version="1")  # the only protocol of version 1, before protocols had names


def named(name: ProtocolName, **changes: Any) -> Protocol:
    """The protocol of that name, with choices of the call in place of its own.

    Args:
        name: one of `PROTOCOLS`.
        changes: values of `Protocol` by field.
    """
    return replace(PROTOCOLS[name], **changes)


def metric_key(metric: str, cutoff: int) -> str:
    """The name of a metric in records, for example `recall@10`."""
    return f"{metric}@{cutoff}"


SELECTABLE = tuple(metric_key(metric, cutoff) for metric in METRICS for cutoff in CUTOFFS)


def bound_at(bounds: Bounds, epoch: int, steps: int) -> float | None:
    """What a trial must have reached after an epoch; None where it may not be stopped yet.

    Args:
        bounds: the rungs of its `RunSpec`, ascending.
        epoch: counted from 1.
        steps: training steps made so far.
    """
    place = bisect_right(bounds, steps, key=lambda rung: rung[0])
    return bounds[place - 1][1] if place and epoch >= MIN_EPOCHS else None
