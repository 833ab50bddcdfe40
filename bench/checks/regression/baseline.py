"""The baseline file of the regression check: measured numbers, their spread, and the history of changes.

The only reader and writer of that file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError, model_validator

from bench.core.config import Frozen, first_problem
from bench.core.errors import ResultsError, UsageError
from bench.core.files import os_errors, read_regular, write_text
from bench.core.text import for_terminal

SCHEMA: Literal[1] = 1
LEAST_RATE, MOST_RATE = 1e-6, 0.1  # of false alarms; outside of these, a band says nothing
MOST_SLOWDOWN = 20.0
MOST_BYTES = 2**26


class Finite(Frozen):
    """A frozen model without infinite numbers, which would give infinite tolerances."""

    model_config = ConfigDict(allow_inf_nan=False)


class NumberRecord(Finite):
    """One number of one model.

    Attributes:
        values: one value per seed, in the same order for all models; only one if it does not depend on seeds.
        step: the smallest possible difference, see `bench.checks.regression.compare.Value`.
        drift: the largest difference between kinds of machines at equal seeds, which earlier versions measured;
            else None.
    """

    values: list[float] = Field(min_length=1)
    step: float = Field(ge=0)
    drift: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _drift_is_a_part_of_the_value(self) -> NumberRecord:
        """Refuse a drift or a step that would allow any value."""
        most = max(abs(value) for value in self.values)
        drift = self.drift or 0.0
        if drift > most + self.step or self.step > max(most, 1.0):
            raise ValueError(f"a step of {self.step:g} or drift of {drift:g} is more than the values themselves")
        return self

    @property
    def is_random(self) -> bool:
        """Return whether the number depends on the seed."""
        return self.step > 0 and len(self.values) > 1


class ModelRecord(Finite):
    """One model: its numbers, and the time of an epoch in units of the reference computation, one per round."""

    numbers: dict[str, NumberRecord] = Field(min_length=1)
    speed: list[Annotated[float, Field(gt=0)]]


class SuiteFacts(Frozen):
    """The facts of a suite that must be equal for numbers to be compared."""

    suite_version: int
    protocol_version: str
    data_hash: str
    split_hash: str
    max_epochs: int


class Change(Frozen):
    """An entry of the history: who made or changed the baseline, when, why and with what.

    `drift_over` holds the environment variables with which earlier versions measured the drift, else nothing.
    """

    date: str
    reason: str
    command: str
    user: str
    commit: str | None
    modified: bool | None
    models: list[str]
    n_seeds: int
    drift_over: dict[str, str] = Field(default_factory=dict)
    environment: dict[str, Any]


class Baseline(Finite):
    """The content of a baseline file.

    Attributes:
        base_seed: root of the seeds of `values`.
        false_alarm_rate: probability that a check of unchanged code with other seeds fails anywhere.
        max_slowdown: largest allowed ratio of a model's time to its time in the baseline.
        models: records by model name.
        history: changes, the oldest first; the environment of a model is that of the last change that names it.
    """

    schema_version: Literal[1] = SCHEMA
    suite: SuiteFacts
    base_seed: int
    false_alarm_rate: float = Field(ge=LEAST_RATE, le=MOST_RATE)
    max_slowdown: float = Field(gt=1, le=MOST_SLOWDOWN)
    models: dict[str, ModelRecord] = Field(min_length=1)
    history: list[Change] = Field(min_length=1)

    def environment_of(self, model: str) -> dict[str, Any]:
        """Return the environment that the numbers of a model were measured in; empty if it is not known."""
        known = [change.environment for change in self.history if model in change.models]
        return known[-1] if known else {}

    @property
    def n_intervals(self) -> int:
        """Return how many numbers of all models have an interval over seeds."""
        return sum(number.is_random for model in self.models.values() for number in model.numbers.values())


def read(path: Path, command: str | None = None) -> Baseline:
    """Read the baseline at a path.

    Args:
        path: path of the file.
        command: the command that makes the baseline, for the error; None names the options only.

    Raises:
        UsageError: the file does not exist.
        ResultsError: the file cannot be read, or is not a baseline.
    """
    try:
        return Baseline.model_validate_json(read_regular(path, MOST_BYTES))
    except FileNotFoundError as problem:
        making = command or f"ludp-bench run --update-baseline {path} --reason 'TEXT'"
        raise UsageError(f"There is no baseline {path}. Make one: {making}") from problem
    except ValidationError as problem:
        raise ResultsError(
            f"{path} is not a baseline of this version ({for_terminal(first_problem(problem))}). Restore it from "
            f"version control, or make a new one with --update-baseline under another name."
        ) from problem
    except OSError as problem:
        raise ResultsError(
            f"{path} cannot be read ({problem.strerror or problem}). Make it readable."
        ) from problem


def write(path: Path, baseline: Baseline) -> None:
    """Write a baseline atomically, with one line per number, so that a diff shows what changed.

    Raises:
        ResultsError: the file cannot be written.
    """
    content = baseline.model_dump(mode="json")
    models = content.pop("models")
    marks = {name: {number: f"@{name}/{number}@" for number in each["numbers"]} for name, each in models.items()}
    outline = {name: {**each, "numbers": marks[name], "speed": f"@{name}@"} for name, each in models.items()}
    text = json.dumps({**content, "models": outline}, indent=1, allow_nan=False)
    for name, each in models.items():
        text = text.replace(f'"@{name}@"', json.dumps(each["speed"]))
        for number, values in each["numbers"].items():
            given = {key: value for key, value in values.items() if value is not None}
            text = text.replace(f'"{marks[name][number]}"', json.dumps(given, allow_nan=False))
    with os_errors(
        f"The baseline {path} cannot be written",
        "Its earlier content is kept: make its folder writable or choose another file.",
    ):
        write_text(path, text + "\n")
