"""Help for proofs against independent dense references: small data, one loss, gradients of every parameter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import toy
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from bench.core.types import BenchmarkData
from bench.engine.recbole import batch

Vectors = tuple[Tensor, Tensor]
NAMES = ("visual", "acoustic", "textual")
DIMS = (4, 3, 2)
EDGES = [(0, 0), (0, 1), (0, 3), (1, 1), (1, 2), (1, 5), (2, 0), (2, 4), (3, 2), (3, 3), (3, 1), (3, 5)]
ABSENT = ((2, 5), (2, 3), (2, 0))  # item 2 has no modality at all
BATCH = batch(*[torch.tensor(ids) + 1 for ids in ([0, 1, 1, 2, 3], [1, 2, 5, 4, 3], [2, 6, 4, 1, 0])])


def small_data(n_modalities: int = 3, absent: Sequence[Sequence[int]] = ABSENT, seed: int = 0) -> BenchmarkData:
    """Five users and seven items; user 4 and item 6 have no interaction, some items lack modalities."""
    rng = np.random.default_rng(seed)
    content = []
    for name, dim, missing in zip(NAMES[:n_modalities], DIMS, absent, strict=False):
        has = np.ones(7, dtype=bool)
        has[list(missing)] = False
        content.append(toy.modality(name, rng.normal(size=(7, dim)), has))
    held = toy.pairs([(0, 5), (2, 6)], 5, 7)
    return toy.data_of(toy.pairs(EDGES, 5, 7), held, held, *content)


def build(name: str, data: BenchmarkData, seed: int = 3, **overrides: Any) -> Any:
    """A model with all parameters drawn anew, biases too, in evaluation mode."""
    model = toy.build_model(name, data, **{"embedding_size": 3, "reg_weight": 0.3, **overrides})
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.7)
    model.forget()
    return model


def loss_of(model: Any, batch: dict[str, Tensor] = BATCH) -> Tensor:
    """The training loss of a batch, both terms."""
    bpr, regularisation = model.calculate_loss(batch)
    return bpr + regularisation


def gradients(loss: Tensor, model: Any) -> dict[str, Tensor]:
    """Gradient of every trained parameter, zeros where the loss does not reach."""
    named = {name: value for name, value in model.named_parameters() if value.requires_grad}
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {
        name: torch.zeros_like(value) if one is None else one
        for (name, value), one in zip(named.items(), found, strict=True)
    }


def parameters(model: Any) -> dict[str, Tensor]:
    """All parameters by name, still attached."""
    return dict(model.named_parameters())


def adjacency(data: BenchmarkData) -> Tensor:
    """R, `[n_users, n_items]` of zeros and ones."""
    matrix = torch.zeros(data.n_users, data.n_items)
    for user, item in zip(data.split.train.users.tolist(), data.split.train.items.tolist(), strict=True):
        matrix[user, item] = 1.0
    return matrix


def features(data: BenchmarkData, m: int, norm: str = "l2") -> tuple[Tensor, list[bool]]:
    """Scaled features of modality m and which items have it."""
    rows = torch.tensor(data.modalities[m].matrix, dtype=torch.float64)
    if norm == "l2":
        rows = torch.stack([row / row.norm() if row.norm() > 0 else row for row in rows])
    return rows, data.modalities[m].present.tolist()


def unit(rows: Tensor) -> Tensor:
    """Rows of length 1, one by one."""
    return torch.stack([row / row.norm() if row.norm() > 0 else row * 0 for row in rows])


def bpr(vectors: Vectors) -> Tensor:
    """Mean of -ln sigmoid(s_ui - s_uj) over the batch, triple by triple."""
    users, items = vectors
    terms = [-torch.log(torch.sigmoid(users[u] @ items[i] - users[u] @ items[j])) for u, i, j in triples()]
    return torch.stack(terms).mean()


def triples() -> list[tuple[int, int, int]]:
    """The batch as triples of ids without padding."""
    columns = [(BATCH[key] - 1).tolist() for key in ("user_id", "item_id", "neg_item_id")]
    return list(zip(*columns, strict=True))


def agree(model: Any, vectors: Vectors, loss: Tensor) -> None:
    """Forward, loss and the gradient of every parameter equal the reference's to 1e-10."""
    for ours, theirs in zip(model.embed(), vectors, strict=True):
        torch.testing.assert_close(ours[1:], theirs, rtol=1e-10, atol=1e-10)
    own = loss_of(model)
    torch.testing.assert_close(own, loss, rtol=1e-10, atol=1e-10)
    expected = gradients(loss, model)
    for name, gradient in gradients(own, model).items():
        torch.testing.assert_close(
            gradient, expected[name], rtol=1e-10, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}"
        )


def gradcheck(model: Any, loss: Callable[[Any], Tensor] = loss_of, fast: bool = False) -> None:
    """Finite differences of the loss in every entry of every trained parameter."""
    named = {name: value for name, value in model.named_parameters() if value.requires_grad}
    whole = _Loss(model, loss)

    def value(*tensors: Tensor) -> Tensor:
        given = {f"model.{name}": tensor for name, tensor in zip(named, tensors, strict=True)}
        return torch.func.functional_call(whole, given, ())

    inputs = [tensor.detach().clone().requires_grad_() for tensor in named.values()]
    assert torch.autograd.gradcheck(value, inputs, fast_mode=fast, atol=1e-6, rtol=1e-5)


class _Loss(nn.Module):
    def __init__(self, model: Any, loss: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self) -> Tensor:
        return self.loss(self.model)


def under_threads(name: str, **overrides: Any) -> list[Tensor]:
    """Loss and all gradients of a first batch on a few hundred nodes, in single precision with two threads."""
    data = toy.random_data(1, n_users=300, n_items=200, dims=(16, 8, 12), per_user=20, absent=True)
    threads, kind = torch.get_num_threads(), torch.get_default_dtype()
    torch.set_num_threads(2)
    torch.set_default_dtype(torch.float32)
    try:
        model = toy.build_model(name, data, embedding_size=16, **overrides).train()
        loss = loss_of(model, toy.triples(data, n=256))
        return [loss.detach(), *gradients(loss, model).values()]
    finally:
        torch.set_num_threads(threads)
        torch.set_default_dtype(kind)


class Largest(TorchDispatchMode):
    """The number of entries of the largest tensor that an operation returns."""

    entries = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, Tensor) and tensor.layout == torch.strided:
                self.entries = max(self.entries, tensor.numel())
        return result
