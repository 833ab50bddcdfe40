"""Ranking and masking: ties, blocks, hidden cells, and the evaluator that puts them together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import toy

from bench.core.errors import TrainingError
from bench.core.protocol import CUTOFFS, Protocol
from bench.core.topk import hide, largest, recommend, stable_topk
from bench.core.types import Part
from bench.engine import evaluate
from bench.engine.evaluate import BLOCK_CELLS, Evaluator, _block_size, rank

CPU = torch.device("cpu")


def by_definition(scores: np.ndarray, k: int) -> np.ndarray:
    """Indices by descending value, then ascending index."""
    return np.stack([np.lexsort((np.arange(len(row)), -row))[:k] for row in scores])


@pytest.mark.parametrize("k", [1, 3, 7, 40])
@pytest.mark.parametrize("n_levels", [1, 2, 5, 1000])
def test_ties_go_to_the_lowest_index(k: int, n_levels: int) -> None:
    rng = np.random.default_rng(k * n_levels)
    scores = rng.integers(0, n_levels, (50, 40)).astype(np.float32)
    values, indices = stable_topk(torch.from_numpy(scores), k)
    expected = by_definition(scores, k)
    np.testing.assert_array_equal(indices.numpy(), expected)
    np.testing.assert_array_equal(values.numpy(), np.take_along_axis(scores, expected, 1))


@pytest.mark.parametrize("n_columns", [31, 32, 33, 100, 517, 2048, 5003])
@pytest.mark.parametrize("k", [1, 2, 10, 40])
@pytest.mark.parametrize("n_levels", [2, 30, 10**6])
def test_long_rows_are_ranked_by_definition(n_columns: int, k: int, n_levels: int) -> None:
    """Where maxima of groups choose what is looked at: widths that leave a rest, ties, rows hidden in part."""
    rng = np.random.default_rng(n_columns + k)
    scores = rng.integers(0, n_levels, (60, n_columns)).astype(np.float32)
    scores[:20][rng.random((20, n_columns)) < 0.98] = -np.inf  # fewer than k are left
    scores[20:30] = 7
    scores[30] = -np.inf
    scores[31:40].sort(axis=1)  # the best all at one end
    padded = torch.from_numpy(np.concatenate([np.full((60, 1), 1e9, np.float32), scores], axis=1))
    values, indices = stable_topk(padded[:, 1:], k)
    expected = by_definition(scores, min(k, n_columns))
    np.testing.assert_array_equal(indices.numpy(), expected)
    np.testing.assert_array_equal(values.numpy(), np.take_along_axis(scores, expected, 1))


@pytest.mark.parametrize("n_levels", [1, 3, 10**6])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
def test_largest_are_some_k_of_the_highest_values(n_levels: int, kind: torch.dtype) -> None:
    scores = torch.randint(n_levels, (50, 1003), generator=torch.Generator().manual_seed(3)).to(kind)
    for k in (1, 7, 60, 61, 62, 63, 1003):
        values, indices = largest(scores, k)
        assert torch.equal(values, scores.topk(k).values)
        assert torch.equal(scores.gather(1, indices), values)
        assert all(len(set(row)) == k for row in indices.tolist())


def test_no_rows_give_no_lists() -> None:
    assert stable_topk(torch.empty(0, 1000), 5)[1].shape == (0, 5)


def test_minus_infinity_is_never_recommended() -> None:
    scores = torch.tensor([[3.0, -1e9, 5.0, 1.0]])
    hide(scores, torch.tensor([0, 0]), torch.tensor([0, 2]))
    assert recommend(scores, 3).tolist() == [[3, 1, -1]]
    assert recommend(scores, 6).tolist() == [[3, 1, -1, -1, -1, -1]]


class FixedScores:
    """Scores given as a matrix, with a padding column in front that would always win."""

    def __init__(self, scores: np.ndarray) -> None:
        padding = np.full((len(scores) + 1, 1), 1e9)
        rows = np.concatenate([np.zeros((1, scores.shape[1])), scores])
        self._scores = torch.from_numpy(np.concatenate([padding, rows], axis=1))

    def score_users(self, users: torch.Tensor) -> torch.Tensor:
        return self._scores[users].clone()


DATA = toy.random_data(n_users=30, n_items=25, per_user=7)
RANDOM = np.random.default_rng(5).normal(size=(30, 25))
NEGATIVE = FixedScores(-np.abs(RANDOM) - 10)  # a mask of 0 or 1e-5 would put seen items first


def expected_lists(hidden: set[int], part: Part) -> dict[int, list[int]]:
    scores = -np.abs(RANDOM) - 10
    return {
        int(user): [
            item for item in by_definition(scores[[user]], 25)[0].tolist() if user * 25 + item not in hidden
        ]
        for user in np.unique(DATA.split.part(part).users)
    }


def lists(topk: object) -> dict[int, list[int]]:
    return {
        int(user): [item for item in row.tolist() if item >= 0]
        for user, row in zip(topk.users, topk.items, strict=True)  # type: ignore[attr-defined]
    }


def test_validation_hides_training_items_only() -> None:
    found = Evaluator(DATA, Protocol(), CPU).valid(NEGATIVE)
    assert lists(found.topk) == expected_lists(set(DATA.split.train.keys.tolist()), "valid")


def test_test_hides_training_and_validation_items() -> None:
    hidden = set(DATA.split.train.keys.tolist()) | set(DATA.split.valid.keys.tolist())
    assert lists(Evaluator(DATA, Protocol(), CPU).test(NEGATIVE).topk) == expected_lists(hidden, "test")


def test_variant_hides_training_items_only_at_test() -> None:
    found = Evaluator(DATA, Protocol(hide_at_test="train"), CPU).test(NEGATIVE)
    assert lists(found.topk) == expected_lists(set(DATA.split.train.keys.tolist()), "test")


def test_protocol_variants_have_different_names() -> None:
    assert Protocol().tag != Protocol(hide_at_test="train").tag


@pytest.mark.parametrize("share", [0.01, 1.0])
@pytest.mark.parametrize("part", ["valid", "test"])
def test_scores_that_are_no_numbers_end_the_run(share: float, part: str) -> None:
    broken = np.where(np.random.default_rng(1).random(RANDOM.shape) < share, np.nan, RANDOM)
    evaluator = Evaluator(DATA, Protocol(), CPU)
    with pytest.raises(TrainingError, match=r"scores of a block of users are NaN, the first of user \d+"):
        getattr(evaluator, part)(FixedScores(broken))


@pytest.mark.parametrize("cells", [1, 25, 25 * 7, 10**9])
def test_block_size_changes_nothing(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tied = FixedScores(np.round(RANDOM))
    whole = rank(tied, DATA.split.test, DATA.split.train, CPU)
    monkeypatch.setattr(evaluate, "BLOCK_CELLS", cells)
    np.testing.assert_array_equal(rank(tied, DATA.split.test, DATA.split.train, CPU).items, whole.items)


@pytest.mark.parametrize(
    ("n_items", "n_users"), [(34_756, 128), (39_000, 128), (100_000, 50), (10**8, 1), (6_710, 704)]
)
def test_blocks_are_whole_64s_where_there_is_room(n_items: int, n_users: int) -> None:
    assert _block_size(n_items, BLOCK_CELLS) == n_users


@pytest.mark.parametrize("decimals", [0, 1, 9], ids=["many ties", "ties", "no ties"])
def test_validation_leaves_only_lists_without_a_hit_empty(decimals: int) -> None:
    data = toy.random_data(seed=3, n_users=60, n_items=900, per_user=12)
    scores = FixedScores(np.round(np.random.default_rng(4).normal(size=(60, 900)), decimals))
    found = Evaluator(data, Protocol(), CPU).valid(scores)
    whole = rank(scores, data.split.valid, data.split.train, CPU)
    expected = evaluate.per_user(whole, data.split.valid, CUTOFFS)
    for name, values in expected.items():
        np.testing.assert_array_equal(found.per_user[name], values)
    empty = (found.topk.items < 0).all(1)
    assert 10 < empty.sum() < 60
    np.testing.assert_array_equal(found.topk.items[~empty], whole.items[~empty])


def test_users_without_held_out_items_are_left_out_and_counted() -> None:
    part = toy.pairs([(3, 4), (9, 1)], 30, 25)
    data = toy.data_of(DATA.split.train, part, part)
    found = Evaluator(data, Protocol(), CPU).valid(FixedScores(RANDOM))
    assert found.topk.users.tolist() == [3, 9]
    assert found.metrics.n_users == 2
    assert found.metrics.n_skipped == 28


def test_the_test_part_is_evaluated_once() -> None:
    evaluator = Evaluator(DATA, Protocol(), CPU)
    evaluator.valid(NEGATIVE)
    evaluator.test(NEGATIVE)
    evaluator.valid(NEGATIVE)
    with pytest.raises(RuntimeError, match="once"):
        evaluator.test(NEGATIVE)


def test_random_scores_give_random_recall() -> None:
    """A ranking that knows nothing finds k of n candidates; any leak of the held-out items shows here."""
    data = toy.random_data(seed=1, n_users=400, n_items=60, per_user=12)
    scores = FixedScores(np.random.default_rng(2).normal(size=(400, 60)))
    found = Evaluator(data, Protocol(), CPU).test(scores).metrics.values["recall@10"]
    assert found == pytest.approx(10 / (60 - 11), abs=0.08)
