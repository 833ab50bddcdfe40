"""Sums of weighted rows by segments, the kernel under every sparse product. Pure torch, and Triton on CUDA.

On a CPU `embedding_bag` is several times faster than a sparse COO product. On CUDA it reads the entries of a
segment one after the other; the kernel of `models.layers.segments_cuda` reads many at once and always adds them up
in the same order, so that the same input gives the same bits.
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
    """Sum segments of weighted rows of `dense`, `[n_segments, d]`. No gradient.

    Args:
        offsets: start of each segment, and the end of the last, `[n_segments + 1]` int32.
        columns: row of `dense` of each entry, `[n_entries]` int32.
        values: weight of each entry, `[n_entries]`; None for 1.
        dense: `[n_columns, d]`.
    """
    kernel = _cuda_kernel(dense.device) if dense.is_cuda else None
    return (kernel or _embedding_bag)(offsets, columns, values, dense)


def _embedding_bag(offsets: Tensor, columns: Tensor, values: Tensor | None, dense: Tensor) -> Tensor:
    # detached, as torch lists the segment of every entry for the gradient of whatever could have one
    dense, weights = dense.detach().contiguous(), None if values is None else values.detach()
    return F.embedding_bag(
        columns, dense, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True
    )


@cache
def _cuda_kernel(device: torch.device) -> Kernel | None:
    """Return the kernel for a CUDA device; None without Triton or the C compiler that it needs."""
    try:
        from models.layers.segments_cuda import sums

        kernel: Kernel = sums
        offsets, columns = (torch.tensor(ids, dtype=torch.int32, device=device) for ids in ([0, 0, 3], [1, 0, 1]))
        values, dense = (torch.arange(1.0, n + 1, device=device) for n in (3, 4))
        # compiling fails, or a broken kernel shows, on this small case: an empty and a full segment
        given = offsets, columns, values, dense.view(2, 2)
        return kernel if torch.equal(kernel(*given), _embedding_bag(*given)) else None
    except Exception as problem:  # its type varies by release and platform; `embedding_bag` is right too
        warnings.warn(f"Triton's kernel is not used: {problem}", RuntimeWarning, stacklevel=2)
        return None
