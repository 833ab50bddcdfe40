"""A study: the trials of one model on one data set, kept in an Optuna journal. Touches that file only.

The next trial depends only on the study's name, the trial's number and the trials before it. So a search that was
killed, or gets a larger budget, resumes as if it had never stopped. The first trial is the model's default. The
sampler draws at random until `N_STARTUP` trials. These are proposed in a few waves, so that the trials of a later
wave can be compared with earlier ones. After that, trials come one at a time.
"""

from __future__ import annotations

import os
import warnings
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bench.core.errors import ResultsError, one_line
from bench.core.files import locked, os_errors
from bench.core.hashing import derive_seed
from bench.runs.tuning.space import SearchSpace

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

Sampler = Literal["tpe", "grid"]
SAMPLERS: dict[str, str] = {
    "tpe": "tree-structured Parzen estimator, all parameters at once: ten trials at random, then near the best",
    "grid": "the full grid in a random order, as far as the trials go",
}
WAVES = (4, 3, 3)  # trials that are proposed together at first; later ones come one at a time
N_STARTUP = sum(WAVES)
N_ATTEMPTS = 5
# what the journal's parser raises for lines that are no JSON, or JSON of another form
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, AssertionError)


def wave_of(number: int) -> range:
    """Return the numbers of the trials that are proposed together with a trial."""
    ends = list(accumulate(WAVES))
    if number >= N_STARTUP:
        return range(number, number + 1)
    wave = bisect_right(ends, number)
    return range(ends[wave] - WAVES[wave], ends[wave])


@dataclass(frozen=True)
class Trial:
    """One setting of a study.

    Attributes:
        number: counted from 0, without settings that were proposed again.
        values: its parameter values.
        score: best validation score; None while it is not known, or if the run failed.
        state: progress of its run.
    """

    number: int
    values: dict[str, Any]
    score: float | None
    state: Literal["running", "finished", "failed"]


class Study:
    """The trials of one search; open it with `open_study`.

    Args:
        path: the journal.
        name: identifies the search: model, data, protocol, code, space.
        space: the search space.
        sampler: name of the sampler that proposes trials.
        base_seed: root of the sampler's seeds.
    """

    def __init__(self, path: Path, name: str, space: SearchSpace, sampler: Sampler, base_seed: int) -> None:
        import optuna
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalStorage

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.name, self.space = name, space
        self._path = path
        self._sampler: Sampler = sampler
        self._seed = (base_seed, name)
        self._distributions = space.distributions()
        storage = JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))
        self._study = optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True
        )
        self._fail_unfinished()

    def trials(self) -> list[Trial]:
        """Return all trials in order."""
        with _journal_errors(self._path):
            return [self._trial(number, frozen) for number, frozen in enumerate(self._distinct())]

    def wave(self, first: int, limit: int) -> list[Trial]:
        """Return the trials from a number to the end of its wave; propose those that are new.

        Args:
            first: number of a trial; all earlier waves have their scores.
            limit: budget of the study.

        Returns:
            An empty list when the budget or the space is used up.

        Raises:
            ResultsError: the journal cannot be read or written.
        """
        end = min(limit, self.space.size, wave_of(first).stop)
        with _journal_errors(self._path):
            for number in range(len(self._distinct()), end):
                self._propose(number)
            return self.trials()[first:end]

    def tell(self, trial: Trial, score: float | None) -> None:
        """Record the score of a trial; None if its run failed.

        Raises:
            ResultsError: the journal cannot be read or written.
        """
        with _journal_errors(self._path):
            number = self._distinct()[trial.number].number
            if score is None:
                self._fail(number)
            else:
                self._study.tell(number, score)

    def _propose(self, number: int) -> None:
        """Propose a setting that is new."""
        seen = [trial.values for trial in self.trials()]
        if number > 0 and self._sampler == "tpe":
            for attempt in range(N_ATTEMPTS):
                self._study.sampler = self._tpe(number, attempt)
                proposed = self._study.ask(self._distributions)
                if self.space.values(proposed.params) not in seen:
                    return
                self._fail(proposed.number)
        values = self.space.default() if number == 0 else self._next_of_grid(seen)
        self._study.enqueue_trial(self.space.positions(values))
        self._study.ask(self._distributions)

    def _next_of_grid(self, seen: list[dict[str, Any]]) -> dict[str, Any]:
        order = np.random.default_rng(derive_seed(*self._seed, "grid")).permutation(self.space.size)
        settings = (self.space.setting(int(index)) for index in order)
        return next(setting for setting in settings if setting not in seen)

    def _tpe(self, number: int, attempt: int) -> BaseSampler:
        """Make the sampler of one proposal, over all parameters at once (Falkner et al., "BOHB", ICML 2018)."""
        from optuna.exceptions import ExperimentalWarning
        from optuna.samplers import TPESampler

        # Multivariate: on synthetic functions of five ordered lists and two categories, one density per parameter
        # had after 40 trials only 0.6 of this sampler's gain over random draws.
        seed = derive_seed(*self._seed, number, attempt) % 2**32
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return TPESampler(seed=seed, n_startup_trials=N_STARTUP, multivariate=True)

    def _fail(self, optuna_number: int) -> None:
        from optuna.trial import TrialState

        self._study.tell(optuna_number, state=TrialState.FAIL)

    def _distinct(self) -> list[FrozenTrial]:
        """Return the proposed trials without repetitions; only complete settings count."""
        return [trial for trial, is_new in self._proposed() if is_new]

    def _proposed(self) -> Iterator[tuple[FrozenTrial, bool]]:
        from optuna.trial import TrialState

        seen = set()
        for trial in self._study.get_trials(deepcopy=False):
            if trial.state != TrialState.WAITING and trial.params.keys() == self._distributions.keys():
                setting = tuple(sorted(trial.params.items()))
                yield trial, setting not in seen
                seen.add(setting)

    def _trial(self, number: int, frozen: FrozenTrial) -> Trial:
        from optuna.trial import TrialState

        state: Literal["running", "finished", "failed"] = "failed"
        if frozen.state == TrialState.RUNNING:
            state = "running"
        elif frozen.state == TrialState.COMPLETE:
            state = "finished"
        return Trial(number, self.space.values(frozen.params), frozen.value, state)

    def _fail_unfinished(self) -> None:
        """Fail the proposals that a killed process did not finish: repeated, incomplete and queued settings."""
        from optuna.trial import TrialState

        distinct = {trial.number for trial, is_new in self._proposed() if is_new}
        for trial in self._study.get_trials(deepcopy=False):
            if trial.state == TrialState.WAITING:
                self._fail(self._study.ask().number)  # asking takes it out of the queue
            elif trial.number not in distinct and not trial.state.is_finished():
                self._fail(trial.number)


def _remove_leftovers(path: Path) -> None:
    """Remove what a killed process left: Optuna's lock, and an incomplete last line. Needs our own lock."""
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    if path.exists():
        content = path.read_bytes()
        end = content.rfind(b"\n") + 1
        if end < len(content):
            os.truncate(path, end)


@contextmanager
def open_study(
    path: Path, name: str, space: SearchSpace, sampler: Sampler, base_seed: int, original: Path | None = None
) -> Iterator[Study]:
    """Open a study under a lock, so that no other process works on it at the same time.

    Args:
        path: the journal.
        name, space, sampler, base_seed: see `Study`.
        original: the journal that `path` is a copy of, which an error names; None if it is none.

    Raises:
        ResultsError: another process holds the lock, or the journal cannot be read or written.
    """
    with ExitStack() as stack:
        with _journal_errors(path):  # not around the body, whose errors are those of training, data or the console
            stack.enter_context(_locked_study(path))
            _remove_leftovers(path)
            try:
                study = Study(path, name, space, sampler, base_seed)
            except UNREADABLE as problem:
                raise ResultsError(
                    f"{original or path} cannot be read as an Optuna journal ({one_line(problem)}). The trials' "
                    f"records are kept: move the file away and run the same command, which uses them again."
                ) from problem
        yield study


def _journal_errors(path: Path) -> AbstractContextManager[None]:
    return os_errors(
        f"The study {path} cannot be written",
        "Finished trials are kept: free some space or make the directory writable, and run the same command again "
        "to resume.",
    )


@contextmanager
def _locked_study(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_suffix(".lock"), wait=False) as acquired:
        if not acquired:
            raise ResultsError(
                f"The study {path} is in use by another process. Wait until that ends, or choose another "
                f"directory with --results-dir."
            )
        yield
