"""`new-model` writes what is asked for, and nothing over or in front of what is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.checks import scaffold
from bench.cli.main import main
from bench.core.yaml_files import read_yaml
from bench.engine import registry

ROOT = Path(__file__).resolve().parents[2]


def test_three_files_and_how_to_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new-model", "my_model", "--to", str(tmp_path / "mine")]) == 0
    files = {path.name for path in (tmp_path / "mine").iterdir()}
    assert files == {"my_model.py", "my_model.yaml", "test_my_model.py"}
    said = capsys.readouterr().out
    assert f"ludp-bench check-model my_model --plugin {tmp_path}/mine/my_model.py" in said
    assert "class MyModel(Recommender)" in (tmp_path / "mine" / "my_model.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("2fast", "cannot be the name"),
        ("my-model", "cannot be the name"),
        ("MyModel", "cannot be the name"),
        ("class", "cannot be the name"),
        ("_hidden", "cannot be the name"),
        ("base", "cannot be the name"),
        ("control", "Python keywords, 'base', 'control' and"),
        ("test_mine", "cannot be the name"),
        ("lightgcn", "A model 'lightgcn' already exists"),
        ("simplex", "RecBole has a model 'simplex'"),
        ("json", "would hide the Python module 'json'"),
        ("torch", "would hide the Python module 'torch'"),
    ],
)
def test_refused_names(name: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new-model", name, "--to", str(tmp_path)]) == 2
    assert reason in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


def test_without_a_folder_it_goes_into_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scaffold, "shared_folder", lambda: tmp_path / "models")
    monkeypatch.setattr(scaffold, "TESTS", tmp_path / "tests")
    assert main(["new-model", "my_model"]) == 2
    assert "--to DIR" in capsys.readouterr().err
    (tmp_path / "tests").mkdir()
    assert main(["new-model", "my_model"]) == 0
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert written == {"models/my_model.py", "models/my_model.yaml", "tests/test_my_model.py"}
    assert "ludp-bench check-model my_model\n" in capsys.readouterr().out


@pytest.mark.parametrize("there", ["my_model.py", "my_model.yaml", "test_my_model.py"])
def test_nothing_is_overwritten(there: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / there).write_text("mine", encoding="utf-8")
    assert main(["new-model", "my_model", "--to", str(tmp_path)]) == 2
    assert f"{there} already exists" in " ".join(capsys.readouterr().err.split())
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text(encoding="utf-8") == "mine"


def test_an_unwritable_folder_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["new-model", "my_model", "--to", str(tmp_path / "file")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_the_files_are_formatted_and_documented(own, tmp_path: Path) -> None:
    own("fresh", folder="graph")
    own("fresher", folder="content", content=True)
    for command in (["check", "--output-format", "concise"], ["format", "--check"]):
        call = [sys.executable, "-m", "ruff", *command, "--no-cache", "--config", str(ROOT / "pyproject.toml")]
        done = subprocess.run([*call, str(tmp_path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("content", [False, True])
def test_it_searches_what_every_trained_model_searches(own, content: bool) -> None:
    searched = read_yaml(own("fresh", content=content).with_suffix(".yaml"))["search"]
    shared = registry.load("lightgcn").file.search
    for name in ("train_batch_size", "learning_rate", "reg_weight"):
        assert searched[name] == shared[name]


@pytest.mark.parametrize("content", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_test_that_comes_with_it_passes(own, content: bool, tmp_path: Path) -> None:
    path = own("fresh", content=content)
    call = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(path.with_name("test_fresh.py"))]
    done = subprocess.run(call, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
