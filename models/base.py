"""Base classes of all models: parameters, card, loss and scoring. Pure torch, on RecBole's model interface.

Call sequence:

1. `bench.engine.recbole` (or a RecBole user) builds `Model(config, dataset)`. `config` holds every field
   of the model's `Params`; `dataset` answers `num(field)` and `inter_matrix("coo")`, and carries
   `item_features`, a tuple of `models.layers.features.ItemFeatures` in RecBole's item numbering.
2. A trainer calls `calculate_loss(interaction)` on batches of user, item and negative item ids, `[B]`
   each, and gets `(bpr, regularisation)`, to be summed.
3. An evaluator calls `full_sort_predict` (flat `[n_batch_users * n_items]`), `score_users`
   (`[n_batch_users, n_items]`) or `predict` (`[B]`) in evaluation mode. Final tables are computed once,
   after the last optimiser step, and kept until the next loss.

A model defines `embed()` and, where this saves work, `embed_batch()`. All models share the dot product as score.
Ids are RecBole's: 0 is padding, and padding has no neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveFloat, PositiveInt
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.utils import InputType
from torch import Tensor, nn

from bench.core.errors import ConfigError, DataError, listed, nearest_hint
from models.layers.dense import Init, fill_, product
from models.layers.features import FeatNorm, ItemFeatures, Missing, completed
from models.layers.graph import Batch, gather, halves
from models.layers.losses import RegForm, bpr_loss, l2, sum_of_squares
from models.layers.neighbours import Neighbours, nearest


class DotScores:
    """RecBole's prediction methods over a model's `embed()`."""

    USER_ID: str
    ITEM_ID: str
    training: bool
    restore_user_e: Tensor | None
    restore_item_e: Tensor | None

    def embed(self) -> tuple[Tensor, Tensor]:
        """Return final vectors of all users and all items, `[n_users, D]` and `[n_items, D]`."""
        raise NotImplementedError

    def forget(self) -> None:
        """Drop the cached final tables; called before every loss and after loading parameters."""
        self.restore_user_e, self.restore_item_e = None, None

    def final_tables(self) -> tuple[Tensor, Tensor]:
        """Return `embed()` without gradient, cached in evaluation mode until the parameters change."""
        if self.restore_user_e is None or self.restore_item_e is None or self.training:
            with torch.no_grad():
                users, items = self.embed()
            # detached, because a table that is a parameter would be registered a second time
            self.restore_user_e, self.restore_item_e = users.detach(), items.detach()
        return self.restore_user_e, self.restore_item_e

    def score_users(self, users: Tensor) -> Tensor:
        """Score all items for the given users, `[len(users), n_items]`, padding column included."""
        user_table, item_table = self.final_tables()
        return product(user_table[users], item_table)

    def full_sort_predict(self, interaction: Any) -> Tensor:
        """Return `score_users` in RecBole's form: flat `[len(users) * n_items]`."""
        return self.score_users(interaction[self.USER_ID]).reshape(-1)

    def predict(self, interaction: Any) -> Tensor:
        """Score user-item pairs, `[B]`."""
        user_table, item_table = self.final_tables()
        return (user_table[interaction[self.USER_ID]] * item_table[interaction[self.ITEM_ID]]).sum(1)


Tables = tuple[Tensor, Tensor]
Memo = Callable[[str, Callable[[], dict[str, NDArray[Any]]]], dict[str, NDArray[Any]]]


@dataclass(frozen=True)
class ModelCard:
    """What a model is, for tables and documentation.

    Attributes:
        title: name as printed in tables.
        family: "cf", "gcn" or "multimodal"; "control" without training, "recbole" for RecBole's own.
        paper: authors, title, venue, year.
        uses_content: whether item features enter the scores.
        url: address of the paper, which pages link; "" without one.
    """

    title: str
    family: Literal["cf", "gcn", "multimodal", "control", "recbole"]
    paper: str
    uses_content: bool
    url: str = ""


class ModelParams(BaseModel):
    """Parameters that every model has. Values live in the model's YAML, types and meaning here."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    embedding_size: PositiveInt
    """Width of the id embeddings, d."""
    learning_rate: PositiveFloat
    """Step size of Adam."""
    train_batch_size: PositiveInt
    """Training pairs per step, B."""
    reg_weight: NonNegativeFloat
    """Weight of the L2 term, lambda."""
    reg_form: RegForm
    """Form of the L2 term, see `models.layers.losses.l2`."""
    init: Init
    """Initialisation of the id tables."""
    init_std: PositiveFloat
    """Standard deviation when `init` is normal."""


class ContentParams(ModelParams):
    """Parameters that every model with item content has."""

    modalities: Literal["all"] | list[str]
    """Modalities in use, by name, or all that the data has."""
    feat_norm: FeatNorm
    """Scaling of the features, see `models.layers.features.scaled`."""
    missing: Missing
    """How an item without a modality is treated, see `models.layers.features`."""


class Recommender(DotScores, GeneralRecommender):  # type: ignore[misc]
    """Base of all models: id tables, training graph, loss, scoring.

    Args:
        config: RecBole's `Config`, or any mapping with the RecBole field names and all of `Params`.
        dataset: RecBole's `Dataset`, or any object with `num` and `inter_matrix`.

    Attributes:
        static_step: whether all training steps but an epoch's first run the same operations on other ids, so
            that CUDA can record and replay one. Neither tensor sizes nor branches may depend on the ids or on
            the step, nor may any state outside of parameters and buffers except `pairs_seen`.
        pairs_seen: training pairs whose loss was computed; gives the position in the epoch.
        remarks: what a user should know about how the model was built.
    """

    input_type = InputType.PAIRWISE
    static_step: bool = False
    Params: ClassVar[type[ModelParams]] = ModelParams
    CARD: ClassVar[ModelCard]
    remarks: tuple[str, ...] = ()

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        self.params: Any = self.Params(**{name: config[name] for name in self.Params.model_fields})
        matrix = dataset.inter_matrix(form="coo")
        # distinct pairs, sorted by user and then by item
        keys = np.unique(matrix.row.astype(np.int64) * self.n_items + matrix.col)
        self.train_users = torch.from_numpy(keys // self.n_items)
        self.train_items = torch.from_numpy(keys % self.n_items)
        size = self.params.embedding_size
        self.user_embedding = nn.Embedding(self.n_users, size)
        self.item_embedding = nn.Embedding(self.n_items, size)
        for table in (self.user_embedding.weight, self.item_embedding.weight):
            fill_(table, self.params.init, self.params.init_std)
        self.bpr_reduction: Literal["mean", "sum"] = "mean"
        self.pairs_seen = 0
        self.restore_user_e: Tensor | None = None
        self.restore_item_e: Tensor | None = None
        # RecBole stores these attributes beside the parameters
        self.other_parameter_name = ["restore_user_e", "restore_item_e"]
        self.register_load_state_dict_post_hook(lambda module, _: module.forget())

    def ego(self) -> Tensor:
        """Return id embeddings of users and items as one table, `[n_users + n_items, d]`."""
        return torch.cat([self.user_embedding.weight, self.item_embedding.weight])

    def learning_rate(self, epoch: int) -> float:
        """Return the step size of Adam in an epoch, counted from 1.

        It must depend on the epoch alone, so that an interrupted run can resume. `bench.engine.trainer` calls this
        at the start of every epoch; RecBole's own trainer does not.
        """
        rate: float = self.params.learning_rate
        return rate

    def embed(self) -> Tables:
        """Return final vectors of all users and all items, `[n_users, D]` and `[n_items, D]`."""
        return self.user_embedding.weight, self.item_embedding.weight

    def embed_batch(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Batch:
        """Return final vectors of a training batch, `[B, D]` each; must equal the rows of `embed()`.

        Overriding `embed` alone is enough. Where a batch costs less than all nodes, also override this, or
        `embed_with_ego` with this method returning its first value, as in `models/mf.py`.
        """
        user_table, item_table = self.embed()
        return gather(user_table, users), *halves(gather(item_table, torch.cat([positives, negatives])))

    def embed_with_ego(self, users: Tensor, positives: Tensor, negatives: Tensor) -> tuple[Batch, Batch | None]:
        """Return `embed_batch`, and the rows that the L2 term acts on if one gather brings both, else None."""
        return self.embed_batch(users, positives, negatives), None

    def ego_batch(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Batch:
        """Return the rows that the L2 term acts on, `[B, d]` each: the id embeddings."""
        items = gather(self.item_embedding.weight, torch.cat([positives, negatives]))
        return gather(self.user_embedding.weight, users), *halves(items)

    def regularisation(self, batch: Batch, final: Batch) -> Tensor:
        """Return the L2 term without its weight.

        Args:
            batch: user, positive and negative ids, `[B]` each.
            final: their final vectors, `[B, D]` each, for models that regularise those.
        """
        if self.params.reg_form == "all_params":
            return sum_of_squares(self.parameters())
        return l2(self.params.reg_form, *self.ego_batch(*batch))

    def regularised(self, ego: Batch) -> Tensor:
        """Return the L2 term without its weight from the rows that `embed_with_ego` returned."""
        return l2(self.params.reg_form, *ego)

    def calculate_loss(self, interaction: Any) -> tuple[Tensor, Tensor]:
        """Return BPR loss and weighted L2 term of a batch (LUDP Eq. 15), to be summed."""
        self.forget()
        batch = (interaction[self.USER_ID], interaction[self.ITEM_ID], interaction[self.NEG_ITEM_ID])
        final, ego = self.embed_with_ego(*batch)
        self.pairs_seen += len(batch[0])
        bpr = bpr_loss(*final, self.bpr_reduction)
        if ego is None or self.params.reg_form == "all_params":
            return bpr, self.params.reg_weight * self.regularisation(batch, final)
        return bpr, self.params.reg_weight * self.regularised(ego)


class ContentRecommender(Recommender):
    """Base of models with item content: selects modalities and provides k-NN lists.

    Attributes:
        features: the modalities in use, in order, with gaps filled by the policy `missing`.
    """

    Params: ClassVar[type[ModelParams]] = ContentParams

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        chosen, policy = choose(getattr(dataset, "item_features", ()), self.params.modalities), self.params.missing
        self.features, self.remarks = completed(chosen, policy, self.train_users, self.train_items)
        self._memo: Memo = getattr(dataset, "memo", lambda _key, compute: compute())

    def participating(self, features: ItemFeatures) -> Tensor:
        """Return which items take part in a modality under the policy `missing`, `[n_items]`; never padding."""
        if self.params.missing == "zero":
            return torch.arange(self.n_items) > 0
        return features.present

    def neighbours(self, features: ItemFeatures, k: int, include_self: bool) -> Neighbours:
        """Return k-NN lists of one modality's raw features, cached under their hash if the data has a cache."""
        key = f"knn-v1-{features.fingerprint}-k{k}-{'self' if include_self else 'others'}"

        def compute() -> dict[str, NDArray[Any]]:
            lists = nearest(features.raw, features.present, k, include_self)
            return {"items": lists.items.numpy(), "cosines": lists.cosines.numpy()}

        stored = self._memo(key, compute)
        return Neighbours(torch.from_numpy(stored["items"]), torch.from_numpy(stored["cosines"]))


def choose(available: tuple[ItemFeatures, ...], wanted: Literal["all"] | list[str]) -> tuple[ItemFeatures, ...]:
    """Select the wanted modalities from those available.

    Raises:
        DataError: the data carries no modality at all.
        ConfigError: a wanted modality does not exist, or the list of names is empty or repeats one.
    """
    by_name = {features.name: features for features in available}
    if not by_name:
        raise DataError(
            "This model needs item features, but the data set has none. Choose a data set with at least one "
            "modality; under RecBole, build the data set with bench.engine.recbole."
        )
    if wanted == "all":
        return available
    if not wanted or len(set(wanted)) < len(wanted):
        raise ConfigError(f"'modalities' must be 'all' or distinct names, not {wanted}.")
    for name in wanted:
        if name not in by_name:
            hint = nearest_hint(name, by_name)
            raise ConfigError(f"The modality '{name}' is not in this data.{hint} Available: {listed(by_name)}.")
    return tuple(by_name[name] for name in wanted)
