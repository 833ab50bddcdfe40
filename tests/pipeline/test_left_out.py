"""Data without content: models that use it are left out by name, everywhere; the others are trained."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.cli.run import main
from bench.core.errors import DataError
from bench.data import cards
from bench.data.importing import import_data
from bench.runs.plan import content_problem, left_out_sentences, split_by_content
from bench.runs.runner import _build


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command line where `bare` has interactions alone, `rich` images too, `full` images and sound."""
    folder = tmp_path / "cards"
    folder.mkdir()
    monkeypatch.setattr(cards.names, "__defaults__", (folder,))
    monkeypatch.setattr(cards.load, "__defaults__", (folder,))
    rng = np.random.default_rng(5)
    pairs = [(u, i) for u in range(30) for i in range(25) if rng.random() < 0.4]
    for name in ("bare", "rich", "full"):
        given = tmp_path / name
        given.mkdir()
        lines = [f"{user}\t{item}" for user, item in pairs]
        (given / "d.inter").write_text("\n".join(["userID\titemID", *lines]) + "\n")
        if name != "bare":
            np.save(given / "image_feat.npy", rng.standard_normal((25, 3)).astype(np.float32))
        if name == "full":
            np.save(given / "audio_feat.npy", rng.standard_normal((25, 3)).astype(np.float32))
        import_data(given, name, folder, tmp_path / "cache")

    def run(*arguments: str) -> tuple[int, str, str]:
        places = ["--results-dir", str(tmp_path / "results"), "--cache-dir", str(tmp_path / "cache")]
        code = main([*places, "--workers", "1", "--epochs", "1", "--threads", "1", *arguments])
        out, err = capsys.readouterr()
        return code, " ".join(out.split()), err  # sentences are broken over lines

    return run


LEFT = "Left out on bare: vbpr, contentknn; it uses item content, and this data has none."
MODELS = ("--models", "mf", "vbpr", "contentknn", "popularity")


def test_the_others_are_trained_and_the_table_says_it(call: Any, tmp_path: Path) -> None:
    code, out, _ = call("--datasets", "bare", *MODELS, "--artifacts", "table3", "curves")
    assert code == 0
    assert LEFT in " ".join(out.split())
    assert len(list((tmp_path / "results" / "runs").rglob("*.json"))) == 2
    for suffix in ("md", "tex"):
        assert (
            "Left out on bare: vbpr, contentknn"
            in (tmp_path / "results" / "tables" / f"table3.{suffix}").read_text()
        )


@pytest.mark.parametrize("option", ["--dry-run", "--status"])
def test_the_plan_and_the_status_say_it(option: str, call: Any, tmp_path: Path) -> None:
    code, out, _ = call("--datasets", "bare", *MODELS, "--artifacts", "table3", option)
    assert code == 0
    assert LEFT in " ".join(out.split())
    assert "2 runs" in out
    assert not (tmp_path / "results").exists()


def test_only_the_data_without_content_is_left_out(call: Any) -> None:
    code, out, _ = call("--datasets", "bare", "rich", *MODELS, "--artifacts", "table3", "--dry-run")
    assert code == 0
    assert LEFT in " ".join(out.split())
    assert "Left out on rich" not in out
    assert "6 runs" in out


def test_all_models_and_the_comparison_by_default(call: Any) -> None:
    """As `import` says to do next: nothing is named."""
    code, out, _ = call("--datasets", "bare", "--dry-run")
    assert code == 0
    assert "Left out on bare: " in out
    assert "ludp" in out
    assert "variations" not in out
    code, out, _ = call("--datasets", "bare", "--dry-run", "--artifacts", "all")
    assert code == 0
    assert "ludp with" in " ".join(out.split())


def test_models_that_are_not_named_are_not_varied(call: Any) -> None:
    code, out, _ = call(
        "--datasets", "rich", "--models", "mf", "ludp", "--artifacts", "all", "--dry-run", "--verbose"
    )
    said = " ".join(out.split())
    assert code == 0
    assert (
        "Left out, as only models of the call are trained: all of fig4 (needs lightgcn); a part of controls, "
        "content (needs lattice, vbpr)."
    ) in said
    assert "variations" in said
    assert not {"VBPR", "LATTICE"} & set(said.split())
    code, _, error = call("--datasets", "rich", "--models", "mf", "--artifacts", "table4", "--dry-run")
    assert code == 2
    assert error.startswith(
        "error: table4 cannot be made of mf: a model that is not named is not trained. Add ludp"
    )


@pytest.mark.parametrize("models", [("vbpr",), ("vbpr", "ludp@literal")])
@pytest.mark.parametrize("more", [(), ("--dry-run",), ("--tune", "2", "--artifacts", "budget")])
def test_nothing_is_left(models: tuple[str, ...], more: tuple[str, ...], call: Any, tmp_path: Path) -> None:
    code, _, error = call("--datasets", "bare", "--models", *models, *(more or ("--artifacts", "table3")))
    assert code == 2
    assert error.startswith(f"error: Left out on bare: {', '.join(models)}")
    assert "Nothing is left to run." in error
    assert len(error.strip().splitlines()) == 1
    assert not list(tmp_path.rglob("results/runs/**/*.json"))


def test_a_search_leaves_them_out_too(call: Any, tmp_path: Path) -> None:
    code, out, _ = call(
        "--datasets", "bare", "--models", "popularity", "vbpr", "--tune", "1", "--artifacts", "tuning", "--status"
    )
    assert code == 0
    assert "Left out on bare: vbpr" in out
    assert out.count("vbpr") == 1


def test_a_variant_of_one_modality_is_searched_only_where_the_data_has_it(call: Any, tmp_path: Path) -> None:
    code, out, _ = call("--datasets", "rich", "full", "--models", "ludp@acoustic", "--tune", "2", "--dry-run")
    assert code == 0
    assert "Left out on rich: ludp@acoustic" in out
    assert re.findall(r"(\w+) ludp@acoustic 0 - 2", out) == ["full"]


def test_a_variant_that_an_artifact_shows_beside_its_rows_is_trained(call: Any) -> None:
    of_ludp = ("--models", "mf", "ludp", "ludp@base", "ludp@visual", "ludp@literal", "--dry-run", "--verbose")
    for artifact, own in (("fig3", "base"), ("table4", "visual")):
        code, out, _ = call("--datasets", "rich", *of_ludp, "--artifacts", artifact)
        assert code == 0
        trained = set(re.findall(r"(\S+) [0-9a-f]{16}", out))
        assert own in trained
        assert not {"base", "visual", "literal", "mf"} & trained - {own}


def test_a_modality_that_the_data_lacks(call: Any) -> None:
    one = ("--models", "vbpr", "mf", "--artifacts", "table3", "--dry-run")
    code, _, error = call("--datasets", "rich", *one, "--set", "vbpr.modalities=[visul]")
    assert code == 2
    assert (
        "vbpr is set to use the modality 'visul', which no data set of the call has. Did you mean 'visual'"
        in error
    )
    code, out, _ = call("--datasets", "rich", "bare", *one, "--set", "vbpr.modalities=[visual]")
    assert code == 0
    assert "Left out on bare: vbpr" in out


def test_reasons() -> None:
    assert content_problem("mf", {}, []) is None
    assert content_problem("vbpr", {"modalities": ["visual"]}, ["visual"]) is None
    assert content_problem("vbpr", {}, []) == "it uses item content, and this data has none"
    assert (
        content_problem("vbpr", {"modalities": ["a", "b"]}, ["b"])
        == "it is set to use the modality a, and this data has b"
    )
    left = {("x", label): "why" for label in ("vbpr", "ludp", "ludp@k=5", "ludp@k=9", "mmgcn@v")}
    assert left_out_sentences(left) == ["Left out on x: vbpr, ludp with 2 variations, mmgcn@v; why."]
    assert split_by_content([], {}) == ([], {})


def test_the_error_itself_names_model_and_data_set(call: Any, tmp_path: Path) -> None:
    from bench.core.protocol import Protocol
    from bench.core.types import DataRequest
    from bench.data.load import load_dataset
    from bench.runs.plan import make_plan
    from bench.runs.records import DataFacts
    from bench.runs.runner import blank_record
    from bench.runs.task import RunOptions

    data = load_dataset("bare", DataRequest(cache_dir=tmp_path / "cache"))
    (spec,) = make_plan(["bare"], ["vbpr"], 1, 1, 1, {})
    blank = blank_record(spec, "k", DataFacts.of(data), "c", Protocol(), "x", torch.device("cpu"))
    options = RunOptions(Protocol(), torch.device("cpu"), "skip", "x", tmp_path / "cache")
    with pytest.raises(DataError, match=r"^vbpr cannot be trained on the data set bare: This model needs item"):
        _build(blank, data, options)
