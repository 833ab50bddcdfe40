"""Values that the packages exchange: frozen, numpy only. Touches nothing.

Ids are 0-based and contiguous, users in [0, n_users) and items in [0, n_items). Only `bench.engine.recbole` and
the models use RecBole's ids, which have a padding id 0 in front.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.core.config import Frozen
from bench.core.errors import DataError

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]
Source = Literal["real", "embedded", "surrogate"]
Part = Literal["train", "valid", "test"]
Features = Literal["given", "shuffled", "noise", "constant"]


@dataclass(frozen=True, eq=False)
class Interactions:
    """De-duplicated implicit feedback, sorted by user and then by item.

    Attributes:
        n_users: number of users, including those without any interaction here.
        n_items: number of items, likewise.
        users: user id of each interaction, `[n]`.
        items: item id of each interaction, `[n]`.
        timestamps: time of each interaction, `[n]`, or None if the data has none: seconds since 1970 of dates,
            else the data's own numbers, such as milliseconds. Splits use their order only.
    """

    n_users: int
    n_items: int
    users: IntArray
    items: IntArray
    timestamps: NDArray[np.float64] | None = None

    @classmethod
    def from_pairs(
        cls,
        users: NDArray[np.integer[Any]],
        items: NDArray[np.integer[Any]],
        n_users: int,
        n_items: int,
        timestamps: NDArray[np.floating[Any]] | None = None,
    ) -> Interactions:
        """Sort and de-duplicate pairs, keeping the earliest of repeated pairs.

        Raises:
            DataError: an id is negative or not below its count.
        """
        for kind, ids, count in (("user", users, n_users), ("item", items, n_items)):
            if len(ids) and (ids.min() < 0 or ids.max() >= count):
                raise DataError(
                    f"The {kind} ids run from {ids.min()} to {ids.max()}, but with {count:,} {kind}s they must "
                    f"lie between 0 and {count - 1}. Number the {kind}s from 0 without gaps."
                )
        keys = users.astype(np.int64) * n_items + items
        order = np.argsort(keys, kind="stable") if timestamps is None else np.lexsort((timestamps, keys))
        keys = keys[order]
        first = np.ones(len(keys), dtype=bool)
        first[1:] = keys[1:] != keys[:-1]
        keys = keys[first]
        kept_times = None if timestamps is None else timestamps[order][first].astype(np.float64)
        return cls(n_users, n_items, keys // n_items, keys % n_items, kept_times)

    def __len__(self) -> int:
        return len(self.users)

    @cached_property
    def keys(self) -> IntArray:
        """Return `user * n_items + item` of each interaction, ascending, `[n]`."""
        return self.users * self.n_items + self.items

    @cached_property
    def offsets(self) -> IntArray:
        """Return row pointers, `[n_users + 1]`: user u's items are `items[offsets[u]:offsets[u + 1]]`."""
        counts = np.bincount(self.users, minlength=self.n_users)
        return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)

    def take(self, index: IntArray | BoolArray) -> Interactions:
        """Return the interactions at `index`, sorted; the numbers of users and items stay."""
        times = None if self.timestamps is None else self.timestamps[index]
        return Interactions.from_pairs(self.users[index], self.items[index], self.n_users, self.n_items, times)


@dataclass(frozen=True, eq=False)
class Modality:
    """One kind of item content.

    Attributes:
        name: for example "visual"; data sets may have any number of modalities under any names.
        matrix: one row per item, `[n_items, d_m]` float32; rows of items without this modality are zero.
        present: which items have it, `[n_items]`.
        fingerprint: hash of the content, or of inputs and recipe if the rows were derived.
        origin: where it came from, in words, for the report.
    """

    name: str
    matrix: FloatArray
    present: BoolArray
    fingerprint: str
    origin: str

    @property
    def dim(self) -> int:
        """Return the number of feature columns, d_m."""
        return int(self.matrix.shape[1])

    @property
    def coverage(self) -> float:
        """Return the share of items that have this modality."""
        return float(self.present.mean())


@dataclass(frozen=True, eq=False)
class Split:
    """Training, validation and test interactions, disjoint, with the name of the rule that made them."""

    name: str
    train: Interactions
    valid: Interactions
    test: Interactions

    def part(self, name: Part) -> Interactions:
        """Return the part with a given name."""
        return {"train": self.train, "valid": self.valid, "test": self.test}[name]


@dataclass(frozen=True)
class DataRequest:
    """Options for loading a data set, apart from its name.

    Attributes:
        source: "auto" takes the first source of the card that is available.
        data_dirs: directories that may hold data, searched in order, before the cache.
        cache_dir: the project's own data cache.
        scale: size of a surrogate relative to the paper's data set, if the user gave one.
        default_scale: the size if the user gave none.
        split: one of `bench.core.names.SPLITS` instead of the card's choice.
        base_seed: root of all seeds; splits and surrogates depend on it and on the card's name only.
    """

    source: Source | Literal["auto"] = "auto"
    data_dirs: tuple[Path, ...] = ()
    cache_dir: Path = Path("datasets/cache")
    scale: float | None = None
    default_scale: float = 1.0
    split: str | None = None
    base_seed: int = 2023


@dataclass(frozen=True, eq=False)
class BenchmarkData:
    """A data set ready to run, with its provenance.

    Attributes:
        name: the canonical name, `NAME` or `NAME@SPLIT`; see `bench.core.names`.
        source: real, embedded or surrogate; shown with every number computed from this data.
        origin: one sentence on what this data is and where it was read from.
        split: the three parts.
        modalities: available item content, in the card's order.
        missing: modalities that the card lists but this source lacks, with the reason.
        notes: remarks for the report (cold items, users without training interactions, what is planted).
        advice: how to get the real data; empty when this is the real data.
        data_hash: hash of interactions and features.
        split_hash: hash of the three parts.
        scale: surrogate scale, None for other sources.
    """

    name: str
    source: Source
    origin: str
    split: Split
    modalities: tuple[Modality, ...]
    data_hash: str
    split_hash: str
    missing: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    advice: str = ""
    scale: float | None = None

    @property
    def n_users(self) -> int:
        """Return the number of users."""
        return self.split.train.n_users

    @property
    def n_items(self) -> int:
        """Return the number of items."""
        return self.split.train.n_items

    @property
    def n_interactions(self) -> int:
        """Return the number of distinct user-item pairs over all three parts."""
        return len(self.split.train) + len(self.split.valid) + len(self.split.test)


@dataclass(frozen=True, eq=False)
class TopK:
    """The recommendations of one evaluation: everything that a ranking metric needs.

    Attributes:
        users: evaluated users (those with held-out items), ascending, `[n]`.
        items: their recommendations, best first, `[n, depth]`; -1 where a user has fewer candidates.
        n_skipped: users left out because they have no held-out items.
    """

    users: IntArray
    items: IntArray
    n_skipped: int


class Metrics(Frozen):
    """Means of metrics over users at full precision, keyed like `recall@10`."""

    values: dict[str, float]
    n_users: int
    n_skipped: int


class MetricsByPart(Frozen):
    """Validation and test metrics at the best epoch."""

    valid: Metrics
    test: Metrics


class EpochFacts(Frozen):
    """Mean training loss, seconds and validation means of one epoch.

    A control has a single epoch, its fit, and no loss.
    """

    epoch: int
    loss: float | None
    train_seconds: float
    valid_seconds: float
    valid: dict[str, float]
