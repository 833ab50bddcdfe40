"""The generator: exact counts at every scale, long tails, and content that helps as planted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from bench.core.errors import UsageError
from bench.data.cards import SurrogateSource
from bench.data.formats.surrogate import Tastes, choose, generate, scaled, spread_activity
from bench.data.raw import RawData

NAMES = ["tiktok", "movielens"]


@pytest.fixture(scope="module")
def tenth() -> dict[str, RawData]:
    """Both surrogates at a tenth of their size."""
    from bench.data import cards

    sources = {name: next(one for one in cards.load(name).sources if one.kind == "surrogate") for name in NAMES}
    return {name: generate(source, 0.1, 11) for name, source in sources.items()}


def gini(counts: Any) -> float:
    """Mean absolute difference over twice the mean, by definition on the sorted values."""
    ordered = np.sort(counts)
    n = len(ordered)
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * ordered.sum()))


def degrees(raw: RawData) -> tuple[Any, Any]:
    whole = raw.whole
    return np.bincount(whole.users, minlength=whole.n_users), np.bincount(whole.items, minlength=whole.n_items)


def test_gini_by_hand() -> None:
    assert gini(np.array([3, 3, 3])) == 0
    assert gini(np.array([0, 0, 1])) == pytest.approx(2 / 3)


@pytest.mark.parametrize("scale", [0.01, 0.013, 0.05])
@pytest.mark.parametrize("name", NAMES)
def test_counts_are_exact(name: str, scale: float, source_of: Callable) -> None:
    source: SurrogateSource = source_of(name, "surrogate")
    raw = generate(source, scale, 5)
    whole = raw.whole
    assert whole.n_users == round(source.n_users * scale)
    assert whole.n_items == round(source.n_items * scale)
    assert len(whole) == round(source.n_interactions * scale)
    of_users, of_items = degrees(raw)
    assert of_users.min() >= 5
    assert of_users.max() <= whole.n_items // 2
    assert of_items.min() >= 1
    for modality, planted in zip(raw.modalities, source.features.values(), strict=True):
        assert modality.matrix.shape == (whole.n_items, planted.dim)
        assert modality.matrix.dtype == np.float32
        assert modality.present.all()
        assert np.linalg.norm(modality.matrix, axis=1).mean() == pytest.approx(planted.norm, rel=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_tails_are_long_at_a_tenth(name: str, tenth: dict[str, RawData], source_of: Callable) -> None:
    source: SurrogateSource = source_of(name, "surrogate")
    of_users, of_items = degrees(tenth[name])
    # measured over seeds 11, 2023 and 5: users at most 0.023 from the paper's, items 0.094 to 0.102 below it
    assert gini(of_users) == pytest.approx(source.user_gini, abs=0.035)
    assert gini(of_items) == pytest.approx(source.item_gini - 0.1, abs=0.02)


@pytest.mark.parametrize("name", [pytest.param("tiktok", marks=pytest.mark.slow), "movielens"])
def test_full_size_is_the_paper_s_table_2(name: str, source_of: Callable) -> None:
    """A few seconds each; the tails are stated for this size."""
    source: SurrogateSource = source_of(name, "surrogate")
    raw = generate(source, 1.0, 2023)
    whole = raw.whole
    assert (whole.n_users, whole.n_items, len(whole)) == (source.n_users, source.n_items, source.n_interactions)
    of_users, of_items = degrees(raw)
    assert (of_users.min(), of_items.min()) >= (5, 1)
    assert gini(of_items) == pytest.approx(source.item_gini, abs=0.02)
    assert gini(of_users) == pytest.approx(source.user_gini, abs=0.02)


def closeness(raw: RawData, matrix: Any, part: Any) -> float:
    """How much nearer, in cosine to the user's mean training features, held-out items are than unseen ones."""
    whole = raw.whole
    held_out = np.random.default_rng(3).random(len(whole)) < 0.1
    known, new = whole.take(~held_out), whole.take(held_out)
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    rows = csr_matrix((np.ones(len(known)), (known.users, known.items)), shape=(whole.n_users, whole.n_items))
    profiles = rows @ unit
    profiles /= np.maximum(np.linalg.norm(profiles, axis=1, keepdims=True), 1e-9)
    others = np.random.default_rng(4).integers(whole.n_items, size=len(new))
    unseen = ~np.isin(new.users * whole.n_items + others, whole.keys)
    to_new = np.einsum("ij,ij->i", profiles[new.users], unit[new.items])
    to_other = np.einsum("ij,ij->i", profiles[new.users[unseen]], unit[others[unseen]])
    return float(to_new.mean() - to_other.mean())


@pytest.mark.parametrize("modality", [0, 1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_content_helps_and_shuffling_destroys_it(name: str, modality: int, tenth: dict[str, RawData]) -> None:
    raw = tenth[name]
    matrix = raw.modalities[modality].matrix
    shuffled = np.random.default_rng(9).permutation(matrix)
    assert closeness(raw, matrix, modality) > 0.03
    assert abs(closeness(raw, shuffled, modality)) < 0.02


@pytest.mark.parametrize("modality", ["visual", "acoustic", "textual"])
def test_content_that_is_not_planted_does_not_help(modality: str, source_of: Callable) -> None:
    source: SurrogateSource = source_of("tiktok", "surrogate")
    features = dict(source.features) | {modality: source.features[modality].model_copy(update={"taste": 0.0})}
    raw = generate(source.model_copy(update={"features": features}), 0.05, 11)
    index = list(features).index(modality)
    gains = [closeness(raw, one.matrix, modality) for one in raw.modalities]
    assert abs(gains.pop(index)) < 0.02
    assert min(gains) > 0.03


def test_popular_items_are_popular_with_everybody(tenth: dict[str, RawData]) -> None:
    """Popularity is planted: the counts of two halves of the users agree."""
    for raw in tenth.values():
        whole = raw.whole
        odd, even = (np.bincount(whole.items[whole.users % 2 == half], minlength=whole.n_items) for half in (0, 1))
        assert np.corrcoef(odd, even)[0, 1] > 0.9


def test_seed_decides_and_nothing_else(source_of: Callable) -> None:
    source: SurrogateSource = source_of("movielens", "surrogate")
    one, same, other = (generate(source, 0.02, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.whole.keys, same.whole.keys)
    assert not np.array_equal(one.whole.keys, other.whole.keys)
    for first, second, third in zip(one.modalities, same.modalities, other.modalities, strict=True):
        np.testing.assert_array_equal(first.matrix, second.matrix)
        assert first.fingerprint == second.fingerprint != third.fingerprint


def test_feature_dimensions_change_no_interaction(source_of: Callable) -> None:
    source: SurrogateSource = source_of("movielens", "surrogate")
    features = dict(source.features) | {"visual": source.features["visual"].model_copy(update={"dim": 16})}
    narrow = generate(source.model_copy(update={"features": features}), 0.02, 1)
    whole = generate(source, 0.02, 1)
    assert np.array_equal(narrow.whole.keys, whole.whole.keys)
    assert narrow.modalities[0].fingerprint != whole.modalities[0].fingerprint
    np.testing.assert_array_equal(narrow.modalities[1].matrix, whole.modalities[1].matrix)


def test_modalities_are_independent_of_each_other(tenth: dict[str, RawData]) -> None:
    """Visual and textual features of TikTok have 128 columns each; neither noise nor map is shared."""
    visual, _, textual = (modality.matrix for modality in tenth["tiktok"].modalities)
    shared = (
        np.einsum("ij,ij->i", visual, textual) / np.linalg.norm(visual, axis=1) / np.linalg.norm(textual, axis=1)
    )
    assert abs(shared.mean()) < 0.02


@pytest.mark.parametrize("name", NAMES)
def test_the_card_says_what_is_planted(name: str, source_of: Callable, tenth: dict[str, RawData]) -> None:
    source: SurrogateSource = source_of(name, "surrogate")
    assert tenth[name].notes == (f"Planted: {' '.join(source.planted.split())}",)
    strengths = [f"{one.taste}" for one in source.features.values()]
    assert f"{strengths[0]}, {strengths[1]} and {strengths[2]}" in source.planted
    assert f"({source.collaborative})" in source.planted
    assert f"{source.n_topics} topics" in source.planted


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf"), 0.0005, 0.003])
@pytest.mark.parametrize("name", NAMES)
def test_impossible_scales(name: str, scale: float, source_of: Callable, refused: Callable) -> None:
    words = ["Take at least"] if 0 < scale < 1 else ["expected a number above 0"]
    with refused(UsageError, f"--scale {scale:g}", *words):
        generate(source_of(name, "surrogate"), scale, 1)


@pytest.mark.parametrize("name", NAMES)
def test_the_least_scale_that_is_named_works(name: str, source_of: Callable) -> None:
    source = source_of(name, "surrogate")
    with pytest.raises(UsageError) as caught:
        scaled(source, 0.001)
    least = float(str(caught.value).split("Take at least ")[1].rstrip("."))
    assert len(generate(source, least, 1).whole) == round(source.n_interactions * least)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_activity_has_the_exact_sum_within_bounds(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 30))
    least, most = data.draw(st.integers(0, 5)), data.draw(st.integers(6, 60))
    total = data.draw(st.integers(n * least, n * most))
    weights = np.exp(np.array(data.draw(st.lists(st.floats(-3, 3), min_size=n, max_size=n))))
    activity = spread_activity(weights, total, least, most)
    assert activity.sum() == total
    assert activity.min() >= least
    assert activity.max() <= most
    order = np.argsort(weights, kind="stable")
    assert np.all(np.diff(activity[order]) >= -1)  # heavier weights never get less, up to rounding


def test_taste_decides_between_equally_popular_items() -> None:
    """Users of one taste, items liked by 8 or not at all: nearly every choice is a liked item."""
    n_users, n_items = 40, 60
    liked = np.arange(n_items) % 2
    tastes = Tastes(np.full((n_users, 1), 8.0), liked[:, None].astype(float))
    keys = choose(tastes, np.full(n_users, 10), np.ones(n_items), 5, np.random.default_rng(0))
    assert len(np.unique(keys)) == 400
    assert np.array_equal(np.bincount(keys // n_items, minlength=n_users), np.full(n_users, 10))
    assert set(keys % n_items) == set(range(n_items))  # every item has a user, liked or not
    assert liked[keys % n_items].sum() >= 400 - n_items // 2 - 5


def test_first_users_are_matched_by_taste() -> None:
    """As many items as interactions: each item has one user, who is of its kind."""
    kind = np.arange(64) % 2
    tastes = Tastes(50.0 * np.eye(2)[np.arange(8) % 2], np.eye(2)[kind])
    keys = choose(tastes, np.full(8, 8), np.ones(64), 5, np.random.default_rng(0))
    assert sorted(keys % 64) == list(range(64))
    assert np.array_equal(keys // 64 % 2, kind[keys % 64])


def test_fewer_exposures_than_due_are_filled() -> None:
    """All popularity on one item: what is due comes from the unseen rest."""
    popularity = np.full(20, 1e-9)
    popularity[0] = 1.0
    tastes = Tastes(np.zeros((4, 2)), np.zeros((20, 2)))
    keys = choose(tastes, np.full(4, 10), popularity, 1.5, np.random.default_rng(0))
    assert len(np.unique(keys)) == 40
    assert np.bincount(keys // 20).tolist() == [10] * 4
