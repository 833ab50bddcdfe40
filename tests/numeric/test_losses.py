"""Losses against their formulas, and the conversions between the forms of L2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
import torch

from models.layers.graph import halves, thirds
from models.layers.losses import bpr_loss, l2, sum_of_squares

pytestmark = pytest.mark.usefixtures("float64")


def rows(n: int = 6, d: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return tuple(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) for seed in range(3))  # type: ignore[return-value]


def test_bpr_is_minus_log_sigmoid() -> None:
    users, positives, negatives = rows()
    expected = -torch.log(torch.sigmoid((users * positives).sum(1) - (users * negatives).sum(1)))
    torch.testing.assert_close(bpr_loss(users, positives, negatives), expected.mean())
    torch.testing.assert_close(bpr_loss(users, positives, negatives, "sum"), expected.sum())


def test_bpr_gradient_lives_where_the_plain_form_dies() -> None:
    positive = torch.tensor([[-60.0]], requires_grad=True)
    bpr_loss(torch.ones(1, 1), positive, torch.zeros(1, 1)).backward()
    assert positive.grad.item() == pytest.approx(-1.0)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_gradient_of_bpr(reduction: Literal["mean", "sum"]) -> None:
    given = [part.requires_grad_() for part in rows()]
    assert torch.autograd.gradcheck(lambda *parts: bpr_loss(*parts, reduction), given)


@pytest.mark.parametrize("n_items", [6, 0], ids=["all rows", "users alone"])
def test_gradient_of_half_sq(n_items: int) -> None:
    users, positives, negatives = rows()
    given = [part.clone().requires_grad_() for part in (users, positives[:n_items], negatives[:n_items])]
    assert torch.autograd.gradcheck(lambda *parts: l2("half_sq", *parts), given)


def test_gradient_of_the_sum_of_squares() -> None:
    given = [torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([[3.0]], requires_grad=True)]
    assert torch.autograd.gradcheck(lambda *tensors: sum_of_squares(tensors), given)


@pytest.mark.parametrize("split", [halves, thirds])
def test_gradient_of_parts_wherever_their_gradients_lie(split: Callable[..., tuple[torch.Tensor, ...]]) -> None:
    table = torch.randn(6, 3, generator=torch.Generator().manual_seed(7))
    n_rows = len(split(table)[0])
    apart = [torch.full((n_rows, 3), float(number)) for number in range(len(split(table)))]
    for grads in (apart, torch.stack(apart).unbind(), torch.stack(apart[::-1]).unbind()[::-1]):
        leaf = table.clone().requires_grad_()
        torch.autograd.backward(split(leaf), grads)
        assert torch.equal(leaf.grad, torch.cat(apart))


def test_half_sq_by_hand() -> None:
    users, positives, negatives = (
        torch.tensor([[1.0, 2.0]]),
        torch.tensor([[3.0, 0.0]]),
        torch.tensor([[0.0, 1.0]]),
    )
    assert l2("half_sq", users, positives, negatives).item() == (5 + 9 + 1) / 2
    twice = [row.repeat(2, 1) for row in (users, positives, negatives)]
    assert l2("half_sq", *twice).item() == (5 + 9 + 1) / 2


def test_recbole_norm_is_not_squared() -> None:
    users, positives, negatives = rows()
    expected = (users.norm() + positives.norm() + negatives.norm()) / 6
    torch.testing.assert_close(l2("recbole_norm", users, positives, negatives), expected)


def test_elem_mean_is_half_sq_with_other_weights() -> None:
    """lambda / d for items and 2 lambda / d for users."""
    users, positives, negatives = rows()
    nothing = torch.zeros_like(users)
    for part, factor in (((users, nothing, nothing), 2 / 4), ((nothing, positives, negatives), 1 / 4)):
        torch.testing.assert_close(l2("elem_mean", *part), factor * l2("half_sq", *part), rtol=1e-12, atol=0)


def test_all_params_is_no_form_over_rows() -> None:
    with pytest.raises(ValueError, match="all_params"):
        l2("all_params", *rows())
    assert sum_of_squares([torch.tensor([1.0, 2.0]), torch.tensor([[3.0]])]).item() == 14
