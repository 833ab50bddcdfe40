"""What a training step of each model has to do: operations of its matrix products, and rows that it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from bench.engine import registry
from speed.context import Bench, data_name, trained_models
from speed.measure import estimate
from speed.result import Row
from speed.training import Ours

BYTES = 4  # of a number in single precision
NOTE = (
    "Counted in one step, not timed. Operations are twice the multiplications of dense products. Rows are read by "
    "sums over the neighbours of nodes, and two for each dot of an edge; a row that is in the cache counts too."
)


class Work(TorchDispatchMode):
    """Counts while it is active.

    Attributes:
        operations: of dense matrix products.
        summed, dotted: bytes of the rows that sums of segments and dots of edges read.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = self.summed = self.dotted = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = func.__name__.partition(".")[0]
        if name == "mm":
            self._product(args[0], args[1])
        elif name == "addmm":
            self._product(args[1], args[2])
        elif name == "_linear_pointwise":  # oneDNN's, whose weights are transposed
            self._product(args[0], args[1].T)
        elif name.startswith("_embedding_bag"):
            self.summed += BYTES * args[1].numel() * args[0].shape[1]
        elif name == "sparse_sampled_addmm":
            self.dotted += BYTES * 2 * args[0].values().numel() * args[1].shape[1]
        return func(*args, **(kwargs or {}))

    def _product(self, left: Tensor, right: Tensor) -> None:
        self.operations += 2 * left.numel() * right.shape[1]


def work(bench: Bench) -> list[Row]:
    """Operations and bytes of a step of every trained model on the public TikTok, with default values."""
    data, rows = bench.public(), []
    for name in trained_models():
        ours = Ours(bench.model(name, data), data)
        ours.steps(2)  # the first may build what an epoch keeps
        with Work() as counted:
            ours.steps(1)
        title, where = registry.load(name).card.title, data_name(data)
        details = {"rows_summed_bytes": counted.summed, "rows_of_dots_bytes": counted.dotted}
        operations, read = counted.operations / 1e9, (counted.summed + counted.dotted) / 1e9
        rows += [
            Row(f"{title}, products of a step", "", where, "GFLOP", estimate([operations]), note=NOTE),
            Row(f"{title}, rows read in a step", "", where, "GB", estimate([read]), note=NOTE, details=details),
        ]
    return rows
