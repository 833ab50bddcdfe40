"""Layer 5. The baseline file: what was measured, how it spreads, why it was changed. Its reader and writer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from bench.errors import ResultsError, UsageError
from bench.files import check_plain, write_text
from bench.validation import Frozen

SCHEMA = 1
MOST_BYTES = 64 << 20  # of a baseline; the one that comes with the project has 90 kB


class NumberRecord(Frozen):
    """One number of one model.

    Attributes:
        values: one a seed, the same seed first in all models; a single one where no seed has a say.
        step: the least by which it can differ, see `bench.regression.numbers.Value`.
        drift: the largest difference at equal seeds between kinds of machines.
    """

    values: list[float] = Field(min_length=1)
    step: float
    drift: float = 0.0

    @property
    def is_random(self) -> bool:
        """Whether seeds decide on it."""
        return self.step > 0 and len(self.values) > 1


class ModelRecord(Frozen):
    """One model: its numbers, and its epochs in units of the reference computation, one entry a round."""

    numbers: dict[str, NumberRecord]
    speed: list[float]


class SuiteFacts(Frozen):
    """What must be equal for numbers to be compared."""

    suite_version: int
    protocol_version: str
    data_hash: str
    split_hash: str
    max_epochs: int


class Change(Frozen):
    """Why the baseline was made or changed; the drift is over a process with these environment variables."""

    date: str
    reason: str
    command: str
    user: str
    commit: str | None
    modified: bool | None
    models: list[str]
    n_seeds: int
    drift_over: dict[str, str]
    environment: dict[str, Any]


class Baseline(Frozen):
    """The whole file.

    Attributes:
        base_seed: root of the seeds of `values`.
        false_alarm_rate: chance that a check of unchanged code with other seeds is red anywhere.
        max_slowdown: a model may take so many times as long as it did.
        models: by name.
        history: the oldest first; the environment of a model is that of the last change that names it.
    """

    schema_version: int = SCHEMA
    suite: SuiteFacts
    base_seed: int
    false_alarm_rate: float = Field(gt=0, lt=1)
    max_slowdown: float = Field(gt=1)
    models: dict[str, ModelRecord]
    history: list[Change] = Field(min_length=1)

    @property
    def n_intervals(self) -> int:
        """Numbers that have an interval over seeds, in all models."""
        return sum(number.is_random for model in self.models.values() for number in model.numbers.values())


def read(path: Path) -> Baseline:
    """The baseline at a path.

    Raises:
        UsageError: there is no such file.
        ResultsError: it cannot be read, or holds something else.
    """
    try:
        check_plain(path, MOST_BYTES)
        return Baseline.model_validate_json(path.read_bytes())
    except FileNotFoundError as problem:
        raise UsageError(
            f"There is no baseline {path}. Make one with --update-baseline {path} --reason 'first baseline', or "
            f"take the one that comes with the project, results/reference/smoke-baseline.json."
        ) from problem
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ResultsError(
            f"{path} is no baseline of this version ({where}: {first['msg']}). Take it back from version control, "
            f"or make it anew with --update-baseline under another name."
        ) from problem
    except OSError as problem:
        raise ResultsError(
            f"{path} cannot be read ({problem.strerror or problem}). Make it readable."
        ) from problem


def write(path: Path, baseline: Baseline) -> None:
    """Write it whole or not at all; a line for each number, so that a change is read in a diff.

    Raises:
        ResultsError: it cannot be written.
    """
    content = baseline.model_dump(mode="json")
    models = content.pop("models")
    marks = {name: {number: f"@{name}/{number}@" for number in each["numbers"]} for name, each in models.items()}
    outline = {name: {**each, "numbers": marks[name], "speed": f"@{name}@"} for name, each in models.items()}
    text = json.dumps({**content, "models": outline}, indent=1, allow_nan=False)
    for name, each in models.items():
        text = text.replace(f'"@{name}@"', json.dumps(each["speed"]))
        for number, values in each["numbers"].items():
            text = text.replace(f'"{marks[name][number]}"', json.dumps(values, allow_nan=False))
    try:
        write_text(path, text + "\n")
    except OSError as problem:
        raise ResultsError(
            f"The baseline {path} cannot be written ({problem.strerror or problem}). What was there before is "
            f"kept: make its folder writable or name another file."
        ) from problem
