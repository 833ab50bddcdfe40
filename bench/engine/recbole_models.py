"""What RecBole's models draw outside of torch, tied to torch's generator. All is put back afterwards.

Some of them draw from numpy's and Python's global generators, whose state a training that goes on after an
interruption does not have. Within `tied`, both are seeded by one draw from torch's.

Epochs in the forms that RecBole's models train on, from our pairs and negatives. Pure torch.

`bench.engine.trainer` splits an epoch of three id columns into batches; what they mean depends on the model's
input type.

RecBole's `Config` and `Dataset` for its own models, of the training part. Uses a temporary folder.

A model of RecBole's behind the contract of ours: its ids, losses, randomness and scores. Pure.

`bench.engine.trainer` and the evaluator see a `Recommender` as always. The constructor builds RecBole's data set
from the training interactions alone. RecBole numbers users and items in the order of its files: ids are translated
on the way in and score columns on the way out. What such a model keeps from one epoch to the next outside its
parameters is mirrored in buffers, so that an interrupted training goes on with the same bits.
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

from bench.core.errors import ConfigError, ResultsError
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


@contextlib.contextmanager
def tied() -> Iterator[None]:
    """Seed numpy's and Python's global generators from torch's, for a while."""
    ours, theirs = np.random.get_state(), random.getstate()  # noqa: NPY002  # the ones that RecBole's code draws from
    seed = int(torch.randint(2**31 - 1, ()))
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(ours)  # noqa: NPY002
        random.setstate(theirs)


@contextlib.contextmanager
def fixed(seed: int, devices: list[torch.device]) -> Iterator[None]:
    """Seed all generators alike, and put them back afterwards."""
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        with tied():
            yield


Form = Literal["pairs", "points", "users"]


class PointSampler(TripleSampler):
    """Epochs of (user, item, label): every positive with label 1, and after it a fresh negative with label 0.

    A batch of an even size has each positive with its negative, as RecBole's has.
    """

    @property
    def epoch_size(self) -> int:
        """Two a pair."""
        return 2 * len(self)

    def epoch(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """All points of an epoch, `[2 n_pairs]` each."""
        users, positives, negatives = super().epoch(generator)
        labels = torch.tensor([1, 0], device=users.device).repeat(len(users))
        return users.repeat_interleave(2), torch.stack([positives, negatives], dim=1).reshape(-1), labels


class UserSampler(TripleSampler):
    """Epochs of the users that have training interactions, in a fresh order; the other columns hold nothing."""

    @property
    def epoch_size(self) -> int:
        """One a user."""
        return len(torch.unique(self.users))

    def epoch(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """All users of an epoch, `[n]`, and two columns of zeros."""
        users = torch.unique(self.users)
        order = torch.randperm(len(users), generator=generator, device=users.device)
        nothing = torch.zeros_like(users)
        return users[order], nothing, nothing


SAMPLERS: dict[Form, type[TripleSampler]] = {"pairs": TripleSampler, "points": PointSampler, "users": UserSampler}


def sampler_for(model: Any, train: Interactions, device: torch.device) -> TripleSampler:
    """The epochs that a model trains on: of triples, unless it is one of RecBole's that takes another form."""
    form: Form = getattr(model, "form", "pairs")
    return SAMPLERS[form](train, device)


def training_dataset(model_class: type, params: Mapping[str, Any], view: TrainingView) -> tuple[Any, Any, Form]:
    """RecBole's `Config` and `Dataset` for one of its own models, of the training interactions alone.

    Args:
        model_class: one of RecBole's general recommenders.
        params: its parameters.
        view: what it may see.

    Returns:
        Config, data set, and what RecBole's own loader would feed to the model.

    Raises:
        ConfigError: RecBole reads a parameter as another value.
        ResultsError: the system's temporary folder, through which RecBole reads its data, cannot be written.
    """
    from recbole.config import Config
    from recbole.data.dataloader import UserDataLoader
    from recbole.data.dataset import Dataset
    from recbole.data.utils import get_dataloader
    from recbole.utils import InputType

    try:
        with tempfile.TemporaryDirectory() as folder, shielded():
            workdir = Path(folder)
            write_atomic_files({"train": view.train}, "data", workdir)
            given = {**settings(("train",), view.train.n_items, workdir), **params}
            config = Config(model=model_class, dataset="data", config_dict=given)
            dataset = Dataset(config).build()[0]
            by_user = get_dataloader(config, "train") is UserDataLoader
    except OSError as problem:
        raise ResultsError(
            f"RecBole's files cannot be written to {tempfile.gettempdir()} ({problem.strerror or problem}). Free "
            f"some space there, or name another folder in the environment variable TMPDIR, and try again."
        ) from problem
    changed = next((key for key, value in params.items() if config[key] != value), None)
    if changed is not None:
        raise ConfigError(
            f"RecBole reads the parameter '{changed}' of {model_class.__name__}, given as {params[changed]!r}, as "
            f"{config[changed]!r}: it evaluates strings. Give the value in another form."
        )
    in_pairs = config["MODEL_INPUT_TYPE"] == InputType.PAIRWISE
    return config, dataset, "users" if by_user else "pairs" if in_pairs else "points"


KEPT = ("update", "update_count", "update_count_vae", "Lt_history", "Lt_count", "random_list", "random_pr")
CACHES = ("restore_user_e", "restore_item_e")
CELLS = 100_000  # of pairs that are scored at a time by models without full-sort prediction


class Foreign(Recommender):
    """What the trained and the fitted ones share.

    Attributes:
        theirs: RecBole's model.
        form: what it trains on.
    """

    THEIRS: ClassVar[type]
    theirs: nn.Module
    form: Form
    user_ids: Tensor
    item_ids: Tensor
    scoring_seed: Tensor

    def install(self, dataset: TrainingView) -> Any:
        """Build RecBole's model; its training data."""
        given = self.params.model_dump()
        config, data, self.form = training_dataset(self.THEIRS, given, dataset)
        for name, field in (("user_ids", USER_FIELD), ("item_ids", ITEM_FIELD)):
            self.register_buffer(name, torch.from_numpy(_numbering(data.field2id_token[field])), persistent=False)
        self.register_buffer("scoring_seed", torch.randint(2**31 - 1, ()))
        with tied():
            self.theirs = self.THEIRS(config, data)
        return data

    def embed(self) -> Tables:
        """Not defined: RecBole's models have no common form of vectors."""
        raise NotImplementedError(f"{self.CARD.title} has no user and item vectors; ask score_users for scores")

    def score_users(self, users: Tensor) -> Tensor:
        """Scores of all items for the given users, `[len(users), n_items]`, padding column included.

        Whatever the model draws while it scores is the same each time.
        """
        asked = Interaction({USER_FIELD: self.user_ids[users]})
        seed = int(self.scoring_seed) + (int(users[0]) if len(users) else 0)
        with torch.no_grad(), fixed(seed, [users.device] if users.device.type == "cuda" else []):
            try:
                flat = cast(Any, self.theirs).full_sort_predict(asked)
            except NotImplementedError:
                flat = self._pair_by_pair(self.user_ids[users])
        scores = torch.as_tensor(np.asarray(flat) if isinstance(flat, np.matrix) else flat).to(users.device)
        return scores.reshape(len(users), -1)[:, self.item_ids]

    def predict(self, interaction: Any) -> Tensor:
        """Scores of user-item pairs, `[B]`; each distinct user is scored once."""
        users, place = torch.unique(interaction[self.USER_ID], return_inverse=True)
        return self.score_users(users)[place, interaction[self.ITEM_ID]]

    def _pair_by_pair(self, users: Tensor) -> Tensor:
        """Scores for users in RecBole's ids, `[len(users) * n_items]`."""
        items = torch.arange(self.n_items, device=users.device)
        some = max(1, CELLS // self.n_items)
        parts = []
        for block in users.split(some):
            pairs = {USER_FIELD: block.repeat_interleave(self.n_items), ITEM_FIELD: items.repeat(len(block))}
            parts.append(cast(Any, self.theirs).predict(Interaction(pairs)).reshape(-1))
        return torch.cat(parts)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Move tensors that RecBole keeps in plain attributes, too."""
        super()._apply(fn, recurse)
        for module in self.theirs.modules():
            for name, value in list(vars(module).items()):
                if isinstance(value, Tensor):
                    setattr(module, name, fn(value))
                elif isinstance(value, torch.device):
                    setattr(module, name, self.user_ids.device)
        return self


class Trained(Foreign):
    """A model that RecBole trains by batches, in our training loop."""

    def __init__(self, config: Any, dataset: Any) -> None:
        super(Recommender, self).__init__(config, dataset)  # past the id tables of ours
        self.params = self.Params(**{name: config[name] for name in self.Params.model_fields})
        self.forget()
        self.install(dataset)
        for name in KEPT:
            if hasattr(self.theirs, name):
                self.register_buffer(f"kept_{name}", torch.as_tensor(getattr(self.theirs, name)).clone())
        self.register_load_state_dict_post_hook(lambda module, _: module.take_over())

    def train(self, mode: bool = True) -> Trained:
        """Begin or end an epoch."""
        with tied():  # some redraw their graphs here
            super().train(mode)
        for name in KEPT if not mode else ():
            if hasattr(self, f"kept_{name}"):
                getattr(self, f"kept_{name}").copy_(torch.as_tensor(getattr(self.theirs, name)))
        return self

    def take_over(self) -> None:
        """Give RecBole's model what it kept, from a loaded state, and drop what it derived from another."""
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
        """RecBole's loss of a batch, with all its terms, and 0."""
        users, firsts = self.user_ids[interaction[USER_FIELD]], interaction[ITEM_FIELD]
        thirds = interaction[NEG_PREFIX + ITEM_FIELD]
        fields = {USER_FIELD: users}
        if self.form != "users":
            fields[ITEM_FIELD] = self.item_ids[firsts]
        if self.form == "pairs":
            fields[NEG_PREFIX + ITEM_FIELD] = self.item_ids[thirds]
        elif self.form == "points":
            fields[LABEL_FIELD] = (thirds - 1).to(torch.get_default_dtype())  # ids of the bridge are one higher
        with tied():
            losses = cast(Any, self.theirs).calculate_loss(Interaction(fields))
        loss: Tensor = (
            torch.stack([each.reshape(()) for each in losses]).sum() if isinstance(losses, tuple) else losses
        )
        return loss.reshape(()), loss.new_zeros(())


class Fitted(Foreign, Control):
    """A model that RecBole fits when it is built, and that has nothing to train."""

    def fit(self, dataset: Any) -> None:
        """Build RecBole's model; its placeholder of a parameter is not trained."""
        data = self.install(dataset)
        for parameter in self.theirs.parameters():
            parameter.requires_grad_(False)
        if hasattr(self.theirs, "item_cnt"):
            self._count(data)

    def _count(self, data: Any) -> None:
        """Show a model that counts interactions all of them, a user at a time: it counts an item once a call."""
        users, items = data.inter_feat[USER_FIELD], data.inter_feat[ITEM_FIELD]
        for own in torch.split(items[torch.argsort(users, stable=True)], torch.bincount(users).tolist()):
            cast(Any, self.theirs).calculate_loss(Interaction({ITEM_FIELD: own}))


def _numbering(tokens: NDArray[Any]) -> NDArray[np.int64]:
    """RecBole's id of each of our ids, both with padding in front, from its tokens, `[n + 1]`."""
    ours = np.concatenate([[0], tokens[1:].astype(np.int64) + 1])
    return np.argsort(ours).astype(np.int64)
