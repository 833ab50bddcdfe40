"""A study: the trials of one model on one data set, kept in an Optuna journal. Touches that file only.

What the next trial is depends on the study's name, the number of the trial and the trials before it, and on
nothing else, so that a search that was killed, or got a larger budget, goes on as if it had never stopped. The
first trial is the model's default. The sampler draws at random until `N_STARTUP` trials; these are proposed in few
waves, so that those of a later wave can be compared with earlier ones. After that trials come one at a time.
"""

from __future__ import annotations

import os
import warnings
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bench.core.errors import ResultsError
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


def wave_of(number: int) -> range:
    """The numbers of the trials that are proposed together with that one."""
    ends = list(accumulate(WAVES))
    if number >= N_STARTUP:
        return range(number, number + 1)
    place = bisect_right(ends, number)
    return range(ends[place] - WAVES[place], ends[place])


@dataclass(frozen=True)
class Trial:
    """One setting of a study.

    Attributes:
        number: counted from 0, without settings that were proposed again.
        values: the candidates' values.
        score: best validation score, None while it is not known or where the run failed.
        state: how far it is.
    """

    number: int
    values: dict[str, Any]
    score: float | None
    state: Literal["running", "finished", "failed"]


class Study:
    """The trials of one search; open it with `opened`.

    Args:
        path: the journal.
        name: identifies the search: model, data, protocol, code, space.
        space: what may vary.
        sampler: who proposes.
        base_seed: root of the sampler's seeds.
    """

    def __init__(self, path: Path, name: str, space: SearchSpace, sampler: Sampler, base_seed: int) -> None:
        import optuna
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalStorage

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.name, self.space = name, space
        self._sampler: Sampler = sampler
        self._seed = (base_seed, name)
        self._distributions = space.distributions()
        storage = JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))
        self._study = optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True
        )
        self._close_cut_off()

    def trials(self) -> list[Trial]:
        """All trials in order."""
        return [self._trial(number, frozen) for number, frozen in enumerate(self._counted())]

    def wave(self, first: int, limit: int) -> list[Trial]:
        """The trials from that number to the end of its wave; those that were not proposed yet are now.

        Args:
            first: number of a trial; all waves before its own have been told.
            limit: budget of the study.

        Returns:
            None when the budget or the space is used up.
        """
        end = min(limit, self.space.size, wave_of(first).stop)
        for number in range(len(self._counted()), end):
            self._propose(number)
        return self.trials()[first:end]

    def tell(self, trial: Trial, score: float | None) -> None:
        """Note how a trial ended; None where its run failed."""
        number = self._counted()[trial.number].number
        if score is None:
            self._fail(number)
        else:
            self._study.tell(number, score)

    def _propose(self, number: int) -> None:
        """Ask for a setting that is new."""
        seen = [trial.values for trial in self.trials()]
        if number > 0 and self._sampler == "tpe":
            for attempt in range(N_ATTEMPTS):
                self._study.sampler = self._tpe(number, attempt)
                asked = self._study.ask(self._distributions)
                if self.space.values(asked.params) not in seen:
                    return
                self._fail(asked.number)
        values = self.space.default() if number == 0 else self._next_of_grid(seen)
        self._study.enqueue_trial(self.space.positions(values))
        self._study.ask(self._distributions)

    def _next_of_grid(self, seen: list[dict[str, Any]]) -> dict[str, Any]:
        order = np.random.default_rng(derive_seed(*self._seed, "grid")).permutation(self.space.size)
        settings = (self.space.setting(int(index)) for index in order)
        return next(setting for setting in settings if setting not in seen)

    def _tpe(self, number: int, attempt: int) -> BaseSampler:
        """The sampler of one proposal, over all parameters at once (Falkner et al., "BOHB", ICML 2018).

        On made functions of five ordered lists and two choices, a density for each parameter alone made 0.6 of the
        gain over random draws that this makes after 40 trials.
        """
        from optuna.exceptions import ExperimentalWarning
        from optuna.samplers import TPESampler

        seed = derive_seed(*self._seed, number, attempt) % 2**32
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return TPESampler(seed=seed, n_startup_trials=N_STARTUP, multivariate=True)

    def _fail(self, optuna_number: int) -> None:
        from optuna.trial import TrialState

        self._study.tell(optuna_number, state=TrialState.FAIL)

    def _counted(self) -> list[FrozenTrial]:
        """Proposed trials without repetitions: a setting counts where it came first, and where it is whole."""
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

    def _close_cut_off(self) -> None:
        """Proposals that a killed process did not finish: settings that came again, half settings, queued ones."""
        from optuna.trial import TrialState

        whole = {trial.number for trial, is_new in self._proposed() if is_new}
        for trial in self._study.get_trials(deepcopy=False):
            if trial.state == TrialState.WAITING:
                self._fail(self._study.ask().number)  # asking takes it out of the queue
            elif trial.number not in whole and not trial.state.is_finished():
                self._fail(trial.number)


def _clear_up(path: Path) -> None:
    """Take away what a killed process left: its lock, and half a line. Our own lock is held."""
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    if path.exists():
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)


@contextmanager
def opened(path: Path, name: str, space: SearchSpace, sampler: Sampler, base_seed: int) -> Iterator[Study]:
    """A study that no other process works on at the same time.

    Raises:
        ResultsError: another process does, or the journal cannot be read or written.
    """
    from filelock import FileLock, Timeout

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"))
        with lock.acquire(timeout=0):
            _clear_up(path)
            try:
                study = Study(path, name, space, sampler, base_seed)
            except (ValueError, KeyError) as problem:  # what the journal's parser says of damaged lines
                raise ResultsError(
                    f"{path} cannot be read as an Optuna journal ({problem}). The trials' records are kept: move "
                    f"the file away and run the same command, which finds them again."
                ) from problem
            yield study
    except Timeout as problem:
        raise ResultsError(
            f"The study {path} is being worked on by another process. Wait until that ends, or tune into "
            f"another directory with --results-dir."
        ) from problem
    except OSError as problem:
        raise ResultsError(
            f"The study {path} cannot be written ({problem.strerror or problem}). Trials that are told stay: "
            f"free some space or make the directory writable, and run the same command again to go on."
        ) from problem
