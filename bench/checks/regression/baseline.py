"""The baseline file: what was measured, how it spreads, why it was changed. Its reader and writer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError, model_validator

from bench.core.config import Frozen
from bench.core.errors import ResultsError, UsageError
from bench.core.files import read_regular, write_text
from bench.core.text import for_terminal

PROFILE = "smoke"
BASELINE_SEEDS = 20

SCHEMA: Literal[1] = 1
LEAST_RATE, MOST_RATE = 1e-6, 0.1  # of false alarms; below and above, no band means anything
MOST_SLOWDOWN = 20.0
MOST_BYTES = 2**26


class Finite(Frozen):
    """Without infinite numbers, which would make infinite tolerances."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


class NumberRecord(Finite):
    """One number of one model.

    Attributes:
        values: one a seed, the same seed first in all models; a single one where no seed has a say.
        step: the least by which it can differ, see `bench.checks.regression.compare.Value`.
        drift: the largest difference at equal seeds between kinds of machines.
    """

    values: list[float] = Field(min_length=1)
    step: float = Field(ge=0)
    drift: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _drift_is_a_part_of_the_value(self) -> NumberRecord:
        """Refuse a drift or a step that would allow any value."""
        most = max(abs(value) for value in self.values)
        if self.drift > most + self.step or self.step > max(most, 1.0):
            raise ValueError(
                f"a step of {self.step:g} or drift of {self.drift:g} is more than the values themselves"
            )
        return self

    @property
    def is_random(self) -> bool:
        """Whether seeds decide on it."""
        return self.step > 0 and len(self.values) > 1


class ModelRecord(Finite):
    """One model: its numbers, and its epochs in units of the reference computation, one entry a round."""

    numbers: dict[str, NumberRecord] = Field(min_length=1)
    speed: list[Annotated[float, Field(gt=0)]]


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


class Baseline(Finite):
    """The whole file.

    Attributes:
        base_seed: root of the seeds of `values`.
        false_alarm_rate: chance that a check of unchanged code with other seeds is red anywhere.
        max_slowdown: a model may take so many times as long as it did.
        models: by name.
        history: the oldest first; the environment of a model is that of the last change that names it.
    """

    schema_version: Literal[1] = SCHEMA
    suite: SuiteFacts
    base_seed: int
    false_alarm_rate: float = Field(ge=LEAST_RATE, le=MOST_RATE)
    max_slowdown: float = Field(gt=1, le=MOST_SLOWDOWN)
    models: dict[str, ModelRecord] = Field(min_length=1)
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
        return Baseline.model_validate_json(read_regular(path, MOST_BYTES))
    except FileNotFoundError as problem:
        raise UsageError(
            f"There is no baseline {path}. Make one with --update-baseline {path} --reason 'first baseline', or "
            f"take the one that comes with the project, results/reference/smoke-baseline.json."
        ) from problem
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ResultsError(
            f"{path} is not a baseline of this version ({for_terminal(where)}: {first['msg']}). Take it back from "
            f"version control, or make it anew with --update-baseline under another name."
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


@dataclass(frozen=True)
class CheckRequest:
    """What is asked of the baseline.

    Attributes:
        baseline: its file.
        reason: why it is made or changed; None where the code is checked against it.
        n_seeds: repetitions of a new baseline.
        max_slowdown: times as long that a model may take; None leaves it to the baseline.
        junit: where the comparisons go as JUnit XML.
        all_rows: whether those that hold are shown too.
        keep_in: where the runs stay; None removes them.
        models: those to measure; empty takes all.
        base_seed: root of the seeds of a check.
        overrides: parameter values by model.
        n_workers: processes; None lets the program choose.
    """

    baseline: Path
    reason: str | None
    n_seeds: int
    max_slowdown: float | None
    junit: Path | None
    all_rows: bool
    keep_in: Path | None
    models: tuple[str, ...]
    base_seed: int
    overrides: Mapping[str, Mapping[str, Any]]
    n_workers: int | None
