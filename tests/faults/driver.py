"""Plants faults one at a time in the project of the working directory and runs tests on each.

Standard input: a JSON object, from the name of a job to its edits (`file`, `right`, `wrong`, whole texts) and to
pytest's `arguments`. Standard output: a JSON object, from that name to pytest's exit code.

One process imports the heavy libraries, then a fork of it runs the tests of each job on fresh project modules.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pandas  # noqa: F401
import pydantic  # noqa: F401
import pytest
import recbole.data
import recbole.trainer  # noqa: F401
import rich.console  # noqa: F401
import scipy.sparse  # noqa: F401
import torch  # noqa: F401


def run(job: dict[str, Any]) -> int:
    """pytest's exit code with the job's faults planted; they are taken out again."""
    for edit in job["edits"]:
        Path(edit["file"]).write_text(edit["wrong"], encoding="utf-8")
    child = os.fork()
    if child == 0:
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        os._exit(int(pytest.main(job["arguments"])))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    for edit in job["edits"]:
        Path(edit["file"]).write_text(edit["right"], encoding="utf-8")
    return code


def main() -> None:
    """All jobs, in order."""
    print(json.dumps({name: run(job) for name, job in json.load(sys.stdin).items()}))


if __name__ == "__main__":
    main()
