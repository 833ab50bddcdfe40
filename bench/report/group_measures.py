"""Layer 8. Groups of users and items by their training interactions, and what lists do for them. Pure.

Groups are quarters by count, and equal counts are never parted: a group ends at the largest count of its quarter,
so that heavy ties make groups uneven, or fewer. "First" below means the first `PRIMARY_CUTOFF` of a user's list.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.list_files import StoredLists
from bench.metrics import hit_matrix
from bench.protocol import PRIMARY_CUTOFF, metric_key
from bench.types import BenchmarkData, BoolArray, IntArray, TopK

QUARTERS = (0.25, 0.5, 0.75)
RECALL = metric_key("recall", PRIMARY_CUTOFF)


@dataclass(frozen=True, eq=False)
class Group:
    """Users or items whose counts lie between two bounds.

    Attributes:
        least: the smallest count in it.
        most: the largest; 0 for cold items.
        members: which of all users or items are in it, `[n_users]` or `[n_items]`.
    """

    least: int
    most: int
    members: BoolArray

    @property
    def name(self) -> str:
        """Its counts, for example "5 to 7"."""
        if self.most == 0:
            return "0 (cold)"
        return f"{self.least:,}" if self.least == self.most else f"{self.least:,} to {self.most:,}"


def quarters(counts: IntArray, taking_part: BoolArray) -> list[Group]:
    """At most four groups by count, ascending, each with a member; equal counts stay together.

    Args:
        counts: of all users or items, `[n]`.
        taking_part: who is grouped at all, `[n]`.
    """
    some = counts[taking_part]
    if not len(some):
        return []
    bounds = np.unique([*np.quantile(some, QUARTERS, method="inverted_cdf"), some.max()])
    places = np.searchsorted(bounds, counts)
    groups = [taking_part & (places == place) for place in range(len(bounds))]
    return [Group(int(counts[inside].min()), int(counts[inside].max()), inside) for inside in groups]


def user_groups(data: BenchmarkData) -> list[Group]:
    """Quarters of the users with test interactions."""
    evaluated = np.diff(data.split.test.offsets) > 0
    return quarters(np.diff(data.split.train.offsets), evaluated)


def item_groups(data: BenchmarkData) -> list[Group]:
    """Quarters of the items with training interactions, and the items without where there are any."""
    counts = popularity(data)
    cold = [Group(0, 0, counts == 0)] if (counts == 0).any() else []
    return [*quarters(counts, counts > 0), *cold]


def popularity(data: BenchmarkData) -> IntArray:
    """Training interactions of every item, `[n_items]`."""
    return np.bincount(data.split.train.items, minlength=data.n_items)


def user_recall(lists: StoredLists, members: BoolArray) -> float | None:
    """Mean Recall@10 over the evaluated users of a group; None without any.

    Args:
        lists: of all evaluated users.
        members: which users are in the group, `[n_users]`.
    """
    values = lists.per_user[RECALL][members[lists.users]]
    return float(values.mean()) if len(values) else None


def item_recall(lists: StoredLists, data: BenchmarkData, members: BoolArray) -> float | None:
    """Share of a group's test interactions that are among the first of their user; None without any.

    Args:
        lists: of all evaluated users.
        data: the data set.
        members: which items are in the group, `[n_items]`.
    """
    first = lists.items[:, :PRIMARY_CUTOFF]
    found = first[hit_matrix(TopK(lists.users, first, 0), data.split.test)]
    n_test = int(members[data.split.test.items].sum())
    return float(members[found].sum() / n_test) if n_test else None


def exposure(lists: StoredLists, n_items: int) -> IntArray:
    """How often each item is among the first, `[n_items]`."""
    first = lists.items[:, :PRIMARY_CUTOFF]
    return np.bincount(first[first >= 0], minlength=n_items)


def coverage(shown: IntArray) -> float:
    """Share of all items that are shown to anybody.

    Args:
        shown: result of `exposure`, here and below.
    """
    return float((shown > 0).mean())


def gini(shown: IntArray) -> float | None:
    """Sum over i of (2i - n - 1) x_i / (n * sum of x), x ascending; None if nothing is shown.

    0 if all n items are shown equally often, (n - 1) / n if one is all that is shown.
    """
    if not shown.any():
        return None
    ascending, n_items = np.sort(shown), len(shown)
    weights = 2 * np.arange(1, n_items + 1) - n_items - 1
    return float((weights * ascending).sum() / (n_items * ascending.sum()))


def novelty(shown: IntArray, counts: IntArray) -> float | None:
    """Mean over what is shown of -log2((c + 1) / (C + n_items)), in bits; None if nothing is shown.

    One is added to every count, so that a cold item has a finite value.

    Args:
        shown: result of `exposure`.
        counts: training interactions c of every item, of sum C, `[n_items]`.
    """
    if not shown.any():
        return None
    bits = -np.log2((counts + 1) / (counts.sum() + len(counts)))
    return float((shown * bits).sum() / shown.sum())
