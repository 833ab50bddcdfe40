"""Splits: hand-computed parts, properties, and what no split may leave."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.core.errors import DataError, UsageError
from bench.core.types import Interactions, Split
from bench.data.split import RULES, make_split, shipped_split


def block(n_users: int, n_items: int, per_user: list[int], times: list[float] | None = None) -> Interactions:
    """User u has the first `per_user[u]` items."""
    users = np.repeat(np.arange(n_users), per_user)
    items = np.concatenate([np.arange(count) for count in per_user])
    return Interactions.from_pairs(users, items, n_users, n_items, None if times is None else np.array(times))


def sizes(split: Split) -> tuple[int, int, int]:
    return len(split.train), len(split.valid), len(split.test)


@pytest.mark.parametrize(
    ("n", "expected"), [(10, (8, 1, 1)), (19, (17, 1, 1)), (20, (16, 2, 2)), (105, (85, 10, 10))]
)
def test_random_sizes_are_exact(n: int, expected: tuple[int, int, int]) -> None:
    assert sizes(make_split(block(1, 200, [n]), "random", 3)) == expected


@pytest.mark.parametrize(
    ("n", "expected"),
    [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (1, 1, 1)), (10, (8, 1, 1)), (14, (12, 1, 1)), (15, (11, 2, 2)),
     (20, (16, 2, 2)), (25, (19, 3, 3))],
)  # fmt: skip
def test_user_rounding_rule(n: int, expected: tuple[int, int, int]) -> None:
    split = make_split(block(2, 40, [n, 10]), "user", 3)
    of_first = [int((part.users == 0).sum()) for part in (split.train, split.valid, split.test)]
    assert tuple(of_first) == expected


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 30), min_size=4, max_size=12).filter(lambda counts: sum(counts) >= 20),
    st.sampled_from(RULES),
    st.integers(0, 2**63 - 1),
)
def test_parts_are_a_partition(per_user: list[int], rule: str, seed: int) -> None:
    n = sum(per_user)
    whole = block(len(per_user), 40, per_user, [float(t) for t in range(n)])
    try:
        split = make_split(whole, rule, seed)
    except DataError:  # users with one or two interactions only give no validation part
        assert rule == "user"
        assert max(per_user) < 3
        return
    together = np.concatenate([split.train.keys, split.valid.keys, split.test.keys])
    assert np.array_equal(np.sort(together), whole.keys)
    assert split.name == rule
    if rule == "user":
        assert np.all(np.diff(split.train.offsets) >= 1)


@pytest.mark.parametrize("rule", ["random", "user"])
def test_seed_decides_and_nothing_else(rule: str) -> None:
    whole = block(5, 60, [30, 40, 50, 20, 10])
    one, same, other = (make_split(whole, rule, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.test.keys, same.test.keys)
    assert not np.array_equal(one.test.keys, other.test.keys)


def test_random_parts_are_not_the_first_rows() -> None:
    split = make_split(block(10, 200, [100] * 10), "random", 5)
    for part in (split.valid, split.test):
        assert 3.5 < part.users.mean() < 5.5  # users 0 to 9 alike: the mean is 4.5 with a deviation of 0.29


def test_global_time_by_hand() -> None:
    """Ten interactions at times 9, 8, ... 0: the newest is test, the second newest validation."""
    split = make_split(block(2, 20, [5, 5], [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]), "global_time", 0)
    assert (split.test.users.tolist(), split.test.items.tolist()) == ([0], [0])
    assert (split.valid.users.tolist(), split.valid.items.tolist()) == ([0], [1])


def test_global_time_keeps_equal_times_together() -> None:
    times = [1.0] * 7 + [2.0, 2.0, 2.0, 3.0, 4.0]  # the 80 % quantile, the 10th of 12, is 2.0
    split = make_split(block(1, 20, [12], times), "global_time", 0)
    assert sizes(split) == (10, 1, 1)
    assert split.train.timestamps is not None
    assert split.train.timestamps.max() == 2.0


def test_global_time_needs_times(refused: Callable) -> None:
    with refused(UsageError, "'global_time' needs the time", "'random' or 'user'"):
        make_split(block(1, 20, [12]), "global_time", 0)


def test_unknown_rule(refused: Callable) -> None:
    with refused(UsageError, "split 'usr'", "Did you mean 'user'", "random, user, global_time"):
        make_split(block(1, 20, [12]), "usr", 0)


def test_shipped_parts_are_kept(make_pairs: Callable) -> None:
    parts = make_pairs(0, 1), make_pairs(2), make_pairs(3)
    split = shipped_split(*parts)
    assert (split.name, split.train, split.valid, split.test) == ("shipped", *parts)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (([0, 1, 2], [1, 2], [3]), ["2 user-item pairs", "training", "validation"]),
        (([0, 1], [2], [1]), ["1 user-item pairs", "training", "test"]),
        (([0], [2, 3], [3]), ["1 user-item pairs", "validation", "test"]),
        (([], [2], [3]), ["training part", "empty"]),
        (([0], [], [3]), ["validation part", "empty"]),
        (([0], [2], []), ["test part", "empty"]),
    ],
)
def test_shipped_parts_must_be_sound(
    keys: tuple[list[int], ...], words: list[str], make_pairs: Callable, refused: Callable
) -> None:
    with refused(DataError, *words):
        shipped_split(*(make_pairs(*part) for part in keys))


def test_too_little_for_three_parts(refused: Callable) -> None:
    with refused(DataError, "validation part", "'random' is empty"):
        make_split(block(1, 20, [9]), "random", 0)


def test_a_user_with_every_item_in_training(make_pairs: Callable, refused: Callable) -> None:
    with refused(DataError, "1 users", "user 1", "all 3 items", "Leave these users out"):
        shipped_split(*(make_pairs(*keys, n_users=3, n_items=3) for keys in ([3, 4, 5], [0], [6])))
