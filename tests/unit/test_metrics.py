"""Metrics on cases computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import toy

from bench.core.protocol import metric_parts
from bench.core.types import TopK
from bench.engine import evaluate

HELD_OUT = toy.pairs([(0, 3), (0, 5), (0, 7), (2, 1)], 3, 9)
TOPK = TopK(np.array([0, 2]), np.array([[5, 0, 3, 1], [4, 6, 8, 1]]), 1)
LOG3, LOG5 = math.log2(3), math.log2(5)


def values(cutoff: int) -> dict[str, list[float]]:
    found = evaluate.per_user(TOPK, HELD_OUT, (cutoff,))
    return {metric_parts(key)[0]: array.tolist() for key, array in found.items()}


def test_values_by_hand_at_2() -> None:
    found = values(2)
    assert found["precision"] == [0.5, 0.0]
    assert found["recall"] == [1 / 3, 0.0]
    assert found["ndcg"] == pytest.approx([1 / (1 + 1 / LOG3), 0.0])


def test_values_by_hand_at_4() -> None:
    found = values(4)
    assert found["precision"] == [0.5, 0.25]
    assert found["recall"] == [2 / 3, 1.0]
    assert found["ndcg"] == pytest.approx([1.5 / (1 + 1 / LOG3 + 0.5), 1 / LOG5])


def test_ideal_is_over_held_out_items_not_over_hits() -> None:
    """The inflated form would divide by the ideal of the one hit and give 1."""
    assert values(1)["ndcg"] == [1.0, 0.0]
    three = toy.pairs([(0, 5), (0, 7), (0, 8)], 1, 9)
    one_hit_first = TopK(np.array([0]), np.array([[5, 0, 1]]), 0)
    assert evaluate.per_user(one_hit_first, three, (3,))["ndcg@3"][0] == pytest.approx(1 / (1 + 1 / LOG3 + 0.5))


def test_recall_divides_by_all_held_out_items_even_beyond_the_cutoff() -> None:
    many = toy.pairs([(0, item) for item in range(8)], 1, 9)
    perfect = TopK(np.array([0]), np.array([[0, 1, 2]]), 0)
    found = evaluate.per_user(perfect, many, (3,))
    assert found["recall@3"][0] == 3 / 8
    assert found["ndcg@3"][0] == 1.0


def test_places_without_a_recommendation_are_no_hits() -> None:
    """-1 pads short lists; with one user's key it would fall on the last item of the user before."""
    held_out = toy.pairs([(0, 8), (1, 0)], 2, 9)
    padded = TopK(np.array([0, 1]), np.array([[1, -1], [2, -1]]), 0)
    assert evaluate.per_user(padded, held_out, (2,))["recall@2"].tolist() == [0.0, 0.0]


def test_one_held_out_item_makes_precision_recall_over_k() -> None:
    single = toy.pairs([(0, 3), (1, 4)], 2, 9)
    topk = TopK(np.array([0, 1]), np.array([[3, 1, 2], [1, 2, 3]]), 0)
    found = evaluate.per_user(topk, single, (3,))
    np.testing.assert_allclose(found["precision@3"] * 3, found["recall@3"])


def test_deeper_cutoff_than_stored_is_refused() -> None:
    with pytest.raises(ValueError, match="deeper"):
        evaluate.per_user(TOPK, HELD_OUT, (5,))


def test_users_without_held_out_items_are_refused() -> None:
    with pytest.raises(ValueError, match="leave them out"):
        evaluate.per_user(TopK(np.array([1]), np.array([[0]]), 0), HELD_OUT, (1,))


def test_means_keep_full_precision() -> None:
    assert evaluate.means({"recall@10": np.array([1 / 3, 1 / 7])})["recall@10"] == (1 / 3 + 1 / 7) / 2
