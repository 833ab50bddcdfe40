"""Layer 0. The C library's memory allocator, told to keep what is freed. Touches this process only.

A training step frees and takes again the same few tables of megabytes. glibc gives blocks of that size back to the
system at once and asks for them anew, and each of their pages is then faulted in and zeroed again: thousands of
faults a step, a fifth of the time of a small model.
"""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES = 2**31 - 1
LARGEST_MMAP_THRESHOLD = 2**25  # glibc refuses more


def keep_freed_memory() -> bool:
    """Let the process keep freed blocks of up to 32 MiB; False where the library is not glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD) and mallopt(M_TRIM_THRESHOLD, KEPT_BYTES))
