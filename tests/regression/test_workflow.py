"""The workflow for a user's repository: valid YAML whose commands exist."""

from __future__ import annotations

import shlex
from string import Template
from typing import Any

import pytest
import yaml

from bench.cli.options import parse
from regression.proofs import ROOT

WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / "docs" / "ludp-bench-check.yml").read_text(encoding="utf-8"))
JOB = WORKFLOW["jobs"]["check"]
COMMANDS = [step["run"] for step in JOB["steps"] if "run" in step]


def test_it_checks_on_pull_requests_and_measures_on_demand() -> None:
    events = WORKFLOW[True]  # "on" is a truth value in YAML 1.1
    assert set(events) == {"pull_request", "push", "workflow_dispatch"}
    assert set(events["workflow_dispatch"]["inputs"]) == {"reason"}
    assert len(COMMANDS) == 3
    assert all(set(step) & {"run", "uses"} for step in JOB["steps"])


def test_python_is_the_one_that_the_project_needs() -> None:
    (setup,) = [step for step in JOB["steps"] if step.get("uses", "").startswith("actions/setup-python")]
    assert setup["with"]["python-version"] == "3.11"
    assert (ROOT / setup["with"]["cache-dependency-path"]).is_file()


@pytest.mark.parametrize("command", COMMANDS)
def test_its_commands_exist(command: str) -> None:
    variables = {**JOB["env"], "REASON": "a new sampler; $(touch /tmp/x)"}
    words = [Template(word).safe_substitute(variables) for word in shlex.split(command)]
    if words[0] == "make":
        assert f"\n{words[1]}:" in (ROOT / "Makefile").read_text(encoding="utf-8")
        return
    assert words[:2] == [".venv/bin/python", "run_all.py"]
    asked = parse(words[2:]).check
    assert asked is not None
    assert (ROOT / asked.baseline).is_file()
    assert "${{" not in command  # an expression would be pasted into the shell as it is; variables are not


def test_what_it_uploads_is_what_it_makes() -> None:
    (upload,) = [step for step in JOB["steps"] if step.get("uses", "").startswith("actions/upload-artifact")]
    assert upload["if"] == "always()"
    assert upload["with"]["path"].split() == ["check.xml", JOB["env"]["BASELINE"]]
    assert any("--junit check.xml" in command for command in COMMANDS)
