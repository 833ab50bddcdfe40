"""The options of a regression check as values. Imports nothing heavy, since every command line starts here."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROFILE = "smoke"
BASELINE_SEEDS = 20


@dataclass(frozen=True)
class CheckRequest:
    """The options of `--check` and `--update-baseline`.

    Attributes:
        baseline: path of the baseline.
        reason: why the baseline is made or changed; None to check the code against it.
        n_seeds: repetitions of a new baseline.
        max_slowdown: largest allowed ratio of a model's time to that in the baseline; None takes the baseline's.
        junit: path of a JUnit XML file for the comparisons; None writes none.
        all_rows: whether to show comparisons that hold, too.
        runs_dir: directory that keeps the runs; None removes them.
        models: names of the models to measure; empty for all.
        base_seed: root of the seeds of a check.
        overrides: parameter values by model.
        n_workers: number of worker processes; None lets the program choose.
        plugins: locations of models outside of this project, see `bench.engine.plugins`.
    """

    baseline: Path
    reason: str | None
    n_seeds: int
    max_slowdown: float | None
    junit: Path | None
    all_rows: bool
    runs_dir: Path | None
    models: tuple[str, ...]
    base_seed: int
    overrides: Mapping[str, Mapping[str, Any]]
    n_workers: int | None
    plugins: tuple[str, ...] = ()

    @property
    def check_command(self) -> str:
        """Return the command that checks the code against the baseline."""
        return shlex.join(["ludp-bench", "run", "--check", str(self.baseline), *self._plugin_words])

    @property
    def _plugin_words(self) -> list[str]:
        return [word for location in self.plugins for word in ("--plugin", _from_here(location))]

    def update_command(self, models: Sequence[str]) -> str:
        """Return the command that measures models, by default all, and writes them into the baseline."""
        words = ["ludp-bench", "run", "--update-baseline", str(self.baseline)]
        words += ["--models", *models] if models else []
        return f"{shlex.join([*words, *self._plugin_words])} --reason 'TEXT'"


def _from_here(location: str) -> str:
    """Return a path below the working directory as it would be typed there; other locations as they are."""
    path = Path(location)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else location
