"""Check whether a split is random: measures of a split beside what a random split would give. Pure numpy.

A random split draws which interactions are held out. Given how many interactions of each user lie in each part,
all choices within the user are equally likely, under the rule `random` as under `user`. Every expectation but
those of `USER_COUNTS` is conditional on these numbers, and compares one held-out part with training.

`above_index` and `latest` have closed forms, see `chance_above`. `popularity`, `unseen` and `head` are compared
with `N_DRAWS` random splits within users, drawn with a fixed seed. The expectations of `USER_COUNTS` are those of
a random split of all interactions, see `_user_counts`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from bench.core.types import BoolArray, IntArray, Interactions, Split

LIMIT = 10  # standard errors; a measure that is further from a random split says that the split is not random
HEAD = 20  # most frequent items of a held-out part
N_ORDERS, N_SHIFTS = 5, 40
N_DRAWS = N_ORDERS * N_SHIFTS
SEED = 20
BLOCK = 1_000_000  # numbers in one block of draws
MOSTLY = 0.9  # from this share on a warning says that the split was made by time or by index

PARTS = ("validation", "test")
HELD_OUT = "validation and test"
USER_COUNTS = ("no_training", "in_both")
BY_TIME = "global_time"
TITLES = {
    "above_index": "Pairs with the highest item index of their user",
    "latest": "Pairs that are the latest of their user",
    "popularity": "Rank correlation of item counts with training",
    "unseen": "Pairs of items that training never sees",
    "head": f"Pairs of the {HEAD} most frequent items",
    "no_training": "Users with held-out pairs and none in training",
    "in_both": "Users with validation and test pairs",
}
FORMS = {"popularity": ".3f", "no_training": ",.1f", "in_both": ",.1f"}
SHARE = ".1%"
TEMPLATES = {
    "latest": "{Parts} pairs are the latest of their user in {values} of cases",
    "above_index": "{Parts} items have the highest index of their user in {values} of pairs",
    "popularity": "Item counts of {parts} have the rank correlation {values} with those of training",
    "unseen": "{Parts} pairs are of items that training never sees in {values} of cases",
    "head": f"The {HEAD} most frequent items of {{parts}} hold {{values}} of the pairs",
    "no_training": "{values} users have held-out pairs and none in training",
}
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """One measure of a split, and what a random split would give.

    Attributes:
        name: a key of `TITLES`.
        part: "validation" or "test"; both for those of `USER_COUNTS`.
        n: what it counts: pairs of users with training items (`above_index`, `latest`), items with a pair in
            training or in the part (`popularity`), pairs of the part (`unseen`, `head`), or users.
        value: what this split gives; a share, a correlation, or a number of users.
        expected: mean over random splits.
        error: standard error, that is the standard deviation over random splits.
    """

    name: str
    part: str
    n: int
    value: float
    expected: float
    error: float

    @property
    def deviation(self) -> float:
        """Return the distance from a random split, in standard errors.

        A standard error counts as one pair, item or user at least. Otherwise one pair would be many standard
        errors if a random split gives almost always none.
        """
        smallest = 1.0 if self.name in USER_COUNTS else 1 / self.n
        return (self.value - self.expected) / max(self.error, smallest)

    @property
    def is_random(self) -> bool:
        """Return whether a random split can have given this value.

        Always true for `in_both`, which cannot tell: `user` splits have more such users than `random` ones.
        """
        if self.name == "in_both":
            return True
        return self.deviation <= LIMIT and (self.name == "no_training" or self.deviation >= -LIMIT)


@dataclass(frozen=True)
class SplitAudit:
    """The measures of a split.

    Attributes:
        split: name of its rule.
        measures: validation before test.
        left_out: held-out pairs of users without training items, by part; not in `above_index` and `latest`.
        unseen_items: items of each part that training never sees.
        is_later: whether every held-out pair is later than every training pair.
    """

    split: str
    measures: tuple[Measure, ...]
    left_out: dict[str, int]
    unseen_items: dict[str, int]
    is_later: bool

    def of(self, name: str) -> list[Measure]:
        """Return the measures of that name, validation before test."""
        return [each for each in self.measures if each.name == name]


_AUDITS: WeakKeyDictionary[Split, SplitAudit] = WeakKeyDictionary()


def audit(split: Split) -> SplitAudit:
    """Measure a split; the result is cached as long as the split exists."""
    if split not in _AUDITS:
        _AUDITS[split] = _audit(split)
    return _AUDITS[split]


def _audit(split: Split) -> SplitAudit:
    held_out = dict(zip(PARTS, (split.valid, split.test), strict=True))
    measures: list[Measure] = []
    for name, part in held_out.items():
        if len(part):
            measures += [*_orders(split.train, part, name), *_frequencies(split.train, part, name)]
    n_train = np.diff(split.train.offsets)
    seen = np.bincount(split.train.items, minlength=split.train.n_items) > 0
    return SplitAudit(
        split=split.name,
        measures=(*measures, *_user_counts(split)),
        left_out={name: int((n_train[part.users] == 0).sum()) for name, part in held_out.items()},
        unseen_items={name: len(np.unique(part.items[~seen[part.items]])) for name, part in held_out.items()},
        is_later=_is_later(split),
    )


def chance_above(n_train: IntArray, n_held: IntArray) -> tuple[Array, Array]:
    """Return mean and variance of the number of a user's held-out interactions above all its training ones.

    Order the n training and h held-out interactions of a user, the highest first. The held-out ones before the
    first training one are a negative hypergeometric number: mean h / (n + 1), variance h n (n + h + 1) / ((n +
    1)^2 (n + 2)). Users are independent.

    Args:
        n_train: number of training interactions of each user, at least one, `[n]`.
        n_held: number of held-out interactions, `[n]`.
    """
    n, h = n_train.astype(np.float64), n_held.astype(np.float64)
    return h / (n + 1), h * n * (n + h + 1) / ((n + 1) ** 2 * (n + 2))


def _orders(train: Interactions, part: Interactions, name: str) -> list[Measure]:
    """Measure the shares of held-out pairs above all training pairs of their user, by index and by time."""
    n_train, n_held = np.diff(train.offsets), np.diff(part.offsets)
    known = (n_train > 0) & (n_held > 0)
    n = int(n_held[known].sum())
    if not n:
        return []
    mean, variance = chance_above(n_train[known], n_held[known])
    expected, error = float(mean.sum() / n), float(np.sqrt(variance.sum()) / n)
    measures = [Measure("above_index", name, n, _above(train, part, train.items, part.items) / n, expected, error)]
    if train.timestamps is not None and part.timestamps is not None:
        n_above = _above(train, part, train.timestamps, part.timestamps)
        measures.append(Measure("latest", name, n, n_above / n, expected, error))
    return measures


def _above(train: Interactions, part: Interactions, trained: NDArray[Any], held: NDArray[Any]) -> float:
    """Return the number of held-out values above all training values of their user.

    A value that equals the largest of training, which a training pairs share, counts by the chance of a random
    order, 1 / (a + 1). The mean stays the same; the standard error of `chance_above` is then an upper bound.
    """
    active = np.flatnonzero(np.diff(train.offsets))
    largest = np.full(train.n_users, np.inf)  # so that users without training items count nothing
    largest[active] = np.maximum.reduceat(trained, train.offsets[active])
    n_equal = np.bincount(train.users[trained == largest[train.users]], minlength=train.n_users)
    bound = largest[part.users]
    return float((held > bound).sum() + (1 / (n_equal[part.users[held == bound]] + 1)).sum())


def _frequencies(train: Interactions, part: Interactions, name: str) -> list[Measure]:
    """Measure the correlation of item counts, the share of unseen items, and that of the most frequent items."""
    items, place = np.unique(np.concatenate([train.items, part.items]), return_inverse=True)
    held = np.bincount(place[len(train) :], minlength=len(items))[None]
    total = np.bincount(place, minlength=len(items))[None]
    value = _statistics(total, held)
    random = np.concatenate([_statistics(total, counts) for counts in _drawn(train, part, place, len(items))])
    sizes = {"popularity": len(items), "unseen": len(part), "head": len(part)}
    return [
        Measure(title, name, n, float(value[0, k]), float(random[:, k].mean()), float(random[:, k].std(ddof=1)))
        for k, (title, n) in enumerate(sizes.items())
    ]


def _statistics(total: IntArray, held: IntArray) -> Array:
    """Return `popularity`, `unseen` and `head` of splits in rows, `[n_splits, 3]`.

    Args:
        total: pairs of each item in training and the part together, `[1, n_items]`.
        held: pairs of each item in the part, `[n_splits, n_items]`.
    """
    n = held.sum(1)
    unseen = np.where(held == total, held, 0).sum(1)
    first = max(held.shape[1] - HEAD, 0)
    head = np.partition(held, first, axis=1)[:, first:].sum(1) if first else n
    return np.column_stack([_correlation(_ranks(total - held), _ranks(held)), unseen / n, head / n])


def _ranks(counts: IntArray) -> Array:
    """Return ranks within rows, `[n_splits, n_items]`; equal counts share their mean rank."""
    # Counts are small integers, so that counting is faster than sorting.
    n_rows, width = len(counts), int(counts.max()) + 1
    place = counts + width * np.arange(n_rows)[:, None]
    frequency = np.bincount(place.ravel(), minlength=n_rows * width).reshape(n_rows, width)
    return np.asarray((frequency.cumsum(1) - (frequency - 1) / 2).ravel()[place], dtype=np.float64)


def _correlation(one: Array, other: Array) -> Array:
    """Return Pearson's correlation of rows, `[n_splits]`; 0 if a row is constant."""
    one, other = (each - each.mean(1, keepdims=True) for each in (one, other))
    scale = np.sqrt((one**2).sum(1) * (other**2).sum(1))
    return np.divide((one * other).sum(1), scale, out=np.zeros(len(one)), where=scale > 0)


def _drawn(train: Interactions, part: Interactions, place: IntArray, n_items: int) -> Iterator[IntArray]:
    """Yield item counts of the held-out part in random splits within users, in blocks of `[n_splits, n_items]`.

    Put each user's interactions in random order, close the order to a circle, and hold out h neighbours from a
    random position on: every set of h is equally likely. Each order serves `N_SHIFTS` splits, since sorting takes
    most of the time. The counts of one item within it are independent, because each of its interactions belongs to
    another user.
    """
    rng = np.random.default_rng(SEED)
    n_held = np.diff(part.offsets)
    users = np.concatenate([train.users, part.users])
    concerned = n_held[users] > 0
    users, place = users[concerned], place[concerned]
    n_all = np.bincount(users, minlength=part.n_users)
    starts, n_all = (np.cumsum(n_all) - n_all)[part.users], n_all[part.users]
    rank = np.arange(len(part)) - part.offsets[part.users]
    n_rows = max(1, BLOCK // max(len(part), n_items, part.n_users))
    for _ in range(N_ORDERS):
        arranged = place[np.argsort(users + rng.random(len(users)))]  # by user, in random order within each
        for first in range(0, N_SHIFTS, n_rows):
            rows = min(n_rows, N_SHIFTS - first)
            shift = (rng.random((rows, part.n_users))[:, part.users] * n_all).astype(np.int64) + rank
            chosen = arranged[starts + np.where(shift >= n_all, shift - n_all, shift)]
            chosen += n_items * np.arange(rows)[:, None]  # one bincount for all splits of the block
            yield np.bincount(chosen.ravel(), minlength=rows * n_items).reshape(rows, n_items)


def _user_counts(split: Split) -> list[Measure]:
    """Measure users with held-out pairs and none in training, and users with validation and test pairs.

    In a random split of all N interactions, a user with k of them has none in a part of m with the hypergeometric
    chance C(N - m, k) / C(N, k). The standard error takes users for independent.
    """
    n_train, n_valid, n_test = (np.diff(part.offsets) for part in (split.train, split.valid, split.test))
    n_all = n_train + n_valid + n_test
    total, largest = int(n_all.sum()), int(n_all.max(initial=0))

    def none_of(*parts: IntArray) -> Array:
        """Return the chance of each user to have nothing in these parts."""
        # C(N - m, k) / C(N, k) is the product of (N - m - i) / (N - i) over i < k.
        left = total - sum(int(part.sum()) for part in parts) - np.arange(largest)
        steps = np.maximum(left, 0) / (total - np.arange(largest))
        return np.asarray(np.concatenate(([1.0], np.cumprod(steps)))[n_all], dtype=np.float64)

    silent = np.where(n_all > 0, none_of(n_train), 0.0)
    both = 1 - none_of(n_valid) - none_of(n_test) + none_of(n_valid, n_test)
    values: tuple[BoolArray, ...] = ((n_train == 0) & (n_all > 0), (n_valid > 0) & (n_test > 0))
    n = int((n_valid + n_test > 0).sum())
    return [
        Measure(name, HELD_OUT, n, float(value.sum()), float(p.sum()), float(np.sqrt((p * (1 - p)).sum())))
        for name, value, p in zip(USER_COUNTS, values, (silent, np.clip(both, 0, 1)), strict=True)
    ]


def _is_later(split: Split) -> bool:
    """Return whether every held-out pair is later than every training pair."""
    times = [part.timestamps for part in (split.train, split.valid, split.test)]
    train, *held_out = times
    if train is None or not len(train) or any(each is None for each in held_out):
        return False
    return all(each is not None and (not len(each) or each.min() > train.max()) for each in held_out)


def warnings(audited: SplitAudit) -> list[str]:
    """Describe each measure that is more than `LIMIT` standard errors from a random split.

    The list is empty for `global_time`, which does not claim to be random; see `remarks`.
    """
    if audited.split == BY_TIME:
        return []
    deviating = ([each for each in audited.of(name) if not each.is_random] for name in TEMPLATES)
    return [f"{_finding(fired)} {_meaning(audited, fired)}".strip() for fired in deviating if fired]


def remarks(audited: SplitAudit) -> list[str]:
    """Describe a split that is by time, as its name says."""
    latest = audited.of("latest")
    if audited.split != BY_TIME or not latest:
        return []
    return [f"{_finding(latest)} The split is by time, as its name '{BY_TIME}' says.{_later_sentence(audited)}"]


def verdict(audited: SplitAudit, measure: Measure) -> str:
    """Judge a measure in two words."""
    if measure.name == "in_both":
        return "not judged"
    if measure.is_random:
        return "as random"
    is_time = audited.split == BY_TIME or (measure.name == "latest" and measure.value >= MOSTLY)
    return "by time" if is_time else "not random"


def audit_lines(audited: SplitAudit) -> list[str]:
    """Return the measures for the console, one per line, and the counts behind them."""
    measured = {title: audited.of(name) for name, title in TITLES.items()}
    lines = [f"{title}: {'; '.join(map(_line, measures))}" for title, measures in measured.items() if measures]
    return lines + counts(audited)


def counts(audited: SplitAudit) -> list[str]:
    """Return the counts behind the measures: unseen items, and pairs that cannot be compared with training."""
    unseen = [
        f"{audited.unseen_items[each.part]:,} in {each.part} ({round(each.value * each.n):,} pairs)"
        for each in audited.of("unseen")
        if audited.unseen_items[each.part]
    ]
    silent = [f"{audited.left_out[part]:,} {part}" for part in PARTS if audited.left_out[part]]
    lines = [f"Items that training never sees: {', '.join(unseen)}."] if unseen else []
    if silent:
        lines.append(
            f"{' and '.join(silent)} pairs are of users without training items, and left out where pairs of a "
            "user are compared."
        )
    return lines


def form(measure: Measure) -> str:
    """Return the format specification of a measure's values."""
    return FORMS.get(measure.name, SHARE)


def _line(each: Measure) -> str:
    """Describe one measure of one part for the console."""
    random = f"(random {each.expected:{form(each)}} ± {each.error:{form(each)}})"
    if each.name in USER_COUNTS:
        return f"{each.value:,.0f} {random}"
    return f"{each.part} {each.value:{form(each)}} {random}"


def _finding(fired: Sequence[Measure]) -> str:
    """Return a sentence with the values of one measure and those of a random split."""
    parts = " and ".join(each.part for each in fired)
    value_form = ",.0f" if fired[0].name in USER_COUNTS else form(fired[0])
    values = " and ".join(format(each.value, value_form) for each in fired)
    random = " and ".join(format(each.expected, form(each)) for each in fired)
    finding = TEMPLATES[fired[0].name].format(parts=parts, Parts=parts.capitalize(), values=values)
    return f"{finding}; a random split gives {random}."


def _meaning(audited: SplitAudit, fired: Sequence[Measure]) -> str:
    """Say what follows from a measure that no random split gives; "" if nothing certain does."""
    name, mostly = fired[0].name, all(each.value >= MOSTLY for each in fired)
    if name == "latest" and mostly:
        return (
            "This is a split by time, which is right where recommendations are for the future; it is not a "
            f"random one.{_later_sentence(audited)}"
        )
    if name == "latest":
        return "The split follows time; it was not drawn at random."
    if name == "above_index" and any(each.deviation > LIMIT for each in audited.of("latest")):
        return "Items whose index grows with time give this in a split by time."
    if name == "above_index" and mostly:
        return "The split was made by index, not at random."
    if name == "above_index":
        return "The split follows the item index; it was not drawn at random."
    if name == "popularity" and all(each.deviation < 0 for each in fired):
        return "Held-out pairs ask for other items than training shows."
    return ""


def _later_sentence(audited: SplitAudit) -> str:
    return " Every held-out pair is later than every training pair." if audited.is_later else ""
