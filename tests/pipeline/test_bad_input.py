"""Wrong input through the real command line: one clear paragraph, exit code 2, no traceback, nothing written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.cli.run import main

ROOT = Path(__file__).resolve().parents[2]


def run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    folders = ["--results-dir", str(tmp_path / "results"), "--cache-dir", str(tmp_path / "cache")]
    environment = {key: value for key, value in os.environ.items() if key != "LUDP_BENCH_DATA"}
    return subprocess.run(
        [sys.executable, str(ROOT / "run_all.py"), *folders, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**environment, "CUDA_VISIBLE_DEVICES": ""},
        timeout=120,
    )


def broken_mmrec(folder: Path, header: str = "userID\titemID\tx_label", rows: str = "0\t0\t0\n") -> Path:
    (folder / "data" / "movielens").mkdir(parents=True)
    (folder / "data" / "movielens" / "m.inter").write_text(f"{header}\n{rows}", encoding="utf-8")
    np.save(folder / "data" / "movielens" / "image_feat.npy", np.zeros((1, 2), dtype=np.float32))
    return folder / "data"


CASES = [
    (["--datasets", "tiktokk"], ["tiktokk", "'tiktok'"]),
    (["--models", "ludpp"], ["ludpp", "'ludp'", "lightgcn"]),
    (["--artifacts", "table33"], ["table33", "'table3'"]),
    (["--models", "mf", "ease", "--reference", "eas"], ["eas", "'ease'", "mf"]),
    (["--set", "ludp.knn_kk=3"], ["knn_kk", "'knn_k'"]),
    (["--set", "ludp.knn_k=[1]"], ["knn_k", "ludp.yaml"]),
    (["--profile", "quck"], ["quck", "'quick'"]),
    (["--data-dir", "nowhere"], ["nowhere"]),
    (["--device", "cuda", "--datasets", "movielens"], ["--device cpu"]),
    (["--source", "real", "--datasets", "tiktok"], ["tiktok", "--data-dir"]),
    (["--datasets", "tiktok", "--scale", "-1"], ["scale"]),
    (["--split", "randon"], ["randon", "'random'"]),
    (["--split", "randon", "--datasets", "tiktok@user"], ["--split 'randon'", "'random'"]),
    (["--datasets", "tiktok@shiped"], ["'shiped'", "'shipped'", "tiktok@shiped"]),
    (["--datasets", "tiktok", "tiktok@"], ["'tiktok@'", "after '@'", "tiktok@user"]),
    (["--datasets", "tiktokk@user"], ["tiktokk", "'tiktok'"]),
    (
        ["--datasets", "tiktok@shipped", "--source", "surrogate", "--scale", "0.01"],
        ["'shipped'", "surrogate", "user"],
    ),
    (["--datasets", "movielens@shipped", "--source", "embedded"], ["'shipped'", "embedded", "MovieLens-100K"]),
    (["--datasets", "tiktok@global_time", "--source", "surrogate", "--scale", "0.01"], ["'global_time'", "time"]),
    (["--seeds", "0"], ["--seeds", "a whole number from 1"]),
    (["--modles", "mf"], ["--modles", "'--models'"]),
    (["--workers", "64", "--threads", "64"], ["--workers 64", "--threads 64", "4096 cores", "at most"]),
    (["--workers", "4096"], ["--workers 4096", "--threads 1", "4096 cores", "at most"]),
    (["--threads", "4096", "--dry-run"], ["--workers auto", "--threads 4096", "at most"]),
    (["--workers", "many"], ["--workers", "auto", "'many'"]),
    (["--workers", "0"], ["--workers", "from 1", "'0'"]),
    (["--threads", "0"], ["--threads", "from 1", "'0'"]),
    (["--executor", "dsk"], ["--executor", "'dsk'", "'dask'"]),
    (["--executor", "dask"], ["--scheduler ADDRESS", "both"]),
    (["--scheduler", "tcp://h:1"], ["--executor dask", "both"]),
    (["--executor", "dask", "--scheduler", "tcp://h:1", "--workers", "2"], ["--workers 2", "Leave it out"]),
    (["--executor", "dask", "--scheduler", "tcp://h:1", "--device", "gpu"], ["'gpu'", "cuda"]),
    (["--tune", "0"], ["--tune", "from 1", "'0'"]),
    (["--tune", "-3"], ["--tune", "from 1", "'-3'"]),
    (["--tune-minutes", "0"], ["--tune-minutes", "above 0", "'0'"]),
    (["--tune-minutes", "-3"], ["--tune-minutes", "above 0", "'-3'"]),
    (["--tune-minutes", "nan"], ["--tune-minutes", "such as 90", "'nan'"]),
    (["--tune-minutes", "inf"], ["--tune-minutes", "above 0", "'inf'"]),
    (["--tune-minutes", "soon"], ["--tune-minutes", "CPU minutes", "'soon'"]),
    (["--tune", "5", "--confirm-seeds", "-1"], ["--confirm-seeds", "from 0", "'-1'"]),
    (["--tune", "5", "--confirm-settings", "few"], ["--confirm-settings", "from 0", "'few'"]),
    (["--tune", "5", "--tune-sampler", "tpee"], ["--tune-sampler", "'tpee'", "'tpe'", "grid"]),
    (["--artifacts", "budget"], ["'budget'", "--tune N"]),
]


@pytest.mark.parametrize(("arguments", "words"), CASES, ids=lambda value: " ".join(value))
def test_one_paragraph_exit_code_2_nothing_written(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: list[str],
) -> None:
    monkeypatch.delenv("LUDP_BENCH_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    code = main(["--results-dir", "results", "--cache-dir", "cache", *arguments])
    error = capsys.readouterr().err
    assert code == 2
    assert error.startswith("error: ")
    assert len(error.strip().splitlines()) == 1
    for word in words:
        assert word in error
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_real_process_ends_with_2_and_without_a_traceback(tmp_path: Path) -> None:
    done = run(tmp_path, "--datasets", "tiktokk")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")


def test_broken_data_ends_the_same_way(tmp_path: Path) -> None:
    folder = broken_mmrec(tmp_path, header="userID\titem\tx_label")
    done = run(tmp_path, "--datasets", "movielens", "--data-dir", str(folder))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "itemID" in done.stderr
    assert "m.inter" in done.stderr


def test_unwritable_results_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "results").write_text("a file, not a folder", encoding="utf-8")
    folders = ["--results-dir", str(tmp_path / "results"), "--cache-dir", str(tmp_path / "cache")]
    assert main([*folders, "--datasets", "tiktok", "--source", "surrogate", "--scale", "0.01"]) == 2
    assert "--results-dir" in capsys.readouterr().err
    assert (tmp_path / "results").read_text(encoding="utf-8") == "a file, not a folder"


def test_a_parameter_file_with_a_wrong_type_names_file_and_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.core.config import validated
    from bench.core.errors import ConfigError
    from bench.core.yaml_files import read_yaml
    from bench.engine.model_file import ModelFile

    path = tmp_path / "mf.yaml"
    path.write_text("defaults: [1, 2]\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        validated(ModelFile, read_yaml(path), path)
    assert "defaults" in str(caught.value)
    assert "mf.yaml" in str(caught.value)
