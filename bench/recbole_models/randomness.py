"""Layer 2. What RecBole's models draw outside of torch, tied to torch's generator. All is put back afterwards.

Some of them draw from numpy's and Python's global generators, whose state a training that goes on after an
interruption does not have. Within `tied`, both are seeded by one draw from torch's.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch


@contextlib.contextmanager
def tied() -> Iterator[None]:
    """Seed numpy's and Python's global generators from torch's, for a while."""
    ours, theirs = np.random.get_state(), random.getstate()  # noqa: NPY002  # the ones that RecBole's code draws from
    seed = int(torch.randint(2**31 - 1, ()))
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(ours)  # noqa: NPY002
        random.setstate(theirs)


@contextlib.contextmanager
def fixed(seed: int, devices: list[torch.device]) -> Iterator[None]:
    """Seed all generators alike, and put them back afterwards."""
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        with tied():
            yield
