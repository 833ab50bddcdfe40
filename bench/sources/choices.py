"""Layer 3. How generated users choose items: by activity, popularity and taste. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.types import BoolArray, IntArray

Float64 = NDArray[np.float64]

GROUP = 64  # items that are handed out together when each item gets its first user
BLOCK = 1 << 20  # exposures scored together
GATHER = 1 << 16  # rows gathered together for their dot products; keeps the peak of memory low


@dataclass(frozen=True, eq=False)
class Tastes:
    """What users like, over all spaces: user u likes item i by `users[u] @ items[i]`.

    Attributes:
        users: `[n_users, d]`.
        items: `[n_items, d]`.
    """

    users: Float64
    items: Float64

    def of_pairs(self, users: IntArray, items: IntArray) -> Float64:
        """How much each user likes the item beside it, `[n]`."""
        liked = np.empty(len(users))
        for start in range(0, len(users), GATHER):
            rows = slice(start, start + GATHER)
            liked[rows] = np.einsum("ij,ij->i", self.users[users[rows]], self.items[items[rows]])
        return liked


def spread_activity(weights: Float64, total: int, least: int, most: int) -> IntArray:
    """Whole numbers in proportion to weights, within bounds, with exactly this sum.

    Args:
        weights: positive, `[n]`.
        total: the sum, from `n * least` to `n * most`.
        least: lower bound of each number.
        most: upper bound of each number.
    """
    low, high = 0.0, most / weights.min()
    for _ in range(200):  # bisection down to the last bit
        middle = (low + high) / 2
        if np.clip(middle * weights, least, most).sum() < total:
            low = middle
        else:
            high = middle
    shares = np.clip(low * weights, least, most)
    numbers = np.floor(shares).astype(np.int64)
    rounded_down = np.argsort(numbers - shares, kind="stable")
    rounded_down = rounded_down[numbers[rounded_down] < most]
    numbers[rounded_down[: total - numbers.sum()]] += 1
    return numbers


def choose(
    tastes: Tastes, activity: IntArray, popularity: Float64, exposures: float, rng: np.random.Generator
) -> IntArray:
    """Which items each user takes.

    Every item gets one user first. Then each user is shown `exposures` times as many items as are due, drawn
    by popularity, and takes the best-liked; what is still due is filled with unseen items at random.

    Args:
        tastes: who likes what.
        activity: items due to each user, `[n_users]`; at least one item an interaction in sum.
        popularity: chance of each item to be shown, up to a factor, `[n_items]`.
        exposures: items shown per item due.
        rng: decides on everything.

    Returns:
        Keys `user * n_items + item`, all distinct, `activity.sum()` of them.
    """
    n_items = len(popularity)
    first = _first_users(tastes, activity, rng)
    due = activity - np.bincount(first // n_items, minlength=len(activity))
    shown = np.ceil(exposures * activity).astype(np.int64)
    cdf = np.cumsum(popularity) / popularity.sum()
    chosen = [first]
    block_of = (np.cumsum(shown) - 1) // BLOCK
    for block in np.unique(block_of):
        users = np.flatnonzero(block_of == block)
        owners = np.repeat(users, shown[users])
        items = np.minimum(np.searchsorted(cdf, rng.random(len(owners)), side="right"), n_items - 1)
        keys = np.setdiff1d(owners * n_items + items, first)
        taken = keys[_best(keys, tastes, due, rng)]
        lacking = due - np.bincount(taken // n_items, minlength=len(due))
        seen = np.sort(np.concatenate([first, taken]))
        short = users[lacking[users] > 0]
        chosen += [taken, *(_unseen(user, lacking[user], seen, n_items, rng) for user in short)]
    return np.concatenate(chosen)


def _first_users(tastes: Tastes, activity: IntArray, rng: np.random.Generator) -> IntArray:
    """A first user for every item, as keys; random users, matched to the items of a group by taste."""
    from scipy.optimize import linear_sum_assignment

    n_items = len(tastes.items)
    slots = rng.permutation(int(activity.sum()))[:n_items]
    users = np.searchsorted(np.cumsum(activity), slots, side="right")
    items = rng.permutation(n_items)
    matched = np.empty(n_items, dtype=np.int64)
    for start in range(0, n_items, GROUP):
        rows = slice(start, start + GROUP)
        liked = tastes.users[users[rows]] @ tastes.items[items[rows]].T
        _, columns = linear_sum_assignment(liked + rng.gumbel(size=liked.shape), maximize=True)
        matched[rows] = items[rows][columns]
    return np.sort(users * n_items + matched)


def _best(keys: IntArray, tastes: Tastes, due: IntArray, rng: np.random.Generator) -> BoolArray:
    """Which of the keys, ascending, are among the best-liked `due` of their user, `[n]`."""
    n_items = len(tastes.items)
    users, items = keys // n_items, keys % n_items
    liked = tastes.of_pairs(users, items) + rng.gumbel(size=len(keys))
    order = np.lexsort((-liked, users))
    rank = np.empty(len(keys), dtype=np.int64)
    rank[order] = np.arange(len(keys)) - np.searchsorted(users, users)
    best: BoolArray = rank < due[users]
    return best


def _unseen(user: int, n: int, seen: IntArray, n_items: int, rng: np.random.Generator) -> IntArray:
    """Keys of `n` items that the user has not got, drawn evenly; `seen` holds everybody's keys, ascending."""
    start, end = np.searchsorted(seen, [user * n_items, (user + 1) * n_items])
    free = np.ones(n_items, dtype=bool)
    free[seen[start:end] - user * n_items] = False
    return user * n_items + rng.choice(np.flatnonzero(free), size=n, replace=False)
