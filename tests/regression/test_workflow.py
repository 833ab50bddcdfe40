"""The workflow for a repository of models: valid YAML, whose commands exist and need no copy of the project."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml

from bench.cli.options import parse
from regression.proofs import ROOT

WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / "docs" / "ludp-bench-check.yml").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
JOB = WORKFLOW["jobs"]["check"]
COMMANDS = [step["run"] for step in JOB["steps"] if "run" in step]


def test_it_checks_on_pull_requests_and_measures_on_demand() -> None:
    events = WORKFLOW[True]  # "on" is a truth value in YAML 1.1
    assert set(events) == {"pull_request", "push", "workflow_dispatch"}
    assert set(events["workflow_dispatch"]["inputs"]) == {"reason"}
    assert len(COMMANDS) == 5
    assert all(set(step) & {"run", "uses"} for step in JOB["steps"])


def test_python_and_torch_are_those_that_the_project_needs() -> None:
    (setup,) = [step for step in JOB["steps"] if step.get("uses", "").startswith("actions/setup-python")]
    assert setup["with"]["python-version"] == "3.11"  # on 3.12 pip cannot install RecBole by itself
    (torch,) = [name for name in PROJECT["dependencies"] if name.startswith("torch")]
    assert f'"{torch}"' in COMMANDS[0]
    assert JOB["env"]["LUDP_BENCH"].startswith(f"{PROJECT['name']} @ git+https://")


@pytest.mark.parametrize("command", COMMANDS)
def test_its_commands_exist(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder that holds one model and nothing else."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / JOB["env"]["MODELS"]
    folder.mkdir()
    for name in ("mine.py", "mine.yaml"):
        (folder / name).touch()
    assert "${{" not in command  # an expression would be pasted into the shell as it is; variables are not
    variables = {**JOB["env"], "REASON": "a new sampler; $(touch /tmp/x)"}
    words = [Template(word).safe_substitute(variables) for word in shlex.split(command)]
    if words[0] != "ludp-bench":
        assert words[0] in ("pip", "python")
        return
    assert words[1] == "run"
    asked = parse(words[2:]).check
    assert asked is not None
    assert (asked.baseline, asked.plugins) == (Path(JOB["env"]["BASELINE"]), (str(folder),))


def test_what_it_uploads_is_what_it_makes() -> None:
    (upload,) = [step for step in JOB["steps"] if step.get("uses", "").startswith("actions/upload-artifact")]
    assert upload["if"] == "always()"
    paths = upload["with"]["path"].splitlines()
    assert paths == [
        "check.xml",
        "${{ env.BASELINE }}",
    ]  # `with` takes an expression; the shell's variables are not set here
    assert "BASELINE" in JOB["env"]
    assert any("--junit check.xml" in command for command in COMMANDS)
