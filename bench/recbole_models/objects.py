"""Layer 3. RecBole's `Config` and `Dataset` for its own models, of the training part. Uses a temporary folder."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.errors import ConfigError, ResultsError
from bench.recbole_bridge import TrainingView, settings, shielded, write_atomic_files
from bench.recbole_models.samplers import Form


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
