"""run_all.py --status tells the states of runs apart and writes nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bench.cli import run
from bench.core.files import locked
from bench.runs.records import Failure, RunRecord
from bench.runs.store import ResultsStore

SMALL = [
    "--datasets", "tiktok", "--source", "surrogate", "--scale", "0.01", "--epochs", "2", "--workers", "1",
    "--models", "mf", "popularity", "--seeds", "3", "--artifacts", "table3",
]  # fmt: skip


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_state_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["--results-dir", str(tmp_path / "results"), "--cache-dir", str(tmp_path / "cache"), *SMALL]
    assert run.main([*call, "--status"]) == 0
    assert "6 runs: 6 missing" in capsys.readouterr().out
    assert not (tmp_path / "results").exists()

    assert run.main(call) == 0
    capsys.readouterr()
    assert run.main([*call, "--status"]) == 0
    said = capsys.readouterr().out
    assert "6 runs: 6 done" in said
    assert not re.search(r"recall|ndcg|0\.\d\d\d", said), "a status shows no scores"

    paths = sorted((tmp_path / "results" / "runs").rglob("*.json"))
    mf = {
        json.loads(path.read_text(encoding="utf-8"))["spec"]["repetition"]: path
        for path in paths
        if path.parent.name == "mf"
    }
    popularity = [path for path in paths if path.parent.name == "popularity"]
    _fail(mf[0])
    mf[1].unlink()
    (tmp_path / "results" / "unfinished").mkdir(exist_ok=True)
    (tmp_path / "results" / "unfinished" / f"{mf[1].stem}-0000001.safetensors").touch()
    mf[2].write_text("{", encoding="utf-8")
    popularity[0].unlink()
    before = files(tmp_path)
    capsys.readouterr()
    (tmp_path / "results" / "claims").mkdir(exist_ok=True)
    with locked(tmp_path / "results" / "claims" / f"{popularity[0].stem}.lock"):
        assert run.main([*call, "--status"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "6 runs: 2 done, 1 running, 1 interrupted, 1 failed, 1 damaged." in said
    assert f"failed: tiktok mf seed 1 ({mf[0].stem}): NotFinite: The loss is gone [red]." in said
    assert f"interrupted: tiktok mf seed 2 ({mf[1].stem}): resumes after epoch 1 of 2 at most" in said
    assert f"damaged: tiktok mf seed 3 ({mf[2].stem}): {mf[2]}".replace(" ", "") in said.replace(" ", "")
    assert "running: tiktok popularity" in said
    after = files(tmp_path)
    assert {path: content for path, content in after.items() if path.suffix != ".lock"} == before


def _fail(path: Path) -> None:
    store = ResultsStore(path.parent)
    record = store.read(path)
    assert isinstance(record, RunRecord)
    error = Failure(kind="NotFinite", message="The loss is gone [red].", epoch=1, step=1)
    store.write_record(path, record.model_copy(update={"status": "failed", "metrics": None, "error": error}))
