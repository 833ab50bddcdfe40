"""What is measured are the models' defaults: ratios are stated for two layers and batches of 1,024."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.core.types import DataRequest
from bench.data.load import load_dataset
from bench.engine import registry
from speed.context import Bench, data_name


@pytest.mark.parametrize("model", ["lightgcn", "grcn"])
def test_tuned_values_do_not_enter(model: str, tmp_path: Path) -> None:
    entry = registry.load(model)
    assert entry.tuned.values("tiktok@shipped", "cb2bb5e247efd1d3")  # or this test sees nothing
    data = load_dataset("tiktok", DataRequest(source="surrogate", scale=0.01))
    bench = Bench((), torch.device("cpu"), tmp_path, quick=True)
    assert bench.model(model, data).params == entry.params("")
    assert bench.model(model, data, reg_weight=0.5).params.reg_weight == 0.5


def test_data_is_named_after_what_was_read(tmp_path: Path) -> None:
    """Without the files of MovieLens-1M, MovieLens-100K is measured; its rows say so and have no targets."""
    bench = Bench((), torch.device("cpu"), tmp_path, quick=True)
    data = bench.movielens()
    assert data.source == "embedded"
    assert data_name(data) == "MovieLens-100K"
    assert data_name(load_dataset("movielens", DataRequest(source="surrogate", scale=0.01))).startswith(
        "MovieLens sur"
    )
