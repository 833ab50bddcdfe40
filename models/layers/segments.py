"""Sums of weighted rows by segments, the kernel under every sparse product. Pure torch, and Triton on CUDA.

On a CPU `embedding_bag` is several times faster than a sparse COO product. On CUDA it goes through a segment entry
by entry, and waits for each; the kernel of `models.layers.segments_cuda` has many in flight, and adds them up in
one order always, so that the same input gives the same bits on both devices.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

Kernel = Callable[[Tensor, Tensor, Tensor | None, Tensor], Tensor]


def bag(offsets: Tensor, columns: Tensor, values: Tensor | None, dense: Tensor) -> Tensor:
    """Segments of weighted rows of `dense`, summed, `[n_segments, d]`. No gradient.

    Args:
        offsets: where each segment starts, and the end of the last, `[n_segments + 1]` int32.
        columns: row of `dense` that each entry takes, `[n_entries]` int32.
        values: its weight, `[n_entries]`; None for 1.
        dense: `[n_columns, d]`.
    """
    kernel = _cuda_kernel(dense.device) if dense.is_cuda else None
    return (kernel or _embedding_bag)(offsets, columns, values, dense)


def _embedding_bag(offsets: Tensor, columns: Tensor, values: Tensor | None, dense: Tensor) -> Tensor:
    return F.embedding_bag(
        columns, dense.contiguous(), offsets, mode="sum", per_sample_weights=values, include_last_offset=True
    )


@cache
def _cuda_kernel(device: torch.device) -> Kernel | None:
    """The kernel for a CUDA device; None without Triton, or where it cannot compile: it wants a C compiler."""
    try:
        from models.layers.segments_cuda import sums

        kernel: Kernel = sums
        offsets, columns = (torch.tensor(ids, dtype=torch.int32, device=device) for ids in ([0, 0, 3], [1, 0, 1]))
        values, dense = (torch.arange(1.0, n + 1, device=device) for n in (3, 4))
        given = offsets, columns, values, dense.view(2, 2)
        return kernel if torch.equal(kernel(*given), _embedding_bag(*given)) else None
    except Exception as problem:  # of many kinds, by release and platform; the other way is right, and slower
        warnings.warn(f"Triton's kernel is not used: {problem}", RuntimeWarning, stacklevel=2)
        return None
