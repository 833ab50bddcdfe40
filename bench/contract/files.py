"""Layer 7. Whether a model's files say what they must. Reads them."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from bench import registry
from bench.contract.problem import require
from bench.contract.recbole_epoch import epoch_under_recbole
from bench.contract.toys import random_data
from bench.errors import BenchError, listed
from bench.model_code import shared_folder

FIXED_DEVICE = re.compile(r"\.cuda\(|['\"]cuda")


def no_fixed_device(name: str) -> None:
    """No file of the model names a device."""
    folder = shared_folder()
    for source in (registry.load(name).path.with_suffix(".py"), *folder.glob("_*.py"), folder / "base.py"):
        require(
            not FIXED_DEVICE.search(source.read_text(encoding="utf-8")),
            f"{source} names the device cuda.",
            "The runner chooses the device; a model must run on any.",
            "Make tensors on the device of those that come in: torch.zeros(n, device=users.device).",
        )


def yaml_fits_params(name: str) -> None:
    """The YAML gives a value to exactly the declared parameters, and candidates of the right type."""
    entry = registry.load(name)
    given, declared = set(entry.file.defaults), set(entry.model_class.Params.model_fields)
    require(
        given == declared,
        f"'defaults' in {entry.path} and the class Params differ in {listed(sorted(given ^ declared))}.",
        "Every number of a run must be in its record, so parameters have no defaults in code.",
        "Give each field of Params a value under 'defaults', and nothing else.",
    )
    for key, candidates in entry.file.search.items():
        for value in candidates:
            try:
                entry.params("toy", overrides={key: value})
            except BenchError as problem:
                require(
                    False,
                    f"'search.{key}' in {entry.path} gives the candidate {value}, which is refused: {problem}",
                    "Tuning would stop at the first trial with it.",
                    "Give candidates of the type that Params declares.",
                )


def parameters_are_documented(name: str) -> None:
    """Every parameter has its line."""
    params = registry.load(name).model_class.Params
    bare = [
        field
        for field, info in params.model_fields.items()
        if field in params.__annotations__ and not info.description
    ]
    require(
        not bare,
        f"The parameters {listed(bare)} have no docstring.",
        "A parameter without a meaning cannot be tuned or compared with a paper.",
        'Write a line below each field of Params: """Number of layers, L.""".',
    )


def trains_under_recbole(name: str) -> None:
    """RecBole's own `Trainer` trains an epoch, with every parameter as it was given."""
    entry = registry.load(name)
    wanted = {"embedding_size": 8, "train_batch_size": 32}
    params = entry.params("toy", overrides=wanted).model_dump()
    data = random_data(n_users=20, n_items=30, per_user=8)
    with tempfile.TemporaryDirectory() as folder:
        outcome = epoch_under_recbole(entry.model_class, params, data, Path(folder))
    require(
        not outcome.changed,
        f"RecBole's Config changed {listed(outcome.changed)}.",
        "It evaluates strings and merges YAML files of its own by class name.",
        "Rename the parameter, or give it another form.",
    )
    require(
        outcome.moved and outcome.is_finite and {"recall@10", "precision@10", "ndcg@10"} <= outcome.metrics,
        "An epoch under RecBole's Trainer moves no parameter or ends without finite metrics.",
        "Models must work in RecBole unchanged, so that others can compare them there.",
        "Read batches by self.USER_ID, self.ITEM_ID and self.NEG_ITEM_ID only, and return a tuple of losses.",
    )
