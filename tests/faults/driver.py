"""Plants faults one at a time in the project of the working directory and runs something on each.

Standard input: a JSON object, from the name of a job to its edits (`file`, `right`, `wrong`, whole texts) and to
pytest's `arguments` or a `command` of run_all.py. Standard output: a JSON object, from that name to the exit code.

One process imports the heavy libraries, then a fork of it runs each job on fresh project modules.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import hypothesis  # noqa: F401
import matplotlib.pyplot  # noqa: F401
import pandas  # noqa: F401
import pydantic  # noqa: F401
import pytest
import recbole.data
import recbole.trainer  # noqa: F401
import rich.console  # noqa: F401
import scipy.sparse  # noqa: F401
import torch

CRASHED = 70


def run(job: dict[str, Any]) -> int:
    """The exit code with the job's faults planted; they are taken out again."""
    for edit in job["edits"]:
        Path(edit["file"]).write_text(edit["wrong"], encoding="utf-8")
    child = os.fork()
    if child == 0:
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        os._exit(run_all(job["command"]) if "command" in job else int(pytest.main(job["arguments"])))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    for edit in job["edits"]:
        Path(edit["file"]).write_text(edit["right"], encoding="utf-8")
    return code


def run_all(command: list[str]) -> int:
    """The command line of the project as it is now, fault included; a crash is no exit code of its own."""
    try:
        from bench.cli.run import main

        return main(command)
    except BaseException:
        return CRASHED


def main() -> None:
    """All jobs, in order."""
    torch.optim.Adam([torch.zeros(1)], fused=True)  # imports half of torch when the first one is made
    print(json.dumps({name: run(job) for name, job in json.load(sys.stdin).items()}))


if __name__ == "__main__":
    main()
