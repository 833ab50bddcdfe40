"""Seeded generator of surrogate data sets in the paper's dimensions. Pure: reads and writes nothing.

Items have a latent vector in each modality's space, clustered in topics, and one more in a collaborative
space that no modality shows. Users have a taste in each space. Each user is shown items by popularity and
takes those that score best by taste plus noise. The feature matrices show the items' vectors, with noise.
The time is linear in the number of interactions.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import UsageError
from bench.core.hashing import derive_seed, hash_value
from bench.core.types import BoolArray, IntArray, Interactions, Modality
from bench.data.cards import SurrogateSource
from bench.data.formats.place import SourceOptions
from bench.data.raw import RawData

Float64 = NDArray[np.float64]

NAME = "surrogate"
GROUP = 64  # items that are assigned together when each item gets its first user
BLOCK = 1 << 20  # exposures scored together
GATHER = 1 << 16  # rows gathered together for their dot products; keeps the peak of memory low
MIN_USERS = 20
LARGEST_SCALE = 1000  # nearly a billion interactions; beyond it a mistyped number is more likely
MIN_PER_USER = 5
FULLEST = 0.9  # largest share of the interactions that the limit per user allows
WITHIN_TOPIC = 0.5  # spread of items and of tastes around their topics, whose own spread is 1
COLLABORATIVE = "collaborative"


@dataclass(frozen=True, eq=False)
class Tastes:
    """Tastes over all spaces: user u likes item i by `users[u] @ items[i]`.

    Attributes:
        users: `[n_users, d]`.
        items: `[n_items, d]`.
    """

    users: Float64
    items: Float64

    def of_pairs(self, users: IntArray, items: IntArray) -> Float64:
        """Return how much each user likes the item at the same position, `[n]`."""
        liked = np.empty(len(users))
        for start in range(0, len(users), GATHER):
            rows = slice(start, start + GATHER)
            liked[rows] = np.einsum("ij,ij->i", self.users[users[rows]], self.items[items[rows]])
        return liked


def spread_activity(weights: Float64, total: int, least: int, most: int) -> IntArray:
    """Return whole numbers in proportion to weights, within bounds and with an exact sum.

    Args:
        weights: positive weights, `[n]`.
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
    """Draw the items that each user takes.

    Every item gets one user first. Then each user is shown `exposures` times as many items as are due, drawn
    by popularity, and takes the best-liked. Random unseen items fill what is still due.

    Args:
        tastes: tastes of users for items.
        activity: number of items due to each user, `[n_users]`; the sum is at least `n_items`.
        popularity: chance of each item to be shown, up to a factor, `[n_items]`.
        exposures: items shown per item due.
        rng: source of all randomness.

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
        still_due = due - np.bincount(taken // n_items, minlength=len(due))
        seen = np.sort(np.concatenate([first, taken]))
        short = users[still_due[users] > 0]
        chosen += [taken, *(_unseen(user, still_due[user], seen, n_items, rng) for user in short)]
    return np.concatenate(chosen)


def _first_users(tastes: Tastes, activity: IntArray, rng: np.random.Generator) -> IntArray:
    """Return a first user for every item, as keys: random users, matched by taste to the items of a group."""
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
    """Return which of the sorted keys are among the best-liked `due` of their user, `[n]`."""
    n_items = len(tastes.items)
    users, items = keys // n_items, keys % n_items
    liked = tastes.of_pairs(users, items) + rng.gumbel(size=len(keys))
    order = np.lexsort((-liked, users))
    rank = np.empty(len(keys), dtype=np.int64)
    rank[order] = np.arange(len(keys)) - np.searchsorted(users, users)
    best: BoolArray = rank < due[users]
    return best


def _unseen(user: int, n: int, seen: IntArray, n_items: int, rng: np.random.Generator) -> IntArray:
    """Draw keys of `n` items that the user has not got, uniformly; `seen` holds the sorted keys of all users."""
    start, end = np.searchsorted(seen, [user * n_items, (user + 1) * n_items])
    free = np.ones(n_items, dtype=bool)
    free[seen[start:end] - user * n_items] = False
    return user * n_items + rng.choice(np.flatnonzero(free), size=n, replace=False)


@dataclass(frozen=True)
class Size:
    """Counts of a surrogate at one scale; all scales have the same mean degrees."""

    n_users: int
    n_items: int
    n_interactions: int

    @property
    def most_per_user(self) -> int:
        """Return the most interactions of one user: half the items, so that enough remain to be ranked."""
        return self.n_items // 2


def read_source(source: SurrogateSource, directory: Path, options: SourceOptions) -> RawData:
    """Generate a data set with the scale and the seed of the options; nothing is read from the directory.

    Raises:
        UsageError: the scale is not above 0, too large, or too small for the paper's mean degrees to fit.
    """
    return generate(source, options.scale, options.seed)


def generate(source: SurrogateSource, scale: float, seed: int) -> RawData:
    """Generate a data set of `scale` times the paper's users, items and interactions.

    Args:
        source: the source in the data card.
        scale: 1.0 = the paper's data set.
        seed: seed of everything that is drawn.

    Raises:
        UsageError: the scale is not above 0, too large, or too small for the paper's mean degrees to fit.
    """
    size = scaled(source, scale)
    strengths = {name: planted.taste for name, planted in source.features.items()}
    strengths[COLLABORATIVE] = source.collaborative
    spaces = {name: _space(source, size, _rng(seed, name, "space")) for name in strengths}
    # cosines of random directions deviate by 1 / sqrt(latent_dim), so that `taste` is the deviation of the score
    weights = [strength * math.sqrt(source.latent_dim) for strength in strengths.values()]
    tastes = Tastes(
        np.hstack([weight * space.users for weight, space in zip(weights, spaces.values(), strict=True)]),
        np.hstack([space.items for space in spaces.values()]),
    )
    drawn = _rng(seed, "activity").lognormal(sigma=source.activity_sigma, size=size.n_users)
    activity = spread_activity(drawn, size.n_interactions, MIN_PER_USER, size.most_per_user)
    popularity = _rng(seed, "popularity").lognormal(sigma=source.popularity_sigma, size=size.n_items)
    keys = choose(tastes, activity, popularity, source.exposures, _rng(seed, "choices"))
    interactions = Interactions.from_pairs(keys // size.n_items, keys % size.n_items, size.n_users, size.n_items)
    modalities = tuple(_modality(source, size, name, spaces[name].items, seed) for name in source.features)
    origin = f"{source.title}, generated at scale {scale:g}"
    return RawData(origin, (interactions,), modalities, {}, (f"Planted: {' '.join(source.planted.split())}",))


def check_scale(scale: float) -> None:
    """Refuse a scale that no data set can have.

    Raises:
        UsageError: it is no number, not above 0, or too large.
    """
    if not 0 < scale <= LARGEST_SCALE:
        raise UsageError(
            f"--scale {scale:g}: expected a number above 0 and up to {LARGEST_SCALE:,}; 1 is the size of the "
            "paper's data set."
        )


def scaled(source: SurrogateSource, scale: float) -> Size:
    """Return the counts at a scale.

    Raises:
        UsageError: the scale is not above 0, too large, or too small for the paper's mean degrees to fit.
    """
    check_scale(scale)
    counts = (round(count * scale) for count in (source.n_users, source.n_items, source.n_interactions))
    size = Size(*counts)
    room = FULLEST * size.n_users * size.most_per_user
    enough = max(MIN_PER_USER * size.n_users, size.n_items)
    if size.n_users < MIN_USERS or not enough <= size.n_interactions <= room:
        mean_degree = source.n_interactions / source.n_users
        least = max(MIN_USERS / source.n_users, 2 * mean_degree / (FULLEST * source.n_items))
        raise UsageError(
            f"--scale {scale:g} gives {size.n_users:,} users, {size.n_items:,} items and {size.n_interactions:,} "
            f"interactions, which is too small to keep the mean degrees and to rank items. Take at least "
            f"{math.ceil(least * 1000 + 1) / 1000:g}."
        )
    return size


def _rng(seed: int, *purpose: str) -> np.random.Generator:
    """Return the random stream of one purpose.

    Each purpose has its own stream, so that another feature dimension changes no interaction.
    """
    return np.random.default_rng(derive_seed(seed, *purpose))


def _space(source: SurrogateSource, size: Size, rng: np.random.Generator) -> Tastes:
    """Draw unit vectors of users and items in one latent space, around common topics."""
    topics = rng.standard_normal((source.n_topics, source.latent_dim))
    of_items = topics[rng.integers(source.n_topics, size=size.n_items)]
    favourites = rng.integers(source.n_topics, size=(size.n_users, source.topics_per_user))
    return Tastes(_around(topics[favourites].mean(axis=1), rng), _around(of_items, rng))


def _around(centres: Float64, rng: np.random.Generator) -> Float64:
    """Draw unit vectors near the centres, `[n, d]`."""
    vectors = centres + WITHIN_TOPIC * rng.standard_normal(centres.shape)
    unit: Float64 = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def _modality(source: SurrogateSource, size: Size, name: str, latent: Float64, seed: int) -> Modality:
    """Generate item features: latent vectors through a random map plus noise, `[n_items, dim]`."""
    planted, rng = source.features[name], _rng(seed, name, "features")
    # each of the two terms has rows of expected squared length 1
    random_map = rng.standard_normal((source.latent_dim, planted.dim)) / math.sqrt(planted.dim)
    rows = rng.standard_normal((size.n_items, planted.dim), dtype=np.float32)
    rows *= math.sqrt(planted.noise / planted.dim)
    rows += (math.sqrt(1 - planted.noise) * latent @ random_map).astype(np.float32)
    rows *= planted.norm
    descriptive = {"kind", "layout", "title", "how_to_get", "planted", "item_gini", "user_gini"}
    parameters = source.model_dump(exclude=descriptive)
    fingerprint = hash_value({"recipe": "surrogate", "of": name, "seed": seed, **asdict(size), "card": parameters})
    present = np.ones(size.n_items, dtype=bool)
    return Modality(name, rows, present, fingerprint, "generated: planted vectors and noise")
