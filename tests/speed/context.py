"""What all cases share: data sets, models, budgets and a folder for scratch files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from bench.core.names import base_name
from bench.core.types import BenchmarkData, DataRequest
from bench.data.load import load_dataset
from bench.data.pins import find_directory, search_roots
from bench.engine import registry
from bench.engine.recbole import TrainingView, model_config
from models.base import Recommender
from models.control import Control
from speed.measure import Pairs, Task, interleaved, repeated

PUBLIC_SCALE = 0.0498  # of the surrogate: 59,504 training pairs, where public TikTok has 59,541
PAPER = "surrogate 1"
QUICK_SHARE = 0.3
STEPS_ON_CUDA = 50  # fewer than an epoch of any data set here has
Arrays = dict[str, NDArray[Any]]


class Bench:
    """The surroundings of a run of the benchmark.

    Args:
        data_dirs: directories that may hold the public TikTok files, as `tiktok/`.
        device: where models live.
        workdir: an empty folder for scratch files.
        quick: shorter budgets and no data beyond scale 1.
    """

    def __init__(self, data_dirs: tuple[Path, ...], device: torch.device, workdir: Path, quick: bool) -> None:
        self.data_dirs, self.device, self.workdir, self.quick = data_dirs, device, workdir, quick
        self.descriptions: dict[str, dict[str, Any]] = {}
        self._data: dict[str, BenchmarkData] = {}
        self._derived: dict[str, Arrays] = {}
        self._made: dict[str, Any] = {}

    def n_steps(self, on_cpu: int) -> int:
        """Training steps of a sample; on CUDA many, as in an epoch, where some are recorded and replayed."""
        return on_cpu if self.device.type == "cpu" else STEPS_ON_CUDA

    def pairs(self, ours: Task, theirs: Task, seconds: float, least: int = 3, warm_up: bool = True) -> Pairs:
        """`interleaved` within a budget, which `quick` cuts."""
        if self.quick:
            seconds, least = QUICK_SHARE * seconds, 1
        return interleaved(ours, theirs, seconds, least=least, warm_up=warm_up)

    def samples(self, task: Task, seconds: float, least: int = 3) -> list[float]:
        """`repeated` within a budget, which `quick` cuts."""
        if self.quick:
            seconds, least = QUICK_SHARE * seconds, 1
        return repeated(task, seconds, least=least)

    def public(self) -> BenchmarkData:
        """The public TikTok data where its files are found, else a surrogate of that many training pairs.

        In the publisher's parts, whose size the committed measurements are about.
        """
        request = DataRequest(data_dirs=self.data_dirs, default_scale=PUBLIC_SCALE)
        is_there = find_directory("tiktok", search_roots(request)) is not None
        return self._load("public", replace(request, split="shipped") if is_there else request)

    def movielens(self) -> BenchmarkData:
        """MovieLens-1M with its modalities where its files are found, else MovieLens-100K; random split."""
        return self._load("movielens", DataRequest(data_dirs=self.data_dirs, split="random"), "movielens")

    def surrogate(self, scale: float) -> BenchmarkData:
        """The TikTok surrogate; 1.0 is the paper's size."""
        return self._load(f"scale {scale:g}", DataRequest(source="surrogate", scale=scale))

    def _load(self, name: str, request: DataRequest, card: str = "tiktok") -> BenchmarkData:
        if name not in self._data:
            data = load_dataset(card, request)
            self._data[name] = data
            self.descriptions[data_name(data)] = {
                "source": data.source,
                "origin": data.origin,
                "scale": data.scale,
                "n_users": data.n_users,
                "n_items": data.n_items,
                "n_train": len(data.split.train),
                "modalities": {modality.name: modality.dim for modality in data.modalities},
                "data_hash": data.data_hash,
                "split_hash": data.split_hash,
            }
        return self._data[name]

    def drop(self, scale: float) -> None:
        """Free a surrogate that is not needed any more."""
        self._data.pop(f"scale {scale:g}", None)

    def model(self, name: str, data: BenchmarkData, seed: int = 1, **overrides: Any) -> Recommender:
        """A model with its default parameters, whatever was tuned, on the device; k-NN lists are computed once."""
        entry = registry.load(name)
        params = entry.params("", overrides=overrides)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = entry.model_class(model_config(params), TrainingView(data, self._memo))
        return cast(Recommender, model.to(self.device))

    def _memo(self, key: str, compute: Callable[[], Arrays]) -> Arrays:
        if key not in self._derived:
            self._derived[key] = compute()
        return self._derived[key]

    def once(self, key: str, make: Callable[[], Any]) -> Any:
        """Something that several cases need and that is slow to make."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def folder(self) -> Path:
        """A new empty scratch folder."""
        number = len(list(self.workdir.iterdir()))
        path = self.workdir / f"{number:03d}"
        path.mkdir()
        return path

    def say(self) -> list[str]:
        """One line for each data set that was used."""
        return [
            f"{name}: {facts['origin']}; {facts['n_users']:,} users, {facts['n_items']:,} items, "
            f"{facts['n_train']:,} training pairs, "
            + ", ".join(f"{modality} {dim}" for modality, dim in facts["modalities"].items())
            for name, facts in self.descriptions.items()
        ]


def trained_models() -> list[str]:
    """Names of the models that are trained; the others are simple baselines."""
    return [name for name in registry.names() if not issubclass(registry.load(name).model_class, Control)]


def data_name(data: BenchmarkData) -> str:
    """Name of a data set in the table."""
    if base_name(data.name) == "movielens":
        names = {"real": "MovieLens-1M", "embedded": "MovieLens-100K"}
        return names.get(data.source, f"MovieLens surrogate {data.scale or 1:g}")
    return "public TikTok" if data.scale is None else f"surrogate {data.scale:g}"


def sizes(data: BenchmarkData) -> tuple[int, int]:
    """Training pairs, and steps of an epoch at a batch of 1,024."""
    n_train = len(data.split.train)
    return n_train, int(np.ceil(n_train / 1024))
