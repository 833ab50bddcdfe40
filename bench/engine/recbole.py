"""The bridge to RecBole: its ids, its `Config` and its data loaders. Writes RecBole's files to a given folder.

RecBole has a padding id 0, so real ids start at 1; only this module and the models use those ids. `TrainingView`
and `model_config` build a model in milliseconds, without RecBole's file reading. `recbole_session` builds
RecBole's own objects for its `Trainer`. Every parameter is passed explicitly, so that no default of RecBole's is
used.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from torch import Tensor

from bench.core.types import BenchmarkData, Interactions, Modality, Part
from models.layers.features import ItemFeatures

if TYPE_CHECKING:
    from models.base import ModelParams

USER_FIELD = "user_id"
ITEM_FIELD = "item_id"
NEG_PREFIX = "neg_"
LABEL_FIELD = "label"
Memo = Callable[[str, Callable[[], dict[str, NDArray[Any]]]], dict[str, NDArray[Any]]]


def to_recbole(ids: NDArray[Any]) -> Tensor:
    """Convert our ids to RecBole's, `[n]` int64: one higher, because of the padding id."""
    return torch.from_numpy(np.asarray(ids, dtype=np.int64) + 1)


def without_padding(scores: Tensor) -> Tensor:
    """Convert scores over RecBole's items, `[n, n_items + 1]`, to scores over ours, `[n, n_items]`."""
    return scores[:, 1:]


def padded(modality: Modality) -> ItemFeatures:
    """Convert a modality to RecBole's ids, with a zero row for padding in front."""
    matrix = np.concatenate([np.zeros((1, modality.dim), dtype=np.float32), modality.matrix])
    present = np.concatenate([[False], modality.present])
    return ItemFeatures(modality.name, torch.from_numpy(matrix), torch.from_numpy(present), modality.fingerprint)


class TrainingView:
    """The part of a data set that a model may see: counts, training interactions and item content.

    Args:
        data: the data set; only its training part and its content are kept.
        memo: cache of derived arrays such as k-NN lists; None computes them each time.
    """

    def __init__(self, data: BenchmarkData, memo: Memo | None = None) -> None:
        self.train = data.split.train
        self.item_features = tuple(padded(modality) for modality in data.modalities)
        self.memo: Memo = memo or (lambda _key, compute: compute())

    def num(self, field: str) -> int:
        """Return the number of users or items, padding included, like RecBole's `Dataset.num`."""
        return {USER_FIELD: self.train.n_users, ITEM_FIELD: self.train.n_items}[field] + 1

    def inter_matrix(self, form: str = "coo") -> coo_matrix:
        """Build the training matrix, `[n_users + 1, n_items + 1]`, like RecBole's `Dataset.inter_matrix`."""
        if form != "coo":
            raise ValueError(f"the training view supports the form 'coo' only, not '{form}'")
        shape = (self.num(USER_FIELD), self.num(ITEM_FIELD))
        ones = np.ones(len(self.train), dtype=np.float32)
        return coo_matrix((ones, (self.train.users + 1, self.train.items + 1)), shape=shape)


def model_config(params: ModelParams) -> dict[str, Any]:
    """Build the `config` of a model on a `TrainingView`; reading a misspelt key raises KeyError."""
    fields = {"USER_ID_FIELD": USER_FIELD, "ITEM_ID_FIELD": ITEM_FIELD, "NEG_PREFIX": NEG_PREFIX}
    return {**fields, "device": torch.device("cpu"), **params.model_dump()}


def build_model(
    model_class: type[Any],
    params: ModelParams,
    data: BenchmarkData,
    seed: int,
    memo: Memo | None = None,
) -> Any:
    """Build a model on the training part of a data set; torch's random state is as before afterwards.

    Args:
        model_class: class of the model.
        params: its parameters, complete.
        data: the data set.
        seed: seed of the initial values.
        memo: cache of derived arrays such as k-NN lists; None computes them each time.

    Raises:
        ConfigError: the parameters do not fit together.
        DataError: the data set lacks content that the model needs.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return model_class(model_config(params), TrainingView(data, memo))


def batch(users: Tensor, positives: Tensor, negatives: Tensor) -> dict[str, Tensor]:
    """Return a training batch in the form of RecBole's `Interaction` and in its ids, `[B]` each."""
    return {USER_FIELD: users, ITEM_FIELD: positives, NEG_PREFIX + ITEM_FIELD: negatives}


def batches(triples: tuple[Tensor, Tensor, Tensor], batch_size: int) -> Iterator[dict[str, Tensor]]:
    """Yield an epoch of triples in our ids, `[n]` each, as batches in RecBole's ids; the last may be short."""
    parts = [(ids + 1).split(batch_size) for ids in triples]
    for users, positives, negatives in zip(*parts, strict=True):
        yield batch(users, positives, negatives)


@dataclass(frozen=True)
class RecBoleSession:
    """RecBole's own objects for one data set and model class."""

    config: Any
    dataset: Any
    train_data: Any
    valid_data: Any
    test_data: Any


@contextlib.contextmanager
def shielded() -> Iterator[None]:
    """Hide the command line from RecBole, and undo its changes of environment, warnings and random state."""
    # RecBole's Config reads sys.argv, evaluates strings, sets CUDA_VISIBLE_DEVICES, and merges its own YAML files
    argv, environment = sys.argv, dict(os.environ)
    sys.argv = [argv[0] if argv else "python"]
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            # about releases of torch and pandas that our version pins exclude
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        sys.argv = argv
        os.environ.clear()
        os.environ.update(environment)


def recbole_session(
    model_class: type, params: Mapping[str, Any], data: BenchmarkData, workdir: Path, **overrides: Any
) -> RecBoleSession:
    """Build RecBole's `Config`, `Dataset` and data loaders over our split.

    Args:
        model_class: a model of ours, or one of RecBole's general recommenders.
        params: all parameters of the model, so that no default of RecBole's is used.
        data: the data set; its parts become RecBole's benchmark files under `workdir`.
        workdir: an empty directory for atomic files and RecBole's checkpoints.
        overrides: further RecBole settings, for example `epochs=1`.
    """
    from recbole.config import Config
    from recbole.data import data_preparation
    from recbole.data.dataset import Dataset

    parts: tuple[Part, ...] = ("train", "valid", "test")
    write_atomic_files({part: data.split.part(part) for part in parts}, data.name, workdir)
    given = {**settings(parts, data.n_items, workdir), **params, **overrides}
    with shielded():
        config = Config(model=model_class, dataset=data.name, config_dict=given)
        dataset = Dataset(config)
        dataset.item_features = tuple(_aligned(m, dataset) for m in data.modalities)
        loaders = data_preparation(config, dataset)
    return RecBoleSession(config, dataset, *loaders)


def settings(parts: tuple[Part, ...], n_items: int, workdir: Path) -> dict[str, Any]:
    """Return the settings of RecBole's `Config` for the files that `write_atomic_files` wrote."""
    return {
        "data_path": str(workdir),
        "checkpoint_dir": str(workdir / "saved"),
        "benchmark_filename": list(parts),
        "USER_ID_FIELD": USER_FIELD,
        "ITEM_ID_FIELD": ITEM_FIELD,
        "NEG_PREFIX": NEG_PREFIX,
        "LABEL_FIELD": LABEL_FIELD,
        "load_col": {"inter": [USER_FIELD, ITEM_FIELD], "user": [USER_FIELD], "item": [ITEM_FIELD]},
        "eval_args": {"split": {"RS": [8, 1, 1]}, "order": "RO", "group_by": "user", "mode": "full"},
        "metrics": ["Recall", "Precision", "NDCG"],
        "topk": [10, 20],
        "valid_metric": "Recall@10",
        "stopping_step": 9,
        "eval_batch_size": 512 * (n_items + 1),
        "use_gpu": False,
        "show_progress": False,
        "state": "ERROR",
    }


def write_atomic_files(parts: Mapping[Part, Interactions], name: str, workdir: Path) -> None:
    """Write parts as RecBole's atomic files; tokens are our 0-based ids, and every user and item is listed."""
    folder = workdir / name
    folder.mkdir(parents=True, exist_ok=True)
    for part, interactions in parts.items():
        columns = {USER_FIELD: interactions.users, ITEM_FIELD: interactions.items}
        _write_table(folder / f"{name}.{part}.inter", columns)
    _write_table(folder / f"{name}.user", {USER_FIELD: np.arange(interactions.n_users)})
    _write_table(folder / f"{name}.item", {ITEM_FIELD: np.arange(interactions.n_items)})


def _write_table(path: Path, columns: dict[str, NDArray[Any]]) -> None:
    header = "\t".join(f"{name}:token" for name in columns)
    np.savetxt(path, np.column_stack(list(columns.values())), fmt="%d", delimiter="\t", header=header, comments="")


def _aligned(modality: Modality, dataset: Any) -> ItemFeatures:
    """Reorder a modality to the item ids of a RecBole data set, which follow the order in its files."""
    tokens = dataset.field2id_token[ITEM_FIELD][1:].astype(np.int64)
    features = padded(modality)
    order = torch.cat([torch.zeros(1, dtype=torch.int64), to_recbole(tokens)])
    fingerprint = f"{features.fingerprint}-recbole"
    return ItemFeatures(features.name, features.raw[order], features.present[order], fingerprint)
