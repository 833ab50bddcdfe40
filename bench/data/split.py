"""Interactions -> training, validation and test parts. Pure.

| rule | parts |
|---|---|
| `random` | one permutation of all interactions; a tenth (rounded down) each to validation and test |
| `user` | one permutation within each user, see `_user_parts` for the rounding |
| `global_time` | up to the 80 % quantile of time, up to the 90 % quantile, later; equal times stay together |
| `shipped` | the parts that the data set's publisher made |

No part may be empty, and no user may have every item in training: the pairwise losses need at least one item that
the user has not seen.
"""

from __future__ import annotations

import numpy as np

from bench.core.errors import DataError, UsageError, unknown_name
from bench.core.names import SPLITS
from bench.core.types import IntArray, Interactions, Split

RULES = tuple(name for name in SPLITS if name != "shipped")
TRAIN, VALID, TEST = 0, 1, 2


def make_split(interactions: Interactions, name: str, rng_seed: int) -> Split:
    """Split whole interactions 8:1:1 by a rule.

    Args:
        interactions: all interactions of the data set.
        name: one of `RULES`.
        rng_seed: seed of the permutations; `global_time` draws nothing.

    Raises:
        UsageError: there is no such rule, or it needs timestamps and there are none.
        DataError: a part is empty, or a user has every item in training.
    """
    if name == "random":
        labels = _random_parts(len(interactions), rng_seed)
    elif name == "user":
        labels = _user_parts(interactions, rng_seed)
    elif name == "global_time":
        labels = _time_parts(interactions)
    else:
        raise unknown_name("split", name, RULES, "Where a data set ships its own parts, leave the split out.")
    train, valid, test = (interactions.take(labels == part) for part in (TRAIN, VALID, TEST))
    return _checked(Split(name, train, valid, test))


def shipped_split(train: Interactions, valid: Interactions, test: Interactions) -> Split:
    """Return the split whose parts the publisher made.

    Raises:
        DataError: parts share interactions, a part is empty, or a user has every item in training.
    """
    parts = (("training", train), ("validation", valid), ("test", test))
    for first, second in ((0, 1), (0, 2), (1, 2)):
        (first_name, one), (second_name, other) = parts[first], parts[second]
        n_shared = len(np.intersect1d(one.keys, other.keys, assume_unique=True))
        if n_shared:
            raise DataError(
                f"{n_shared:,} user-item pairs are both in the {first_name} and in the {second_name} part; the "
                "parts must be disjoint, or training sees the answers. Remove the repeated pairs, or "
                "have the merged data split again, for example with `--split random`."
            )
    return _checked(Split("shipped", train, valid, test))


def _random_parts(n: int, rng_seed: int) -> IntArray:
    """Return the part of each of `n` interactions, by one permutation, `[n]`."""
    tenth = n // 10
    labels = np.full(n, TRAIN, dtype=np.int64)
    order = np.random.default_rng(rng_seed).permutation(n)
    labels[order[:tenth]] = VALID
    labels[order[tenth : 2 * tenth]] = TEST
    return labels


def _user_parts(interactions: Interactions, rng_seed: int) -> IntArray:
    """Return the part of each interaction, by a permutation within each user, `[n]`.

    A user with n >= 3 interactions gives n / 10, rounded half up and at least one, to validation and as many
    to test. Of two interactions one goes to test; a single one stays in training.
    """
    counts = np.bincount(interactions.users, minlength=interactions.n_users)
    n_test = np.where(counts >= 2, np.maximum((counts + 5) // 10, 1), 0)
    n_valid = np.where(counts >= 3, n_test, 0)
    drawn = np.random.default_rng(rng_seed).random(len(interactions))
    order = np.lexsort((drawn, interactions.users))
    rank = np.empty(len(interactions), dtype=np.int64)  # position in the permutation of the user, from 0
    rank[order] = np.arange(len(interactions)) - interactions.offsets[interactions.users[order]]
    test, valid = n_test[interactions.users], n_valid[interactions.users]
    return np.where(rank < test, TEST, np.where(rank < test + valid, VALID, TRAIN))


def _time_parts(interactions: Interactions) -> IntArray:
    """Return the part of each interaction, by the quantiles of time, `[n]`."""
    times = interactions.timestamps
    if times is None:
        raise UsageError(
            "The split 'global_time' needs the time of each interaction, and this data has none. "
            "Use 'random' or 'user' instead."
        )
    # "inverted_cdf" returns times that occur; interpolated ones would depend on rounding.
    until_train, until_valid = np.quantile(times, [0.8, 0.9], method="inverted_cdf")
    return np.where(times <= until_train, TRAIN, np.where(times <= until_valid, VALID, TEST))


def _checked(split: Split) -> Split:
    """Return the split after verifying its invariants."""
    for name, part in (("training", split.train), ("validation", split.valid), ("test", split.test)):
        if not len(part):
            raise DataError(
                f"The {name} part of the split '{split.name}' is empty; each part must hold at least one "
                "interaction. Use more data or another split."
            )
    full = np.flatnonzero(np.diff(split.train.offsets) >= split.train.n_items)
    if len(full):
        raise DataError(
            f"{len(full):,} users (the first is user {full[0]}) have all {split.train.n_items:,} items in "
            "training, so that no item is left as a negative example or recommendation. Leave these users out."
        )
    return split
