"""The sums of `models.layers.segments` as a Triton kernel for CUDA, imported only where a CUDA device is used.

One program sums one segment, several entries at a time: it reads their rows together and adds them up as a tree.
Entries do not wait for each other, nothing is added atomically, and the order never changes.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

CELLS = 2048  # numbers that a program reads together
WIDEST = 128  # columns per program
ENTRIES = (16, 128)  # least and most entries read together


def sums(offsets: Tensor, columns: Tensor, values: Tensor | None, dense: Tensor) -> Tensor:
    """Compute `models.layers.segments.bag`; the rows of `dense` may be part of wider ones."""
    if dense.stride(1) != 1:
        dense = dense.contiguous()
    n_segments, size = len(offsets) - 1, dense.shape[1]
    result = dense.new_empty(n_segments, size)
    if not result.numel():
        return result
    width = min(WIDEST, triton.next_power_of_2(size))
    entries = min(max(CELLS // width, ENTRIES[0]), ENTRIES[1])
    weights = dense if values is None else values.contiguous()
    with torch.cuda.device_of(dense):
        _sums[n_segments, triton.cdiv(size, width)](
            offsets, columns, weights, dense, result, size, dense.stride(0), values is not None, width, entries
        )
    return result


@triton.jit  # type: ignore[untyped-decorator]
def _sums(  # type: ignore[no-untyped-def]
    offsets,
    columns,
    weights,
    dense,
    result,
    size,
    stride,
    WEIGHTED: tl.constexpr,
    WIDTH: tl.constexpr,
    ENTRIES: tl.constexpr,
):
    segment = tl.program_id(0).to(tl.int64)
    cells = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    first, end = tl.load(offsets + segment), tl.load(offsets + segment + 1)
    total = tl.zeros([WIDTH], dtype=result.dtype.element_ty)
    for start in range(first, end, ENTRIES):
        entries = start + tl.arange(0, ENTRIES)
        row = tl.load(columns + entries, mask=entries < end, other=0).to(tl.int64)
        there = (entries < end)[:, None] & (cells < size)[None, :]
        rows = tl.load(dense + row[:, None] * stride + cells[None, :], mask=there, other=0)
        if WEIGHTED:
            rows = rows * tl.load(weights + entries, mask=entries < end, other=0)[:, None]
        total += tl.sum(rows, 0)
    tl.store(result + segment * size + cells, total, mask=cells < size)
