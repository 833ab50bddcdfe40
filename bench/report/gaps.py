"""Layer 8. Many rows against one: what `resampling` says of each pair, at a fraction of the cost. Pure.

The combined statistic of the repetitions is linear in the flipped scores, so that a pair's repetitions are added
up before they are flipped: one column a pair instead of one a row and repetition.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.report.resampling import (
    FLIPS_PER_TEST,
    LEVEL,
    N_FLIPS,
    N_RESAMPLES,
    TIE,
    FloatArray,
    holm,
    means_over_resamples,
    sums_over_flips,
)
from bench.seeds import derive_seed


@dataclass(frozen=True)
class Gap:
    """A row minus the one that it is compared with.

    Attributes:
        difference: mean over users and repetitions.
        low: lower end of its 95% bootstrap interval over users.
        high: upper end.
        p_holm: two-sided, of all repetitions together, corrected by Holm's method for all rows compared.
    """

    difference: float
    low: float
    high: float
    p_holm: float

    @property
    def differs(self) -> bool:
        """Whether the corrected test finds a difference at the 5% level."""
        return self.p_holm < LEVEL


def gaps(rows: FloatArray, reference: FloatArray, seed: int) -> list[Gap]:
    """Every row against the reference, tested together.

    Args:
        rows: scores, `[n_rows, n_seeds, n_users]`.
        reference: scores, `[n_seeds, n_users]`.
        seed: root of what is drawn; the flips and resamples are those of `Resamples` with this seed.
    """
    if not len(rows):
        return []
    differences = rows - reference
    deviations = np.sqrt((differences**2).sum(axis=-1, keepdims=True))
    standardised = (differences / np.where(deviations > 0, deviations, 1.0)).sum(axis=1)
    n_flips = max(N_FLIPS, FLIPS_PER_TEST * len(rows) - 1)
    flips = np.abs(sums_over_flips(standardised, derive_seed(seed, "flips"), n_flips))
    found = np.abs(standardised.sum(axis=-1, keepdims=True))
    p_values = (1 + (flips >= found - TIE).sum(axis=-1)) / (1 + n_flips)
    averaged = differences.mean(axis=1)
    redrawn = means_over_resamples(averaged, derive_seed(seed, "bootstrap"), N_RESAMPLES)
    low, high = np.percentile(redrawn, [100 * LEVEL / 2, 100 * (1 - LEVEL / 2)], axis=-1)
    corrected = holm([float(p) for p in p_values])
    return [
        Gap(float(mean), float(bottom), float(top), p)
        for mean, bottom, top, p in zip(averaged.mean(axis=-1), low, high, corrected, strict=True)
    ]
