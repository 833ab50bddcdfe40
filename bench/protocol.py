"""Layer 0. Every choice of the evaluation, in one place. Touches nothing.

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
| selection | best validation Recall@10 | test scores |
| rounding | only when rendered | before model selection |

`VERSION` enters every record and every path; raise it when any of this changes meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

VERSION = "1"
METRICS = ("precision", "recall", "ndcg")
CUTOFFS = (5, 10, 20, 50)
TOPK_DEPTH = 50
PRIMARY_CUTOFF = 10
SELECTION_METRIC = "recall@10"
PATIENCE = 10  # Sec. 5.1.4 of the LUDP paper

ProtocolName = Literal["field", "paper"]
HideAtTest = Literal["train+valid", "train"]


@dataclass(frozen=True)
class Protocol:
    """The evaluation of one run.

    Attributes:
        name: which of the named protocols it is, or was changed from.
        version: version of this module's choices.
        hide_at_test: whose items cannot be recommended at test.
        patience: epochs without a better validation score after which training stops.
        selection_metric: validation metric that chooses epochs and hyperparameters.
    """

    name: ProtocolName = "paper"
    version: str = VERSION
    hide_at_test: HideAtTest = "train+valid"
    patience: int = PATIENCE
    selection_metric: str = SELECTION_METRIC

    @property
    def tag(self) -> str:
        """Short name for paths, for example `p1`, or `p1-hide-train` and `p1-patience40` for other choices."""
        hidden = "" if self.hide_at_test == "train+valid" else "-hide-train"
        waits = "" if self.patience == PATIENCE else f"-patience{self.patience}"
        return f"p{self.version}{hidden}{waits}"


def metric_key(metric: str, cutoff: int) -> str:
    """The name of a metric in records, for example `recall@10`."""
    return f"{metric}@{cutoff}"
