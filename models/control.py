"""Controls: recommenders that are fitted when they are built, and have nothing to train.

A trained model that does not beat the best tuned control has not earned its complexity; Ferrari Dacrema et
al., "Are we really making much progress?", RecSys 2019, found that most published ones do not. Controls are
entries of the registry like all models, see the same training interactions and item content, and are ranked
by the same evaluator. Who calls what:

1. The constructor calls `fit`, once; it registers what it found as buffers, so that a checkpoint holds it.
2. `bench.engine.trainer` finds a `Control`, takes no step and validates once. `calculate_loss` does not exist.
3. An evaluator calls `score_users`, `full_sort_predict` or `predict`, as for any model.

Fits and sums are made in double precision on the CPU, whatever the device, and rounded once at the end, so that
values that are equal on paper are tied. Ids are RecBole's: padding has no interaction, no neighbour and score 0.
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

BLOCK_CELLS = 5_000_000  # of an item-by-item block, 40 MB


def control_card(title: str, paper: str, uses_content: bool = False) -> ModelCard:
    """The card of a control: its family is "control"."""
    return ModelCard(title=title, family="control", paper=paper, uses_content=uses_content)


class ControlParams(BaseModel):
    """Base of the controls' parameters; none of those of training is among them."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Control(Recommender):
    """Base of all controls. A control writes `fit` and `score_users`.

    Args:
        config: as for every model.
        dataset: as for every model.

    Attributes:
        profiles: distinct training interactions, `[n_users, n_items]` of ones in float64; no part of the state.
        fit_seconds: what `fit` took.
    """

    Params: ClassVar[Any] = ControlParams
    profiles: csr_matrix
    fit_seconds: float

    def __init__(self, config: Any, dataset: Any) -> None:
        # past the constructor of Recommender, which makes the id tables that others train
        super(Recommender, self).__init__(config, dataset)
        self.params = self.Params(**{name: config[name] for name in self.Params.model_fields})
        matrix = csr_matrix(dataset.inter_matrix(form="coo"), dtype=np.float64)
        matrix.data[:] = 1.0
        matrix.sort_indices()
        self.profiles = matrix
        self.forget()
        start = time.perf_counter()
        self.fit(dataset)
        self.fit_seconds = time.perf_counter() - start
        self.register_load_state_dict_post_hook(lambda module, _: module.forget())

    def fit(self, dataset: Any) -> None:
        """Register as buffers what the scores are made of."""
        raise NotImplementedError

    def keep(self, **found: Tensor) -> None:
        """Register buffers of the state; those of floating type in the default precision."""
        for name, values in found.items():
            kind = torch.get_default_dtype() if values.is_floating_point() else values.dtype
            self.register_buffer(name, values.to(kind))

    def popularity(self) -> NDArray[np.float64]:
        """Training interactions of each item, `[n_items]`."""
        return np.asarray(self.profiles.sum(axis=0)).ravel()

    def activity(self) -> NDArray[np.float64]:
        """Training interactions of each user, `[n_users]`."""
        return np.asarray(self.profiles.sum(axis=1)).ravel()

    def embed(self) -> Tables:
        """Not defined: the scores are no dot products of vectors."""
        raise NotImplementedError(f"{self.CARD.title} has no user and item vectors; ask score_users for scores")

    def calculate_loss(self, interaction: Any) -> tuple[Tensor, Tensor]:
        """Not defined: nothing is trained."""
        raise NotImplementedError(f"{self.CARD.title} is fitted when it is built; there is no loss to train by")

    def score_users(self, users: Tensor) -> Tensor:
        """Scores of all items for the given users, `[len(users), n_items]`, padding column included."""
        raise NotImplementedError

    def predict(self, interaction: Any) -> Tensor:
        """Scores of user-item pairs, `[B]`; each distinct user is scored once."""
        users, place = torch.unique(interaction[self.USER_ID], return_inverse=True)
        return self.score_users(users)[place, interaction[self.ITEM_ID]]


class ItemToItem(Control):
    """A control with few weights between items: s_uj = sum of W_ij over the training items i of u.

    Attributes:
        offsets, columns, values: W in compressed rows: `[n_items + 1]` int64, `[nnz]` int32, `[nnz]`.
        held: W as the scores take it, once they were asked for.
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
        """W from the state, in float64; kept until another state is loaded."""
        if self.held is None:
            data, columns, offsets = (part.cpu().numpy() for part in (self.values, self.columns, self.offsets))
            self.held = csr_matrix((data.astype(np.float64), columns, offsets), (self.n_items, self.n_items))
        return self.held

    def forget(self) -> None:
        """Drop what was derived from the state."""
        super().forget()
        self.held = None

    def score_users(self, users: Tensor) -> Tensor:
        """x_u W, `[len(users), n_items]`."""
        scores = (self.profiles[users.cpu().numpy()] @ self.weights()).toarray()
        return torch.from_numpy(scores).to(self.values.dtype).to(users.device)


def best_of_rows(rows_of: Callable[[NDArray[np.int64]], NDArray[np.float64]], n_items: int, k: int) -> csr_matrix:
    """The k best positive weights of every item to another item, ties to the lowest id; O(n k) memory.

    The choice is made on values rounded to single precision: sums that are equal on paper differ in their
    last digits with the order of their terms.

    Args:
        rows_of: weights of some items to all items, `[b, n_items]`, new at every call; to padding they are 0.
        n_items: number of items, padding included.
        k: length of the lists; a longer one than there are items takes all.

    Returns:
        `[n_items, n_items]` with at most k entries a row, none in the row or column of padding.
    """
    size = max(1, BLOCK_CELLS // n_items)
    below, lists = -torch.arange(1.0, n_items + 1.0, dtype=torch.float32), []
    for start in range(1, n_items, size):
        items = np.arange(start, min(start + size, n_items))
        block = torch.from_numpy(rows_of(items))
        block[torch.arange(len(items)), torch.from_numpy(items)] = 0.0
        rough = block.float()
        # what is no candidate differs, or most rows would have a tie at the cut and be sorted in full
        _, best = stable_topk(torch.where(rough > 0, rough, below), k)
        values = block.gather(1, best)
        rows, places = (values > 0).nonzero(as_tuple=True)
        lists.append((items[rows.numpy()], best[rows, places].numpy(), values[rows, places].numpy()))
    rows_, columns, values_ = (np.concatenate(part) for part in zip(*lists, strict=True))
    return csr_matrix((values_, (rows_, columns)), shape=(n_items, n_items))


def item_products(left: csr_matrix, right: csr_matrix, items: NDArray[np.int64]) -> csr_matrix:
    """Rows of L^T R for some items, `[b, n_items]` with stored entries above 0 only.

    Args:
        left: `[n_items, n_users]`, already transposed.
        right: `[n_users, n_items]`.
        items: rows wanted, `[b]`.
    """
    block = csr_matrix(left[items] @ right)
    block.eliminate_zeros()
    return block
