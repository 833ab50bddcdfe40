"""The nine models written plainly: the same mathematics over all nodes, without any of the project's kernels.

`PLAIN[name](model)` takes a model of ours and gives its final tables, users and items, attached to the model's
own parameters. Gradients and whole trainings can so be compared, and steps be timed on equal terms: what is
constant in training may be computed once with `constants(model)` of the same module and be passed on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from plain import acf, grcn, lattice, lightgcn, ludp, mf, mmgcn, ngcf, vbpr
from plain.common import L2, Tables, loss_with

__all__ = ["PLAIN", "Tables", "batch_loss"]

PLAIN: dict[str, Callable[..., Tables]] = {
    "acf": acf.plain_tables,
    "grcn": grcn.plain_tables,
    "lattice": lattice.plain_tables,
    "lightgcn": lightgcn.plain_tables,
    "ludp": ludp.plain_tables,
    "mf": mf.plain_tables,
    "mmgcn": mmgcn.plain_tables,
    "ngcf": ngcf.plain_tables,
    "vbpr": vbpr.plain_tables,
}

OWN_L2: dict[str, L2] = {"ludp": ludp.plain_l2}


def batch_loss(model: Any, tables: Tables, batch: dict[str, Tensor]) -> Tensor:
    """The training loss of a batch from final tables: BPR and the L2 term, written out again for LUDP (Eq. 15)."""
    return loss_with(model, tables, batch, OWN_L2.get(type(model).__name__.lower()))
