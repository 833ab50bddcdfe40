"""Base classes of the controls: simple recommenders that are fitted when they are built, without training.

A trained model that does not beat the best tuned control has not earned its complexity; Ferrari Dacrema et
al., "Are we really making much progress?", RecSys 2019, found that most published models do not. Controls are
entries of the registry like all models, see the same training interactions and item content, and are ranked
by the same evaluator. Call sequence:

1. The constructor calls `fit` once; it registers its results as buffers, so that a checkpoint holds them.
2. `bench.engine.trainer` takes no step with a `Control` and validates once. `calculate_loss` raises an error.
3. An evaluator calls `score_users`, `full_sort_predict` or `predict`, as for any model.

Fits and sums use double precision on the CPU, whatever the device, and are rounded once at the end, so that values
that are equal on paper are tied. Ids are RecBole's: padding has no interaction, no neighbour and score 0.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.sparse import csr_matrix
from torch import Tensor

from bench.core.topk import stable_topk
from models.base import ModelCard, Recommender, Tables

BLOCK_CELLS = 5_000_000  # entries of an item-by-item block, 40 MB


def control_card(title: str, paper: str, url: str = "", uses_content: bool = False) -> ModelCard:
    """Return the card of a control: its family is "control"."""
    return ModelCard(title=title, family="control", paper=paper, uses_content=uses_content, url=url)


class ControlParams(BaseModel):
    """Base of the controls' parameters, without those of training."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Control(Recommender):
    """Base of all controls. A control defines `fit` and `score_users`.

    Args:
        config: as for every model.
        dataset: as for every model.

    Attributes:
        profiles: distinct training interactions, `[n_users, n_items]` of ones in float64; not part of the state.
        fit_seconds: duration of `fit`.
    """

    Params: ClassVar[Any] = ControlParams
    profiles: csr_matrix
    fit_seconds: float

    def __init__(self, config: Any, dataset: Any) -> None:
        # skips the constructor of Recommender, which creates id tables for training
        super(Recommender, self).__init__(config, dataset)
        self.params = self.Params(**{name: config[name] for name in self.Params.model_fields})
        matrix = csr_matrix(dataset.inter_matrix(form="coo"), dtype=np.float64)
        matrix.data[:] = 1.0  # repeated interactions count once
        matrix.sort_indices()
        self.profiles = matrix
        self.forget()
        start = time.perf_counter()
        self.fit(dataset)
        self.fit_seconds = time.perf_counter() - start
        self.register_load_state_dict_post_hook(lambda module, _: module.forget())

    def fit(self, dataset: Any) -> None:
        """Compute what the scores need and register it as buffers."""
        raise NotImplementedError

    def keep(self, **found: Tensor) -> None:
        """Register buffers of the state, floating types in the default precision."""
        for name, values in found.items():
            kind = torch.get_default_dtype() if values.is_floating_point() else values.dtype
            self.register_buffer(name, values.to(kind))

    def popularity(self) -> NDArray[np.float64]:
        """Count the training interactions of each item, `[n_items]`."""
        return np.asarray(self.profiles.sum(axis=0)).ravel()

    def activity(self) -> NDArray[np.float64]:
        """Count the training interactions of each user, `[n_users]`."""
        return np.asarray(self.profiles.sum(axis=1)).ravel()

    def embed(self) -> Tables:
        """Raise NotImplementedError: the scores are not dot products of vectors."""
        raise NotImplementedError(f"{self.CARD.title} has no user and item vectors; call score_users for scores")

    def calculate_loss(self, interaction: Any) -> tuple[Tensor, Tensor]:
        """Raise NotImplementedError: a control has nothing to train."""
        raise NotImplementedError(f"{self.CARD.title} is fitted when it is built; it has no loss to train with")

    def score_users(self, users: Tensor) -> Tensor:
        """Score all items for the given users, `[len(users), n_items]`, padding column included."""
        raise NotImplementedError

    def predict(self, interaction: Any) -> Tensor:
        """Score user-item pairs, `[B]`; each distinct user is scored once."""
        users, place = torch.unique(interaction[self.USER_ID], return_inverse=True)
        return self.score_users(users)[place, interaction[self.ITEM_ID]]


class ItemToItem(Control):
    """A control with few weights between items: s_uj = sum of W_ij over the training items i of u.

    Attributes:
        offsets, columns, values: W in compressed rows: `[n_items + 1]` int64, `[nnz]` int32, `[nnz]`.
        held: W as a float64 matrix, from the first call of `weights` on.
    """

    offsets: Tensor
    columns: Tensor
    values: Tensor
    held: csr_matrix | None

    def keep_weights(self, weights: csr_matrix) -> None:
        """Register W, `[n_items, n_items]`."""
        weights.sort_indices()
        self.keep(
            offsets=torch.from_numpy(weights.indptr.astype(np.int64)),
            columns=torch.from_numpy(weights.indices.astype(np.int32)),
            values=torch.from_numpy(weights.data),
        )

    def weights(self) -> csr_matrix:
        """Return W from the state, in float64; cached until another state is loaded."""
        if self.held is None:
            data, columns, offsets = (part.cpu().numpy() for part in (self.values, self.columns, self.offsets))
            self.held = csr_matrix((data.astype(np.float64), columns, offsets), (self.n_items, self.n_items))
        return self.held

    def forget(self) -> None:
        """Drop the matrix that was derived from the state."""
        super().forget()
        self.held = None

    def score_users(self, users: Tensor) -> Tensor:
        """Return x_u W, `[len(users), n_items]`."""
        scores = (self.profiles[users.cpu().numpy()] @ self.weights()).toarray()
        return torch.from_numpy(scores).to(self.values.dtype).to(users.device)


def best_of_rows(rows_of: Callable[[NDArray[np.int64]], NDArray[np.float64]], n_items: int, k: int) -> csr_matrix:
    """Find the k best positive weights of every item to other items, ties to the lowest id; O(n k) memory.

    The choice is made on values rounded to single precision: sums that are equal on paper differ in their
    last digits with the order of their terms.

    Args:
        rows_of: weights of some items to all items, `[b, n_items]`, new at every call; to padding they are 0.
        n_items: number of items, padding included.
        k: length of the lists; if larger than the number of items, all are taken.

    Returns:
        `[n_items, n_items]` with at most k entries per row, none in the row or column of padding.
    """
    size = max(1, BLOCK_CELLS // n_items)
    below, lists = -torch.arange(1.0, n_items + 1.0, dtype=torch.float32), []
    for start in range(1, n_items, size):
        items = np.arange(start, min(start + size, n_items))
        block = torch.from_numpy(rows_of(items))
        block[torch.arange(len(items)), torch.from_numpy(items)] = 0.0
        rough = block.float()
        # give the other entries distinct values: ties at the cut would make most rows be sorted in full
        _, best = stable_topk(torch.where(rough > 0, rough, below), k)
        values = block.gather(1, best)
        rows, places = (values > 0).nonzero(as_tuple=True)
        lists.append((items[rows.numpy()], best[rows, places].numpy(), values[rows, places].numpy()))
    rows_, columns, values_ = (np.concatenate(part) for part in zip(*lists, strict=True))
    return csr_matrix((values_, (rows_, columns)), shape=(n_items, n_items))


def item_products(left: csr_matrix, right: csr_matrix, items: NDArray[np.int64]) -> csr_matrix:
    """Return rows of L^T R for some items, `[b, n_items]` with stored entries above 0 only.

    Args:
        left: `[n_items, n_users]`, already transposed.
        right: `[n_users, n_items]`.
        items: the rows to compute, `[b]`.
    """
    block = csr_matrix(left[items] @ right)
    block.eliminate_zeros()
    return block
