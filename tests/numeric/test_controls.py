"""The controls against dense loops written from their equations, and what they do at the edges."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import toy

from bench.core.errors import ConfigError, DataError, TrainingError
from bench.core.types import BenchmarkData
from bench.engine import registry
from models import control, ease

pytestmark = pytest.mark.usefixtures("float64")

N_USERS, N_ITEMS = 9, 12
LONELY_USER, LONELY_ITEM, BLANK_ITEM = 8, 11, 4


def made(seed: int = 1) -> BenchmarkData:
    """A user and an item without interactions, an item without features, others without one of two modalities."""
    rng = np.random.default_rng(seed)
    edges = [
        (user, int(item))
        for user in range(N_USERS - 1)
        for item in rng.choice(N_ITEMS - 1, int(rng.integers(2, 7)), replace=False)
    ]
    present = np.ones((2, N_ITEMS), dtype=bool)
    present[:, BLANK_ITEM] = present[0, 2] = present[1, 7] = False
    content = [
        toy.modality(name, rng.normal(size=(N_ITEMS, dim)) + 0.5, has)
        for name, dim, has in zip(("visual", "acoustic"), (4, 3), present, strict=True)
    ]
    held = toy.pairs([(0, 11), (LONELY_USER, 3)], N_USERS, N_ITEMS)
    return toy.data_of(toy.pairs(edges, N_USERS, N_ITEMS), held, held, *content)


DATA = made()


def matrix(data: BenchmarkData = DATA) -> np.ndarray:
    """X, `[n_users, n_items]`, without padding."""
    dense = np.zeros((data.n_users, data.n_items))
    dense[data.split.train.users, data.split.train.items] = 1.0
    return dense


def scores(name: str, data: BenchmarkData = DATA, **params: Any) -> np.ndarray:
    return toy.scores(toy.build_model(name, data, **params)).numpy()


def best(values: list[float], own: int, k: int) -> list[int]:
    """The k highest positive values but the own one, ties to the lowest id."""
    order = sorted((j for j in range(len(values)) if j != own), key=lambda j: (-np.float32(values[j]), j))
    return [j for j in order[:k] if values[j] > 0]


def summed(x: np.ndarray, kept: dict[tuple[int, int], float]) -> np.ndarray:
    """s_uj = sum of W_ij over the items i of u."""
    result = np.zeros(x.shape)
    for user, j in itertools.product(*map(range, x.shape)):
        result[user, j] = sum(kept.get((i, j), 0.0) for i in range(x.shape[1]) if x[user, i])
    return result


def similarity(p: dict[str, Any]) -> np.ndarray:
    """S_ij of ItemKNN, one pair of items at a time."""
    x = matrix()
    if p["weighting"] == "tf_idf":
        x = np.stack([row * np.log((1 + N_ITEMS) / (1 + row.sum())) for row in x])
    result = np.zeros((N_ITEMS, N_ITEMS))
    for i, j in itertools.product(range(N_ITEMS), repeat=2):
        dot = sum(x[u, i] * x[u, j] for u in range(N_USERS))
        if dot and p["normalise"]:
            norms = [sum(x[u, item] ** 2 for u in range(N_USERS)) for item in (i, j)]
            dot /= norms[0] ** p["asymmetry"] * norms[1] ** (1 - p["asymmetry"]) + p["shrink"]
        result[i, j] = dot
    return result


ITEMKNN = {"knn_k": 3, "shrink": 0.0, "normalise": True, "asymmetry": 0.5, "weighting": "none"}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"knn_k": 100},
        {"shrink": 2.5},
        {"weighting": "tf_idf"},
        {"asymmetry": 0.2, "shrink": 1.0},
        {"asymmetry": 1.0, "weighting": "tf_idf"},
        {"normalise": False, "shrink": 3.0, "knn_k": 2},
    ],
    ids=str,
)
def test_itemknn_equals_its_equation(changed: dict[str, Any]) -> None:
    p = {**ITEMKNN, **changed}
    near = similarity(p)
    kept = {(i, j): near[i, j] for j in range(N_ITEMS) for i in best(list(near[:, j]), j, p["knn_k"])}
    assert kept
    np.testing.assert_allclose(scores("itemknn", **p), summed(matrix(), kept), rtol=1e-10, atol=1e-12)


def test_cosine_by_hand() -> None:
    """Items 0 and 1 share one user of two and three: 1 / sqrt(6), with shrinkage 1 / (sqrt(6) + 1)."""
    train = toy.pairs([(0, 0), (0, 1), (1, 0), (2, 1), (3, 1)], 5, 3)
    data = toy.data_of(train, *[toy.pairs([(4, 2)], 5, 3)] * 2)
    assert scores("itemknn", data, **ITEMKNN)[1, 1] == pytest.approx(6**-0.5, abs=1e-12)
    assert scores("itemknn", data, **{**ITEMKNN, "shrink": 1.0})[1, 1] == pytest.approx(
        1 / (6**0.5 + 1), abs=1e-12
    )


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.0), (0.6, 0.0), (1.0, 0.7), (1.7, 0.4), (0.0, 0.0)])
def test_rp3beta_is_the_explicit_random_walk(alpha: float, beta: float) -> None:
    """Every walk user, item, user, item, one by one; the first step is a factor of the user."""
    x = matrix()
    walked = np.zeros(x.shape)
    for user in range(N_USERS):
        for i, v, j in itertools.product(range(N_ITEMS), range(N_USERS), range(N_ITEMS)):
            if x[user, i] and x[v, i] and x[v, j] and i != j:
                steps = (1 / x[user].sum(), 1 / x[:, i].sum(), 1 / x[v].sum())
                walked[user, j] += np.prod(steps) ** alpha / x[:, j].sum() ** beta
    first = np.maximum(x.sum(axis=1), 1.0) ** -alpha
    found = scores("rp3beta", knn_k=100, alpha=alpha, beta=beta, normalise=False) * first[:, None]
    np.testing.assert_allclose(found, walked, rtol=1e-10, atol=1e-12)
    assert walked.any()


@pytest.mark.parametrize("normalise", [True, False])
def test_rp3beta_keeps_the_strongest_links_of_each_item(normalise: bool) -> None:
    x, alpha, beta, k = matrix(), 0.8, 0.3, 3
    n_users_of, n_items_of = x.sum(axis=0), x.sum(axis=1)
    kept: dict[tuple[int, int], float] = {}
    for i in range(N_ITEMS):
        links = [
            sum((x[v, i] * x[v, j]) / (n_users_of[i] * n_items_of[v]) ** alpha for v in range(N_USERS) if x[v, i])
            / max(n_users_of[j], 1) ** beta
            for j in range(N_ITEMS)
        ]
        chosen = best(links, i, k)
        total = sum(links[j] for j in chosen) if normalise else 1.0
        kept |= {(i, j): links[j] / total for j in chosen}
    found = scores("rp3beta", knn_k=k, alpha=alpha, beta=beta, normalise=normalise)
    np.testing.assert_allclose(found, summed(x, kept), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("reg_weight", [0.5, 20.0])
def test_ease_equals_the_inverse_and_solves_its_problem(reg_weight: float) -> None:
    """Off the diagonal the gradient of |X - XB|^2 + lambda |B|^2 is zero, and on it B is."""
    x = matrix()
    gram = x.T @ x
    inverse = np.linalg.inv(gram + reg_weight * np.eye(N_ITEMS))
    expected = np.eye(N_ITEMS) - inverse @ np.diag(1 / np.diag(inverse))
    model = toy.build_model("ease", DATA, reg_weight=reg_weight)
    b = model.matrix.numpy()[1:, 1:]
    np.testing.assert_allclose(b, expected, rtol=1e-10, atol=1e-12)
    assert not np.diag(b).any()
    gradient = gram @ b - gram + reg_weight * b
    np.testing.assert_allclose(gradient - np.diag(np.diag(gradient)), 0, atol=1e-10)
    np.testing.assert_allclose(toy.scores(model).numpy(), x @ expected, rtol=1e-10, atol=1e-12)
    assert not model.matrix[0].any()
    assert not model.matrix[:, 0].any()


def test_ease_refuses_more_items_than_it_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ease, "MAX_ITEMS", N_ITEMS - 1)  # that of the item without interactions is not held
    scores("ease")
    monkeypatch.setattr(ease, "MAX_ITEMS", N_ITEMS - 2)
    with pytest.raises(TrainingError, match=r"11 items .* at most 10 .*rp3beta"):
        scores("ease")


CONTENT = {"knn_k": 3, "modalities": "all", "feat_norm": "l2", "missing": "mask"}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"knn_k": 100},
        {"missing": "zero"},
        {"feat_norm": "center_l2"},
        {"feat_norm": "zscore", "missing": "zero"},
        {"modalities": ["acoustic"]},
    ],
    ids=str,
)
def test_contentknn_equals_its_equation(changed: dict[str, Any]) -> None:
    p = {**CONTENT, **changed}
    used = [m for m in DATA.modalities if p["modalities"] == "all" or m.name in p["modalities"]]
    near = np.zeros((N_ITEMS, N_ITEMS))
    for i, j in itertools.product(range(N_ITEMS), repeat=2):
        cosines = []
        for m in used:
            table, has = m.matrix.astype(np.float64), m.present
            if p["feat_norm"] != "l2":
                table = table - table[has].mean(axis=0)
            if p["feat_norm"] == "zscore":
                table = table / table[has].std(axis=0)
            if has[i] and has[j]:
                cosines.append(table[i] @ table[j] / np.linalg.norm(table[i]) / np.linalg.norm(table[j]))
        n = len(cosines) if p["missing"] == "mask" else len(used)
        near[i, j] = sum(cosines) / n if cosines else 0.0
    kept = {(i, j): near[i, j] for j in range(N_ITEMS) for i in best(list(near[:, j]), j, p["knn_k"])}
    found = scores("contentknn", **p)
    np.testing.assert_allclose(found, summed(matrix(), kept), rtol=1e-6, atol=1e-9)
    assert not found[:, BLANK_ITEM].any()


def test_contentknn_says_which_modalities_there_are() -> None:
    with pytest.raises(ConfigError, match=r"'accoustic' is not in this data.*'acoustic'"):
        scores("contentknn", modalities=["accoustic"])
    bare = toy.data_of(DATA.split.train, DATA.split.valid, DATA.split.test)
    with pytest.raises(DataError, match="needs item features"):
        scores("contentknn", bare)


def test_popularity_counts_training_interactions_only() -> None:
    found = scores("popularity")
    np.testing.assert_array_equal(found, np.tile(matrix().sum(axis=0), (N_USERS, 1)))
    assert not found[:, LONELY_ITEM].any()


PERSONAL = [name for name in toy.controls() if name != "popularity"]


@pytest.mark.parametrize("name", PERSONAL)
def test_a_user_without_interactions_has_zeros(name: str) -> None:
    assert not scores(name)[LONELY_USER].any()


@pytest.mark.parametrize("name", [name for name in PERSONAL if name != "contentknn"])
def test_an_item_without_interactions_has_zeros(name: str) -> None:
    assert not scores(name)[:, LONELY_ITEM].any()


def test_only_content_reaches_an_item_without_interactions() -> None:
    assert scores("contentknn")[:, LONELY_ITEM].any()


@pytest.mark.parametrize("name", PERSONAL)
def test_no_item_speaks_for_itself(name: str) -> None:
    """With the same weights, taking the scored item out of the user's history changes nothing of its score."""
    model = toy.build_model(name, DATA)
    before = toy.scores(model).numpy()
    for user, item in zip(DATA.split.train.users, DATA.split.train.items, strict=True):
        model.profiles[user + 1, item + 1] = 0.0
        assert toy.scores(model).numpy()[user, item] == pytest.approx(before[user, item], abs=1e-12)
        model.profiles[user + 1, item + 1] = 1.0


@pytest.mark.parametrize("name", toy.controls())
def test_blocks_change_no_bit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = scores(name)
    for module in (control, ease):
        monkeypatch.setattr(module, "BLOCK_CELLS", 5 * N_ITEMS)
    np.testing.assert_array_equal(scores(name), expected)


@pytest.mark.parametrize("name", ["itemknn", "contentknn"])
def test_equal_neighbours_are_taken_by_the_lowest_id(name: str) -> None:
    """Items 1, 2 and 3 are alike in users and features; item 0 has place for two of them."""
    edges = [(user, item) for user in range(3) for item in (3, 1, 0, 2)]
    rows = [[1.0, 0.2]] + [[0.9, 0.4]] * 3 + [[-1.0, 0.0]]
    held = toy.pairs([(3, 4)], 4, 5)
    model = toy.build_model(
        name, toy.data_of(toy.pairs(edges, 4, 5), held, held, toy.modality("visual", rows)), knn_k=2
    )
    assert (model.weights()[:, 1].nonzero()[0] - 1).tolist() == [1, 2]


def test_sums_that_differ_in_the_last_digits_are_tied() -> None:
    weights = np.array([[0.0, 0.0, 0.1 + 0.2 + 0.3, 0.1 + (0.2 + 0.3), 0.1 + 0.2 + 0.3, 0.5]])
    assert len(set(weights[0, 2:5])) == 2
    kept = control.best_of_rows(lambda items: np.repeat(weights[:, ::-1], len(items), axis=0), 6, 2)
    assert kept[5].nonzero()[1].tolist() == [1, 2]


def test_a_list_longer_than_the_catalogue_is_no_error() -> None:
    np.testing.assert_array_equal(scores("itemknn", knn_k=11), scores("itemknn", knn_k=100_000))


def test_state_is_linear_in_the_length_of_the_lists() -> None:
    model = toy.build_model("itemknn", DATA, knn_k=2)
    assert len(model.values) == len(model.columns) <= 2 * N_ITEMS
    assert len(model.offsets) == N_ITEMS + 2


@pytest.mark.parametrize("name", PERSONAL)
def test_every_searched_value_gives_scores(name: str) -> None:
    search = registry.load(name).file.search
    assert search
    for key, values in search.items():
        for value in values:
            found = scores(name, **{key: value})
            assert np.isfinite(found).all()
            assert found.any()
