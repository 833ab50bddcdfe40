"""Adapter that makes RecBole's own models follow our `Recommender` contract. Uses a temporary folder.

The constructor builds RecBole's `Config` and `Dataset` from the training interactions alone. RecBole numbers users
and items in the order of its files, so the adapter converts ids on input and score columns on output.
`bench.engine.trainer` splits an epoch of three id columns into batches, and the columns depend on the model's
input type: pairs, points or users. The module also makes RecBole's models resumable with the same bits. State that
they keep outside their parameters is mirrored in buffers, and their draws from other generators are seeded from
torch's.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from recbole.data.interaction import Interaction
from torch import Tensor, nn

from bench.core.errors import ConfigError
from bench.core.files import os_errors
from bench.core.types import Interactions
from bench.engine.recbole import (
    ITEM_FIELD,
    LABEL_FIELD,
    NEG_PREFIX,
    USER_FIELD,
    TrainingView,
    settings,
    shielded,
    write_atomic_files,
)
from bench.engine.sampling import TripleSampler
from models.base import Recommender, Tables
from models.control import Control

# state that some models keep from one epoch to the next outside their parameters
KEPT = ("update", "update_count", "update_count_vae", "Lt_history", "Lt_count", "random_list", "random_pr")
CACHES = ("restore_user_e", "restore_item_e")  # derived vectors, stale after loading a state
CELLS = 100_000  # pairs scored at a time by models without full-sort prediction


@contextlib.contextmanager
def seed_from_torch() -> Iterator[None]:
    """Seed numpy's and Python's global generators by a draw from torch's, and restore them afterwards."""
    # some RecBole models draw from these generators, whose states a training state does not include
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    seed = int(torch.randint(2**31 - 1, ()))
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)


@contextlib.contextmanager
def fixed_seed(seed: int, devices: list[torch.device]) -> Iterator[None]:
    """Seed all generators, and restore them afterwards."""
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        with seed_from_torch():
            yield


Form = Literal["pairs", "points", "users"]


class PointSampler(TripleSampler):
    """A sampler of (user, item, label): every positive with label 1, followed by a fresh negative with label 0.

    Batches of even size hold each positive with its negative, as RecBole's do.
    """

    @property
    def epoch_size(self) -> int:
        """Return the number of rows of an epoch, two per pair."""
        return 2 * len(self)

    def epoch(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw all points of an epoch, `[2 n_pairs]` each."""
        users, positives, negatives = super().epoch(generator)
        labels = torch.tensor([1, 0], device=users.device).repeat(len(users))
        return users.repeat_interleave(2), torch.stack([positives, negatives], dim=1).reshape(-1), labels


class UserSampler(TripleSampler):
    """A sampler of the users with training interactions, in a new order; the other columns are zeros."""

    @property
    def epoch_size(self) -> int:
        """Return the number of rows of an epoch, one per user."""
        return len(torch.unique(self.users))

    def epoch(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw all users of an epoch, `[n]`, with two columns of zeros."""
        users = torch.unique(self.users)
        order = torch.randperm(len(users), generator=generator, device=users.device)
        zeros = torch.zeros_like(users)
        return users[order], zeros, zeros


SAMPLERS: dict[Form, type[TripleSampler]] = {"pairs": TripleSampler, "points": PointSampler, "users": UserSampler}


def sampler_for(model: Any, train: Interactions, device: torch.device) -> TripleSampler:
    """Build the sampler of a model's epochs: triples, unless it is a RecBole model with another input type."""
    form: Form = getattr(model, "form", "pairs")
    return SAMPLERS[form](train, device)


def training_dataset(model_class: type, params: Mapping[str, Any], view: TrainingView) -> tuple[Any, Any, Form]:
    """Build RecBole's `Config` and `Dataset` for one of its own models from the training interactions alone.

    Args:
        model_class: one of RecBole's general recommenders.
        params: its parameters.
        view: the data that it may see.

    Returns:
        Config, data set, and the form of batches that RecBole's own loader would give the model.

    Raises:
        ConfigError: RecBole reads a parameter as another value.
        ResultsError: the system's temporary folder, through which RecBole reads its data, cannot be written.
    """
    from recbole.config import Config
    from recbole.data.dataloader import UserDataLoader
    from recbole.data.dataset import Dataset
    from recbole.data.utils import get_dataloader
    from recbole.utils import InputType

    with (
        os_errors(
            f"RecBole's files cannot be written to {tempfile.gettempdir()}",
            "Free some space there, or name another folder in the environment variable TMPDIR, and try again.",
        ),
        tempfile.TemporaryDirectory() as folder,
        shielded(),
    ):
        workdir = Path(folder)
        write_atomic_files({"train": view.train}, "data", workdir)
        given = {**settings(("train",), view.train.n_items, workdir), **params}
        config = Config(model=model_class, dataset="data", config_dict=given)
        dataset = Dataset(config).build()[0]
        by_user = get_dataloader(config, "train") is UserDataLoader
    # RecBole's Config evaluates strings, so a value may arrive as another one
    changed = next((key for key, value in params.items() if config[key] != value), None)
    if changed is not None:
        raise ConfigError(
            f"RecBole reads the parameter '{changed}' of {model_class.__name__}, given as {params[changed]!r}, as "
            f"{config[changed]!r}: it evaluates strings. Give the value in another form."
        )
    in_pairs = config["MODEL_INPUT_TYPE"] == InputType.PAIRWISE
    return config, dataset, "users" if by_user else "pairs" if in_pairs else "points"


class RecBoleModel(Recommender):
    """Base of the adapters of trained and of fitted RecBole models.

    Attributes:
        theirs: RecBole's model.
        form: the form of its training batches.
    """

    RECBOLE_CLASS: ClassVar[type]
    theirs: nn.Module
    form: Form
    user_ids: Tensor
    item_ids: Tensor
    scoring_seed: Tensor

    def build_model(self, dataset: TrainingView) -> Any:
        """Build RecBole's model and return its training data."""
        given = self.params.model_dump()
        config, data, self.form = training_dataset(self.RECBOLE_CLASS, given, dataset)
        for name, field in (("user_ids", USER_FIELD), ("item_ids", ITEM_FIELD)):
            self.register_buffer(name, torch.from_numpy(_numbering(data.field2id_token[field])), persistent=False)
        self.register_buffer("scoring_seed", torch.randint(2**31 - 1, ()))
        with seed_from_torch():
            self.theirs = self.RECBOLE_CLASS(config, data)
        return data

    def embed(self) -> Tables:
        """Raise NotImplementedError, as RecBole's models have no common form of vectors."""
        raise NotImplementedError(f"{self.CARD.title} has no user and item vectors; call score_users")

    def score_users(self, users: Tensor) -> Tensor:
        """Score all items for the given users, `[len(users), n_items]`, padding column included.

        Random draws of the model while it scores are the same each time.
        """
        interaction = Interaction({USER_FIELD: self.user_ids[users]})
        seed = int(self.scoring_seed) + (int(users[0]) if len(users) else 0)
        with torch.no_grad(), fixed_seed(seed, [users.device] if users.device.type == "cuda" else []):
            try:
                flat = cast(Any, self.theirs).full_sort_predict(interaction)
            except NotImplementedError:
                flat = self._score_pairs(self.user_ids[users])
        scores = torch.as_tensor(np.asarray(flat) if isinstance(flat, np.matrix) else flat).to(users.device)
        return scores.reshape(len(users), -1)[:, self.item_ids]

    def predict(self, interaction: Any) -> Tensor:
        """Score user-item pairs, `[B]`; each distinct user is scored once."""
        users, place = torch.unique(interaction[self.USER_ID], return_inverse=True)
        return self.score_users(users)[place, interaction[self.ITEM_ID]]

    def _score_pairs(self, users: Tensor) -> Tensor:
        """Score all items pair by pair for users in RecBole's ids, `[len(users) * n_items]`."""
        items = torch.arange(self.n_items, device=users.device)
        block_size = max(1, CELLS // self.n_items)
        parts = []
        for block in users.split(block_size):
            pairs = {USER_FIELD: block.repeat_interleave(self.n_items), ITEM_FIELD: items.repeat(len(block))}
            parts.append(cast(Any, self.theirs).predict(Interaction(pairs)).reshape(-1))
        return torch.cat(parts)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Move all tensors, including those that RecBole keeps in plain attributes."""
        super()._apply(fn, recurse)
        for module in self.theirs.modules():
            for name, value in list(vars(module).items()):
                if isinstance(value, Tensor):
                    setattr(module, name, fn(value))
                elif isinstance(value, torch.device):
                    setattr(module, name, self.user_ids.device)
        return self


class Trained(RecBoleModel):
    """A RecBole model that is trained by batches, in our training loop."""

    def __init__(self, config: Any, dataset: Any) -> None:
        super(Recommender, self).__init__(config, dataset)  # skips Recommender, which would make our id tables
        self.params = self.Params(**{name: config[name] for name in self.Params.model_fields})
        self.forget()
        self.build_model(dataset)
        for name in KEPT:
            if hasattr(self.theirs, name):
                self.register_buffer(f"kept_{name}", torch.as_tensor(getattr(self.theirs, name)).clone())
        self.register_load_state_dict_post_hook(lambda module, _: module.restore_kept())

    def train(self, mode: bool = True) -> Trained:
        """Begin or end an epoch, and mirror the kept state at its end."""
        with seed_from_torch():  # some models redraw their graphs here
            super().train(mode)
        for name in KEPT if not mode else ():
            if hasattr(self, f"kept_{name}"):
                getattr(self, f"kept_{name}").copy_(torch.as_tensor(getattr(self.theirs, name)))
        return self

    def restore_kept(self) -> None:
        """Restore the kept state of RecBole's model from the loaded buffers, and drop its stale caches."""
        for name in KEPT:
            if hasattr(self, f"kept_{name}"):
                value = getattr(self, f"kept_{name}")
                now = getattr(self.theirs, name)
                if isinstance(now, Tensor):
                    setattr(self.theirs, name, value.clone())
                else:
                    setattr(
                        self.theirs,
                        name,
                        value.cpu().numpy().copy() if isinstance(now, np.ndarray) else value.item(),
                    )
        for name in CACHES:
            if hasattr(self.theirs, name):
                setattr(self.theirs, name, None)

    def calculate_loss(self, interaction: Any) -> tuple[Tensor, Tensor]:
        """Return RecBole's loss of a batch, with all its terms, and 0."""
        users, firsts = self.user_ids[interaction[USER_FIELD]], interaction[ITEM_FIELD]
        thirds = interaction[NEG_PREFIX + ITEM_FIELD]
        fields = {USER_FIELD: users}
        if self.form != "users":
            fields[ITEM_FIELD] = self.item_ids[firsts]
        if self.form == "pairs":
            fields[NEG_PREFIX + ITEM_FIELD] = self.item_ids[thirds]
        elif self.form == "points":
            fields[LABEL_FIELD] = (thirds - 1).to(torch.get_default_dtype())  # ids of the bridge are one higher
        with seed_from_torch():
            losses = cast(Any, self.theirs).calculate_loss(Interaction(fields))
        loss: Tensor = (
            torch.stack([each.reshape(()) for each in losses]).sum() if isinstance(losses, tuple) else losses
        )
        return loss.reshape(()), loss.new_zeros(())


class Fitted(RecBoleModel, Control):
    """A RecBole model that is fitted when it is built, and is not trained."""

    def fit(self, dataset: Any) -> None:
        """Build RecBole's model; its placeholder parameter is not trained."""
        data = self.build_model(dataset)
        for parameter in self.theirs.parameters():
            parameter.requires_grad_(False)
        if hasattr(self.theirs, "item_cnt"):
            self._count(data)

    def _count(self, data: Any) -> None:
        """Feed all interactions to a model that counts them."""
        # one call per user, as a call counts each item only once
        users, items = data.inter_feat[USER_FIELD], data.inter_feat[ITEM_FIELD]
        for user_items in torch.split(items[torch.argsort(users, stable=True)], torch.bincount(users).tolist()):
            cast(Any, self.theirs).calculate_loss(Interaction({ITEM_FIELD: user_items}))


def _numbering(tokens: NDArray[Any]) -> NDArray[np.int64]:
    """Return RecBole's id for each of our ids, both with padding in front, from its tokens, `[n + 1]`."""
    ours = np.concatenate([[0], tokens[1:].astype(np.int64) + 1])
    return np.argsort(ours).astype(np.int64)
